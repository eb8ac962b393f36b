"""`rung worker`: execute the runs asked for in the browser."""

from pathlib import Path

import click

from dashboard.cli.asked import options, settings_of


@click.command(help="Execute the runs asked for in the browser, until SIGTERM. Any number of workers may run.")
@options(json=False)
def worker(config: Path | None, directory: Path | None) -> None:
    from dashboard.worker import run_worker

    run_worker(settings_of(config, directory))
