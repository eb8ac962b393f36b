"""What a run reports, as lines: with a progress bar on a terminal, plain elsewhere, nothing beside JSON."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dashboard.cli.shown import say
from dashboard.core.events import (
    Blocked,
    Event,
    FileApplied,
    FileFailed,
    FileRetrying,
    FileStarted,
    Locked,
    Notice,
    OutcomeUnknown,
    Planned,
    Reporter,
    StatementDone,
    WaitingForLock,
    Working,
    silence,
)
from dashboard.core.run import LockHolder
from dashboard.core.text import visible
from dashboard.core.words import absolute, count, joined, span

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


def _lines(environment: str, write: Say, *, progress: bool = True) -> Reporter:
    """A reporter that writes lines, and of what goes on for long only now and then one."""
    waited, worked = -_CALM, -_CALM

    def report(event: Event) -> None:
        nonlocal waited, worked
        if isinstance(event, WaitingForLock):
            if event.seconds - waited < _CALM:
                return
            waited = event.seconds
        if isinstance(event, Working):
            if not progress or time.monotonic() - worked < _CALM:
                return
            worked = time.monotonic()
        line = _line(environment, event)
        if line is not None:
            write(line)

    return report


def _line(environment: str, event: Event) -> str | None:
    match event:
        case WaitingForLock():
            since = f", {span(event.seconds)} so far" if event.seconds >= 1 else ""
            return f"{environment}: waiting for the lock{since}; {holder_text(event.holder)}"
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
        case Blocked() if event.blockers or event.stuck:
            return "\n".join(_blocked(event))
        case Locked():
            return f"  locks    {event.filename}: {event}"
        case Working():
            return f"  working  {event.filename}: {working_text(event)}"
        case OutcomeUnknown():
            return f"  unknown  {event.filename}  (outcome unknown, checking: {event.reason})"
        case Notice():
            return f"  note     {event.filename or environment}: {event.message}"
        case _:
            return None


def _blocked(event: Blocked) -> Iterator[str]:
    if event.blockers:
        who = joined([str(one) for one in event.blockers])
        yield f"  waiting  {event.filename}: for {span(event.waited or 0)} so far, for {who}"
    if event.stuck:
        longest = f"{count(len(event.stuck), 'session')}, the longest for {span(event.longest)}"
        yield f"  in the way  {event.filename}: others wait for it ({longest})"


def working_text(event: Working) -> str:
    """`CREATE INDEX, building index: 45 % (1,234 of 5,000 blocks)`."""
    percent = f"{event.percent} %" if event.percent is not None else ""
    counted = f"({event.counted})" if percent and event.counted else event.counted
    far = " ".join(filter(None, (percent, counted)))
    lockers = f"; it waits for {joined([str(one) for one in event.lockers])}" if event.lockers else ""
    return f"{event.command}, {event.phase}{f': {far}' if far else ''}{lockers}"


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
            environment,
            lambda line: bar.console.print(visible(line), markup=False, highlight=False, soft_wrap=True),
            progress=False,  # the bar has it
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
                case Blocked() if event.waited is not None:
                    bar.update(task, description=f"{event.filename}, waiting for others")
                case Working():
                    bar.update(task, description=visible(f"{event.filename}, {working_text(event)}"))
                case FileApplied():
                    bar.advance(task)
                case _:
                    pass

        yield report
