"""Health: whether Rung's own database is there, and what it counts; for load balancers and monitoring."""

import threading
import time
from functools import cache

from dashboard.core.errors import HomeNotReady, RungError
from dashboard.core.progress import RunFigures
from dashboard.postgres.home import figures
from dashboard.postgres.home.pool import Home

UNPREPARED, SILENT = "home is not prepared", "home does not answer"
_FRESH = 2.0  # seconds that an answer is good for, however many ask


class Health:
    """The state of this service itself."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._asking = threading.Lock()
        self._known: tuple[float, str | None] | None = None

    def why_not_ready(self) -> str | None:
        """Why this service cannot work, in a few words without any name or address; None where it can.

        One asks for all; where home hangs, the others do not queue up behind that one.
        """
        if not self._asking.acquire(timeout=_FRESH):
            return SILENT
        try:
            if self._known is None or time.monotonic() - self._known[0] > _FRESH:
                self._known = (time.monotonic(), self._ask())
            return self._known[1]
        finally:
            self._asking.release()

    def figures(self) -> RunFigures:
        """Raises Unreachable, HomeNotReady."""
        with self._home.connection() as connection:
            return figures.run_figures(connection)

    def _ask(self) -> str | None:
        try:
            with self._home.connection() as connection:
                applied = figures.applied(connection)
        except HomeNotReady:
            return UNPREPARED
        except RungError:
            return SILENT
        return None if _expected() <= applied else UNPREPARED


@cache
def _expected() -> frozenset[str]:
    """The files that this version's home has run."""
    from dashboard.services.prepare import ladder

    return frozenset(migration.filename for migration in ladder().migrations)
