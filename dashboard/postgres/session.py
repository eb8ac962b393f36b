"""The two connections of a run, and what every way of running a file needs of them."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

import psycopg
from psycopg.pq.abc import PGresult

from dashboard.core.environment import Environment
from dashboard.core.errors import ConnectionLost, EnvironmentFault, Unusable
from dashboard.core.events import FileRetrying, Notice, OutcomeUnknown, Reporter, StatementDone
from dashboard.core.migration import Migration
from dashboard.core.plan import Step
from dashboard.core.record import CANCELLED_BY, Happening
from dashboard.core.run import Problem, StopQuestion
from dashboard.postgres import frame, history, identity, pooler
from dashboard.postgres.ahead import Ahead
from dashboard.postgres.connect import Connection, connect, dial, one_line
from dashboard.postgres.diagnosis import CANCELLED_THERE, NOTHING_KEPT, broken_frame, explain, unwritable
from dashboard.postgres.flight import (
    POOLER_ENDED_IT,
    SYNC,
    Answered,
    Broken,
    GaveUp,
    Landing,
    Leg,
    Message,
    Part,
    Prepared,
    Tick,
    fly,
    nobody,
)
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.ledger import TAKEN
from dashboard.postgres.lock import Attempt, Busy, Held, Stopped, acquire
from dashboard.postgres.observe import Survey, survey
from dashboard.postgres.patience import bound
from dashboard.postgres.watch import Limit, Watch

ATTEMPTS = 6  # the first and five more
_IN_THE_WAY = ("55P03", "40P01", "40001")  # another session's doing: trying again is right
_FIRST_PAUSE = 0.25  # seconds; doubles with every attempt
_FIND_OUT = 60.0  # seconds to find out what became of a COMMIT
_FIND_OUT_STOPPED = 5.0  # ... where somebody waits for the run to end
_PATIENCE = 15.0  # seconds for one answer on the control connection, and for one row of the history
_GRACE = 2.0  # seconds a server process gets to end by itself before it is told to

_NO_SUCH_CHARACTER = "22P05"  # in the encoding of the database

_CANCELLED = "57014"
_ROLL_BACK = (Message("ROLLBACK", Part.RESET), SYNC)
# Why something did not happen must be written down even where the reason is a standby that confirms nothing.
_LOCALLY = Message("SET LOCAL synchronous_commit = local", Part.GUARD)
_ALIVE = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1::pg_catalog.int4)"
_END = "SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)"
_MADE_MEANWHILE = ("42P06", "42P07", "23505")  # schema, table or a row of the catalog is there already


class Verdict(StrEnum):
    """What became of one step."""

    APPLIED = "applied"
    TAKEN = "taken"  # another session recorded the file meanwhile; nothing of it was kept here
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finish:
    """How one step ended. `problem`: set unless it is applied or taken. `notes`: remarks for people."""

    verdict: Verdict
    problem: Problem | None = None
    notes: tuple[str, ...] = ()


def transaction(messages: Iterable[Message]) -> list[Leg]:
    """A transaction of our own around messages of our own; also where a file made the session read-only."""
    return [
        Message("BEGIN READ WRITE", Part.BEGIN),
        *frame.own_state(),
        *messages,
        Message("COMMIT", Part.COMMIT),
        SYNC,
    ]


def in_the_way(broken: Broken) -> bool:
    """Whether another session was the reason. Two writers of one history (see `history.append`) count as well."""
    return (
        broken.yielded
        or broken.sqlstate in _IN_THE_WAY
        or (broken.message.part is Part.HISTORY and broken.sqlstate == "23505")
    )


Landed = Callable[[Watch], None]


def nothing_more(watch: Watch) -> None:
    """Nothing is to be done when a file has landed."""


class Session:
    """Control: holds the lock, looks and cancels; in autocommit for its whole life. Work: executes files.

    Every method raises EnvironmentFault where the database does not let it work.

    Attributes
    ----------
    author: of the rows of the history.
    used: the work connection may carry what a file left behind.
    unbroken: False once the lock had to be taken anew: what was planned before may no longer be true.
    plain: True once the server refused a limit of ours that not every server lets us set.

    """

    def __init__(self, environment: Environment, author: Author, report: Reporter, stop: StopQuestion) -> None:
        self.environment, self.author, self.report, self.stop = environment, author, report, stop
        self.unbroken, self.used, self.plain = True, False, False
        self._control: Connection | None = None
        self._work: Connection | None = None
        self._ahead: Ahead | None = None
        self._work_pid, self._work_server = 0, datetime.min.replace(tzinfo=UTC)
        self._said_blind = False
        self._prepared = Prepared()
        self._survey: Survey | None = None
        self._held: Held | None = None
        self._pooled = False  # the protocol names server processes that are not there

    # --- connections ---

    def working(self) -> Connection:
        """The work connection, made where there is none."""
        if self._work is None or self._work.closed:
            self._work = self._arrived() or dial(self.environment, purpose="work", beside=self._control)
            self.used, self._prepared = False, Prepared()
            self._work_pid, self._work_server = self._pid_of(self._work), self.known.server_started
            if frame.is_blind(self._work.info.server_version) and not self._said_blind:
                self._said_blind = True
                self.report(Notice(None, frame.BLIND))
        return self._work

    def _arrived(self) -> Connection | None:
        """What is on its way already."""
        ahead, self._ahead = self._ahead, None
        return ahead.take() if ahead else None

    def _pid_of(self, work: Connection) -> int:
        if not self._pooled:
            return work.info.backend_pid
        return int(self.ask(work, Message(pooler.PID.decode(), Part.ASK)) or 0)

    def close_work(self) -> None:
        """The next file gets a new session."""
        if self._work is not None:
            self._work.close()
        if self._ahead is not None:
            self._ahead.leave()
        self._work, self._ahead, self.used = None, None, False

    def close(self) -> None:
        try:
            self.close_work()
        finally:  # the lock must not outlive the run
            if self._control is not None:
                self._control.close()

    @property
    def controlling(self) -> Connection:
        assert self._control is not None, "look first"  # noqa: S101  # a programmer's mistake
        return self._control

    @property
    def known(self) -> Survey:
        assert self._survey is not None, "look first"  # noqa: S101  # a programmer's mistake
        return self._survey

    @property
    def held(self) -> Held:
        assert self._held is not None, "lock first"  # noqa: S101  # a programmer's mistake
        return self._held

    # --- before the first file ---

    def look(self, *, lock: bool = False) -> Survey:
        """Ask the database what it has. Changes nothing.

        lock: take the runner's lock before that, where nobody has it; not behind a pooler. See `has_lock`.
        """
        fresh, known = self._control is None, self._survey
        if self._control is None:
            self._control = dial(self.environment, purpose="control")
            bound(self._control, _PATIENCE)
        complete = known is None or (known.picture.ledger_exists and known.history_exists)
        attempt = Attempt(self._control, self.environment.ledger_schema) if lock else None
        self._survey = survey(self._control, self.environment, fresh=fresh, complete=complete, attempt=attempt)
        if attempt is not None:
            self._held = attempt.held
        return self._survey

    @property
    def has_lock(self) -> bool:
        return self._held is not None

    def dial_work(self) -> None:
        """Begin to, where the lock is had, and wait for nothing."""
        if self.has_lock and self._work is None and self._ahead is None:
            self._ahead = Ahead(self.environment, purpose="work", beside=self.controlling)

    def lock(self, wait: float) -> Held | Busy | Stopped:
        """Take the runner's lock, waiting at most so many seconds. Look first."""
        try:
            got = acquire(self.controlling, self.environment.ledger_schema, wait, self.report, self.stop)
        except psycopg.Error as wrong:
            raise _lost(self.environment, "while it waited for the lock", str(wrong)) from wrong
        if isinstance(got, Held):
            self._held, self._pooled = got, got.pid != self.controlling.info.backend_pid
            self.dial_work()
        return got

    def prepare(self, *, again: bool = True) -> None:
        """Make ledger and history where they are missing. The lock has to be held.

        again: another ledger's first run in the same database may have made the history meanwhile.
        """
        ledger = () if self.known.picture.ledger_exists else self.known.ledger.creation()
        exists = self.known.history_schema_exists
        kept = () if self.known.history_exists else history.creation(schema_exists=exists)
        which = identity.to_remember(self.author, self.known)
        if not ledger and not kept and not which:
            return
        landing = self._fly(transaction([history.QUEUE, *ledger, *kept, *which]), self._watch(None))
        if landing.broken is not None:
            self.close_work()
            if again and landing.broken.sqlstate in _MADE_MEANWHILE:
                self.look()
                self.prepare(again=False)
                return
            raise _cannot_prepare(self.environment, self.known, landing.broken)
        if landing.lost is not None:
            raise _lost(self.environment, "while ledger and history were made", landing.lost.reason)

    # --- flying ---

    def fly(
        self,
        legs: Iterable[Leg],
        *migrations: Migration,
        landed: Landed = nothing_more,
        prepare: bool = False,
        yields: bool = True,
    ) -> tuple[Landing, Watch]:
        """Fly with files' statements on board: each one done is reported, notices too, and somebody watches.

        landed: called when COMMIT is answered; what comes then belongs to the next of the files.
        prepare: what has a name is prepared, for the files that come after on this connection.
        yields: a statement is cancelled when too many wait behind it while it waits itself.
        """
        self.working()  # a new session has prepared nothing
        policies = self.environment.policies
        limit = Limit(policies.stuck_sessions, policies.stuck_seconds) if yields else None
        watch = self._watch(migrations[0].filename, limit)
        stopwatch = _Stopwatch(tuple(migration.filename for migration in migrations), watch, self.report, landed)
        landing = self._fly(legs, watch, stopwatch, self._prepared if prepare else None)
        broken = landing.broken
        if broken is not None and watch.made_room and watch.cancelled_by is None and broken.sqlstate == _CANCELLED:
            landing.broken = replace(broken, yielded=True)
        return landing, watch

    def _watch(self, filename: str | None, limit: Limit | None = None) -> Watch:
        beside = self.working()
        another = partial(connect, self.environment, purpose="watch", beside=beside)
        return Watch(beside, self._work_pid, self.controlling, another, self.stop, self.report, filename, limit)

    def _fly(
        self, legs: Iterable[Leg], watch: Watch, answered: Answered = nobody, prepared: Prepared | None = None
    ) -> Landing:
        work = self.working()
        work.add_notice_handler(watch.hear)
        try:
            landing = fly(work, legs, prepared=prepared, answered=answered, tick=watch)
        finally:
            work.remove_notice_handler(watch.hear)
            watch.close()
        self.used = True
        if watch.deaf:
            self._lose_control()
        return landing

    def _lose_control(self) -> None:
        """Nobody knows whether the lock is still ours: what runs now is the last file, see `unbroken`."""
        self.unbroken = False
        self.controlling.close()

    def refused(self, landing: Landing) -> bool:
        """Whether the server lets nobody set one of our limits. Said once; from then on it is left out."""
        broken = landing.broken
        if broken is None or landing.lost is not None or self.plain or not frame.is_refusal(broken):
            return False
        self.plain = True
        self.report(Notice(None, frame.PLAIN.format(said=broken.error.diag.message_primary or broken.error)))
        fly(self.working(), _ROLL_BACK, tick=_until(time.monotonic() + _PATIENCE))
        return True

    def ask(self, connection: Connection, message: Message, deadline: float | None = None) -> str | None:
        """The first field of the answer to one message. deadline: by `time.monotonic()`; soon, where it is left out."""
        landing = fly(connection, [message, SYNC], tick=_until(deadline or time.monotonic() + _PATIENCE))
        if landing.lost is not None:
            raise _lost(self.environment, "while it was asked", landing.lost.reason)
        if landing.broken is not None:
            said = landing.broken.error.diag.message_primary or str(landing.broken.error)
            raise Unusable(self.environment.name, f"it answered a question with an error: {said}", "Run again.")
        return landing.value(Part.ASK)

    # --- the history ---

    def rows(self, *entries: Entry) -> list[Message]:
        """What adds rows to the history."""
        return [history.append(self.author, entry) for entry in entries]

    def record(self, *entries: Entry) -> None:
        """Roll back whatever is open, then write to the history. Where that fails, it is reported and stops nothing."""
        failure: object = None
        try:
            landing = self.write(self.rows(*entries))
            if landing.broken and landing.broken.sqlstate == _NO_SUCH_CHARACTER:
                plain = [history.append(self.author, entry, plain=True) for entry in entries]
                landing = self.write(plain)
            failure = one_line(landing.broken.error) if landing.broken else landing.lost and landing.lost.reason
        except EnvironmentFault as fault:
            failure = fault
        if failure:
            self.report(Notice(None, f"the history could not be written: {failure}"))

    def write(self, rows: Sequence[Message]) -> Landing:
        """Add rows to the history, all or none of them, within a bound."""
        legs = [*_ROLL_BACK, *transaction([_LOCALLY, history.QUEUE, *rows])]
        landing = fly(self.working(), legs, tick=_until(time.monotonic() + _PATIENCE))
        self.used = True
        return landing

    # --- how a file ends ---

    def retry(self, migration: Migration, broken: Broken, watch: Watch, attempt: int) -> str | None:
        """Say why it did not go through, then wait, longer each time. Answers who wants to stop meanwhile."""
        pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret
        said = watch.why_made_room() if broken.yielded else broken.error.diag.message_primary or str(broken.error)
        message = "; ".join([said, *(f"blocked by {blocker}" for blocker in watch.blockers)])
        self.report(FileRetrying(migration.filename, attempt, ATTEMPTS, broken.sqlstate, message, pause))
        remark = f"attempt {attempt} of {ATTEMPTS} was rolled back, {broken.sqlstate}: {message}"
        self.record(Entry(Happening.NOTE, migration, remark=remark))
        deadline, who = time.monotonic() + pause, self.stop()
        while who is None and time.monotonic() < deadline:
            time.sleep(min(0.1, pause))
            who = self.stop()
        return who

    def taken(self, step: Step, broken: Broken) -> Finish | None:
        """Set where the ledger refused the row because another session has recorded the file."""
        if broken.sqlstate != "23505" and TAKEN not in str(broken.error):
            return None
        if not self.in_ledger(step):
            return None
        return Finish(
            Verdict.TAKEN,
            notes=(
                "it was recorded meanwhile, by another session or by a file before it; nothing of it was kept here",
            ),
        )

    def in_ledger(self, step: Step) -> bool:
        """Roll back whatever is open, then ask on the work connection."""
        fly(self.working(), _ROLL_BACK, tick=_until(time.monotonic() + _PATIENCE))
        return self._in_ledger(self.working(), step)

    def ended(
        self,
        step: Step,
        problem: Problem,
        *,
        started_at: str | None = None,
        cancelled_by: str | None = None,
        subject: str | None = None,
    ) -> Finish:
        """A file that failed or was cancelled: roll back, and put it into the history."""
        if cancelled_by is not None:
            advice = problem.advice.replace(f"{CANCELLED_THERE} ", "")  # it is known who did, and that it was meant
            message = f"{CANCELLED_BY}{cancelled_by}"
            problem = replace(problem, message=message, advice=advice, detail=problem.message, hint=None)
        entry = Entry(Happening.FAILED, step.migration, with_text=True, started_at=started_at, problem=problem)
        self.record(replace(entry, subject=subject))
        return Finish(Verdict.CANCELLED if cancelled_by else Verdict.FAILED, problem)

    def problem(
        self, step: Step, broken: Broken, watch: Watch, kept: str = NOTHING_KEPT, began: str | None = None
    ) -> Problem:
        """Why the server refused a message of a file's flight.

        kept: what of the file stays, as a sentence. began: when the row went into the ledger; None where it did not.
        """
        told = explain(self.environment.name, step.migration, broken.message.statement, broken.error, kept)
        if broken.yielded:
            advice = f"{kept} Try again at a quieter moment, or end the session that holds the table."
            told = replace(told, message=watch.why_made_room(), advice=advice, sqlstate=None)
        if broken.yielded or (watch.blockers and broken.sqlstate == "55P03"):
            told = replace(told, detail="\n".join(watch.in_the_way()))
        match broken.message.part:
            case Part.FRAME if frame.LOST_LOCK in str(broken.error):
                message = "the runner's lock was lost while the file ran"
                return replace(told, message=message, advice=f"{kept} Run again.", sqlstate=None)
            case Part.FRAME:
                return broken_frame(told, self.known.ledger.name, kept, began)
            case Part.HISTORY:
                return unwritable(told, "history", "rung.history", kept, self.known)
            case Part.LEDGER:
                return unwritable(told, "ledger", self.known.ledger.name, kept, self.known)
            case _:
                return told

    # --- when an answer was lost ---

    def find_out(self, step: Step, reason: str, notes: tuple[str, ...], cancelled_by: str | None) -> Finish:
        """The answer to COMMIT did not come: wait until the old server process is gone, then believe the ledger.

        COMMIT is never sent again.
        """
        filename, began = step.migration.filename, time.monotonic()
        self.report(OutcomeUnknown(filename, reason))
        self.close_work()
        there = self._settle(step, began + (_FIND_OUT_STOPPED if cancelled_by else _FIND_OUT))
        waited = f"the outcome was unknown for {time.monotonic() - began:.1f} s"
        if there is None:
            return Finish(Verdict.UNKNOWN, _still_unknown(self.environment.name, filename, reason))
        if there:
            return Finish(Verdict.APPLIED, notes=(*notes, f"{waited}; it is applied (checked)"))
        problem = Problem(
            environment=self.environment.name,
            message=f"the connection was lost ({reason}); {waited}; it is not applied (checked)",
            advice=f"Run again{', with the direct address of the database' if POOLER_ENDED_IT in reason else ''}.",
            filename=filename,
        )
        return self.ended(step, problem, cancelled_by=cancelled_by)

    def _settle(self, step: Step, deadline: float) -> bool | None:
        """Whether the ledger has the file; None where the database would not say until the deadline."""
        while time.monotonic() < deadline:
            try:
                control = self._hold_again(deadline)
                self._wait_for_end(control, deadline)
                return self._in_ledger(control, step, deadline)
            except (EnvironmentFault, GaveUp):
                time.sleep(0.2)  # the server may be restarting
        return None

    def _hold_again(self, deadline: float) -> Connection:
        """The control connection with the lock; both anew where they were lost too."""
        if self._control is not None and not self._control.closed:
            soon = min(deadline, time.monotonic() + _PATIENCE / 3)
            asked = Message(f"SELECT {self.held.condition()}", Part.ASK)
            if fly(self._control, [asked, SYNC], tick=_until(soon)).value(Part.ASK) == "t":
                return self._control
            self._control.close()
        self.unbroken, self._control = False, None
        self._look_at_the_same()
        # The server may not know yet that nobody is at the other end of the session that had it.
        self.ask(
            self.controlling,
            Message(f"{_END} WHERE {self.held.condition()}", Part.ASK, (str(self.held.pid),)),
            deadline,
        )
        if not isinstance(self.lock(max(0.0, deadline - time.monotonic())), Held):
            raise GaveUp
        return self.controlling

    def _look_at_the_same(self) -> None:
        """Look again, at the database that the run began on: a standby may lag, and another one knows nothing."""
        before = self.known
        known = self.look()
        if known.picture.unwritable or before.identity.differs(known.identity):
            self._survey = before
            self.controlling.close()
            raise GaveUp

    def _wait_for_end(self, control: Connection, deadline: float) -> None:
        """A process that lives on without us may still commit. After a moment of grace it is told to end.

        A server that was started since has none of them left, and may have given their numbers to somebody else's.
        """
        if self.known.server_started != self._work_server:
            return
        pid, told_at = (str(self._work_pid),), time.monotonic() + _GRACE
        while self.ask(control, Message(_ALIVE, Part.ASK, pid), deadline) == "t":
            if time.monotonic() >= deadline:
                raise GaveUp
            if time.monotonic() >= told_at:
                self.ask(control, Message(_END, Part.ASK, pid), deadline)
            time.sleep(0.1)

    def _in_ledger(self, connection: Connection, step: Step, deadline: float | None = None) -> bool:
        return self.ask(connection, self.known.ledger.has(step.migration.filename), deadline) == "t"


class _Stopwatch:
    """Reports every statement that the server has finished, with the time since the statement before."""

    def __init__(self, filenames: tuple[str, ...], watch: Watch, report: Reporter, landed: Landed) -> None:
        self._filenames, self._place = filenames, 0
        self._watch, self._report, self._landed, self._since = watch, report, landed, time.monotonic()

    def __call__(self, message: Message, result: PGresult) -> None:
        if message.statement is not None:
            now = time.monotonic()
            seconds, self._since = now - self._since, now
            filename = self._filenames[self._place]
            self._report(StatementDone(filename, message.statement.index, seconds, result.command_tuples))
        if message.part is Part.COMMIT:
            self._landed(self._watch)
            if self._place + 1 < len(self._filenames):
                self._place += 1
                self._watch.turn_to(self._filenames[self._place])


def _until(deadline: float) -> Tick:
    def tick(_heard: bool) -> None:  # noqa: FBT001  # a tick
        if time.monotonic() >= deadline:
            raise GaveUp("no answer in time")  # noqa: TRY003  # a signal to the flight

    return tick


def _lost(environment: Environment, when: str, reason: str) -> ConnectionLost:
    return ConnectionLost(environment.name, when, reason.strip().partition("\n")[0] or "no reason given")


def _still_unknown(environment: str, filename: str, reason: str) -> Problem:
    return Problem(
        environment=environment,
        message=f"the connection was lost ({reason}), and the database could not be asked since whether it is applied",
        advice="Run again when the database answers: the ledger is read first, and decides whether the file runs.",
        filename=filename,
    )


def _cannot_prepare(environment: Environment, known: Survey, broken: Broken) -> Unusable:
    said = broken.error.diag.message_primary or str(broken.error)
    if broken.sqlstate == "42501":
        where = "DATABASE" if "CREATE SCHEMA" in broken.message.sql else "SCHEMA"
        name = known.database if where == "DATABASE" else environment.ledger_schema
        advice = f'As the owner: GRANT CREATE ON {where} "{name}" TO {known.user};'
    else:
        advice = "Nothing was changed. Look at what is in the way, and run again."
    return Unusable(environment.name, f"its ledger and history cannot be made: {said}", advice)
