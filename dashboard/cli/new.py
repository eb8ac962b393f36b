"""`rung new`: make the next migration file."""

import time
from pathlib import Path

import click

from dashboard.cli.asked import options, settings_of, variables
from dashboard.cli.shown import say, say_json
from dashboard.core.errors import NoEnvironments
from dashboard.services.new import Patterns, new_migration


@click.command(help="Make the next migration file from a template, and print its path.")
@click.argument("description")
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Create this table.")
@click.option("--column", "columns", multiple=True, metavar="TABLE.COLUMN:TYPE", help="Add this column.")
@click.option("--index", "indexes", multiple=True, metavar="TABLE.COLUMN[,…]", help="Index these columns.")
@click.option(
    "--foreign-key", "foreign_keys", multiple=True, metavar="CHILD.COLUMN:PARENT.COLUMN", help="Refer to a table."
)
@options()
def new(
    description: str,
    tables: tuple[str, ...],
    columns: tuple[str, ...],
    indexes: tuple[str, ...],
    foreign_keys: tuple[str, ...],
    config: Path | None,
    directory: Path | None,
    *,
    as_json: bool,
) -> None:
    folder = _folder(config, directory)
    patterns = Patterns(tables, columns, indexes, foreign_keys)
    path = new_migration(folder, description, patterns, time.strftime("%Y%m%d%H%M%S", time.gmtime()))
    if as_json:
        say_json({"path": str(path), "filename": path.name})
        return
    say(f"{path}")
    say(f"Write the SQL, then: rung check, rung migrate, and commit {path.name} with the code that needs it.")


def _folder(config: Path | None, directory: Path | None) -> Path:
    """A new file needs no database, so none has to be configured."""
    try:
        return settings_of(config, directory).migrations
    except NoEnvironments:
        return Path.cwd() / (directory or variables(config).get("RUNG_MIGRATIONS", "migrations"))
