"""The runner: executes the steps of a plan, in order."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dashboard.core.environment import Environment
from dashboard.core.events import Reporter
from dashboard.core.migration import Migration
from dashboard.core.plan import Step
from dashboard.core.record import Happening
from dashboard.core.run import StopQuestion
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.lock import Busy, Held, Stopped
from dashboard.postgres.observe import Survey
from dashboard.postgres.piecemeal import Piecemeal
from dashboard.postgres.session import Finish, Session
from dashboard.postgres.telling import Telling, script_of
from dashboard.postgres.whole import Wholes, in_one_flight, needs_new_session


class Runner:
    """One run on one environment. Use it as a context manager; everything it opens is closed then.

    Every method raises EnvironmentFault where the database does not let it work.
    """

    def __init__(self, environment: Environment, author: Author, report: Reporter, stop: StopQuestion) -> None:
        self._session = Session(environment, author, report, stop)
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    @property
    def unbroken(self) -> bool:
        """False once the lock had to be taken anew: what was planned before may no longer be true."""
        return self._session.unbroken

    def look(self, *, lock: bool = False) -> Survey:
        """Ask the database what it has. Changes nothing.

        lock: take the runner's lock before that, where nobody has it: what is seen stays true then. See `has_lock`.
        """
        return self._session.look(lock=lock)

    @property
    def has_lock(self) -> bool:
        """Whether it was free when it was looked for. Behind a pooler it is only taken by `lock`."""
        return self._session.has_lock

    def get_ready(self) -> None:
        """Files will run, most likely: what takes a while and changes nothing is begun. Waits for nothing."""
        self._session.dial_work()

    def lock(self, wait: float) -> Held | Busy | Stopped:
        """Take the runner's lock, waiting at most so many seconds. Look first."""
        return self._session.lock(wait)

    def prepare(self) -> None:
        """Make ledger and history where they are missing. The lock has to be held."""
        self._session.prepare()

    def remember(self, remark: str, migration: Migration | None = None) -> None:
        """Add a note to the history. That it could not be written is reported, and stops nothing."""
        self._session.record(Entry(Happening.NOTE, migration, remark=remark))

    def execute(self, steps: Sequence[Step], begin: int) -> tuple[Finish, ...]:
        """Run or record files from `steps[begin]` on, and report each: one, or as many as go out together.

        Answers how the first so many of them ended; all but the last are applied.
        """
        telling = Telling(self._report, len(steps))
        if not script_of(steps[begin]).transactional:
            finishes: tuple[Finish, ...] = (self._piecemeal(steps[begin], begin, telling),)
        else:
            together = in_one_flight(steps[begin:], self._session.known.ledger)
            finishes = Wholes(self._session, together, begin, telling).run()
        if needs_new_session(steps[begin + len(finishes) - 1]):
            self._session.close_work()
        return finishes

    def _piecemeal(self, step: Step, place: int, telling: Telling) -> Finish:
        telling.begins(step, place + 1)
        finish = Piecemeal(self._session, step, script_of(step)).run()
        telling.ended(step, finish)
        return finish
