"""Messages to webhooks, as rows: what is to be said to whom, and how far that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.core.run import Result
from dashboard.core.webhook import Delivery, Standing
from dashboard.postgres.connect import Connection

_COLUMNS = "id::text, webhook, run_id::text, environment, outcome, standing, attempts, made_at, tried_at, trouble"


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that is ours to make. `attempt`: 1, 2, …; `now`: seconds of home's clock since 1970."""

    webhook: str
    run_id: str
    environment: str
    body: bytes
    attempt: int
    now: int


def now(home: Connection) -> datetime:
    row = home.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT of one value
    moment: datetime = row[0]
    return moment


def add(home: Connection, webhook: str, result: Result, body: bytes) -> str | None:
    """The id of a new message; None where that webhook is told of that run already."""
    row = home.execute(
        "INSERT INTO home.delivery (webhook, run_id, environment, outcome, body) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (run_id, webhook) DO NOTHING RETURNING id::text",
        (webhook, result.run_id, result.environment, result.outcome.value, body.decode()),
    ).fetchone()
    return row and str(row[0])


def begin(home: Connection, delivery_id: str) -> Begun | None:
    """None where it is over, or never was."""
    row = home.execute(
        "UPDATE home.delivery SET attempts = attempts + 1, tried_at = pg_catalog.clock_timestamp()"
        " WHERE id = %s AND standing = 'waiting'"
        " RETURNING webhook, run_id::text, environment, body, attempts, extract(epoch FROM tried_at)::bigint",
        (delivery_id,),
    ).fetchone()
    return Begun(row[0], row[1], row[2], row[3].encode(), row[4], row[5]) if row else None


def end(home: Connection, delivery_id: str, standing: Standing, trouble: str | None) -> None:
    """How the attempt went."""
    home.execute(
        "UPDATE home.delivery SET standing = %s, trouble = %s WHERE id = %s", (standing.value, trouble, delivery_id)
    )


def newest(home: Connection, limit: int) -> tuple[Delivery, ...]:
    found = home.execute(
        f"SELECT {_COLUMNS} FROM home.delivery ORDER BY made_at DESC, id LIMIT %s".encode(),  # noqa: S608  # ours
        (limit,),
    )
    return tuple(map(_delivery, found.fetchall()))


def of_run(home: Connection, run_id: str) -> tuple[Delivery, ...]:
    found = home.execute(
        f"SELECT {_COLUMNS} FROM home.delivery WHERE run_id::text = %s ORDER BY webhook".encode(),  # noqa: S608  # ours
        (run_id,),
    )
    return tuple(map(_delivery, found.fetchall()))


def counts(home: Connection) -> Mapping[tuple[str, str], int]:
    """(webhook, standing) -> messages."""
    found = home.execute("SELECT webhook, standing, count(*) FROM home.delivery GROUP BY 1, 2")
    return {(webhook, standing): number for webhook, standing, number in found.fetchall()}


def _delivery(row: tuple[Any, ...]) -> Delivery:
    (one, webhook, run, environment, outcome, standing, attempts, made_at, tried_at, trouble) = row
    return Delivery(one, webhook, run, environment, outcome, Standing(standing), attempts, made_at, tried_at, trouble)
