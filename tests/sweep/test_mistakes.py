"""Our own mistakes: an exception in Rung's own code, wherever it is raised, leaves what a kill at that place leaves."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from dashboard.core.environment import Environment
from dashboard.core.events import Event, FileStarted
from dashboard.core.run import Outcome
from dashboard.postgres import flight, frame, history, lock, session
from dashboard.postgres.ledger import Ledger
from dashboard.postgres.session import Session
from dashboard.services.apply import apply
from tests.conftest import MakeDatabase
from tests.oracle import LOG, ORDER, Seen, assert_consistent, assert_nothing_half, folder_of, ledger, noted
from tests.sweep.resolving import settled

pytestmark = pytest.mark.fault(12)

FILES = folder_of(
    ("001_log.sql", LOG + noted("001_log.sql") + "CREATE TABLE t (id int);\n"),
    ("002_index.sql", "CREATE INDEX CONCURRENTLY t_id ON t (id);\n" + noted("002_index.sql")),
    ("003_end.sql", noted("003_end.sql")),
)
ALL = [migration.filename for migration in FILES.migrations]


class OurMistake(Exception):
    """Nobody expects it."""


# Where a run passes: whose name is replaced, and the name.
SEAMS: dict[str, tuple[Any, str]] = {
    "looking": (Session, "look"),
    "locking": (Session, "lock"),
    "making the ledger": (Session, "prepare"),
    "a file's flight": (Session, "fly"),
    "any flight": (session, "fly"),
    "sending": (flight, "_board"),
    "the limits": (frame, "limits"),
    "the frame check": (frame, "check"),
    "the ledger's row": (Ledger, "insert"),
    "the history's row": (history, "append"),
    "asking for a free lock": (lock.Attempt, "hear"),
    "trying the lock": (lock, "_try"),
    "the survey": (session, "survey"),
    "closing": (Session, "close_work"),
}
WAITING = ("locking", "trying the lock")  # on the way of a run that does not find the lock free
POINTS = [(seam, after) for seam in SEAMS for after in (False, True) if after or seam != "closing"]


class Mined:
    """A function that raises at its n-th call, before it does anything or after it has done it all."""

    def __init__(self, function: Callable[..., Any], number: int, *, after: bool) -> None:
        self.function, self.number, self.after, self.calls = function, number, after, 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == self.number and not self.after:
            raise OurMistake
        answer = self.function(*given, **named)
        if self.calls == self.number:
            raise OurMistake
        return answer

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        return self if instance is None else lambda *given, **named: self(instance, *given, **named)


@pytest.mark.slow
@pytest.mark.parametrize(("seam", "after"), POINTS)
def test_an_exception_at_any_call_of_a_seam_is_as_harmless_as_a_kill(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, seam: str, after: bool
) -> None:
    owner, name = SEAMS[seam]
    number, raised = 0, True
    while raised and number < 40:
        number += 1
        environment = Environment("local", 0, make_database())
        mined = Mined(getattr(owner, name), number, after=after)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, mined)
            if seam in WAITING:
                patch.setattr(lock.Attempt, "hear", lambda *_: None)
            with contextlib.suppress(OurMistake):
                apply(environment, lambda: FILES, ORDER)
            raised = mined.calls >= number
        assert_nothing_half(environment, piecemeal="002_index.sql")
        result = settled(environment, FILES, lambda: apply(environment, lambda: FILES, ORDER))  # noqa: B023  # called at once
        assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), (number, result.problem)
        assert_consistent(environment, ALL)
    assert number > 1, "the seam is not on the way of a run"


def test_a_reporter_that_raises_at_every_event_changes_nothing(environment: Environment) -> None:
    def broken(event: Event) -> None:
        raise OurMistake

    result = apply(environment, lambda: FILES, ORDER, broken)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert any("OurMistake" in note for note in result.notes)
    assert_consistent(environment, ALL)


def test_a_question_that_raises_counts_as_nobody_asking_to_stop(environment: Environment) -> None:
    def broken() -> str | None:
        raise OurMistake

    slow = folder_of(
        *((file.filename, file.text) for file in FILES.migrations),
        ("004_slow.sql", "SELECT pg_sleep(1.2);" + noted("004_slow.sql")),
    )
    result = apply(environment, lambda: slow, ORDER, Seen(), broken)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, [*ALL, "004_slow.sql"])


def test_a_reporter_that_ends_the_process_leaves_what_a_kill_leaves(environment: Environment) -> None:
    """SystemExit and KeyboardInterrupt are no mistakes: they go through, and what was not committed is gone."""

    def leaving(event: Event) -> None:
        if isinstance(event, FileStarted) and event.filename == "003_end.sql":
            raise SystemExit(9)

    with pytest.raises(SystemExit):
        apply(environment, lambda: FILES, ORDER, leaving)
    assert_nothing_half(environment)
    assert set(ledger(environment)) <= set(ALL)
    assert apply(environment, lambda: FILES, ORDER).outcome in (Outcome.APPLIED, Outcome.NOTHING)
    assert_consistent(environment, ALL)
