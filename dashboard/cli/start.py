"""`rung start`: migrate first, then become the given server."""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import click

from dashboard.cli.asked import deploy, options, settings_of
from dashboard.cli.codes import DONE
from dashboard.cli.migrate import ENV, order_of, run, run_options, show, stop_on_signals
from dashboard.cli.shown import complain

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # what env, nohup and every shell say
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


@click.command(
    context_settings={"allow_interspersed_args": False},
    help="Migrate, then become COMMAND: signals and the exit code are its own. A failure means that it never starts.",
)
@options(env=ENV)
@run_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def start(
    name: str | None,
    config: Path | None,
    directory: Path | None,
    lock_wait: float,
    command: tuple[str, ...],
    *,
    as_json: bool,
    until_blocked: bool,
) -> int:
    if shutil.which(command[0]) is None:  # before the database is brought to a version that nothing will use
        return _cannot_start(command[0])
    order = order_of(deploy(), force=False, reason=None, until_blocked=until_blocked, lock_wait=lock_wait)
    with stop_on_signals() as stop:
        result = run(settings_of(config, directory), name, order, stop, quiet=as_json)
        code = show(result, as_json=as_json)
        if stop.number and code == DONE:  # it came too late to stop the run, and means the server all the same
            code = 128 + stop.number
    if code != DONE:
        complain(f"{command[0]} was not started.")
        return code
    return _become(command)


def _become(command: tuple[str, ...]) -> int:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606  # becoming what the person named is the purpose
    except OSError:
        return _cannot_start(command[0])


def _cannot_start(program: str) -> int:
    if Path(program).exists() or shutil.which(program, mode=os.F_OK):
        complain(f"rung: {program!r} cannot be executed.")
        return _NOT_EXECUTABLE
    complain(f"rung: there is no command {program!r}.")
    return _NOT_FOUND
