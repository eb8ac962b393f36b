"""The events of a run, added up: which file, which statement, how far."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.core.events import (
    Blocked,
    FileApplied,
    FileFailed,
    FileRetrying,
    FileStarted,
    Locked,
    Notice,
    OutcomeUnknown,
    Planned,
    StatementDone,
    WaitingForLock,
    Working,
)
from dashboard.core.progress import StoredEvent
from dashboard.core.run import Problem
from dashboard.core.words import span


@dataclass(slots=True)
class FileProgress:
    """One file of a run so far.

    Attributes
    ----------
    state: waiting, running, applied, failed, unknown.
    locks: those that it holds and that make others wait, as parts of sentences.
    blocked, blocked_at, working: what the newest look at its running statement saw, and when.

    """

    filename: str
    state: str = "waiting"
    transactional: bool = True
    first_lines: tuple[str, ...] = ()
    resume_after: int = 0
    done: dict[int, float] = field(default_factory=dict)
    started_at: datetime | None = None
    seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    problem: Problem | None = None
    blocked: Blocked | None = None
    blocked_at: datetime | None = None
    working: Working | None = None
    locks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Progress:
    """A run so far. `waiting`: who is in the way of starting, as long as that is so. `digest`: of its plan."""

    files: dict[str, FileProgress] = field(default_factory=dict)
    waiting: WaitingForLock | None = None
    digest: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def applied(self) -> int:
        return sum(file.state == "applied" for file in self.files.values())


def add_up(events: Iterable[StoredEvent]) -> Progress:
    """Also over several attempts: a later plan adds its files to those that are applied already."""
    progress = Progress()
    for stored in events:
        _add(progress, stored)
    return progress


def _add(progress: Progress, stored: StoredEvent) -> None:
    event = stored.event
    match event:
        case WaitingForLock():
            progress.waiting = event
        case Planned():
            progress.waiting, progress.digest = None, event.digest
            kept = {name: file for name, file in progress.files.items() if file.state == "applied"}
            progress.files = kept | {name: FileProgress(name) for name in event.filenames if name not in kept}
        case Notice(filename=None):
            progress.notes.append(event.message)
        case (
            FileStarted()
            | StatementDone()
            | Blocked()
            | Locked()
            | Working()
            | FileRetrying()
            | FileApplied()
            | FileFailed()
            | OutcomeUnknown()
            | Notice()
        ):
            name = event.filename or ""
            _add_to_file(progress.files.setdefault(name, FileProgress(name)), stored)


def _add_to_file(file: FileProgress, stored: StoredEvent) -> None:
    event = stored.event
    if not isinstance(event, Blocked | Locked | Working | Notice):
        file.blocked = file.working = None
    match event:
        case Blocked():
            file.blocked, file.blocked_at = event if event.blockers or event.stuck else None, stored.at
        case Working():
            file.working = event
        case Locked():
            file.locks.append(str(event))
        case FileStarted():
            file.state, file.started_at, file.transactional = "running", stored.at, event.transactional
            file.first_lines, file.resume_after, file.done = event.first_lines, event.resume_after, {}
            file.locks = []
        case StatementDone():
            file.done[event.statement] = event.seconds
        case FileRetrying():
            file.notes.append(
                f"Attempt {event.attempt} of {event.attempts} did not go through ({event.sqlstate}): {event.message}. "
                f"Rolled back; tried again after {span(event.pause)}."
            )
            file.done, file.locks = {}, []
        case FileApplied():
            file.state, file.seconds = "applied", None if event.adopted else event.seconds
            file.locks = []  # its note has them, with how long
            file.notes += [event.note] if event.note else []
        case FileFailed():
            file.state, file.problem = "failed", event.problem
        case OutcomeUnknown():
            file.state = "unknown"
            file.notes.append(f"{event.reason}. Asking the database itself whether it was applied.")
        case Notice() if event.message not in file.notes:  # every attempt hears the same
            file.notes.append(event.message)
        case _:
            pass
