"""Runs: asked for in the browser, executed by a worker, watched by everybody, remembered in home."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from dashboard.core.audit import Deed, Report, Source
from dashboard.core.environment import Environment
from dashboard.core.errors import AuditShut, RungError, UnknownEnvironment, Unreachable, Unusable
from dashboard.core.events import Event, Planned
from dashboard.core.migration import Folder
from dashboard.core.picture import NotReachable, Picture
from dashboard.core.progress import Pace, RunRef, RunView, StoredEvent
from dashboard.core.run import Order, Outcome, Problem, Result, StopQuestion
from dashboard.postgres.connect import Connection
from dashboard.postgres.home import audit, mirror
from dashboard.postgres.home import runs as rows
from dashboard.postgres.home.pool import Home
from dashboard.postgres.home.scribe import Scribe
from dashboard.postgres.observe import take_picture
from dashboard.services import trail
from dashboard.services.apply import apply
from dashboard.services.webhooks import Webhooks

if TYPE_CHECKING:
    import asyncio

LONGEST_WAIT = 20  # attempts that may find the lock taken before a run that was taken up again ends as busy

_PAUSE = 1.0  # seconds before a home that is away is told the end of a run again
_log = logging.getLogger("rung.runs")


class Executed(StrEnum):
    """What a worker is told after it worked on a run."""

    ENDED = "ended"  # closed, by this worker or before
    AGAIN = "again"  # not over: the same run must be taken up again, by this or another worker


def stay() -> bool:
    """The answer of a worker that is not shutting down."""
    return False


class Runs:
    """The to-do list of the workers.

    look_again: asks an environment and tells home what it said; must not raise.
    webhooks: are told how runs end.
    """

    def __init__(
        self,
        environments: Sequence[Environment],
        read: Callable[[], Folder],
        home: Home,
        look_again: Callable[[str], object],
        webhooks: Webhooks | None = None,
    ) -> None:
        self._environments = {environment.name: environment for environment in environments}
        self._read, self._home, self._look_again = read, home, look_again
        self._webhooks = webhooks or Webhooks(home, ())

    # --- asking and watching ---

    def ask(self, environment_name: str, order: Order, *, address: str = "") -> RunRef:
        """Queue a run. While one is queued or running on that environment, the answer is that one.

        The audit gets its row in the same transaction: what cannot be remembered is not queued. `address`: the asker's.
        Raises UnknownEnvironment, Unreachable (of home), HomeNotReady.
        """
        from dashboard.postgres.home import queue  # heavy

        self._environment(environment_name)
        while True:
            with self._home.transaction() as connection:
                run_id = rows.add(connection, environment_name, order)
                if run_id is not None:
                    rows.set_job(connection, run_id, queue.defer(connection, run_id, environment_name))
                    audit.append(connection, _asked(environment_name, run_id, order, address))
                    return RunRef(run_id, already=False)
                open_run = rows.open_run(connection, environment_name)
                if open_run is not None:
                    return RunRef(open_run, already=True)
            # The one that was in the way ended between the two questions.

    def show(self, run_id: str) -> RunView | None:
        """One run; None where there is none of that id (whatever the text of the id)."""
        if not _is_id(run_id):
            return None
        with self._home.connection() as connection:
            return rows.show(connection, run_id)

    def events_since(self, run_id: str, sequence: int = 0) -> tuple[StoredEvent, ...]:
        """The run's events after the one with this sequence number, in order; 0: all."""
        if not _is_id(run_id):
            return ()
        with self._home.connection() as connection:
            return rows.events_since(connection, run_id, sequence)

    def newest(self, environment_name: str | None = None, limit: int = 20) -> tuple[RunView, ...]:
        """The runs asked for last, newest first; None: of all environments."""
        with self._home.connection() as connection:
            return rows.newest(connection, environment_name, limit)

    def running(self) -> tuple[RunView, ...]:
        """The runs that are queued or running, oldest first; at most one for each environment."""
        with self._home.connection() as connection:
            return rows.running(connection)

    def ask_to_stop(self, run_id: str, who: str, *, address: str = "") -> None:
        """A queued run ends as cancelled at once, a running one at its next safe place; an ended one stays as it is."""
        from dashboard.postgres.home import queue  # heavy

        if not _is_id(run_id):
            return
        with self._home.transaction() as connection:
            asked = rows.ask_to_stop(connection, run_id, who)
            if asked is None:
                return
            source = Source(who, address)
            end: tuple[Report, ...] = ()
            if asked.is_queued:
                stopped = _stopped_before(run_id, asked.environment, who)
                rows.close(connection, stopped)
                self._webhooks.tell(connection, stopped, asked.order)
                if asked.job_id is not None:
                    queue.forget(connection, asked.job_id)
                end = (trail.end_of(stopped, source),)
            audit.append(connection, Report(Deed.STOP_ASKED_FOR, source, asked.environment, run_id), *end)

    # --- executing ---

    async def work(
        self,
        pace: Pace,
        told_to_end: "asyncio.Event",
        rehearse: Callable[[str], None],
        leave: Callable[[], bool] = stay,
    ) -> None:
        """Take runs and execute them until told to end; then take no more, wait for those at work. See `execute`.

        rehearse: what is done for the id of a rehearsal, which comes through the same queue.
        """
        from dashboard.postgres.home.queue import Desk  # heavy

        def job(run_id: str) -> bool:
            return self.execute(run_id, leave) is Executed.ENDED

        def deliver(delivery_id: str) -> float | None:
            return self._webhooks.deliver(delivery_id, pace.message)

        at_once = 1 + max(2, min(6, len(self._environments)))  # of one environment only one anyway, and a rehearsal
        await Desk(self._home.environment, job, rehearse, deliver, pace, at_once).work(told_to_end)

    def execute(self, run_id: str, leave: Callable[[], bool] = stay) -> Executed:
        """Do the work of a run and close it: for the worker. A run that is over already does nothing.

        `leave` is asked all the time; True means that this process must end soon: the run stops at the next safe place
        and stays open, so that another worker takes it up and plans afresh from the target.
        """
        try:
            begun = self._begin(run_id)
        except AuditShut as fault:
            return self._refuse(run_id, fault)
        if begun is None:
            return Executed.ENDED
        _log.info("run begins", extra={"run_id": run_id, "environment": begun.environment, "attempt": begun.attempt})
        with Scribe(self._home, run_id, begun.attempt, begun.stop_asked_by) as scribe:
            result = self._apply(begun, scribe, leave)
            if _must_go_on(begun, result, scribe, leave):
                _log.info("run is left to another worker", extra={"run_id": run_id})
                scribe.flush()
                return Executed.AGAIN
            return self._close(begun, result, scribe, leave)

    def _begin(self, run_id: str) -> rows.Begun | None:
        """What cannot be remembered does not begin."""
        with self._home.transaction() as connection:
            begun = rows.begin(connection, run_id)
            if begun is not None:
                audit.append(connection, trail.begun(begun))
            return begun

    def _refuse(self, run_id: str, fault: AuditShut) -> Executed:
        with self._home.transaction() as connection:
            begun = rows.begin(connection, run_id)
            if begun is not None:
                problem = Problem(begun.environment, str(fault), fault.advice)
                refused = Result(run_id, begun.environment, Outcome.REFUSED, problem=problem)
                refused = _with_earlier_attempts(begun, refused, mirror.applied_in(connection, run_id))
                if rows.close(connection, refused):
                    self._webhooks.tell(connection, refused, begun.order)
        _log.error("run refused", extra={"run_id": run_id, "reason": str(fault)})
        return Executed.ENDED

    def _apply(self, begun: rows.Begun, scribe: Scribe, leave: Callable[[], bool]) -> Result:
        """Whatever happens, a run has an end that people can read."""
        try:
            environment = self._environment(begun.environment)
            attempt = _Attempt(self._home, begun, environment, self._read, scribe.report)
            stop = _question(scribe, leave)
            return attempt.changed() or apply(
                environment, attempt.read, attempt.order, attempt.report, stop, begun.run_id
            )
        except RungError as fault:
            _log.warning("run failed", extra={"run_id": begun.run_id, "reason": str(fault)})
            return _failed(begun, str(fault), fault.advice)
        except Exception:  # noqa: BLE001  # a mistake of ours must not leave a run open for ever
            _log.exception("run broke", extra={"run_id": begun.run_id})
            return _failed(begun, "Rung itself made a mistake", "The worker's log has the details of this run.")

    def _close(self, begun: rows.Begun, result: Result, scribe: Scribe, leave: Callable[[], bool]) -> Executed:
        """The picture comes first, so that who follows the end of the run to the matrix finds it there."""
        while not self._closed(begun, result, scribe):
            if leave():
                return Executed.AGAIN
        return Executed.ENDED

    def _closed(self, begun: rows.Begun, result: Result, scribe: Scribe) -> bool:
        if not scribe.flush():  # home is away, and would not hear of the picture either
            return False
        self._look_again(begun.environment)
        return self._told_the_end(begun, result)

    def _told_the_end(self, begun: rows.Begun, result: Result) -> bool:
        try:
            ended, heads = self._write_end(begun, result)
        except RungError as fault:
            _log.warning("the end of a run waits for home", extra={"run_id": begun.run_id, "reason": str(fault)})
            time.sleep(_PAUSE)
            return False
        _log.info("run ended", extra={"run_id": begun.run_id, "outcome": ended.outcome.value})
        _log.info("chain heads", extra={"run_id": begun.run_id, "environment": begun.environment, **heads})
        return True

    def _write_end(self, begun: rows.Begun, result: Result) -> tuple[Result, dict[str, str | None]]:
        """What ran has run: its end is told also where the audit takes no rows any more."""
        try:
            return self._end(begun, result, remember=True)
        except AuditShut as fault:
            _log.error("the end of a run is not in the audit", extra={"run_id": begun.run_id, "reason": str(fault)})
            return self._end(begun, result, remember=False)

    def _end(self, begun: rows.Begun, result: Result, *, remember: bool) -> tuple[Result, dict[str, str | None]]:
        with self._home.transaction() as connection:
            ended = _with_earlier_attempts(begun, result, mirror.applied_in(connection, begun.run_id))
            if rows.close(connection, ended):
                self._webhooks.tell(connection, ended, begun.order)
                if remember:
                    self._audit_end(connection, begun, ended)
            return ended, _heads(connection, begun.environment)

    def _audit_end(self, connection: Connection, begun: rows.Begun, ended: Result) -> None:
        kept, hashes = mirror.of_run(connection, begun.run_id), rows.planned(connection, begun.run_id)
        audit.append(connection, *trail.ended(begun, ended, kept, hashes))

    def _environment(self, name: str) -> Environment:
        try:
            return self._environments[name]
        except KeyError:
            raise UnknownEnvironment(name, ", ".join(self._environments)) from None


class _Attempt:
    """One worker's try at a run. A later one runs exactly what is left of what the first one set out to run."""

    def __init__(
        self,
        home: Home,
        begun: rows.Begun,
        environment: Environment,
        read: Callable[[], Folder],
        tell: Callable[[Event], None],
    ) -> None:
        self._home, self._begun, self._environment = home, begun, environment
        self._read, self._tell = read, tell
        self._folder = Folder(())

    @property
    def order(self) -> Order:
        """What was shown is what the first attempt compared; what is left of it has another digest."""
        if self._begun.planned is None:
            return self._begun.order
        return replace(self._begun.order, expected_digest=None)

    def read(self) -> Folder:
        self._folder = self._read()
        picture = self._look()
        if isinstance(picture, NotReachable):
            raise _fault(picture)
        return self._folder if picture is None else rest_of(self._begun.planned or {}, self._folder, picture)

    def changed(self) -> Result | None:
        """How the run ends where a file that is left of its plan is not what it was; None: it may go on."""
        picture = self._look()
        if picture is None:
            return None
        if isinstance(picture, NotReachable):
            problem = Problem(picture.environment, str(_fault(picture)), picture.advice)
            return Result(self._begun.run_id, picture.environment, Outcome.UNREACHABLE, problem=problem)
        recorded = {row.filename for row in picture.ledger}
        same = {(migration.filename, migration.raw_hash) for migration in self._read().migrations}
        lost = [one for one in (self._begun.planned or {}).items() if one[0] not in recorded and one not in same]
        return _other_file(self._begun, lost[0][0]) if lost else None

    def _look(self) -> Picture | NotReachable | None:
        """The target, where an earlier attempt had begun; None where there was none."""
        return None if self._begun.planned is None else take_picture(self._environment)

    def report(self, event: Event) -> None:
        if isinstance(event, Planned) and self._begun.planned is None:
            self._remember_plan(event)
        self._tell(event)

    def _remember_plan(self, event: Planned) -> None:
        hashes = {migration.filename: migration.raw_hash for migration in self._folder.migrations}
        planned = {name: hashes[name] for name in event.filenames if name in hashes}
        try:
            with self._home.connection() as connection:
                rows.set_planned(connection, self._begun.run_id, planned)
        except RungError as fault:  # the digest still protects a later attempt
            _log.warning("home could not be told the plan", extra={"run_id": self._begun.run_id, "reason": str(fault)})


def _fault(found: NotReachable) -> Unreachable | Unusable:
    """What is left of a plan nobody can tell then, and more than that must not run."""
    return (Unusable if found.answered else Unreachable)(found.environment, found.reason, found.advice)


def rest_of(planned: Mapping[str, str], folder: Folder, picture: Picture) -> Folder:
    """The folder without pending files that were not part of the plan, or are not what they were then."""
    recorded = {row.filename for row in picture.ledger}
    return replace(
        folder,
        migrations=tuple(
            migration
            for migration in folder.migrations
            if migration.filename in recorded or planned.get(migration.filename) == migration.raw_hash
        ),
    )


def _question(scribe: Scribe, leave: Callable[[], bool]) -> StopQuestion:
    def who() -> str | None:
        return scribe.stop_asked_by() or ("the worker, which has to end" if leave() else None)

    return who


def _must_go_on(begun: rows.Begun, result: Result, scribe: Scribe, leave: Callable[[], bool]) -> bool:
    """Stopped for the worker's sake; or the lock is taken, perhaps by the attempt that everybody believes dead."""
    if scribe.stop_asked_by() is not None:
        return False
    if result.outcome is Outcome.CANCELLED:
        return leave()
    return result.outcome is Outcome.BUSY and 1 < begun.attempt < LONGEST_WAIT


def _heads(connection: Connection, environment: str) -> dict[str, str | None]:
    """The newest hash of the audit and of the environment's history: whoever keeps the log can find rows cut off."""
    newest = mirror.newest(connection, environment)
    return {"audit_head": audit.head(connection), "history_head": newest.own_hash if newest else None}


def _with_earlier_attempts(begun: rows.Begun, result: Result, in_history: tuple[str, ...]) -> Result:
    """What earlier attempts applied belongs to the run; the environment's own history knows it."""
    if begun.attempt == 1:
        return result
    applied = (*in_history, *(name for name in result.applied if name not in in_history))
    outcome = Outcome.APPLIED if result.outcome is Outcome.NOTHING and applied else result.outcome
    return replace(result, applied=applied, outcome=outcome)


def _failed(begun: rows.Begun, message: str, advice: str) -> Result:
    problem = Problem(begun.environment, message, advice)
    return Result(begun.run_id, begun.environment, Outcome.FAILED, problem=problem)


def _other_file(begun: rows.Begun, filename: str) -> Result:
    """A deploy brought another folder between two attempts."""
    problem = Problem(
        begun.environment,
        f"{filename} is not what it was when the run began, and a run executes only what was shown",
        "Look at the new plan, and ask again.",
        filename=filename,
    )
    return Result(begun.run_id, begun.environment, Outcome.CHANGED, problem=problem)


def _stopped_before(run_id: str, environment: str, who: str) -> Result:
    problem = Problem(environment, f"{who} stopped it before a worker took it", "Nothing ran. Ask again when you like.")
    return Result(run_id, environment, Outcome.CANCELLED, problem=problem)


def _asked(environment: str, run_id: str, order: Order, address: str) -> Report:
    detail = f"forced: {order.reason}" if order.force else ""
    return Report(Deed.RUN_ASKED_FOR, Source(order.actor.name, address), environment, run_id, detail=detail)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
