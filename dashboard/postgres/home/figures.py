"""What home can count about runs, for whoever watches the service."""

from typing import Any

from dashboard.core.progress import RunFigures
from dashboard.postgres.connect import Connection

_ENDED = """
SELECT environment, outcome, count(*), coalesce(sum(extract(epoch FROM ended_at - started_at)), 0)::float8
  FROM home.run WHERE state = 'ended' GROUP BY environment, outcome
"""
_OPEN = """
SELECT state, count(*), coalesce(max(extract(epoch FROM now() - requested_at)), 0)::float8
  FROM home.run WHERE state <> 'ended' GROUP BY state
"""
_SUCCEEDED = """
SELECT environment, extract(epoch FROM max(ended_at))::float8
  FROM home.run WHERE outcome = 'applied' GROUP BY environment
"""


def run_figures(home: Connection) -> RunFigures:
    """Three short questions."""
    ended = {(row[0], row[1]): (int(row[2]), float(row[3])) for row in _rows(home, _ENDED)}
    opened = _rows(home, _OPEN)
    waiting = next((float(row[2]) for row in opened if row[0] == "queued"), 0.0)
    succeeded = {row[0]: float(row[1]) for row in _rows(home, _SUCCEEDED)}
    return RunFigures(ended, {row[0]: int(row[1]) for row in opened}, waiting, succeeded)


def applied(home: Connection) -> frozenset[str]:
    """The files of home's own schema that have run. Raises Unreachable, HomeNotReady."""
    return frozenset(name for (name,) in home.execute("SELECT filename FROM home._migrations_applied"))


def _rows(home: Connection, sql: str) -> list[Any]:
    return home.execute(sql.encode()).fetchall()
