"""A picture: what one environment's database said about itself at one moment, or why it could not be asked."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from dashboard.core.record import is_stop


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of `_migrations_applied`. `applied_at` is aware; None where the table of another runner held NULL."""

    filename: str
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """What `rung.history` knows of the newest time a file was applied or adopted.

    Attributes
    ----------
    raw_hash, normalised_hash: SHA-256 hex, of what was applied; None where the file was adopted without its text.
    renamed_from: the earlier file name, where a rename was recorded instead of run.
    seconds: how long it ran; None for adopted files.

    """

    filename: str
    raw_hash: str | None
    normalised_hash: str | None
    hash_version: int
    seconds: float | None = None
    actor: str = ""
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedFile:
    """A non-transactional file that was started and is not in the ledger.

    Attributes
    ----------
    statements_done: how many of its statements, from the first, are known to be finished.
    interrupted: 1-based statement that was started and of which no end is known; None: stopped between two statements,
        or its end is known to be a failure that changed nothing.
    normalised_hash: of the text that was started; a different text must not be resumed.
    evidence: sentences for people, such as "index ix_orders is INVALID".

    What the catalog says of the interrupted statement (see `evidence.Traces`), and what was decided:

    running: the server process that ran it and is still there.
    left: INVALID indexes of it that are of no use.
    done: it came to its end, or did not; None where the catalog cannot tell.
    first: SQL that a person has to run by hand before anything else helps.
    drop: what the next run drops before it goes on, because somebody decided so.
    failed: the server refused the statement, or it was cancelled; it left something behind all the same.

    """

    filename: str
    started_at: datetime
    statements_done: int
    interrupted: int | None
    normalised_hash: str
    evidence: tuple[str, ...] = ()
    running: int | None = None
    left: tuple[str, ...] = ()
    done: bool | None = None
    first: str | None = None
    drop: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class FailedFile:
    """The newest thing history knows of a file is that it failed, and the ledger does not have it."""

    filename: str
    failed_at: datetime
    message: str
    sqlstate: str | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wanted it so; then it is pending like any other."""
        return is_stop(self.message, self.sqlstate)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database it is, whatever its name.

    Attributes
    ----------
    system: the identifier that a cluster gets when it is made; None where the role may not ask for it.
    database: the oid inside the cluster, which a copy or a restored database does not share.

    """

    system: str | None
    database: int

    def __str__(self) -> str:
        """What the history keeps."""
        return f"system identifier {self.system or 'not readable'}, database oid {self.database}"

    @classmethod
    def read(cls, text: str) -> "Identity | None":
        """The inverse of `str`."""
        found = re.match(r"system identifier (\d+|not readable), database oid (\d+)", text)
        return cls(found[1] if found[1].isdigit() else None, int(found[2])) if found else None

    def differs(self, other: "Identity") -> bool:
        """Whether they are surely two."""
        return self.database != other.database or (
            None not in (self.system, other.system) and self.system != other.system
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """It is another database than at the newest thing its history remembers. `by`: who did that; `at`: when."""

    was: Identity
    now: Identity
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Unwritable:
    """Why a database that can be read takes no migrations.

    Attributes
    ----------
    reason: what comes after "production cannot take migrations: ".
    idle: worth a refusal also where nothing is pending.

    """

    reason: str
    advice: str
    idle: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """What an environment's database said about itself.

    Attributes
    ----------
    taken_at: the database's own clock, aware.
    server_version: such as `18.1`.
    ledger_exists: False before the first run.
    history_id: id of the newest row of `rung.history`, 0 where there is none.
    unwritable: set where nothing can be applied here. moved: set where it is not the database that it was.
    remarks: sentences about the database that stop nothing.

    """

    environment: str
    taken_at: datetime
    server_version: str
    ledger_exists: bool = True
    ledger: tuple[LedgerRow, ...] = ()
    applied: Mapping[str, AppliedFile] = field(default_factory=dict)
    unfinished: tuple[UnfinishedFile, ...] = ()
    failed: tuple[FailedFile, ...] = ()
    history_id: int = 0
    unwritable: Unwritable | None = None
    moved: Moved | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReachable:
    """The environment could not be asked.

    Attributes
    ----------
    since: first failure after the last picture; None where not remembered.
    answered: its database answers, and what it says cannot be used: missing rights, somebody else's ledger.

    """

    environment: str
    reason: str
    advice: str
    since: datetime | None = None
    answered: bool = False

    @property
    def word(self) -> str:
        return "not usable" if self.answered else "not reachable"


def says_the_same(one: Picture, other: Picture) -> bool:
    """All but the moment."""
    return one is other or replace(one, taken_at=other.taken_at) == other


def picture_to_json(picture: Picture) -> dict[str, Any]:
    """A picture as plain JSON values, for home; `picture_from_json` is its inverse."""

    def stamp(moment: datetime | None) -> str | None:
        return moment.isoformat() if moment else None

    return {
        "environment": picture.environment,
        "taken_at": stamp(picture.taken_at),
        "server_version": picture.server_version,
        "ledger_exists": picture.ledger_exists,
        "ledger": [[row.filename, stamp(row.applied_at)] for row in picture.ledger],
        "applied": [
            [a.filename, a.raw_hash, a.normalised_hash, a.hash_version, a.seconds, a.actor, a.renamed_from]
            for a in picture.applied.values()
        ],
        "unfinished": [asdict(u) | {"started_at": stamp(u.started_at)} for u in picture.unfinished],
        "failed": [[f.filename, stamp(f.failed_at), f.message, f.sqlstate] for f in picture.failed],
        "history_id": picture.history_id,
        "unwritable": picture.unwritable and [getattr(picture.unwritable, name) for name in Unwritable.__slots__],
        "moved": picture.moved
        and [str(picture.moved.was), str(picture.moved.now), stamp(picture.moved.at), picture.moved.by],
        "remarks": list(picture.remarks),
    }


def picture_from_json(stored: Mapping[str, Any]) -> Picture:
    """The inverse of `picture_to_json`."""
    moment = datetime.fromisoformat
    return Picture(
        environment=stored["environment"],
        taken_at=moment(stored["taken_at"]),
        server_version=stored["server_version"],
        ledger_exists=stored["ledger_exists"],
        ledger=tuple(LedgerRow(name, moment(at) if at else None) for name, at in stored["ledger"]),
        applied={row[0]: AppliedFile(*row) for row in stored["applied"]},
        unfinished=tuple(map(_unfinished_from_json, stored["unfinished"])),
        failed=tuple(FailedFile(name, moment(at), message, state) for name, at, message, state in stored["failed"]),
        history_id=stored["history_id"],
        unwritable=Unwritable(*stored["unwritable"]) if stored.get("unwritable") else None,
        moved=_moved(*stored["moved"]) if stored.get("moved") else None,
        remarks=tuple(stored.get("remarks", ())),
    )


def _moved(was: str, now: str, at: str, by: str) -> Moved | None:
    before, after = Identity.read(was), Identity.read(now)
    return Moved(before, after, datetime.fromisoformat(at), by) if before and after else None


def _unfinished_from_json(stored: Any) -> UnfinishedFile:
    """Also from the list of six that earlier versions kept."""
    if isinstance(stored, list):
        name, at, done, interrupted, digest, evidence = stored
        return UnfinishedFile(name, datetime.fromisoformat(at), done, interrupted, digest, tuple(evidence))
    lists = {key: tuple(stored[key]) for key in ("evidence", "left", "drop")}
    return UnfinishedFile(**stored | lists | {"started_at": datetime.fromisoformat(stored["started_at"])})
