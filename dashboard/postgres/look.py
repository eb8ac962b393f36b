"""One look at a server process of ours: what it does, who is in its way, whom it is in the way of, how far it is."""

import json
import select
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from dashboard.core.events import Blocker, Stuck
from dashboard.core.locks import STRONG
from dashboard.postgres.connect import Connection

# The simple protocol, in autocommit: no portal, no snapshot and no transaction stay behind, any of which would make
# somebody's CREATE INDEX CONCURRENTLY wait. Of sessions of other roles the server shows little, but who waits for whom
# it shows everybody: that comes from pg_locks, and only for sessions that wait it costs something.
_LOOK = """
WITH ours AS MATERIALIZED (SELECT * FROM pg_stat_activity WHERE pid = {pid}),
     locks AS MATERIALIZED (SELECT * FROM pg_locks),
     waits AS MATERIALIZED (SELECT pid, {waited} AS waited FROM locks WHERE NOT granted GROUP BY pid),
     others AS MATERIALIZED (
       SELECT pid, json_build_object(
                'pid', pid, 'application', coalesce(nullif(application_name, ''), backend_type, ''),
                'user', coalesce(usename::text, ''), 'state', coalesce(state, ''),
                'query_since', query_start, 'since', xact_start,
                'age', extract(epoch FROM clock_timestamp() - xact_start)) AS told
         FROM pg_stat_activity)
SELECT json_build_object(
  'state', ours.state, 'wait', ours.wait_event,
  'waited', (SELECT coalesce(waits.waited, 0) FROM waits WHERE waits.pid = ours.pid),
  'blockers', (
    SELECT json_agg(coalesce(told, json_build_object('pid', by.pid)) ORDER BY by.pid)
      FROM (SELECT DISTINCT unnest(CASE WHEN ours.wait_event_type = 'Lock'
                                        THEN pg_blocking_pids(ours.pid) END)) AS by (pid)
      LEFT JOIN others ON others.pid = by.pid),
  'stuck', (
    SELECT json_agg(json_build_object(
                      'pid', waits.pid, 'seconds', coalesce(waits.waited, 0),
                      'application', coalesce(told ->> 'application', ''), 'user', coalesce(told ->> 'user', ''))
                    ORDER BY waits.waited DESC, waits.pid)
      FROM waits LEFT JOIN others ON others.pid = waits.pid
     WHERE CASE WHEN waits.pid <> ours.pid THEN ours.pid = ANY (pg_blocking_pids(waits.pid)) END),
  'holds', (
    SELECT json_agg(json_build_array(quote_ident(nspname) || '.' || quote_ident(relname), mode))
      FROM locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE l.pid = ours.pid AND l.granted AND l.mode IN ({strong}) AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())),
  'progress', {progress})
  FROM ours
"""
_WAITED = "extract(epoch FROM clock_timestamp() - min(waitstart))"
_WAITSTART_SINCE = 140000

# What is done and what there is to do, in the unit that the phase counts in; none of it where it counts nothing.
_INDEX = """
SELECT json_build_object('command', command, 'phase', phase, 'locker', nullif(current_locker_pid, 0),
  'done', CASE WHEN lockers_total > 0 THEN lockers_done WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END,
  'total', CASE WHEN lockers_total > 0 THEN lockers_total WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END,
  'unit', CASE WHEN lockers_total > 0 THEN 'transactions' WHEN blocks_total > 0 THEN 'blocks' ELSE 'rows' END)
  FROM pg_stat_progress_create_index WHERE pid = {pid}"""
_CLUSTER = """
SELECT json_build_object('command', command, 'phase', phase,
  'unit', CASE WHEN heap_blks_total > 0 THEN 'blocks' ELSE 'rows' END,
  'done', CASE WHEN heap_blks_total > 0 THEN heap_blks_scanned ELSE heap_tuples_written END, 'total', heap_blks_total)
  FROM pg_stat_progress_cluster WHERE pid = {pid}"""
_VACUUM = """
SELECT json_build_object('command', 'VACUUM', 'phase', phase, 'unit', 'blocks', 'total', heap_blks_total,
  'done', CASE phase WHEN 'vacuuming heap' THEN heap_blks_vacuumed ELSE heap_blks_scanned END)
  FROM pg_stat_progress_vacuum WHERE pid = {pid}"""
_ANALYZE = """
SELECT json_build_object('command', 'ANALYZE', 'phase', phase, 'unit', 'blocks', 'done', sample_blks_scanned,
  'total', sample_blks_total)
  FROM pg_stat_progress_analyze WHERE pid = {pid}"""
_COPY = """
SELECT json_build_object('command', command, 'phase', 'copying', 'total', bytes_total,
  'done', CASE WHEN bytes_total > 0 THEN bytes_processed ELSE tuples_processed END,
  'unit', CASE WHEN bytes_total > 0 THEN 'bytes' ELSE 'rows' END)
  FROM pg_stat_progress_copy WHERE pid = {pid}"""
_PROGRESS = ((120000, _INDEX), (120000, _CLUSTER), (90600, _VACUUM), (130000, _ANALYZE), (140000, _COPY))


@dataclass(frozen=True, slots=True)
class Progress:
    """A line of one of PostgreSQL's progress views. `locker`: the process whose transaction a build waits for."""

    command: str
    phase: str
    done: int
    total: int
    unit: str
    locker: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What the server says about one of its processes.

    Attributes
    ----------
    there: False: it has ended; nothing else is known then.
    busy: it executes something.
    wait: what it waits for, in PostgreSQL's words; empty: for nothing.
    waited: seconds that it has waited for a lock; None where it does not.
    holds: (table, mode) of the locks it has that make others wait; only of tables that others can see.

    """

    there: bool
    busy: bool = False
    wait: str = ""
    waited: float | None = None
    blockers: tuple[Blocker, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    progress: Progress | None = None
    holds: tuple[tuple[str, str], ...] = ()


class Eye:
    """A connection that is asked without waiting for the answer, so that nobody has to wait for it.

    Attributes
    ----------
    asked_at: when it was asked what it has not answered yet, by `time.monotonic()`; None where it has.

    """

    def __init__(self, connection: Connection, pid: int) -> None:
        version = connection.info.server_version
        self.asked_at: float | None = None
        self._pgconn = connection.pgconn
        self.question, self._modest = _question(pid, version), _question(pid, version, progress=False)

    def ask(self) -> None:
        """Raises psycopg.Error where the connection is lost."""
        self._pgconn.send_query(self.question)
        self._pgconn.flush()
        self.asked_at = time.monotonic()

    def answer(self) -> Look | None:
        """What it says, once that is there. Raises psycopg.Error where the connection is lost."""
        look = None
        self._pgconn.flush()
        self._pgconn.consume_input()
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                self.asked_at = None
                return look
            if result.status == ExecStatus.TUPLES_OK:
                value = result.get_value(0, 0) if result.ntuples else None
                look = Look(there=False) if value is None else _seen(json.loads(value))
            else:
                self.question = self._modest  # a later version may have changed one of the views
                look = Look(there=True, busy=True)
        return None

    def settle(self, patience: float) -> bool:
        """Wait for the answer to what was asked last; False where it does not come."""
        until = time.monotonic() + patience
        try:
            while self.asked_at is not None and time.monotonic() < until:
                select.select([self._pgconn.socket], [], [], 0.1)
                self.answer()
        except (psycopg.Error, OSError, ValueError):  # of the driver, and of a socket that is closed
            return False
        return self.asked_at is None


def _question(pid: int, server_version: int, *, progress: bool = True) -> bytes:
    known = [view for since, view in _PROGRESS if progress and server_version >= since]
    far = f"(SELECT one.far FROM ({' UNION ALL '.join(known)}) AS one (far) LIMIT 1)" if known else "NULL::json"  # noqa: S608  # all of it stands above
    return (
        sql.SQL(_LOOK)
        .format(
            pid=sql.Literal(pid),
            strong=sql.SQL(", ").join(map(sql.Literal, STRONG)),
            waited=sql.SQL(_WAITED if server_version >= _WAITSTART_SINCE else "NULL::float8"),
            progress=sql.SQL(far).format(pid=sql.Literal(pid)),
        )
        .as_bytes()
    )


def _seen(told: dict[str, Any]) -> Look:
    far = told["progress"]
    return Look(
        there=True,
        busy=told["state"] not in ("idle", "idle in transaction", "idle in transaction (aborted)"),
        wait=told["wait"] or "",
        waited=told["waited"],
        blockers=tuple(map(_blocker, told["blockers"] or ())),
        stuck=tuple(Stuck(**one) for one in told["stuck"] or ()),
        holds=tuple((relation, mode) for relation, mode in told["holds"] or ()),
        progress=Progress(**{"locker": None} | far) if far else None,
    )


def _blocker(told: dict[str, Any]) -> Blocker:
    moments = {name: datetime.fromisoformat(told[name]) for name in ("query_since", "since") if told.get(name)}
    return Blocker(**told | moments)
