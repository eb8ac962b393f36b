"""Runs, as rows: who asked for what, how far it is, how it ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Json

from dashboard.core.events import Event, event_from_json, event_to_json
from dashboard.core.progress import (
    RunState,
    RunView,
    StoredEvent,
    order_from_json,
    order_to_json,
    result_from_json,
    result_to_json,
)
from dashboard.core.run import Order, Outcome, Result
from dashboard.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that is ours to execute.

    Attributes
    ----------
    attempt: 1, or more where another worker had it before.
    planned: file name -> raw hash of what the first attempt set out to run; None where it never got that far.

    """

    run_id: str
    environment: str
    order: Order
    attempt: int
    planned: Mapping[str, str] | None
    stop_asked_by: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """An event on its way to home. `number`: counts from 1 in this attempt; `age`: seconds since it was reported."""

    number: int
    event: Event
    age: float


@dataclass(frozen=True, slots=True)
class AskedToStop:
    """A run that is to stop. `is_queued`: no worker has taken it yet, so that it can be ended at once."""

    environment: str
    order: Order
    job_id: int | None
    is_queued: bool


def add(home: Connection, environment: str, order: Order) -> str | None:
    """A new run's id; None while one is queued or running there. In a transaction, with the job that executes it."""
    row = home.execute(
        "INSERT INTO home.run (environment, asked_for) VALUES (%s, %s)"
        " ON CONFLICT (environment) WHERE state <> 'ended' DO NOTHING RETURNING id::text",
        (environment, Json(order_to_json(order))),
    ).fetchone()
    return row[0] if row else None


def set_job(home: Connection, run_id: str, job_id: int) -> None:
    home.execute("UPDATE home.run SET job_id = %s WHERE id = %s", (job_id, run_id))


def open_run(home: Connection, environment: str) -> str | None:
    """The run that is queued or running there."""
    row = home.execute(
        "SELECT id::text FROM home.run WHERE environment = %s AND state <> 'ended'", (environment,)
    ).fetchone()
    return row[0] if row else None


def begin(home: Connection, run_id: str) -> Begun | None:
    """Take a run; None where it has ended (or never was)."""
    row = home.execute(
        """
        UPDATE home.run SET state = 'running', attempt = attempt + 1, heard_at = pg_catalog.now(),
                            started_at = coalesce(started_at, pg_catalog.now())
         WHERE id = %s AND state <> 'ended'
        RETURNING id::text, environment, asked_for, attempt, planned, stop_asked_by
        """,
        (run_id,),
    ).fetchone()
    if row is None:
        return None
    return Begun(row[0], row[1], order_from_json(row[2]), row[3], row[4], row[5])


def set_planned(home: Connection, run_id: str, planned: Mapping[str, str]) -> None:
    home.execute("UPDATE home.run SET planned = %s WHERE id = %s AND planned IS NULL", (Json(dict(planned)), run_id))


def planned(home: Connection, run_id: str) -> dict[str, str]:
    """File name -> raw hash of what the run set out to run; empty where it never got that far."""
    row = home.execute("SELECT planned FROM home.run WHERE id = %s", (run_id,)).fetchone()
    return (row and row[0]) or {}


def write(home: Connection, run_id: str, attempt: int, events: Sequence[Written]) -> str | None:
    """Add events and give a sign of life; answers who asked the run to stop, if anybody. In a transaction.

    The row of the run is locked first, so that sequence numbers have no gaps and appear in order. Events of a run that
    has ended, and events written before, are left out.
    """
    row = home.execute(
        "UPDATE home.run SET heard_at = pg_catalog.clock_timestamp() WHERE id = %s AND state = 'running'"
        " RETURNING stop_asked_by",
        (run_id,),
    ).fetchone()
    if row is None:
        return None
    if events:
        _add_events(home, run_id, attempt, events)
    stop_asked_by: str | None = row[0]
    return stop_asked_by


def _add_events(home: Connection, run_id: str, attempt: int, events: Sequence[Written]) -> None:
    home.execute(
        """
        WITH told AS (
            SELECT * FROM ROWS FROM (pg_catalog.unnest(%(numbers)s::integer[]),
                                     pg_catalog.unnest(%(ages)s::float8[]),
                                     pg_catalog.unnest(%(events)s::text[])) AS told (number, age, event)
             WHERE NOT EXISTS (SELECT FROM home.run_event AS e WHERE e.run_id = %(run)s
                                  AND e.attempt = %(attempt)s AND e.number = told.number)
        )
        INSERT INTO home.run_event (run_id, sequence, at, attempt, number, event)
        SELECT %(run)s, coalesce((SELECT max(sequence) FROM home.run_event WHERE run_id = %(run)s), 0)
                 + row_number() OVER (ORDER BY number),
               greatest((SELECT max(at) FROM home.run_event WHERE run_id = %(run)s),
                        max(pg_catalog.statement_timestamp() - pg_catalog.make_interval(secs => age))
                            OVER (ORDER BY number)), %(attempt)s, number, event::json
          FROM told
        """,
        {
            "run": UUID(run_id),
            "attempt": attempt,
            "numbers": [one.number for one in events],
            "ages": [one.age for one in events],
            "events": [json.dumps(event_to_json(one.event)) for one in events],
        },
    )


def close(home: Connection, result: Result) -> bool:
    """End a run with its result; False where it had ended before: the first end counts."""
    return (
        home.execute(
            "UPDATE home.run SET state = 'ended', outcome = %s, result = %s, ended_at = pg_catalog.clock_timestamp()"
            " WHERE id = %s AND state <> 'ended'",
            (result.outcome.value, Json(result_to_json(result)), result.run_id),
        ).rowcount
        > 0
    )


def ask_to_stop(home: Connection, run_id: str, who: str) -> AskedToStop | None:
    """Note who asked first; None where the run has ended, or never was."""
    row = home.execute(
        "UPDATE home.run SET stop_asked_by = coalesce(stop_asked_by, %s) WHERE id = %s AND state <> 'ended'"
        " RETURNING environment, asked_for, job_id, state",
        (who, run_id),
    ).fetchone()
    if row is None:
        return None
    return AskedToStop(row[0], order_from_json(row[1]), row[2], is_queued=row[3] == RunState.QUEUED)


# --- reading ---

_VIEW = sql.SQL(
    "SELECT id::text, environment, asked_for, state, outcome, requested_at, started_at, heard_at, ended_at, attempt,"
    " stop_asked_by, result, pg_catalog.clock_timestamp() FROM home.run"
)


def _view(row: tuple[Any, ...]) -> RunView:
    run_id, environment, asked_for, state, outcome, requested, started, heard, ended, attempt, who, result, now = row
    return RunView(
        run_id=run_id,
        environment=environment,
        order=order_from_json(asked_for),
        state=RunState(state),
        outcome=Outcome(outcome) if outcome else None,
        requested_at=requested,
        started_at=started,
        heard_at=heard,
        ended_at=ended,
        attempt=attempt,
        stop_asked_by=who,
        result=result_from_json(result) if result else None,
        now=now,
    )


def show(home: Connection, run_id: str) -> RunView | None:
    row = home.execute(_VIEW + sql.SQL(" WHERE id = %s"), (run_id,)).fetchone()
    return _view(row) if row else None


def newest(home: Connection, environment: str | None, limit: int) -> tuple[RunView, ...]:
    where = sql.SQL(" WHERE environment = {}").format(sql.Literal(environment)) if environment else sql.SQL("")
    query = _VIEW + where + sql.SQL(" ORDER BY requested_at DESC LIMIT ") + sql.Literal(limit)
    return tuple(map(_view, home.execute(query).fetchall()))


def running(home: Connection) -> tuple[RunView, ...]:
    query = _VIEW + sql.SQL(" WHERE state <> 'ended' ORDER BY requested_at")
    return tuple(map(_view, home.execute(query).fetchall()))


def events_since(home: Connection, run_id: str, sequence: int) -> tuple[StoredEvent, ...]:
    found = home.execute(
        "SELECT sequence, at, event FROM home.run_event WHERE run_id = %s AND sequence > %s ORDER BY sequence",
        (run_id, sequence),
    )
    return tuple(StoredEvent(number, at, event_from_json(event)) for number, at, event in _rows(found.fetchall()))


def _rows(found: list[Any]) -> list[tuple[int, datetime, dict[str, Any]]]:
    return found
