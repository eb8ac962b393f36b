"""Home: Rung's own database, its connections, and its faults in our own words."""

import contextlib
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import HomeNotReady, HomeUnreachable, Unreachable
from dashboard.postgres.connect import Connection, connect, one_line

SCHEMA = "home"
# The queue's own functions name their tables without a schema.
PATH = f"SET search_path = pg_catalog, {SCHEMA}, pg_temp"

_PATIENCE = 5.0  # seconds to wait for a connection that others use
_OLD_SCHEMA = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.UndefinedFunction)

_ONLY_WHERE_ASKED = 2**31  # executions before a statement is prepared by itself

_TAKES_NO_ROWS = (errors.DiskFull, errors.ReadOnlySqlTransaction)


class Home:
    """A few connections to home, opened when they are needed and shared by the threads of this process.

    A home that is away is noticed at once, and the same object works again when it is back.
    """

    def __init__(self, url: Secret, variable: str | None = None, *, size: int = 8) -> None:
        self.environment = Environment(SCHEMA, 0, url, variable, ledger_schema=SCHEMA)
        self._idle: deque[Connection] = deque()
        self._free = threading.BoundedSemaphore(size)
        self._kept = True

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in autocommit, all to oneself. Raises Unreachable, HomeNotReady, MissingVariable."""
        if not self._free.acquire(timeout=_PATIENCE):
            raise HomeUnreachable(SCHEMA, "all its connections are in use", "Try again in a moment.")
        try:
            connection = self._take()
            try:
                with _in_our_words():
                    yield connection
            except (HomeNotReady, Unreachable):  # what it has prepared may be of tables that are others now
                connection.close()
                raise
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The same in a transaction, which ends with the block: kept, or undone after an exception."""
        with self.connection() as connection, connection.transaction():
            yield connection

    def close(self) -> None:
        """Keep no connection from now on: those that are in use close when they come back. Using it goes on working."""
        self._kept = False
        self._close_idle()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):  # until another thread took the last one
            while True:
                self._idle.pop().close()

    def _take(self) -> Connection:
        with contextlib.suppress(IndexError):  # none is left
            while True:
                connection = self._idle.pop()
                if _alive(connection):
                    return connection
                connection.close()
        try:
            connection = connect(self.environment, purpose="home")
        except Unreachable as wrong:  # an environment may have the same name
            raise HomeUnreachable(SCHEMA, wrong.reason, wrong.advice) from None
        try:
            connection.execute(PATH)
        except BaseException:
            connection.close()
            raise
        connection.prepare_threshold = _ONLY_WHERE_ASKED  # with `prepare=True`, for what every request asks
        return connection

    def _put_back(self, connection: Connection) -> None:
        if connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if not self._kept:  # asked after it was put there, so that a close at this moment does not miss it
            self._close_idle()


def _alive(connection: Connection) -> bool:
    """An idle session has nothing to say: what can be read from it is its end."""
    return not connection.closed and not select.select([connection.fileno()], [], [], 0)[0]


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except _OLD_SCHEMA as wrong:
        raise HomeNotReady(f"it is not prepared for this version of Rung ({one_line(wrong)})") from wrong  # noqa: TRY003  # one of several reasons
    except errors.FeatureNotSupported as wrong:  # a prepared statement "must not change result type"
        raise HomeUnreachable(SCHEMA, "its tables changed at this moment", "Try again in a moment.") from wrong
    except _TAKES_NO_ROWS as wrong:
        reason = f"it takes no rows ({one_line(wrong)})"
        raise HomeUnreachable(SCHEMA, reason, "Make room on its disk, or let it be written to again.") from wrong
    except (psycopg.OperationalError, psycopg.InterfaceError) as wrong:
        raise HomeUnreachable(SCHEMA, one_line(wrong), "Try again in a moment.") from wrong
