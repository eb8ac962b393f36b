"""What `rung.history` remembers: one row per thing that was tried, and the report on its chain of hashes."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

_HASH = re.compile(r"[0-9a-f]{64}")


def read_hash(text: str) -> str | None:
    """A row's hash as people copy it; None where it is none."""
    found = text.strip().lower()
    return found if _HASH.fullmatch(found) else None


CANCELLED_BY = "cancelled by "
"""Begins what a row says of a file that somebody stopped."""
CANCELLED_CODE = "57014"
"""Of a statement that was cancelled on the server; a row of a file that was stopped between two has none."""


def is_stop(message: str | None, sqlstate: str | None) -> bool:
    """Whether these words of a file that did not go through are those of a stop; a file may raise any of its own."""
    return (message or "").startswith(CANCELLED_BY) and sqlstate in (None, CANCELLED_CODE)


class Happening(StrEnum):
    """What a row of the history is about."""

    STARTED = "started"  # a statement of a non-transactional file is about to run
    STATEMENT_DONE = "statement done"  # ... and the server finished it
    APPLIED = "applied"  # the file is in the ledger since this row's transaction
    FAILED = "failed"
    ADOPTED = "adopted"  # put into the ledger without running it
    RESOLVED = "resolved"  # a person decided about an unfinished or an edited file
    IDENTIFIED = "identified"  # which database this is: its server, and itself on that server
    NOTE = "note"  # a retry, a cancelled run: worth remembering, changes nothing


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of `rung.history`.

    Attributes
    ----------
    id: 1, 2, 3 … without gaps, in the order of the commits.
    event: a `Happening`, as stored; a later version may know more of them.
    statement: 1-based, in a non-transactional file; of a failure, also in a transactional one.
    actor_kind, actor, door: who asked, as stored.
    host: the machine the runner ran on. tool_version: Rung's.
    started_at, finished_at: the database's own clock, aware. seconds: between the two.
    line, column: 1-based, in the file.
    reason: what the person gave for `--force`.
    backend_pid: the server process that did it.
    previous_hash, own_hash: SHA-256, hex; the first row's previous hash is 64 zeros.

    """

    id: int
    run_id: str
    event: str
    environment: str
    filename: str | None
    statement: int | None
    raw_hash: str | None
    normalised_hash: str | None
    hash_version: int | None
    sql: str | None
    actor_kind: str
    actor: str
    door: str
    host: str
    tool_version: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    sqlstate: str | None
    message: str | None
    detail: str | None
    hint: str | None
    line: int | None
    column: int | None
    excerpt: str | None
    reason: str | None
    renamed_from: str | None
    backend_pid: int | None
    previous_hash: str
    own_hash: str

    @property
    def is_cancelled(self) -> bool:
        """Whether the file did not go through because somebody wanted it so."""
        return self.event == Happening.FAILED and is_stop(self.message, self.sqlstate)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Whether the history is what Rung wrote.

    Attributes
    ----------
    rows: how many there are.
    first_bad_id: the first row that does not hold; None where all do.
    what: one sentence for people, also where all is well.
    head: the newest row's own hash; keep it elsewhere to notice rows cut off the end. None for an empty history.

    """

    ok: bool
    rows: int
    first_bad_id: int | None
    what: str
    head: str | None


def cut_off(report: ChainReport, kept_head: str) -> ChainReport:
    """What a whole chain means that lacks a row which was there when its hash was kept."""
    missing = report.rows + 1
    what = (
        f"no row has the hash {kept_head}: rows from {missing} on were cut off the end,"
        " or all of them were written anew after that hash was kept"
    )
    return replace(report, ok=False, first_bad_id=missing, what=what)


@dataclass(frozen=True, slots=True)
class CopyReport:
    """Whether home's copy of a history hangs together. `rows`: the environment holds them; `gone`: it does not."""

    rows: int
    first_bad_id: int | None
    gone: int


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """What home remembers of the last check of an environment's chain.

    Attributes
    ----------
    trouble: why the last try could not check; the rest is of an earlier one then, or None.
    checked_at: home's clock; None: never checked. asked_by: who pressed the button.
    ok, rows, first_bad_id, what, head: see `ChainReport`; of the environment's own rows.
    copied, copy_bad_id, gone: see `CopyReport`; of home's copy.

    """

    environment: str
    trouble: str | None = None
    checked_at: datetime | None = None
    asked_by: str | None = None
    ok: bool | None = None
    rows: int | None = None
    first_bad_id: int | None = None
    what: str | None = None
    head: str | None = None
    copied: int | None = None
    copy_bad_id: int | None = None
    gone: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which rows to show; None: all.

    Attributes
    ----------
    outcome: a `Happening`, as stored. events: any of these; empty: all.
    actor, filename: any part of it, upper and lower case alike.
    since, until: what ended at `since` or later, and before `until`; aware.
    among: the environments that whoever asks may look at; None: all.

    """

    environment: str | None = None
    actor: str | None = None
    outcome: str | None = None
    filename: str | None = None
    events: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    among: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A row of an environment's history in home's copy.

    Attributes
    ----------
    row: without its `sql`, which may be large.
    gone_since: set where the environment's own history no longer holds the row, because the database was replaced or
        restored from a backup; home's clock.

    """

    row: HistoryRow
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as it stands in home's copy of the history.

    Attributes
    ----------
    failed, decided: a file failed; a person decided about one.
    applied: files that came into the ledger. started: statements that began outside a transaction.
    cancelled: a file was stopped because somebody wanted it so (`HistoryRow.is_cancelled`); it has not failed.

    """

    environment: str
    run_id: str
    actor: str
    finished_at: datetime
    failed: bool
    decided: bool
    applied: int
    started: int
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Newest first. `older`: the cursor of the next page, a short text fit for an address; None on the last one."""

    rows: tuple[Remembered, ...]
    older: str | None
