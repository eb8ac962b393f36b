"""The worker: takes runs from home's queue and executes them, until it is told to end."""

from dataclasses import dataclass

from dashboard.settings import Settings


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A worker that was not heard of for `stalled` counts as dead, and its runs are taken up by another.

    Attributes
    ----------
    heartbeat: between two signs of life. sweep: between two looks for dead workers.
    poll: between two looks for new runs, should a notification be lost.
    grace: how long a run may go on after SIGTERM before it stops at its next safe place and is left to others.

    """

    heartbeat: float = 5.0
    stalled: float = 20.0
    sweep: float = 5.0
    poll: float = 5.0
    grace: float = 15.0


def run_worker(settings: Settings, pace: Pace | None = None) -> None:
    """Work until SIGTERM or SIGINT. Prepares home first. Raises NoHome, HomeNotReady, Unreachable."""
    raise NotImplementedError
