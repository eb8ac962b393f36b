"""Health: whether Rung's own database is there, and what it counts; for load balancers and monitoring."""

import threading
import time

from dashboard.core.errors import HomeNotReady, RungError
from dashboard.core.progress import RunFigures
from dashboard.postgres.home import figures
from dashboard.postgres.home.pool import Home

_FRESH = 2.0  # seconds that an answer is good for, however many ask


class Health:
    """The state of this service itself."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._asking = threading.Lock()
        self._known: tuple[float, str | None] | None = None

    def why_not_ready(self) -> str | None:
        """Why this service cannot work, in a few words without any name or address; None where it can."""
        with self._asking:
            if self._known is None or time.monotonic() - self._known[0] > _FRESH:
                self._known = (time.monotonic(), self._ask())
            return self._known[1]

    def figures(self) -> RunFigures:
        """Raises Unreachable, HomeNotReady."""
        with self._home.connection() as connection:
            return figures.run_figures(connection)

    def _ask(self) -> str | None:
        try:
            with self._home.connection() as connection:
                figures.answers(connection)
        except HomeNotReady:
            return "home is not prepared"
        except RungError:
            return "home does not answer"
        return None
