"""A connection that is being made while something else is done."""

import contextlib
from threading import Lock, Thread

from dashboard.core.environment import Environment
from dashboard.postgres.connect import Connection, dial


class Ahead:
    """Dials at once, in a thread that does nothing else. It fails without a word: whoever takes dials again."""

    def __init__(self, environment: Environment, *, purpose: str, beside: Connection) -> None:
        self._environment, self._purpose, self._beside = environment, purpose, beside
        self._connection: Connection | None = None
        self._wanted, self._handing_over = True, Lock()
        self._thread = Thread(target=self._dial, daemon=True)
        with contextlib.suppress(RuntimeError, MemoryError):  # no thread can be had
            self._thread.start()

    def take(self) -> Connection | None:
        """The connection, for the caller to close; None where it could not be had: dial again to hear why."""
        if self._thread.ident is not None:
            self._thread.join()
        return self._connection

    def leave(self) -> None:
        """It is not wanted any more. Waits for nothing: a server may take long to answer."""
        with self._handing_over:
            self._wanted = False
        if self._connection is not None:
            self._connection.close()

    def _dial(self) -> None:
        with contextlib.suppress(Exception):
            self._hand_over(dial(self._environment, purpose=self._purpose, beside=self._beside))

    def _hand_over(self, connection: Connection) -> None:
        with self._handing_over:
            if self._wanted:
                self._connection = connection
        if self._connection is None:
            connection.close()
