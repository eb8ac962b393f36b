"""Apply: bring one environment up to date. Button, command and deploy step all call this."""

import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from dashboard import __version__
from dashboard.core.environment import Environment
from dashboard.core.errors import EnvironmentFault
from dashboard.core.events import Ended, Event, FileApplied, Notice, Planned, Reporter, silence
from dashboard.core.migration import Folder, Migration
from dashboard.core.picture import Picture
from dashboard.core.plan import Plan, Step, make_plan
from dashboard.core.resolving import advice_of, case_of_step, sentence_of
from dashboard.core.run import LockHolder, Order, Outcome, Problem, Result, StopQuestion, nobody_stops
from dashboard.core.safety.finding import Reviewed
from dashboard.core.usable import unwritable
from dashboard.core.words import count
from dashboard.postgres.history import Author
from dashboard.postgres.lock import Busy, Stopped
from dashboard.postgres.observe import Survey
from dashboard.postgres.runner import Runner
from dashboard.postgres.session import Finish, Verdict

_OUTCOMES = {
    Verdict.FAILED: Outcome.FAILED,
    Verdict.CANCELLED: Outcome.CANCELLED,
    Verdict.UNKNOWN: Outcome.UNKNOWN,
}


def apply(
    environment: Environment,
    read: Callable[[], Folder],
    order: Order,
    report: Reporter = silence,
    stop: StopQuestion = nobody_stops,
    run_id: str | None = None,
) -> Result:
    """Run what is pending.

    `read` is called once: the bytes that were planned are the bytes that run. `report` is called from this thread, in
    order, `Ended` last; what it raises is noted and changes nothing. `stop` is asked between files and about twice a
    second while a statement runs.

    What a database or a file does is in the result, see `Outcome`. Raises ConfigurationError and FolderError, before
    anything was asked of any database.
    """
    run = _Run(environment, order, report, stop, run_id or str(uuid.uuid4()))
    ending = run.ending(read)
    result = Result(
        run_id=run.run_id,
        environment=environment.name,
        outcome=ending.outcome,
        applied=tuple(run.applied),
        notes=tuple(run.notes),
        problem=ending.problem,
        holder=ending.holder,
        plan=run.plan,
        seconds=time.monotonic() - run.began,
    )
    run.tell(Ended(result.outcome.value, result.applied, result.problem, result.seconds))
    return result


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: Outcome
    problem: Problem | None = None
    holder: LockHolder | None = None


@dataclass
class _Run:
    """What one run knows so far."""

    environment: Environment
    order: Order
    report: Reporter
    stop: StopQuestion
    run_id: str
    applied: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plan: Plan | None = None
    began: float = field(default_factory=time.monotonic)
    _reviewed: dict[tuple[Migration, ...], tuple[Reviewed, ...]] = field(default_factory=dict)

    def ending(self, read: Callable[[], Folder]) -> _Ending:
        if self.order.force and not (self.order.reason or "").strip():
            return self._refuse("forcing needs a reason, and none was given", 'Say why: --force --reason "…".')
        folder = read()
        try:
            with Runner(self.environment, self._author(), self.tell, self.asked_to_stop) as runner:
                return self._run(runner, folder)
        except EnvironmentFault as fault:
            return _Ending(Outcome.UNREACHABLE, self._problem(str(fault), fault.advice))

    def _run(self, runner: Runner, folder: Folder) -> _Ending:
        ending = self._plan(runner, runner.look(lock=True), folder)
        if ending is None and not runner.has_lock:
            ending = self._wait(runner) or self._plan(runner, runner.look(), folder)  # what was seen before may be old
        return ending or self._execute(runner)

    def _wait(self, runner: Runner) -> _Ending | None:
        """Wait for the lock, and say why it was not had."""
        got = runner.lock(self.order.lock_wait)
        if isinstance(got, Busy):
            return self._busy(got)
        if isinstance(got, Stopped):
            return _Ending(Outcome.CANCELLED, self._problem(f"cancelled by {got.who} before it began", "Run again."))
        return None

    def _plan(self, runner: Runner, survey: Survey, folder: Folder) -> _Ending | None:
        """Plan, and say why nothing runs; None where something does."""
        refusal = self._unwritable(survey.picture, pending=False)
        if refusal is not None:
            return refusal
        plan = self.plan = make_plan(self.environment, folder, survey.picture, partial(self._review, runner))
        refusal = self._unwritable(survey.picture, pending=bool(plan.steps))
        if refusal is not None:
            return refusal
        if plan.stops:
            return self._refuse("\n".join(plan.stops), "Nothing runs until this is put right.")
        if not plan.steps:
            return _Ending(Outcome.NOTHING)
        if self.order.expected_digest not in (None, plan.digest):
            return _Ending(
                Outcome.CHANGED, self._problem("the plan is not the one that was shown", "Look at it again.")
            )
        if not self._runnable(plan):
            return self._obstacle(plan)
        return None

    def _execute(self, runner: Runner) -> _Ending:
        plan = self.plan
        assert plan is not None  # noqa: S101  # for the type checker: planned by the caller
        steps = self._runnable(plan)
        self.tell(Planned(tuple(step.migration.filename for step in steps), plan.digest))
        for notice in plan.notices:
            self.note(None, notice)
        runner.prepare()
        done = 0
        while done < len(steps):
            ending = self._between(runner, steps[done:])
            if ending is not None:
                return ending
            finishes = runner.execute(steps, done)
            ending = self._after(steps[done:], finishes)
            if ending is not None:
                return ending
            done += len(finishes)
        if plan.first_obstacle(force=self.order.force) is not None:
            return self._obstacle(plan)
        return _Ending(Outcome.APPLIED)

    def _between(self, runner: Runner, left: Sequence[Step]) -> _Ending | None:
        """Whether to go on with the files that are left."""
        migration = left[0].migration
        who = self.asked_to_stop()
        if who is not None:
            runner.remember(f"cancelled by {who} before this file", migration)
            problem = self._problem(f"cancelled by {who} before {migration.filename}", "Run again.", migration)
            return _Ending(Outcome.CANCELLED, problem)
        if not runner.unbroken:
            message = f"the connection was lost for a while; {count(len(left), 'file')} did not run"
            return _Ending(Outcome.FAILED, self._problem(message, "Run again: it reads the ledger first."))
        return None

    def _after(self, steps: Sequence[Step], finishes: Sequence[Finish]) -> _Ending | None:
        """Take down how the first of the steps ended; set where nothing may run behind them."""
        for step, finish in zip(steps, finishes, strict=False):
            self.notes += [f"{step.migration.filename}: {note}" for note in finish.notes]
        last = finishes[-1]
        return _Ending(_OUTCOMES[last.verdict], last.problem) if last.verdict in _OUTCOMES else None

    def _review(self, runner: Runner, batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        """The plan is made twice where the lock is waited for, mostly of the same files."""
        from dashboard.core.safety.review import review  # the parser behind it takes long to import

        runner.get_ready()
        files = tuple(batch)
        if files not in self._reviewed:
            self._reviewed[files] = review(files)
        return self._reviewed[files]

    # --- why not ---

    def _runnable(self, plan: Plan) -> tuple[Step, ...]:
        return plan.runnable(force=self.order.force, until_blocked=self.order.until_blocked)

    def _unwritable(self, picture: Picture, *, pending: bool) -> _Ending | None:
        why = unwritable(picture, pending=pending)
        if why is None:
            return None
        message = f"{self.environment.name} cannot take migrations: {why.reason}"
        return _Ending(Outcome.UNREACHABLE, self._problem(message, why.advice))

    def _obstacle(self, plan: Plan) -> _Ending:
        """The sentence for the step before which this run stops."""
        step = plan.first_obstacle(force=self.order.force)
        assert step is not None  # noqa: S101  # for the type checker: the caller looked
        return _Ending(Outcome.REFUSED, _problem_of(self.environment.name, step))

    def _busy(self, busy: Busy) -> _Ending:
        return _Ending(Outcome.BUSY, busy_problem(self.environment.name, busy), busy.holder)

    def _refuse(self, message: str, advice: str) -> _Ending:
        return _Ending(Outcome.REFUSED, self._problem(message, advice))

    def _problem(self, message: str, advice: str, migration: Migration | None = None) -> Problem:
        return Problem(self.environment.name, message, advice, migration.filename if migration else None)

    # --- people ---

    def _author(self) -> Author:
        return Author(
            run_id=self.run_id,
            environment=self.environment.name,
            actor=self.order.actor,
            host=socket.gethostname(),
            tool_version=__version__,
            reason=self.order.reason if self.order.force else None,
        )

    def note(self, filename: str | None, message: str) -> None:
        self.notes.append(message)
        self.tell(Notice(filename, message))

    def tell(self, event: Event) -> None:
        """Report. Whoever listens must not be able to undo or stop what is being done to the database."""
        if isinstance(event, FileApplied):
            self.applied.append(event.filename)
        try:
            self.report(event)
        except Exception as wrong:  # noqa: BLE001  # whatever a reporter raises
            said = f"progress could not be reported: {type(wrong).__name__}"
            if said not in self.notes:
                self.notes.append(said)

    def asked_to_stop(self) -> str | None:
        """Who asked. An answer that cannot be had counts as nobody."""
        try:
            return self.stop()
        except Exception:  # noqa: BLE001  # whatever the question raises
            return None


def busy_problem(environment: str, busy: Busy) -> Problem:
    """Who holds the lock, and what to do about it."""
    holder = busy.holder
    who = "another session"
    if holder is not None:
        since = f", connected since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder.since else ""
        who = f"pid {holder.pid} ({holder.application} on {holder.host}{since})"
    message = f"{who} holds the lock of {environment}, and the wait of {busy.seconds:.0f} s ran out"
    return Problem(environment, message, "Wait for it to end, or raise --lock-wait.")


_WOULD_FAIL = "It would fail, and --force does not change that. Change the file:"
_ON_PURPOSE = 'Run it on purpose (--force --reason "…"; in the browser: Apply past the gate)'


def _problem_of(environment: str, step: Step) -> Problem:
    """Why a step cannot run, and the ways on."""
    migration = step.migration
    if step.refusal is not None:
        refusal = step.refusal
        return Problem(
            environment=environment,
            message=refusal.message,
            advice=refusal.advice,
            filename=migration.filename,
            line=refusal.line,
            column=refusal.column,
            excerpt=refusal.excerpt,
        )
    if step.undecided:
        return _problem_of_unfinished(environment, step)
    why = step.failing or step.gated
    first = why[0]
    more = f" ({len(why) - 1} more like it in this file)" if len(why) > 1 else ""
    advice = f"{_WOULD_FAIL} {first.safer}" if step.failing else f"{_ON_PURPOSE}, or change the file: {first.safer}"
    return Problem(
        environment=environment,
        message=f"{first.what}{more}",
        advice=advice,
        filename=migration.filename,
        line=first.line,
        excerpt=first.statement,
    )


def _problem_of_unfinished(environment: str, step: Step) -> Problem:
    file = step.unfinished
    assert file is not None  # noqa: S101  # for the type checker: the caller looked
    case = case_of_step(environment, step)
    said = sentence_of(case)
    message, advice = f"{said[0].lower()}{said[1:]}", advice_of(case)
    statements = step.script.statements if step.script else ()
    at = next((one for one in statements if one.index == file.interrupted), None)
    return Problem(
        environment=environment,
        message=message,
        advice=advice,
        filename=step.migration.filename,
        statement=file.interrupted,
        line=at.line if at else None,
        excerpt=at.in_brief if at else "",
    )
