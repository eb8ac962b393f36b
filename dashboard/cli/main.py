"""The door of the command line: finds the command, and turns what went wrong into words and an exit code."""

import difflib
import errno
import importlib
import io
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from dashboard import __version__
from dashboard.cli.codes import FAILED, USAGE, code_of
from dashboard.cli.shown import complain, complain_of, say_json
from dashboard.core.errors import RungError

_COMMANDS = {
    "new": "Make the next migration file.",
    "migrate": "Run everything pending on an environment.",
    "check": "Show what would run; changes nothing.",
    "rehearse": "Try what would run on a throwaway copy of the schema.",
    "start": "Migrate, then become the given server.",
    "resolve": "Decide about a file that stopped half-way, or was edited.",
    "status": "Compare the environments.",
    "history": "Show what happened on an environment.",
    "serve": "Start the dashboard: pages and one worker.",
    "worker": "Execute runs asked for in the browser.",
    "user": "Let people in.",
    "token": "Let programs use the API.",
    "webhooks": "Show who is told how runs end, and whether they heard it.",
    "audit": "Show what was done to the service itself.",
    "prepare": "Bring Rung's own database up to date.",
    "demo": "Try it with nothing installed.",
}

_NO_PASSWORD = "There is a word too many. A password is read with --password-stdin, never from the arguments."  # noqa: S105  # a sentence
_AGAIN = "Whatever was running is rolled back, or shown as unfinished; the next run reads the ledger first."
_USAGE = {"error": "Usage", "message": "", "advice": None, "exit_code": USAGE}  # the form of every error's document


class _Commands(click.Group):
    """Each command is a module, imported only when it is the one that was asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"dashboard.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  # a programmer's mistake
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as wrong:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{wrong.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="rung", message="%(prog)s %(version)s")
def group() -> None:
    """Keep every environment's PostgreSQL database on the same rung of one ladder of SQL files."""


def rung(words: list[str] | None = None) -> int:
    """Run one command line; the exit code."""
    _make_writable()
    try:
        code: Any = group.main(words, prog_name="rung", standalone_mode=False)
    except click.ClickException as wrong:
        said = _without_secrets(wrong)
        if _wants_json(sys.argv[1:] if words is None else words):
            say_json(_USAGE | {"message": said.format_message(), "exit_code": wrong.exit_code})
        said.show()
        return wrong.exit_code
    except click.Abort:
        return 128 + signal.SIGINT
    except RungError as wrong:
        complain_of(wrong)
        return code_of(wrong)
    except BrokenPipeError:  # whoever read our output has seen enough
        return FAILED
    except OSError as wrong:
        complain(f"rung: {wrong.filename or 'the system'}: {wrong.strerror or type(wrong).__name__}")
        if wrong.errno in (errno.EMFILE, errno.ENFILE):
            complain(f"What to do: Raise the limit (ulimit -n). {_AGAIN}")
        return FAILED
    except MemoryError:
        complain(f"rung: the system: no memory left\nWhat to do: Give the process more of it (ulimit -v). {_AGAIN}")
        return FAILED
    return code if isinstance(code, int) else 0


def _without_secrets(wrong: click.ClickException) -> click.ClickException:
    """A word too many, where a password may be given, may be one."""
    context = wrong.ctx if isinstance(wrong, click.UsageError) else None
    takes_one = context and any(one.name == "password_stdin" for one in context.command.params)
    if takes_one and wrong.message.startswith("Got unexpected extra argument"):
        return click.UsageError(_NO_PASSWORD, context)
    return wrong


def _wants_json(words: list[str]) -> bool:
    """Whether the answer was to be a document; what follows a -- belongs to another command."""
    return "--json" in itertools.takewhile(lambda word: word != "--", words)


def _make_writable() -> None:
    """A closed stream swallows what is said, and a letter that the terminal's encoding lacks becomes its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
