"""Rehearsals asked for in the browser, tried by a worker, and remembered in home."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID

from dashboard.core.audit import Deed, Report, Source
from dashboard.core.errors import RungError
from dashboard.core.estimate import ROUGH, Estimate, Speed, estimate, speed_of
from dashboard.core.matrix import Look
from dashboard.core.progress import STOPPED_IT, RehearsalView
from dashboard.core.run import Problem
from dashboard.postgres.home import audit
from dashboard.postgres.home import rehearsals as rows
from dashboard.postgres.home.pool import Home
from dashboard.services.rehearse import rehearse, sizes

ATTEMPTS = 2  # a worker that dies at it is followed by one other
_log = logging.getLogger("rung.rehearsals")


Forecasts = Mapping[tuple[str, int], Estimate]
"""(file, 1-based statement) -> how long it takes; without those that do not grow with a table."""


class _Stopped(Exception):
    """Nobody waits for this rehearsal any more; no error, for somebody wanted it."""


class Rehearsals:
    """The to-do list of rehearsals. look: asks an environment now; raises UnknownEnvironment."""

    def __init__(self, home: Home, look: Callable[[str], Look]) -> None:
        self._home, self._look = home, look

    def ask(self, environment: str, digest: str, who: str, *, address: str = "") -> str:
        """Queue one, or answer the id of the one that is open. Raises Unreachable (of home), HomeNotReady."""
        from dashboard.postgres.home import queue  # heavy

        while True:
            with self._home.transaction() as connection:
                made = rows.add(connection, environment, digest, who)
                if made is not None:
                    queue.defer_rehearsal(connection, made, environment)
                    deed = Report(Deed.REHEARSAL_ASKED_FOR, Source(who, address), environment, made)
                    audit.append(connection, deed)
                    return made
                known = rows.open_one(connection, environment)
                if known is not None:
                    return known
            # The one that was in the way ended between the two questions.

    def show(self, rehearsal_id: str) -> RehearsalView | None:
        """One of them; None where there is none of that id (whatever the text of the id)."""
        try:
            UUID(rehearsal_id)
        except ValueError:
            return None
        with self._home.connection() as connection:
            return rows.show(connection, rehearsal_id)

    def newest(self, environment: str) -> RehearsalView | None:
        with self._home.connection() as connection:
            return rows.newest(connection, environment)

    def forecasts(self, environment: str, digest: str) -> Forecasts:
        """What the newest rehearsal of that plan expects of its statements."""
        with self._home.connection() as connection:
            view = rows.of_plan(connection, environment, digest)
        return dict(_expected(view, view.speed)) if view else {}

    def stop(self, rehearsal_id: str, who: str, *, address: str = "") -> None:
        """It is over at once for whoever looks, and its worker leaves it; one that has ended stays as it is."""
        view = self.show(rehearsal_id)
        if view is None:
            return
        advice = f"Nothing was changed on {view.environment}. Rehearse again when you like."
        with self._home.transaction() as connection:
            if rows.fail(connection, rehearsal_id, Problem(view.environment, f"{who}{STOPPED_IT}", advice)):
                deed = Report(Deed.REHEARSAL_STOPPED, Source(who, address), view.environment, rehearsal_id)
                audit.append(connection, deed)

    def execute(self, rehearsal_id: str) -> None:
        """For the worker: try it and write down what was seen. What goes wrong is written down too."""
        with self._home.connection() as connection:
            begun = rows.begin(connection, rehearsal_id)
        if begun is None:
            return
        environment, attempt = begun
        try:
            if attempt > ATTEMPTS:
                self._fail(
                    rehearsal_id,
                    environment,
                    "the workers that tried it ended before it was done",
                    "Look at their logs.",
                )
                return
            self._tell(rehearsal_id, f"looking at {environment}")
            look = self._look(environment)
            done = rehearse(look, partial(self._tell, rehearsal_id), partial(self._unwanted, rehearsal_id))
            known = sizes(look.environment, done)
            with self._home.connection() as connection:
                rows.end(connection, rehearsal_id, done, known, _speed(rows.ran(connection, environment)))
        except _Stopped:
            _log.info("rehearsal stopped", extra={"rehearsal_id": rehearsal_id})
        except RungError as wrong:
            self._fail(rehearsal_id, environment, str(wrong), wrong.advice)
        except Exception:  # whatever it was, the page must not wait for ever
            self._fail(rehearsal_id, environment, "it broke; the worker's log says where", "Tell who runs Rung.")
            raise

    def _tell(self, rehearsal_id: str, doing: str) -> None:
        with self._home.connection() as connection:
            if not rows.tell(connection, rehearsal_id, doing):
                raise _Stopped

    def _unwanted(self, rehearsal_id: str) -> bool:
        """Asked beside the work, which a home that does not answer must not end."""
        try:
            with self._home.connection() as connection:
                return not rows.is_open(connection, rehearsal_id)
        except RungError:
            return False

    def _fail(self, rehearsal_id: str, environment: str, message: str, advice: str) -> None:
        _log.warning("rehearsal failed", extra={"rehearsal_id": rehearsal_id, "reason": message})
        with self._home.connection() as connection:
            rows.fail(connection, rehearsal_id, Problem(environment, message, advice))


def _expected(view: RehearsalView, speed: Speed) -> Iterator[tuple[tuple[str, int], Estimate]]:
    for file in view.rehearsal.files if view.rehearsal else ():
        for trace in file.statements:
            expected = estimate(trace, view.sizes, speed)
            if expected is not None:
                yield (file.filename, trace.index), expected


def _speed(ran: Sequence[tuple[RehearsalView, Mapping[tuple[str, int], float]]]) -> Speed:
    """Of an environment, by what was rehearsed for it and ran on it afterwards."""
    return speed_of(
        [(expected, took[which]) for view, took in ran for which, expected in _expected(view, ROUGH) if which in took]
    )
