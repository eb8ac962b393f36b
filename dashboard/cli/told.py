"""What a run reports, as lines: with a progress bar on a terminal, plain elsewhere, nothing beside JSON."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
from dashboard.core.words import absolute, count, span

Say = Callable[[str], None]


def _plainly(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def teller(environment: str, *, quiet: bool) -> Iterator[Reporter]:
    """A reporter for one run on this environment."""
    if quiet:
        yield silence
    elif sys.stdout.isatty():
        with _on_a_terminal(environment) as reporter:
            yield reporter
    else:
        yield lambda event: _tell(environment, event, _plainly)


def _tell(environment: str, event: Event, say: Say) -> None:
    line = _line(environment, event)
    if line is not None:
        say(line)


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

        def report(event: Event) -> None:
            _tell(environment, event, lambda line: bar.console.print(line, markup=False, highlight=False))
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
