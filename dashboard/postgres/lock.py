"""The runner's lock: a session advisory lock, polled, never waited for inside the server."""

import hashlib
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from dashboard.core.events import Reporter, WaitingForLock
from dashboard.core.run import LockHolder, StopQuestion
from dashboard.postgres.connect import Connection
from dashboard.postgres.ledger import TABLE

# Shorter than the second between two reports, and never in step with the other instances of one deploy.
_PAUSES = (0.1, 0.4)


@dataclass(frozen=True, slots=True)
class Held:
    """The lock is ours, as long as the connection lives.

    Attributes
    ----------
    pid: the server process that holds it.
    token: a second advisory lock of the same session, by a number that nobody else knows.

    """

    key: int
    pid: int
    token: int

    def condition(self) -> str:
        """SQL, for any session: the lock is still held. Reads the whole lock table. Needs our own search_path."""
        high, low = self.key >> 32, self.key & 0xFFFFFFFF
        return (
            "EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'advisory' AND l.granted "
            f"AND l.objsubid = 1 AND l.classid = {high}::oid AND l.objid = {low}::oid AND l.pid = {self.pid})"
        )

    def taken(self) -> str:
        """SQL, for every session but the one that holds it: the same, by what can no longer be had."""
        return f"NOT pg_try_advisory_xact_lock_shared({self.token})"


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else held it until the wait ran out. `holder`: None where the server would not say."""

    holder: LockHolder | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """Somebody asked to stop while we waited."""

    who: str


def key_of(ledger_schema: str) -> int:
    """63 bits from the ledger's schema-qualified name. PostgreSQL keeps advisory locks apart by database itself."""
    digest = hashlib.sha256(f"rung {ledger_schema}.{TABLE}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


# No parameters, so that it goes by the simple protocol and leaves no portal, no snapshot and no transaction behind:
# any of them would make somebody's CREATE INDEX CONCURRENTLY wait for ever.
_TAKE = sql.SQL("""
SELECT CASE WHEN pg_catalog.pg_try_advisory_lock({key}) THEN pg_catalog.pg_try_advisory_lock({token}) ELSE false END,
       pg_catalog.pg_backend_pid()""")
# Behind a pooler the protocol names another process, and whoever is lent that one next would have the lock.
_IF_DIRECT = sql.SQL(" WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {pid}")
_HOLDERS = sql.SQL(""";
SELECT l.pid, a.application_name, coalesce(a.client_hostname, host(a.client_addr), 'the server itself'), a.backend_start
  FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.classid = {high}::oid AND l.objid = {low}::oid
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
""")


class Attempt:
    """One try, as a part of something else that is asked, in a session of any settings. In vain behind a pooler.

    Attributes
    ----------
    query: SQL for autocommit, by the simple protocol; gives at most one row.
    held: set where the lock was free.

    """

    def __init__(self, connection: Connection, ledger_schema: str) -> None:
        self._wanted = Held(key_of(ledger_schema), connection.info.backend_pid, secrets.randbits(63))
        self.held: Held | None = None
        take = _TAKE.format(key=self._wanted.key, token=self._wanted.token)
        self.query = take + _IF_DIRECT.format(pid=self._wanted.pid)

    def hear(self, rows: Sequence[tuple[object, ...]]) -> None:
        """What the server answered."""
        self.held = self._wanted if rows and rows[0][0] else None


def acquire(
    connection: Connection, ledger_schema: str, wait: float, report: Reporter, stop: StopQuestion
) -> Held | Busy | Stopped:
    """Try until it is ours, the wait (seconds) has run out, or somebody asks to stop. Reports about once a second.

    The connection must have our own session's settings and stay in autocommit for its whole life.
    """
    key, token, began, reported = key_of(ledger_schema), secrets.randbits(63), time.monotonic(), -1.0
    while True:
        got, pid, holder = _try(connection, key, token)
        if got:
            return Held(key, pid, token)
        waited = time.monotonic() - began
        if waited - reported >= 1:
            report(WaitingForLock(holder, waited))
            reported = waited
        who = stop()
        if who is not None:
            return Stopped(who)
        if waited >= wait:
            return Busy(holder, waited)
        time.sleep(min(random.uniform(*_PAUSES), max(0.0, wait - waited)))  # noqa: S311  # jitter, not a secret


def _try(connection: Connection, key: int, token: int) -> tuple[bool, int, LockHolder | None]:
    holders_of = _HOLDERS.format(high=key >> 32, low=key & 0xFFFFFFFF)
    cursor = connection.execute(_TAKE.format(key=key, token=token) + holders_of)
    (got, pid), holders = cursor.fetchone() or (False, 0), []
    if cursor.nextset():
        holders = cursor.fetchall()
    holder = next((LockHolder(row[0], row[1] or "", row[2] or "", row[3]) for row in holders if row[0] != pid), None)
    return bool(got), int(pid), holder
