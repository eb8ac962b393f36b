"""A run: one attempt to execute a plan. Who asked for it, how it ended, and why."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dashboard.core.plan import Plan


class ActorKind(StrEnum):
    """Who asked."""

    PERSON = "person"
    DEPLOY = "deploy"
    SCHEDULE = "schedule"
    AGENT = "agent"


class Door(StrEnum):
    """The way the question came in."""

    WEB = "web"
    CLI = "cli"
    DEPLOY = "deploy"
    API = "api"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for a run: a kind, a name (e-mail address, system user, deploy id) and the door used."""

    kind: ActorKind
    name: str
    door: Door


@dataclass(frozen=True, slots=True)
class Order:
    """What a run was asked to do.

    Attributes
    ----------
    force: also files that the gate would stop; needs a reason.
    until_blocked: run the files before the first one that the gate stops, instead of none.
    expected_digest: the plan that was shown; another plan runs nothing. None: whatever the plan is.
    lock_wait: seconds to wait for the runner's lock.

    """

    actor: Actor
    force: bool = False
    reason: str | None = None
    until_blocked: bool = False
    expected_digest: str | None = None
    lock_wait: float = 60.0


class Outcome(StrEnum):
    """How a run ended."""

    APPLIED = "applied"  # every file it should run is in the ledger
    NOTHING = "nothing to do"  # the ledger already had them all
    REFUSED = "refused"  # the gate, a policy or an unusable file stopped it; see `applied` for what ran before
    CHANGED = "plan changed"  # the world is not what was shown; nothing ran
    FAILED = "failed"  # a file failed; nothing of that file was kept (or: unfinished, if non-transactional)
    UNKNOWN = "unknown"  # the answer to a COMMIT was lost and could not be found out
    CANCELLED = "cancelled"  # somebody stopped it
    UNREACHABLE = "unreachable"  # the environment could not be asked, or cannot take migrations
    BUSY = "busy"  # somebody else holds the lock and the wait ran out


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The session that holds the runner's lock. `since`: when that session connected, aware."""

    pid: int
    application: str
    host: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file, or the whole run, did not go through: everything the page, the command and the history show.

    Attributes
    ----------
    line, column: 1-based, in the file; None where the server gave no position.
    excerpt: the statement's line with a caret below it; may be empty.
    message: the server's message, or ours, one sentence.
    advice: what to do next.

    """

    environment: str
    message: str
    advice: str
    filename: str | None = None
    statement: int | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    sqlstate: str | None = None
    detail: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    Attributes
    ----------
    run_id: UUID; the same in `rung.history`, home, the log and the address of the run's page.
    applied: file names in the order they were applied or adopted in this run.
    notes: sentences worth showing that are not problems (retries, files with no statement, renames).
    problem: set for every outcome but APPLIED and NOTHING.
    holder: set for BUSY.
    plan: what the run found when it looked, after taking the lock; None where it never got that far.
    seconds: wall time, by a monotonic clock.

    """

    run_id: str
    environment: str
    outcome: Outcome
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    holder: LockHolder | None = None
    plan: Plan | None = field(default=None, repr=False)
    seconds: float = 0.0


StopQuestion = Callable[[], str | None]
"""Asked between statements and files: who asked this run to stop, or None."""


def nobody_stops() -> str | None:
    """The answer of a run that nobody can stop."""
    return None
