"""Rehearsals as rows of home: asked for, at work, with a result."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dashboard.core.estimate import Size, Speed
from dashboard.core.progress import RehearsalView
from dashboard.core.rehearsal import Change, FileTrace, Lock, Rehearsal, StatementTrace
from dashboard.core.run import Problem
from dashboard.postgres.connect import Connection

_COLUMNS = "id::text, environment, digest, asked_by, asked_at, ended_at, doing, result, trouble"


def add(home: Connection, environment: str, digest: str, who: str) -> str | None:
    """The id of a new one; None where one is open on that environment."""
    row = home.execute(
        "INSERT INTO home.rehearsal (environment, digest, asked_by) VALUES (%s, %s, %s)"
        " ON CONFLICT (environment) WHERE ended_at IS NULL DO NOTHING RETURNING id::text",
        (environment, digest, who),
    ).fetchone()
    return row and str(row[0])


def open_one(home: Connection, environment: str) -> str | None:
    """The id of the one that is open."""
    row = home.execute(
        "SELECT id::text FROM home.rehearsal WHERE environment = %s AND ended_at IS NULL", (environment,)
    ).fetchone()
    return row and str(row[0])


def show(home: Connection, rehearsal_id: str) -> RehearsalView | None:
    return _one(home, "WHERE id::text = %s", (rehearsal_id,))


def newest(home: Connection, environment: str) -> RehearsalView | None:
    return _one(home, "WHERE environment = %s ORDER BY asked_at DESC LIMIT 1", (environment,))


def of_plan(home: Connection, environment: str, digest: str) -> RehearsalView | None:
    """The newest of this plan that has a result."""
    which = "WHERE environment = %s AND digest = %s AND result IS NOT NULL ORDER BY asked_at DESC LIMIT 1"
    return _one(home, which, (environment, digest))


# Where a statement waited for others, the time says nothing about the machine.
_RAN = """
SELECT e.event ->> 'filename', (e.event ->> 'statement')::integer, (e.event ->> 'seconds')::float8, r.id::text
  FROM (SELECT id FROM home.run WHERE environment = %(environment)s AND state = 'ended'
         ORDER BY requested_at DESC LIMIT 30) AS n
  JOIN LATERAL (SELECT event ->> 'digest' AS digest FROM home.run_event
                 WHERE run_id = n.id AND event ->> 'event' = 'planned' ORDER BY sequence DESC LIMIT 1) AS p ON true
  JOIN LATERAL (SELECT id FROM home.rehearsal
                 WHERE environment = %(environment)s AND digest = p.digest AND result IS NOT NULL
                 ORDER BY asked_at DESC LIMIT 1) AS r ON true
  JOIN home.run_event AS e ON e.run_id = n.id AND e.event ->> 'event' = 'statement_done'
 WHERE NOT EXISTS (SELECT FROM home.run_event WHERE run_id = n.id AND event ->> 'event' = 'blocked')
"""


def ran(home: Connection, environment: str) -> list[tuple[RehearsalView, dict[tuple[str, int], float]]]:
    """Rehearsals whose plan was run later: with the seconds that each (file, statement) really took."""
    took: dict[str, dict[tuple[str, int], float]] = {}
    for filename, statement, seconds, rehearsal_id in home.execute(_RAN, {"environment": environment}):
        took.setdefault(rehearsal_id, {})[filename, statement] = seconds
    views = ((show(home, rehearsal_id), seconds) for rehearsal_id, seconds in took.items())
    return [(view, seconds) for view, seconds in views if view is not None]


def _one(home: Connection, which: str, values: tuple[str, ...]) -> RehearsalView | None:
    row = home.execute(f"SELECT {_COLUMNS} FROM home.rehearsal {which}".encode(), values).fetchone()  # noqa: S608  # ours
    if row is None:
        return None
    kept = row[7] or {"rehearsal": None, "sizes": {}}
    return RehearsalView(
        id=row[0],
        environment=row[1],
        digest=row[2],
        asked_by=row[3],
        asked_at=row[4],
        ended_at=row[5],
        doing=row[6],
        rehearsal=kept["rehearsal"] and _rehearsal_of(kept["rehearsal"]),
        sizes={name: Size(**size) for name, size in kept["sizes"].items()},
        speed=Speed(**kept.get("speed", {})),
        trouble=row[8] and Problem(**row[8]),
    )


def begin(home: Connection, rehearsal_id: str) -> tuple[str, int] | None:
    """Environment and number of the attempt, from 1; None where it has ended."""
    row = home.execute(
        "UPDATE home.rehearsal SET attempt = attempt + 1, started_at = pg_catalog.now()"
        " WHERE id::text = %s AND ended_at IS NULL RETURNING environment, attempt",
        (rehearsal_id,),
    ).fetchone()
    return row and (str(row[0]), int(row[1]))


def tell(home: Connection, rehearsal_id: str, doing: str) -> bool:
    """Whether it is still wanted: False once it has ended, because somebody stopped it."""
    told = home.execute(
        "UPDATE home.rehearsal SET doing = %s WHERE id::text = %s AND ended_at IS NULL", (doing, rehearsal_id)
    )
    return told.rowcount == 1


def end(home: Connection, rehearsal_id: str, rehearsal: Rehearsal, sizes: Mapping[str, Size], speed: Speed) -> None:
    known = {name: asdict(size) for name, size in sizes.items()}
    result = {"rehearsal": asdict(rehearsal), "sizes": known, "speed": asdict(speed)}
    _close(home, rehearsal_id, "result", result)


def fail(home: Connection, rehearsal_id: str, trouble: Problem) -> bool:
    """False where it had ended already."""
    return _close(home, rehearsal_id, "trouble", asdict(trouble))


def is_open(home: Connection, rehearsal_id: str) -> bool:
    row = home.execute(
        "SELECT FROM home.rehearsal WHERE id::text = %s AND ended_at IS NULL", (rehearsal_id,)
    ).fetchone()
    return row is not None


def _close(home: Connection, rehearsal_id: str, column: str, value: object) -> bool:
    text = json.dumps(value, ensure_ascii=False).replace("\\u0000", "\N{REPLACEMENT CHARACTER}")
    closed = home.execute(
        f"UPDATE home.rehearsal SET {column} = %s, ended_at = pg_catalog.now(), doing = NULL"  # noqa: S608  # ours
        " WHERE id::text = %s AND ended_at IS NULL",
        (text, rehearsal_id),
    )
    return closed.rowcount == 1


def _rehearsal_of(stored: Any) -> Rehearsal:
    return Rehearsal(
        **stored
        | {
            "files": tuple(_file_of(file) for file in stored["files"]),
            "changes": tuple(Change(**change) for change in stored["changes"]),
            "notes": tuple(stored["notes"]),
            "problem": stored["problem"] and Problem(**stored["problem"]),
        }
    )


def _file_of(stored: Any) -> FileTrace:
    return FileTrace(
        **stored
        | {
            "statements": tuple(_statement_of(one) for one in stored["statements"]),
            "problem": stored["problem"] and Problem(**stored["problem"]),
            "left": tuple(stored["left"]),
        }
    )


def _statement_of(stored: Any) -> StatementTrace:
    lists = {name: tuple(stored[name]) for name in ("rewritten", "scanned", "built", "gone")}
    return StatementTrace(**stored | lists | {"locks": tuple(Lock(**lock) for lock in stored["locks"])})
