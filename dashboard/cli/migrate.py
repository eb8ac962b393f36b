"""`rung migrate`: run everything pending on one environment."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from dashboard.cli.asked import chosen, options, person, settings_of
from dashboard.cli.codes import OF_OUTCOME
from dashboard.cli.shown import result_json, say_json, show_result
from dashboard.cli.told import teller
from dashboard.core.run import Actor, Order, Result
from dashboard.settings import Settings

_ENV = "The environment; local, or else the first one, if it is left out."


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], str | None]]:
    """Ctrl-C, SIGTERM or SIGHUP asks the run to stop in order; a second one ends the process at once."""
    asked: list[str] = []
    before: dict[signal.Signals, Any] = {}

    def hear(number: int, _frame: FrameType | None) -> None:
        asked.append(f"{signal.Signals(number).name} at the command line")
        for heard, handler in before.items():
            signal.signal(heard, handler if handler is not signal.SIG_IGN else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before[number] = signal.signal(number, hear)
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(settings: Settings, name: str | None, order: Order, *, quiet: bool) -> Result:
    """Bring one environment up to date, telling about it."""
    from dashboard.folder import FolderReader
    from dashboard.services.apply import apply

    environment = chosen(settings, name)
    read = FolderReader(settings.migrations, settings.size_limit).read
    with stop_on_signals() as stop, teller(environment.name, quiet=quiet) as report:
        return apply(environment, read, order, report, stop)


def order_of(actor: Actor, *, force: bool, reason: str | None, until_blocked: bool, lock_wait: float) -> Order:
    """What was asked for. Forcing needs a reason, and a reason means nothing without forcing."""
    if force and not (reason or "").strip():
        raise click.UsageError('--force needs --reason "…": it goes into the history, for whoever asks later.')
    if reason and not force:
        raise click.UsageError("--reason belongs to --force.")
    return Order(actor, force=force, reason=reason, until_blocked=until_blocked, lock_wait=lock_wait)


@click.command(help="Run everything pending on an environment, in order; stop before a file that would destroy data.")
@options(env=_ENV)
@click.option("--force", is_flag=True, help="Also files that the gate stops. Needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; it goes into the history.")
@click.option("--until-blocked", is_flag=True, help="Run the files before the first one that the gate stops.")
@click.option("--lock-wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds.")
def migrate(
    name: str | None,
    config: Path | None,
    directory: Path | None,
    reason: str | None,
    lock_wait: float,
    *,
    as_json: bool,
    force: bool,
    until_blocked: bool,
) -> int:
    order = order_of(person(), force=force, reason=reason, until_blocked=until_blocked, lock_wait=lock_wait)
    result = run(settings_of(config, directory), name, order, quiet=as_json)
    code = OF_OUTCOME[result.outcome]
    if as_json:
        say_json(result_json(result, code))
    else:
        show_result(result)
    return code
