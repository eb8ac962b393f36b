"""What home remembers of the runs and rehearsals that were asked for: who, when, how far, how it ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dashboard.core.estimate import Size, Speed
from dashboard.core.events import Event
from dashboard.core.rehearsal import Rehearsal
from dashboard.core.run import Actor, ActorKind, Door, LockHolder, Order, Outcome, Problem, Result
from dashboard.core.webhook import FIRST_PAUSE


class RunState(StrEnum):
    """Where a run stands in home."""

    QUEUED = "queued"  # no worker has taken it yet
    RUNNING = "running"
    ENDED = "ended"  # see its outcome


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A worker that was not heard of for `stalled` counts as dead, and its runs are taken up by another.

    Attributes
    ----------
    heartbeat: between two signs of life. sweep: between two looks for dead workers.
    poll: between two looks for new runs, should a notification be lost.
    grace: how long a run may go on after SIGTERM before it stops at its next safe place and is left to others.
    message: before a webhook that did not take a message is tried a second time; each later pause is longer.

    """

    heartbeat: float = 5.0
    stalled: float = 20.0
    sweep: float = 5.0
    poll: float = 5.0
    grace: float = 15.0
    message: float = FIRST_PAUSE


@dataclass(frozen=True, slots=True)
class RunRef:
    """The answer to "please run this". `already`: one was queued or running there, and this is that one."""

    run_id: str
    already: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """One run, as home knows it.

    Attributes
    ----------
    attempt: 0 while queued; 2 and more after a worker died or shut down and another took the run up again.
    heard_at: the last sign of life of the worker that executes it; None while queued.
    stop_asked_by: who asked it to stop, before or while it ran.
    result: set once it has ended; its `plan` is not kept.
    now: home's clock when this was read.

    All moments are home's clock, aware.

    """

    run_id: str
    environment: str
    order: Order
    state: RunState
    outcome: Outcome | None
    requested_at: datetime
    started_at: datetime | None
    heard_at: datetime | None
    ended_at: datetime | None
    attempt: int
    stop_asked_by: str | None
    result: Result | None
    now: datetime

    @property
    def actor(self) -> Actor:
        return self.order.actor


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a run. `sequence`: 1, 2, 3 … without gaps in each run; `at`: home's clock, aware."""

    sequence: int
    at: datetime
    event: Event


def order_to_json(order: Order) -> dict[str, Any]:
    """An order as plain JSON values; `order_from_json` is its inverse."""
    return asdict(order)


def order_from_json(stored: Mapping[str, Any]) -> Order:
    actor = stored["actor"]
    return Order(**{**stored, "actor": Actor(ActorKind(actor["kind"]), actor["name"], Door(actor["door"]))})


def result_to_json(result: Result) -> dict[str, Any]:
    """A result without its plan as plain JSON values; `result_from_json` is its inverse."""
    holder = result.holder
    return {
        "run_id": result.run_id,
        "environment": result.environment,
        "outcome": result.outcome,
        "applied": list(result.applied),
        "notes": list(result.notes),
        "problem": asdict(result.problem) if result.problem else None,
        "holder": asdict(holder) | {"since": holder.since.isoformat() if holder.since else None} if holder else None,
        "seconds": result.seconds,
    }


def result_from_json(stored: Mapping[str, Any]) -> Result:
    holder, problem = stored["holder"], stored["problem"]
    if holder:
        since = holder["since"]
        holder = LockHolder(**{**holder, "since": datetime.fromisoformat(since) if since else None})
    return Result(
        run_id=stored["run_id"],
        environment=stored["environment"],
        outcome=Outcome(stored["outcome"]),
        applied=tuple(stored["applied"]),
        notes=tuple(stored["notes"]),
        problem=Problem(**problem) if problem else None,
        holder=holder or None,
        seconds=stored["seconds"],
    )


STOPPED_IT = " stopped it"
"""Ends what is remembered of a rehearsal that somebody stopped."""


@dataclass(frozen=True, slots=True)
class RehearsalView:
    """A rehearsal that somebody asked for.

    Attributes
    ----------
    digest: of the plan that was asked about.
    doing: what the worker is at, until it has ended.
    rehearsal, sizes: what was seen, and how large the tables are on the environment. trouble: why nothing was.
    speed: what was known by then of how fast statements run there.

    """

    id: str
    environment: str
    digest: str
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None
    doing: str | None
    rehearsal: Rehearsal | None
    sizes: Mapping[str, Size]
    speed: Speed
    trouble: Problem | None

    @property
    def is_stopped(self) -> bool:
        """Whether somebody wanted it to end; that is no failure."""
        return self.trouble is not None and self.trouble.message.endswith(STOPPED_IT)


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Counts since home remembers.

    Attributes
    ----------
    ended: (environment, outcome) -> runs, and the seconds they took together.
    open: state, `queued` or `running` -> runs.
    oldest_queued: seconds that the oldest queued run waits; 0 where none does.
    succeeded_at: environment -> epoch of the end of its last run that applied something.

    """

    ended: Mapping[tuple[str, str], tuple[int, float]]
    open: Mapping[str, int]
    oldest_queued: float
    succeeded_at: Mapping[str, float]
