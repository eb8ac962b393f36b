"""Poolers: whether a session is one server process of its own, on which everything that a run does depends."""

import select
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import pq

from dashboard.core.errors import EnvironmentFault
from dashboard.core.picture import Unwritable

_PATIENCE = 3.0  # seconds a pooler gets to lend a second connection

REMARK = (
    "The address leads to a pooler in session mode. That works; with the database's direct address there is one thing "
    "less on the way that can time out."
)
_DIRECT = "Give the database's direct address, past the pooler"
PID = b"SELECT pg_catalog.pg_backend_pid()"

_Connection = psycopg.Connection[Any]


class Pooling(StrEnum):
    """What is between us and the server."""

    DIRECT = "direct"
    SESSION = "session"  # one server process for as long as the connection lasts
    TRANSACTION = "transaction"  # another one for every transaction
    STATEMENT = "statement"  # ... and no transaction of more than one statement
    SINGLE = "single"  # no second connection while the first one lasts


def judge(connection: _Connection, seen: int, another: Callable[[], _Connection]) -> Pooling:
    """What kind of way this connection is. `seen`: the pid by which the server answered to it first.

    Only where that differs from the pid of the protocol it costs something: while a second connection is inside of a
    transaction, the first one must still be the process that it was, and the second another one.
    """
    if seen == connection.info.backend_pid:
        return Pooling.DIRECT
    if pid_of(connection) != seen:
        return Pooling.TRANSACTION
    try:
        other = another()
    except EnvironmentFault:
        return Pooling.SINGLE
    try:
        pid, said = _begin(other)
        shared = pid == seen or pid_of(connection) != seen
    finally:
        other.close()  # with its transaction
    if shared:
        return Pooling.TRANSACTION
    if pid is None:
        return Pooling.STATEMENT if is_statement_mode(said) else Pooling.SINGLE
    return Pooling.SESSION


def pid_of(connection: _Connection) -> int:
    row = connection.execute(PID).fetchone()
    return int(row[0]) if row else 0


def _begin(connection: _Connection) -> tuple[int | None, str]:
    """Open a transaction, and ask for the pid in it; without one: what the pooler or the server said instead.

    A pooler may let its clients wait for minutes until it has something for them, so the wait is ours.
    """
    until, pgconn = time.monotonic() + _PATIENCE, connection.pgconn
    try:
        pgconn.send_query(b"BEGIN; " + PID)
        while pgconn.is_busy():
            if not select.select([pgconn.socket], [], [], max(0.0, until - time.monotonic()))[0]:
                return None, "no answer in time"
            pgconn.consume_input()
        while (result := pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                return int(result.get_value(0, 0) or 0), ""
            if result.status == pq.ExecStatus.FATAL_ERROR:
                return None, result.error_message.decode(errors="replace")
    except psycopg.Error as wrong:
        return None, str(wrong)
    return None, "no answer"


def is_statement_mode(said: str) -> bool:
    """Whether this is how a pooler refuses a transaction of more than one statement."""
    return "statement pooling" in said


def why_not(pooling: Pooling) -> Unwritable | None:
    """What speaks against a run through it."""
    match pooling:
        case Pooling.DIRECT | Pooling.SESSION:
            return None
        case Pooling.SINGLE:
            reason = "its address leads to a pooler that lends no second connection beside the first one"
            return Unwritable(reason, f"A run needs two. {_DIRECT}, or raise the pool's size.")
        case _:
            reason = (
                f"its address leads to a pooler in {pooling.value} mode, where neither a lock nor a setting stays with "
                "whoever took it"
            )
            return Unwritable(reason, f"{_DIRECT}, or a pool in session mode.")
