"""`rung prepare`: bring Rung's own database up to date, before a new version of the dashboard starts."""

from pathlib import Path

import click

from dashboard.cli.asked import options, settings_of
from dashboard.cli.shown import say


@click.command(
    help="Bring Rung's own database up to date. `serve` and `worker` do so too, but a deploy can fail earlier."
)
@options(json=False)
def prepare(config: Path | None, directory: Path | None) -> None:
    from dashboard.bootstrap import prepare_home

    prepare_home(settings_of(config, directory))
    say("Rung's own database is up to date.")
