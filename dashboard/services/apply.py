"""Apply: bring one environment up to date. Button, command and deploy step all call this."""

from collections.abc import Callable

from dashboard.core.environment import Environment
from dashboard.core.events import Reporter, silence
from dashboard.core.migration import Folder
from dashboard.core.run import Order, Result, StopQuestion, nobody_stops


def apply(
    environment: Environment,
    read: Callable[[], Folder],
    order: Order,
    report: Reporter = silence,
    stop: StopQuestion = nobody_stops,
    run_id: str | None = None,
) -> Result:
    """Run what is pending. Never raises for what a database or a file does: see `Outcome`."""
    raise NotImplementedError
