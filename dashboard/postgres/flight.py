"""Flights: many messages to the server in one network round trip, answers back one by one as they arrive."""

import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
_ROWS_AT_ONCE = 20  # of a file's own queries, in memory: nobody reads them
_CHUNKS_SINCE = 170000  # of libpq
# A pooler that lost its server says so in the server's stead, in place of answers that nobody will hear any more.
_OF_THE_LINK = "08"
POOLER_ENDED_IT = "a pooler on the way ended the session"


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
    name: to be prepared under, so that the server reads and plans it once for a session; the text under one name must
        be the same for a whole session.

    """

    sql: str
    part: Part
    values: tuple[str | None, ...] = ()
    statement: Statement | None = None
    live: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Preparation:
    """What goes out before the first message of that name."""

    message: Message


class Sync:
    """Where the server stops skipping after an error. Outside a transaction block it commits what came before."""


SYNC = Sync()
Leg = Message | Sync
_Sent = Leg | _Preparation


class Prepared:
    """What one session has prepared. The names are its own: a pooler may let sessions share a server process."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self._suffix = secrets.token_hex(4)

    def name(self, message: Message) -> bytes:
        return f"rung_{message.name}_{self._suffix}".encode()


@dataclass(frozen=True, slots=True)
class Broken:
    """The server refused a message and skipped those behind it.

    yielded: it was our own watch that cancelled it, for the sake of others.
    """

    message: Message
    error: psycopg.Error
    yielded: bool = False

    @property
    def sqlstate(self) -> str:
        return self.error.diag.sqlstate or ""

    @property
    def fatal(self) -> bool:
        """Whether the server ended the session as well. A pooler gives no severity but the one for people."""
        said = self.error.diag
        return (said.severity_nonlocalized or said.severity or "") in ("FATAL", "PANIC")


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


def nobody(message: Message, result: PGresult) -> None:
    pass


Tick = Callable[[bool], None]
"""Told whether the server said something since the tick before."""


def _nothing(heard: bool) -> None:  # noqa: FBT001  # a tick
    pass


def fly(
    connection: Connection,
    legs: Iterable[Leg],
    *,
    prepared: Prepared | None = None,
    answered: Answered = nobody,
    tick: Tick = _nothing,
) -> Landing:
    """Send everything, wait for everything. The last leg has to be `SYNC`.

    prepared: what this connection has prepared; None: nothing is, and nothing shall be.
    `answered` is called for each message the server accepted, as its answer arrives; `tick` about ten times a second.
    What the server refuses and a connection that ends are part of the landing. An exception of a callback, or a
    KeyboardInterrupt, cancels the statement on the server and goes on upwards; the connection is of no use then.
    """
    landing = Landing()
    expected: deque[_Sent] = deque()
    try:
        connection.pgconn.enter_pipeline_mode()
        expected.extend(_board(connection.pgconn, legs, prepared))
        connection.wait(_flight(connection.pgconn, expected, landing, prepared, answered, tick), interval=TICK)
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


def _board(pgconn: PGconn, legs: Iterable[Leg], prepared: Prepared | None) -> Iterator[_Sent]:
    on_board: set[str] = set()
    for leg in legs:
        if isinstance(leg, Sync):
            pgconn.pipeline_sync()
            yield leg
            continue
        values = [None if value is None else value.encode() for value in leg.values] or None
        if leg.name is None or prepared is None:
            pgconn.send_query_params(leg.sql.encode(), values)
        else:
            if leg.name not in prepared.done | on_board:
                pgconn.send_prepare(prepared.name(leg), leg.sql.encode())
                on_board.add(leg.name)
                yield _Preparation(leg)
            pgconn.send_query_prepared(prepared.name(leg), values)
        yield leg
        if leg.live:
            pgconn.send_flush_request()


def _flight(
    pgconn: PGconn,
    expected: deque[_Sent],
    landing: Landing,
    prepared: Prepared | None,
    answered: Answered,
    tick: Tick,
) -> PQGen[None]:
    _expect_many_rows(pgconn, expected)
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
                _land(expected.popleft(), answer, landing, prepared, answered)
                answer = None
                _expect_many_rows(pgconn, expected)
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                expected.popleft()
                _expect_many_rows(pgconn, expected)
            elif answer is None or not answer.command_status:
                answer = _checked(result)  # of many rows, the last piece or the empty one after it counts them
        if not expected:
            return
        ready = yield Wait.RW if unsent else Wait.R
        if ready & Ready.R:
            pgconn.consume_input()
        tick(bool(ready & Ready.R))


def _expect_many_rows(pgconn: PGconn, expected: deque[_Sent]) -> None:
    """A file may select ten million rows: libpq shall not hold them all until the last one has come."""
    if not (expected and isinstance(expected[0], Message) and expected[0].part is Part.STATEMENT):
        return
    with contextlib.suppress(psycopg.Error):  # after an error in the flight its answer is made up, and has no rows
        if pq.version() >= _CHUNKS_SINCE:
            pgconn.set_chunked_rows_mode(_ROWS_AT_ONCE)
        else:
            pgconn.set_single_row_mode()


def _checked(result: PGresult) -> PGresult:
    if result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
        raise errors.NotSupportedError("COPY to or from the client cannot run here")  # noqa: TRY003  # the driver's class
    return result


def _land(leg: _Sent, answer: PGresult, landing: Landing, prepared: Prepared | None, answered: Answered) -> None:
    if isinstance(leg, Sync):
        raise errors.InternalError("an answer without a question")  # noqa: TRY003  # the driver's class
    message = leg.message if isinstance(leg, _Preparation) else leg
    if answer.status == pq.ExecStatus.FATAL_ERROR:
        broken = Broken(message, errors.error_from_result(answer))
        if broken.fatal and broken.sqlstate.startswith(_OF_THE_LINK):
            raise errors.OperationalError(f"{POOLER_ENDED_IT}: {one_line(broken.error)}")  # noqa: TRY003  # the driver's class
        landing.broken = landing.broken or broken
    elif answer.status == pq.ExecStatus.PIPELINE_ABORTED:
        pass
    elif isinstance(leg, _Preparation):
        if prepared is not None and message.name is not None:
            prepared.done.add(message.name)
    else:
        if message.part is not Part.STATEMENT:
            landing.answers.append((message, answer))
        answered(message, answer)
