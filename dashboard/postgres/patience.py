"""Patience: a connection that does not wait for ever for a server that says nothing any more."""

from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen


class Patient(psycopg.Connection[Any]):
    """Neither keepalives nor `tcp_user_timeout` see a middlebox that acknowledges everything and forwards nothing.

    Attributes
    ----------
    patience: seconds that an answer may take; the connection counts as lost then. None: as long as it takes.

    """

    patience: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except errors._WaitTimeout:  # noqa: SLF001  # the driver documents it, and keeps the name to itself
            if timeout is not None:
                raise
            self.close()
            raise errors.OperationalError(f"no answer for {self.patience:.0f} s") from None  # noqa: TRY003  # the driver's class


def bound(connection: psycopg.Connection[Any], seconds: float) -> None:
    """No answer on this connection may take longer."""
    if isinstance(connection, Patient):
        connection.patience = seconds
