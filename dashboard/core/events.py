"""What a run reports while it goes on. The runner calls a reporter; a reporter that fails never undoes anything."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar, get_args

from dashboard.core.locks import in_words, stops
from dashboard.core.run import LockHolder, Problem
from dashboard.core.words import span


@dataclass(frozen=True, slots=True)
class WaitingForLock:
    """Somebody else runs migrations on this environment. Repeated about once a second with the time waited."""

    name: ClassVar[str] = "waiting_for_lock"
    holder: LockHolder | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    """The lock is held and the target was read: these files run, in this order."""

    name: ClassVar[str] = "planned"
    filenames: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file begins. `first_lines`: one short text per statement, for the page. `resume_after`: finished earlier."""

    name: ClassVar[str] = "file_started"
    filename: str
    index: int  # 1-based among the files of the run
    total: int
    transactional: bool
    first_lines: tuple[str, ...] = ()
    resume_after: int = 0


@dataclass(frozen=True, slots=True)
class StatementDone:
    """The server finished a statement (inside its transaction, not yet committed, for a transactional file)."""

    name: ClassVar[str] = "statement_done"
    filename: str
    statement: int  # 1-based
    seconds: float
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds what a statement of ours waits for.

    Attributes
    ----------
    pid: 0 for a prepared transaction, which is no session any more.
    application, user, state: empty where there is none, or where the server does not say it to our role.
    query_since, since: when its newest query and its transaction began, aware. age: seconds since the latter.

    """

    pid: int
    application: str = ""
    user: str = ""
    state: str = ""
    query_since: datetime | None = None
    since: datetime | None = None
    age: float | None = None

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction (see pg_prepared_xacts)"
        user = f"user {self.user}" if self.user else ""
        age = f"in a transaction for {span(self.age)}" if self.age is not None else ""
        query = f"last query at {self.query_since:%H:%M:%S} UTC" if self.query_since else ""
        known = ", ".join(filter(None, (self.application, user, self.state, age, query)))
        return f"pid {self.pid}{f' ({known})' if known else ''}"


@dataclass(frozen=True, slots=True)
class Stuck:
    """A session that waits for us. `seconds`: how long it has."""

    pid: int
    application: str = ""
    user: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Blocked:
    """Who is in the way of a statement, and whom it is in the way of itself. Both empty: that is over.

    Reported when it changes.

    Attributes
    ----------
    waited: seconds that the statement has waited; None where it works, and others wait for what it has locked.

    """

    name: ClassVar[str] = "blocked"
    filename: str
    waited: float | None = None
    blockers: tuple[Blocker, ...] = ()
    stuck: tuple[Stuck, ...] = ()

    @property
    def longest(self) -> float:
        """Seconds that the first of those who are stuck has waited."""
        return max((one.seconds for one in self.stuck), default=0.0)


@dataclass(frozen=True, slots=True)
class Locked:
    """A look, of which there are two a second, found the file holding a lock that makes others wait.

    Attributes
    ----------
    relation: the table or view, schema-qualified; it was there before the file. mode: PostgreSQL's name.

    """

    name: ClassVar[str] = "locked"
    filename: str
    relation: str
    mode: str

    def __str__(self) -> str:
        return f"{in_words(self.mode)} on {self.relation}, so that {stops(self.mode)} wait"


@dataclass(frozen=True, slots=True)
class Working:
    """How far a long statement is, where PostgreSQL knows it.

    Attributes
    ----------
    command, phase: in PostgreSQL's words, such as `CREATE INDEX CONCURRENTLY` and `building index`.
    done, total: of the phase, in `unit`s; no total where nobody knows it.
    lockers: a concurrent build waits for these transactions to end.

    """

    name: ClassVar[str] = "working"
    filename: str
    command: str
    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""
    lockers: tuple[Blocker, ...] = ()

    @property
    def percent(self) -> int | None:
        return min(100, self.done * 100 // self.total) if self.total else None

    @property
    def counted(self) -> str:
        """`1,234 of 5,000 blocks`; nothing where nothing is counted."""
        if self.total:
            return f"{self.done:,} of {self.total:,} {self.unit}"
        return f"{self.done:,} {self.unit}" if self.done else ""


@dataclass(frozen=True, slots=True)
class Notice:
    """The server, or Rung, had something to say that is not an error."""

    name: ClassVar[str] = "notice"
    filename: str | None
    message: str


@dataclass(frozen=True, slots=True)
class FileRetrying:
    """Another session was in the way (55P03, 40P01), or we were in the way of others while we waited (57014).

    The whole file was rolled back and will be tried again.
    """

    name: ClassVar[str] = "file_retrying"
    filename: str
    attempt: int  # the one that just ended, 1-based
    attempts: int
    sqlstate: str
    message: str
    pause: float  # seconds until the next attempt


@dataclass(frozen=True, slots=True)
class FileApplied:
    """The file is in the ledger. `adopted`: recorded without running it."""

    name: ClassVar[str] = "file_applied"
    filename: str
    seconds: float
    adopted: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class FileFailed:
    """The file is not in the ledger."""

    name: ClassVar[str] = "file_failed"
    filename: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The answer to COMMIT was lost; Rung is finding out from the database itself."""

    name: ClassVar[str] = "outcome_unknown"
    filename: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over."""

    name: ClassVar[str] = "ended"
    outcome: str
    applied: tuple[str, ...]
    problem: Problem | None
    seconds: float


Event = (
    WaitingForLock
    | Planned
    | FileStarted
    | StatementDone
    | Blocked
    | Locked
    | Working
    | Notice
    | FileRetrying
    | FileApplied
    | FileFailed
    | OutcomeUnknown
    | Ended
)
Reporter = Callable[[Event], None]


def silence(event: Event) -> None:
    """Report to nobody."""


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as plain JSON values with its name under `event`; moments as ISO 8601."""
    return {"event": event.name} | {key: _plain(value) for key, value in asdict(event).items()}


def event_from_json(stored: dict[str, Any]) -> Event:
    """The inverse of `event_to_json`."""
    known = {kind.name: kind for kind in get_args(Event)}
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored.items() if key != "event"
    }
    if fields.get("problem"):
        fields["problem"] = Problem(**fields["problem"])
    if fields.get("holder"):
        since = fields["holder"]["since"]
        fields["holder"] = LockHolder(**fields["holder"] | {"since": datetime.fromisoformat(since) if since else None})
    for name, made in _NESTED.items():
        if name in fields:
            fields[name] = tuple(made(one) for one in fields[name])
    event: Event = known[stored["event"]](**fields)
    return event


def _blocker(stored: dict[str, Any]) -> Blocker:
    moments = {name: stored[name] and datetime.fromisoformat(stored[name]) for name in ("query_since", "since")}
    return Blocker(**stored | moments)


_NESTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "blockers": _blocker,
    "lockers": _blocker,
    "stuck": lambda stored: Stuck(**stored),
}


def _plain(value: Any) -> Any:  # whatever a dataclass field may hold
    match value:
        case datetime():
            return value.isoformat()
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case tuple() | list():
            return [_plain(inner) for inner in value]
        case _:
            return value
