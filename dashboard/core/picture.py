"""A picture: what one environment's database said about itself at one moment, or why it could not be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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

    """

    filename: str
    started_at: datetime
    statements_done: int
    interrupted: int | None
    normalised_hash: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedFile:
    """The newest thing history knows of a file is that it failed, and the ledger does not have it."""

    filename: str
    failed_at: datetime
    message: str
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What an environment's database said about itself.

    Attributes
    ----------
    taken_at: the database's own clock, aware.
    server_version: such as `18.1`.
    ledger_exists: False before the first run.
    history_id: id of the newest row of `rung.history`, 0 where there is none.

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


@dataclass(frozen=True, slots=True)
class NotReachable:
    """The environment could not be asked. `since`: first failure after the last picture; None where not remembered."""

    environment: str
    reason: str
    advice: str
    since: datetime | None = None


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
        "unfinished": [
            [u.filename, stamp(u.started_at), u.statements_done, u.interrupted, u.normalised_hash, list(u.evidence)]
            for u in picture.unfinished
        ],
        "failed": [[f.filename, stamp(f.failed_at), f.message, f.sqlstate] for f in picture.failed],
        "history_id": picture.history_id,
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
        unfinished=tuple(
            UnfinishedFile(name, moment(at), done, interrupted, digest, tuple(evidence))
            for name, at, done, interrupted, digest, evidence in stored["unfinished"]
        ),
        failed=tuple(FailedFile(name, moment(at), message, state) for name, at, message, state in stored["failed"]),
        history_id=stored["history_id"],
    )
