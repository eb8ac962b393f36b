"""The audit of the service itself: read it, check it, and add what no other service tells of by itself."""

from dashboard.core.audit import AuditRow, Report
from dashboard.core.record import ChainReport
from dashboard.postgres.home import audit as rows
from dashboard.postgres.home.pool import Home


class Audit:
    """What home remembers of who did what to the service."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def write(self, report: Report) -> None:
        """Before it is done: what cannot be remembered must not happen. Raises HomeNotReady, Unreachable."""
        with self._home.transaction() as connection:
            rows.append(connection, report)

    def newest(self, limit: int = 30) -> tuple[AuditRow, ...]:
        with self._home.connection() as connection:
            return rows.newest(connection, limit)

    def verify(self, kept_head: str | None = None) -> ChainReport:
        """`kept_head`: the hash of a row that must be there, as an earlier check or the log told it."""
        with self._home.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return rows.verify(connection, kept_head)
