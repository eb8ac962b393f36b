"""`rung start`: migrate first, then become the given server."""

import os
import sys
from pathlib import Path

import click

from dashboard.cli.asked import deploy, options, settings_of
from dashboard.cli.codes import DONE, FAILED, OF_OUTCOME, USAGE
from dashboard.cli.migrate import order_of, run
from dashboard.cli.shown import complain, result_json, say_json, show_result

_ENV = "The environment; local, or else the first one, if it is left out."
_NOT_FOUND = 127  # what a shell says


@click.command(
    context_settings={"ignore_unknown_options": True},
    help="Migrate, then become COMMAND: signals and the exit code are its own. A failure means that it never starts.",
)
@options(env=_ENV)
@click.option("--until-blocked", is_flag=True, help="Run the files before the first one that the gate stops.")
@click.option("--lock-wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds.")
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
    order = order_of(deploy(), force=False, reason=None, until_blocked=until_blocked, lock_wait=lock_wait)
    result = run(settings_of(config, directory), name, order, quiet=as_json)
    code = OF_OUTCOME[result.outcome]
    if as_json:
        say_json(result_json(result, code))
    else:
        show_result(result)
    if code != DONE:
        complain(f"{command[0]} was not started.")
        return code
    return _become(command)


def _become(command: tuple[str, ...]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606  # becoming what the person named is the purpose
    except FileNotFoundError:
        complain(f"rung: there is no command {command[0]!r}; the database is up to date.")
        return _NOT_FOUND
    except OSError as wrong:
        complain(f"rung: {command[0]!r} cannot be started ({wrong.strerror}); the database is up to date.")
        return USAGE if isinstance(wrong, PermissionError) else FAILED
