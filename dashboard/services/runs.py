"""Runs: asked for in the browser, executed by a worker, watched by everybody, remembered in home."""

from collections.abc import Callable
from enum import StrEnum

from dashboard.core.progress import RunRef, RunView, StoredEvent
from dashboard.core.run import Order


class Executed(StrEnum):
    """What a worker is told after it worked on a run."""

    ENDED = "ended"  # closed, by this worker or before
    AGAIN = "again"  # not over: the same run must be taken up again, by this or another worker


def stay() -> bool:
    """The answer of a worker that is not shutting down."""
    return False


class Runs:
    """The to-do list of the worker."""

    def ask(self, environment_name: str, order: Order) -> RunRef:
        """Queue a run. While one is queued or running on that environment, the answer is that one.

        Raises UnknownEnvironment, Unreachable (of home).
        """
        raise NotImplementedError

    def execute(self, run_id: str, leave: Callable[[], bool] = stay) -> Executed:
        """Do the work of a run and close it: for the worker. A run that is over already does nothing.

        `leave` is asked all the time; True means that this process must end soon: the run stops at the next safe place
        and stays open, so that another worker takes it up and plans afresh from the target.
        """
        raise NotImplementedError

    def show(self, run_id: str) -> RunView | None:
        """One run; None where there is none of that id (whatever the text of the id)."""
        raise NotImplementedError

    def events_since(self, run_id: str, sequence: int = 0) -> tuple[StoredEvent, ...]:
        """The run's events after the one with this sequence number, in order; 0: all."""
        raise NotImplementedError

    def newest(self, environment_name: str | None = None, limit: int = 20) -> tuple[RunView, ...]:
        """The runs asked for last, newest first; None: of all environments."""
        raise NotImplementedError

    def running(self) -> tuple[RunView, ...]:
        """The runs that are queued or running, oldest first; at most one for each environment."""
        raise NotImplementedError

    def ask_to_stop(self, run_id: str, who: str) -> None:
        """A queued run ends as cancelled at once, a running one at its next safe place; an ended one stays as it is."""
        raise NotImplementedError
