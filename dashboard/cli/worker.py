"""`rung worker`: execute the runs asked for in the browser."""

from pathlib import Path

import click

from dashboard.cli.asked import options, settings_of


@click.command(help="Execute the runs asked for in the browser, until SIGTERM. Any number of workers may run.")
@options(json=False)
def worker(config: Path | None, directory: Path | None) -> None:
    from dashboard.bootstrap import refuse_unsafe
    from dashboard.worker import run_worker

    settings = settings_of(config, directory)
    refuse_unsafe(settings, pages=False)
    run_worker(settings)
