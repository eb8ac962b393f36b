"""A decree: what a person decided about a file, written into the history under the runner's lock."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dashboard.core.environment import Environment
from dashboard.core.events import silence
from dashboard.core.plan import Action, Step
from dashboard.core.resolving import Case
from dashboard.core.run import Problem, nobody_stops
from dashboard.postgres import frame
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.lock import Busy, Held, Stopped
from dashboard.postgres.observe import Survey
from dashboard.postgres.piecemeal import Piecemeal
from dashboard.postgres.session import Finish, Session


class Decree:
    """One decision on one environment. Use it as a context manager; everything it opens is closed then.

    Every method raises EnvironmentFault where the database does not let it work.
    """

    def __init__(self, environment: Environment, author: Author) -> None:
        self._session = Session(environment, author, silence, nobody_stops)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def look(self) -> Survey:
        """Ask the database what it has. Changes nothing, and takes no lock."""
        return self._session.look()

    def lock(self, wait: float) -> Held | Busy:
        """Take the runner's lock, waiting at most so many seconds. Look first."""
        got = self._session.lock(wait)
        assert not isinstance(got, Stopped)  # noqa: S101  # nobody can
        return got

    def record(self, entries: Sequence[Entry]) -> Problem | None:
        """Write it down, all or nothing. None where that went well."""
        session = self._session
        landing = session.write([frame.check(session.held), *session.rows(*entries)])
        if landing.broken is None and landing.lost is None:
            return None
        name = session.environment.name
        said = landing.broken.error.diag.message_primary if landing.broken else landing.lost and landing.lost.reason
        message = f"the decision could not be written into the history: {said or 'no reason given'}"
        return Problem(
            name, message, "Nothing was changed as far as is known. Look at the file again, then decide again."
        )

    def conclude(self, case: Case, entry: Entry) -> Finish:
        """Write down that the last statement counts as done, and that the file is applied; in one transaction."""
        assert case.migration and case.script, case  # noqa: S101, PT018  # for the type checker: it fits
        assert case.unfinished, case  # noqa: S101  # as above
        step = Step(case.migration, Action.RESUME, case.script, unfinished=case.unfinished)
        began = str(case.unfinished.started_at.timestamp())
        return Piecemeal(self._session, step, case.script).conclude(entry, began)
