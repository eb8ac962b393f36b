"""`rung migrate`: run everything pending on one environment."""

import contextlib
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from dashboard.bootstrap import build
from dashboard.cli.asked import chosen, options, person, settings_of
from dashboard.cli.codes import OF_OUTCOME
from dashboard.cli.shown import complain, result_json, say_json, show_result
from dashboard.cli.told import teller
from dashboard.core.errors import RungError
from dashboard.core.run import Actor, Order, Result
from dashboard.settings import Settings

ENV = "The environment; local, or else the first one, if it is left out."


class Stop:
    """Which signal asked to stop, if one did; called by the runner between statements and files."""

    def __init__(self) -> None:
        self.number: signal.Signals | None = None

    def __call__(self) -> str | None:
        return f"{self.number.name} at the command line" if self.number else None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM or SIGHUP asks the run to stop in order; a second one ends the process at once."""
    stop = Stop()
    before: dict[signal.Signals, Any] = {}

    def hear(number: int, _frame: FrameType | None) -> None:
        stop.number = signal.Signals(number)
        for heard, handler in before.items():
            signal.signal(heard, handler if handler is not signal.SIG_IGN else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            before[number] = signal.signal(number, hear)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(settings: Settings, name: str | None, order: Order, stop: Stop, *, quiet: bool) -> Result:
    """Bring one environment up to date, telling about it."""
    from dashboard.folder import FolderReader
    from dashboard.services.apply import apply

    environment = chosen(settings, name)
    read = FolderReader(settings.migrations, settings.size_limit).read
    with teller(environment.name, quiet=quiet) as report:
        result = apply(environment, read, order, report, stop)
    _tell_webhooks(settings, result, order)
    return result


def _tell_webhooks(settings: Settings, result: Result, order: Order) -> None:
    """The worker delivers; what goes wrong here changes nothing about the run."""
    if not any(webhook.wants(result) for webhook in settings.webhooks):
        return
    try:
        build(settings).webhooks.tell_of(result, order)
    except RungError as fault:
        complain(f"No webhook is told how this run ended. {fault}")


def show(result: Result, *, as_json: bool) -> int:
    """How the run ended, and the exit code; a reader who has left, or a full disk, does not change it."""
    code = OF_OUTCOME[result.outcome]
    with contextlib.suppress(OSError):
        if as_json:
            say_json(result_json(result, code))
        else:
            show_result(result)
    return code


def order_of(actor: Actor, *, force: bool, reason: str | None, until_blocked: bool, lock_wait: float) -> Order:
    """What was asked for. Forcing needs a reason, and a reason means nothing without forcing."""
    if force and not (reason or "").strip():
        raise click.UsageError('--force needs --reason "…": it goes into the history, for whoever asks later.')
    if reason and not force:
        raise click.UsageError("--reason belongs to --force.")
    return Order(actor, force=force, reason=reason, until_blocked=until_blocked, lock_wait=lock_wait)


def _finite(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):  # "nan" and "inf" are numbers to Python
        raise click.BadParameter("it takes a number of seconds.")
    return seconds


lock_wait = click.option(
    "--lock-wait", type=click.FloatRange(min=0), callback=_finite, default=60.0, show_default=True,
    metavar="SECONDS", help="How long to wait while somebody else migrates the same environment.",
)  # fmt: skip


def run_options(command: Callable[..., int]) -> Callable[..., int]:
    """`--until-blocked` and `--lock-wait`."""
    return click.option(
        "--until-blocked", is_flag=True, help="Run the files before the first one that the gate stops, instead of none."
    )(lock_wait(command))


@click.command(help="Run everything pending on an environment, in order; stop before a file that would destroy data.")
@options(env=ENV)
@click.option("--force", is_flag=True, help="Also files that the gate stops. Needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; it goes into the history.")
@run_options
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
    with stop_on_signals() as stop:
        result = run(settings_of(config, directory), name, order, stop, quiet=as_json)
    return show(result, as_json=as_json)
