"""What a run reports, as lines: with a progress bar on a terminal, plain elsewhere, nothing beside JSON."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dashboard.cli.shown import say
from dashboard.core.events import (
    Event,
    FileApplied,
    FileFailed,
    FileRetrying,
    FileStarted,
    Notice,
    OutcomeUnknown,
    Planned,
    Reporter,
    StatementDone,
    WaitingForLock,
    silence,
)
from dashboard.core.run import LockHolder
from dashboard.core.text import visible
from dashboard.core.words import absolute, count, span

_CALM = 10.0  # seconds between two lines about the same wait
_LONG = 5.0  # seconds; a statement that took longer gets a line of its own

Say = Callable[[str], None]


@contextmanager
def teller(environment: str, *, quiet: bool) -> Iterator[Reporter]:
    """A reporter for one run on this environment."""
    if quiet:
        yield silence
    elif sys.stdout.isatty():
        with _on_a_terminal(environment) as reporter:
            yield reporter
    else:
        yield _lines(environment, say)


def _lines(environment: str, write: Say) -> Reporter:
    """A reporter that writes lines, and of a wait only now and then one."""
    waited = -_CALM

    def report(event: Event) -> None:
        nonlocal waited
        if isinstance(event, WaitingForLock):
            if event.seconds - waited < _CALM:
                return
            waited = event.seconds
        line = _line(environment, event)
        if line is not None:
            write(line)

    return report


def _line(environment: str, event: Event) -> str | None:
    match event:
        case WaitingForLock():
            return f"{environment}: waiting for the lock, {span(event.seconds)} so far; {holder_text(event.holder)}"
        case Planned():
            return f"{environment}: {count(len(event.filenames), 'file')} to run"
        case FileApplied():
            how = "recorded, nothing run" if event.adopted else span(event.seconds)
            return f"  applied  {event.filename}  ({how})" + (f"\n           {event.note}" if event.note else "")
        case FileFailed():
            return f"  failed   {event.filename}"
        case StatementDone() if event.seconds >= _LONG:
            return f"           {event.filename}: statement {event.statement} took {span(event.seconds)}"
        case FileRetrying():
            return (
                f"  retry    {event.filename}  (attempt {event.attempt} of {event.attempts}: {event.message}; "
                f"again in {span(event.pause)})"
            )
        case OutcomeUnknown():
            return f"  unknown  {event.filename}  (outcome unknown, checking: {event.reason})"
        case Notice():
            return f"  note     {event.filename or environment}: {event.message}"
        case _:
            return None


def holder_text(holder: LockHolder | None) -> str:
    """Who holds the lock, as part of a sentence."""
    if holder is None:
        return "its holder is just leaving"
    since = f", connected since {absolute(holder.since)}" if holder.since else ""
    where = f" from {holder.host}" if holder.host else ""
    return f"held by pid {holder.pid} ({holder.application or 'no application name'}{where}{since})"


@contextmanager
def _on_a_terminal(environment: str) -> Iterator[Reporter]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), transient=True) as bar:
        task = bar.add_task(environment, total=None)
        lines = _lines(
            environment, lambda line: bar.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        )

        def report(event: Event) -> None:
            lines(event)
            match event:
                case WaitingForLock():
                    bar.update(task, description=f"{environment}: waiting for the lock")
                case FileStarted():
                    bar.update(task, description=event.filename, total=event.total, completed=event.index - 1)
                case StatementDone():
                    bar.update(task, description=f"{event.filename}, {count(event.statement, 'statement')} done")
                case FileApplied():
                    bar.advance(task)
                case _:
                    pass

        yield report
