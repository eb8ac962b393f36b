"""Attempts: what the history knows of a file that the ledger does not have, and of the content of one that it has."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from dashboard.core.evidence import Traces, sentences, traces_of
from dashboard.core.picture import FailedFile, UnfinishedFile
from dashboard.core.record import Happening
from dashboard.core.resolving import Decision, decided
from dashboard.postgres.traces import SEEN, seen_of

# Where somebody accepted the content of an applied file, that row is the newest word on its hashes.
_NEWEST = f"""(
  SELECT filename, max(id) AS id, max(id) FILTER (WHERE event <> '{Happening.RESOLVED}') AS applied FROM rung.history
   WHERE event IN ('{Happening.APPLIED}', '{Happening.ADOPTED}')
      OR (event = '{Happening.RESOLVED}' AND statement IS NULL AND message LIKE '{Decision.ACCEPT_EDIT}:%')
   GROUP BY filename
) AS newest"""  # noqa: S608  # made of constants

APPLIED = f"""
SELECT h.filename, h.raw_hash, h.normalised_hash, coalesce(h.hash_version, 0),
       CASE h.event WHEN '{Happening.APPLIED}' THEN extract(epoch FROM h.duration)::float8
                    WHEN '{Happening.RESOLVED}' THEN (SELECT extract(epoch FROM a.duration)::float8
                      FROM rung.history AS a WHERE a.id = newest.applied AND a.event = '{Happening.APPLIED}') END,
       CASE h.event WHEN '{Happening.RESOLVED}' THEN coalesce((SELECT a.actor FROM rung.history AS a
                      WHERE a.id = newest.applied), h.actor) ELSE h.actor END, h.renamed_from
  FROM rung.history AS h JOIN {_NEWEST} ON newest.id = h.id
"""  # noqa: S608  # made of constants

# A role that may not see when another role's server process began is told that it is still there.
OPEN = f"""
SELECT h.event, h.filename, h.statement, h.started_at, h.finished_at, h.normalised_hash, h.sqlstate, h.message,
       h.subject, CASE WHEN h.event = '{Happening.STARTED}'
                  THEN {SEEN.format(subject="h.subject", deed="h.message", before="h.detail")} END,
       EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
                WHERE a.pid = h.backend_pid AND (a.backend_start <= h.started_at) IS NOT FALSE), h.backend_pid
  FROM rung.history AS h LEFT JOIN {_NEWEST} ON newest.filename = h.filename
 WHERE h.event IN ('{Happening.STARTED}', '{Happening.STATEMENT_DONE}', '{Happening.FAILED}', '{Happening.RESOLVED}')
   AND h.filename IS NOT NULL AND h.id > coalesce(newest.id, 0)
   AND NOT EXISTS (SELECT FROM {{ledger}} AS l WHERE l.filename::text = h.filename)
 ORDER BY h.filename, h.id
"""  # noqa: S608  # made of constants


class _Row(NamedTuple):
    """The columns of `OPEN`."""

    event: str
    filename: str
    statement: int | None
    started_at: datetime
    finished_at: datetime
    normalised_hash: str
    sqlstate: str | None
    message: str | None
    subject: str | None
    seen: Any  # see `traces.SEEN`
    running: bool  # the server process that wrote the row is still there
    pid: int

    @property
    def traces(self) -> Traces:
        """What the catalog has now of the statement that began with this row."""
        return traces_of(seen_of(self.message or "", self.subject, self.seen))


def read(rows: Sequence[Any]) -> tuple[tuple[UnfinishedFile, ...], tuple[FailedFile, ...]]:
    """The answer to `OPEN`: files that stopped half-way, and files whose newest attempt failed."""
    tried = [list(group) for _, group in groupby((_Row(*row) for row in rows), key=lambda row: row.filename)]
    return tuple(filter(None, map(_unfinished, tried))), tuple(filter(None, map(_failed, tried)))


def _failed(tried: list[_Row]) -> FailedFile | None:
    last = tried[-1]
    if last.event != Happening.FAILED:
        return None
    return FailedFile(last.filename, last.finished_at, last.message or "", last.sqlstate)


def _unfinished(tried: list[_Row]) -> UnfinishedFile | None:
    trail = _Trail()
    for row in tried:
        trail.follow(row)
    return trail.end()


class _Trail:
    """What is left of the newest attempt at a non-transactional file."""

    def __init__(self) -> None:
        self._begun: _Row | None = None
        self._hash = ""  # of the text that counts as begun
        self._done = 0
        self._running: _Row | None = None  # the statement that was started, and of which no end is known
        self._failed = False  # it is known that it did not go through
        self._drop: set[str] = set()  # what somebody decided to have dropped before it runs again

    def follow(self, row: _Row) -> None:
        match row.event:
            case Happening.STARTED:
                if self._begun is None or self._hash != row.normalised_hash:
                    self._begun, self._hash, self._done = row, row.normalised_hash, (row.statement or 1) - 1
                self._running, self._failed, self._drop = row, False, set()
            case Happening.STATEMENT_DONE:
                self._done, self._running = row.statement or self._done, None
            case Happening.FAILED if self._running and row.statement == self._running.statement:
                self._failed = True
                if not _needs_a_person(self._running.traces):
                    self._running = None
            case Happening.RESOLVED:
                self._decide(row)
            case _:
                pass

    def _decide(self, row: _Row) -> None:
        decision = decided(row.message)
        if decision is Decision.ACCEPT_EDIT:
            self._hash = row.normalised_hash
        if self._running is None or row.statement != self._running.statement:
            return
        match decision:
            case Decision.RETRY:
                self._running = None
            case Decision.DROP_AND_RETRY if row.subject:
                self._drop.add(row.subject)
            case Decision.MARK_APPLIED:
                self._done, self._running = row.statement or self._done, None
            case _:
                pass

    def end(self) -> UnfinishedFile | None:
        """None where nothing of the file was begun or kept."""
        if self._begun is None:
            return None
        left = UnfinishedFile(self._begun.filename, self._begun.started_at, self._done, None, self._hash)
        running = self._running
        if running is None:
            return left if self._done else None
        return self._interrupted(left, running, running.traces)

    def _interrupted(self, left: UnfinishedFile, running: _Row, found: Traces) -> UnfinishedFile | None:
        if self._drop and self._drop.issuperset(found.left):
            # Decided; what was to be dropped may be gone by now.
            return replace(left, drop=found.left) if found.left or self._done else None
        pid = running.pid if running.running else None
        return replace(
            left,
            interrupted=running.statement,
            evidence=tuple(sentences(pid, found.says)),
            running=pid,
            left=found.left,
            done=found.done,
            first=found.first,
            failed=self._failed,
        )


def _needs_a_person(found: Traces) -> bool:
    """Whether a mere repetition of a statement that failed would stumble over what is there."""
    return bool(found.left or found.first or found.done)
