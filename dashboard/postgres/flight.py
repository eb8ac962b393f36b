"""Flights: many messages to the server in one network round trip, answers back one by one as they arrive."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import psycopg
from psycopg import errors, pq
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from dashboard.core.script import Statement
from dashboard.postgres.connect import Connection, one_line

TICK = 0.1  # seconds between two looks at the clock while the server is silent


class Part(StrEnum):
    """Which part of a flight a message is; says what an error in it means."""

    RESET = "reset"  # away with what the file before left in the session
    BEGIN = "begin"
    GUARD = "guard"  # timeouts for the file; afterwards our own role and path again
    LEDGER = "ledger"
    STATEMENT = "statement"
    CONSTRAINTS = "constraints"  # what the file put off to its end
    FRAME = "frame"  # is this still the transaction that we began, and the lock still ours
    HISTORY = "history"
    COMMIT = "commit"
    SCHEMA = "schema"  # making ledger and history
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Message:
    """One statement to the server.

    Attributes
    ----------
    values: for $1, $2 …, as text; the statement casts them.
    live: ask the server to answer at once instead of when the flight has ended.

    """

    sql: str
    part: Part
    values: tuple[str | None, ...] = ()
    statement: Statement | None = None
    live: bool = False


class Sync:
    """Where the server stops skipping after an error. Outside a transaction block it commits what came before."""


SYNC = Sync()
Leg = Message | Sync


@dataclass(frozen=True, slots=True)
class Broken:
    """The server refused a message and skipped those behind it."""

    message: Message
    error: psycopg.Error

    @property
    def sqlstate(self) -> str:
        return self.error.diag.sqlstate or ""

    @property
    def fatal(self) -> bool:
        """Whether the server ended the session as well."""
        return (self.error.diag.severity_nonlocalized or "") in ("FATAL", "PANIC")


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended before all answers had come. `waiting_for`: the first message without an answer."""

    waiting_for: Message | None
    reason: str


@dataclass(slots=True)
class Landing:
    """What came back. `broken` is the first error; `lost` may come on top of it (the server ended the session)."""

    answers: list[tuple[Message, PGresult]] = field(default_factory=list)
    broken: Broken | None = None
    lost: Lost | None = None

    def value(self, part: Part, column: int = 0) -> str | None:
        """A field of the first row of the newest answer to that part; None where it has none."""
        for message, result in reversed(self.answers):
            if message.part is part and result.ntuples:
                value = result.get_value(0, column)
                return None if value is None else value.decode()
        return None


class GaveUp(Exception):
    """Raised by a tick that has waited long enough: the connection counts as lost."""


Answered = Callable[[Message, PGresult], None]


def _nobody(message: Message, result: PGresult) -> None:
    pass


def _nothing() -> None:
    pass


def fly(
    connection: Connection, legs: Iterable[Leg], *, answered: Answered = _nobody, tick: Callable[[], None] = _nothing
) -> Landing:
    """Send everything, wait for everything. The last leg has to be `SYNC`.

    `answered` is called for each message the server accepted, as its answer arrives; `tick` about ten times a second.
    What the server refuses and a connection that ends are part of the landing. An exception of a callback, or a
    KeyboardInterrupt, cancels the statement on the server and goes on upwards; the connection is of no use then.
    """
    landing = Landing()
    expected = deque(legs)
    try:
        connection.pgconn.enter_pipeline_mode()
        _board(connection.pgconn, expected)
        connection.wait(_flight(connection.pgconn, expected, landing, answered, tick), interval=TICK)
        connection.pgconn.exit_pipeline_mode()
    except psycopg.Error as wrong:
        waiting_for = next((leg for leg in expected if isinstance(leg, Message)), None)
        landing.lost = Lost(waiting_for, one_line(wrong))
        connection.close()
    except GaveUp as why:
        landing.lost = Lost(None, str(why))
        connection.close()
    except BaseException:
        connection.close()
        raise
    return landing


def _board(pgconn: PGconn, legs: Iterable[Leg]) -> None:
    for leg in legs:
        if isinstance(leg, Sync):
            pgconn.pipeline_sync()
            continue
        values = [None if value is None else value.encode() for value in leg.values]
        pgconn.send_query_params(leg.sql.encode(), values or None)
        if leg.live:
            pgconn.send_flush_request()


def _flight(
    pgconn: PGconn, expected: deque[Leg], landing: Landing, answered: Answered, tick: Callable[[], None]
) -> PQGen[None]:
    unsent = True
    answer: PGresult | None = None
    while expected:
        if unsent:
            unsent = pgconn.flush() != 0
        while expected and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if answer is None:
                    break  # nothing has come yet
                _land(expected.popleft(), answer, landing, answered)
                answer = None
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                expected.popleft()
            else:
                answer = _checked(result)
        if not expected:
            return
        ready = yield Wait.RW if unsent else Wait.R
        if ready & Ready.R:
            pgconn.consume_input()
        tick()


def _checked(result: PGresult) -> PGresult:
    if result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
        raise errors.NotSupportedError("COPY to or from the client cannot run here")  # noqa: TRY003  # the driver's class
    return result


def _land(leg: Leg, answer: PGresult, landing: Landing, answered: Answered) -> None:
    if not isinstance(leg, Message):
        raise errors.InternalError("an answer without a question")  # noqa: TRY003  # the driver's class
    if answer.status == pq.ExecStatus.FATAL_ERROR:
        landing.broken = landing.broken or Broken(leg, errors.error_from_result(answer))
    elif answer.status != pq.ExecStatus.PIPELINE_ABORTED:
        landing.answers.append((leg, answer))
        answered(leg, answer)
