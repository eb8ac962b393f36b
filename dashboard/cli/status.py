"""`rung status`: the environments side by side."""

from pathlib import Path

import click

from dashboard.cli.asked import options, services_of, settings_of
from dashboard.cli.codes import DONE, NOT_REACHABLE, REFUSED
from dashboard.cli.shown import say, say_json, table
from dashboard.core.documents import matrix_json
from dashboard.core.matrix import Matrix
from dashboard.core.plan import State

_NEWEST = 5  # rows shown although everybody agrees about them
_MOST = 40  # rows shown without --all: the heads stay on the screen

_COLOURS: dict[str, str] = {
    State.APPLIED: "green",
    State.PENDING: "yellow",
    State.OUT_OF_ORDER: "yellow",
    State.UNFINISHED: "yellow",
    State.FAILED: "red",
    State.BLOCKED: "red",
    State.EDITED: "magenta",
    State.RENAMED: "magenta",
    State.MISSING_FILE: "magenta",
}


@click.command(help="Compare the environments: what each of them has, newest first. All are asked at the same time.")
@options()
@click.option(
    "--all", "everything", is_flag=True, help=f"All files, also those on which all agree, and more than {_MOST}."
)
@click.option(
    "--exit-code", is_flag=True, help="Exit with 3 when an environment is behind, 4 when one does not answer."
)
def status(config: Path | None, directory: Path | None, *, as_json: bool, everything: bool, exit_code: bool) -> int:
    matrix = services_of(settings_of(config, directory)).compare.live()
    if as_json:
        say_json(matrix_json(matrix))
    else:
        _show(matrix, everything=everything)
    return _code(matrix) if exit_code else DONE


def _code(matrix: Matrix) -> int:
    if any(column.not_reachable for column in matrix.columns):
        return NOT_REACHABLE
    return REFUSED if any(column.behind for column in matrix.columns) else DONE


def _show(matrix: Matrix, *, everything: bool) -> None:
    differing = [row for place, row in enumerate(matrix.rows) if place < _NEWEST or row.differs]
    rows = matrix.rows if everything else differing[:_MOST]
    heads = ["migration", *(column.environment.name for column in matrix.columns)]
    second = ["", *(column.headline for column in matrix.columns)]
    cells = [[row.filename, *(cell.state.value if cell else "-" for cell in row.cells)] for row in rows]
    table(heads, [second, *cells], _COLOURS.get)
    cut = len(differing) - len(rows) if not everything else 0
    agreed = len(matrix.rows) - len(rows) - cut
    if cut:
        say(f"… and {cut:,} more on which they differ, older than these (--all shows them)")
    if agreed:
        say(f"… and {agreed:,} more on which all agree (--all shows them)")
    for column in matrix.columns:
        if column.not_reachable:
            say(f"{column.environment.name} is {column.not_reachable.word}: {column.not_reachable.reason.rstrip('.')}.")
            say(f"What to do: {column.not_reachable.advice}")
        for stop in column.stops:
            say(f"{column.environment.name}: nothing may run: {stop}")
