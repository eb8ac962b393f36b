"""The history: `rung.history`, append-only, every row chained to the one before by a hash that the server computes."""

from dashboard.core.record import ChainReport, HistoryRow
from dashboard.postgres.connect import Connection


def rows_since(connection: Connection, after_id: int, limit: int) -> tuple[HistoryRow, ...]:
    """Rows with an id above `after_id`, oldest first, at most `limit`; empty where there is no history yet."""
    raise NotImplementedError


def verify(connection: Connection) -> ChainReport:
    """Compute every hash anew and compare."""
    raise NotImplementedError
