"""The runner: executes the steps of a plan, one file after the other."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from dashboard.core.environment import Environment
from dashboard.core.events import FileApplied, FileFailed, FileStarted, Notice, Reporter
from dashboard.core.migration import Migration
from dashboard.core.plan import Action, Step
from dashboard.core.record import Happening
from dashboard.core.run import StopQuestion
from dashboard.core.script import Script
from dashboard.postgres import frame, history
from dashboard.postgres.flight import SYNC, Landing, Leg, Message, Part
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.lock import Busy, Held, Stopped
from dashboard.postgres.observe import Survey
from dashboard.postgres.piecemeal import Piecemeal
from dashboard.postgres.session import ATTEMPTS, Finish, Session, Verdict, in_the_way
from dashboard.postgres.watch import Watch

# What only a new session sees, or what no session gets rid of.
_NEEDS_NEW_SESSION = ("ALTER DATABASE", "ALTER ROLE", "ALTER SYSTEM", "LOAD", "PREPARE", "DEALLOCATE", "DISCARD")
_PREPARED_WRONGLY = ("26000", "42P05")  # a name that is not there, or is there already


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

    def look(self) -> Survey:
        """Ask the database what it has. Changes nothing, and takes no lock."""
        return self._session.look()

    def lock(self, wait: float) -> Held | Busy | Stopped:
        """Take the runner's lock, waiting at most so many seconds. Look first."""
        return self._session.lock(wait)

    def prepare(self) -> None:
        """Make ledger and history where they are missing. The lock has to be held."""
        self._session.prepare()

    def remember(self, remark: str, migration: Migration | None = None) -> None:
        """Add a note to the history. That it could not be written is reported, and stops nothing."""
        self._session.record(Entry(Happening.NOTE, migration, remark=remark))

    def execute(self, step: Step, index: int, total: int) -> Finish:
        """Run or record one file, and report it. `index`: 1-based among the `total` files of the run."""
        script = step.script or Script(step.migration.filename, ())
        self._report(
            FileStarted(
                filename=script.filename,
                index=index,
                total=total,
                transactional=script.transactional,
                first_lines=tuple(statement.first_line for statement in script.statements),
                resume_after=step.resume_after,
            )
        )
        began = time.monotonic()
        if script.transactional:
            finish = _Whole(self._session, step, script).run()
        else:
            finish = Piecemeal(self._session, step, script).run()
        self._report_finish(step, finish, time.monotonic() - began)
        if any(statement.kind.startswith(_NEEDS_NEW_SESSION) for statement in script.statements):
            self._session.close_work()
        return finish

    def _report_finish(self, step: Step, finish: Finish, seconds: float) -> None:
        filename, notes = step.migration.filename, "; ".join(finish.notes)
        match finish.verdict:
            case Verdict.APPLIED:
                self._report(FileApplied(filename, seconds, step.action is Action.ADOPT, notes or None))
            case Verdict.TAKEN:
                self._report(Notice(filename, notes))
            case Verdict.FAILED | Verdict.CANCELLED if finish.problem:
                self._report(FileFailed(filename, finish.problem))
            case _:
                pass  # that the outcome is unknown was reported when it became so


class _Whole:
    """A file in one transaction, together with its row in the ledger and its row in the history."""

    def __init__(self, session: Session, step: Step, script: Script) -> None:
        self._session, self._step, self._script = session, step, script
        self._notes = script.notes
        if step.renamed_from is not None:
            self._notes = (f"renamed from {step.renamed_from}; recorded, not run",)

    def run(self) -> Finish:
        for attempt in range(1, ATTEMPTS):
            landing, watch = self._fly()
            finish = self._finished(landing, watch)
            if finish is not None:
                return finish
            who = self._tell(landing, watch, attempt)
            if who is not None:
                return self._failed(landing, watch, attempt, who)
        landing, watch = self._fly()
        return self._finished(landing, watch) or self._failed(landing, watch, ATTEMPTS)

    def _fly(self) -> tuple[Landing, Watch]:
        """Once more, in a new session, where the one before had prepared statements that nobody expected."""
        session, migration, carried = self._session, self._step.migration, self._session.used
        landing, watch = session.fly(self._flight(), migration, prepare=True)
        if session.refused(landing):
            landing, watch = session.fly(self._flight(), migration, prepare=True)
        if carried and landing.lost is None and landing.broken and landing.broken.sqlstate in _PREPARED_WRONGLY:
            session.close_work()
            landing, watch = session.fly(self._flight(), migration, prepare=True)
        return landing, watch

    def _flight(self) -> Iterator[Leg]:
        """The whole life of a file. The ledger's row comes first: its unique key is the fence."""
        session, migration, statements = self._session, self._step.migration, self._script.statements
        work, ledger = session.working(), session.known.ledger
        if session.used:
            yield from frame.clean()
        yield Message(self._script.begin, Part.BEGIN)
        yield frame.limits(work.info.server_version, local=True, plain=session.plain)
        yield from ledger.insert(migration.filename)
        for statement in statements:
            yield Message(statement.text, Part.STATEMENT, statement=statement, live=True)
        if statements:
            yield Message("SET CONSTRAINTS ALL IMMEDIATE", Part.CONSTRAINTS)
        yield from frame.own_state()
        yield frame.check(session.held, ledger, migration.filename)
        yield history.append(session.author, self._entry())
        yield from (Message("COMMIT", Part.COMMIT), SYNC)

    def _entry(self) -> Entry:
        adopted = self._step.action is Action.ADOPT
        return Entry(
            Happening.ADOPTED if adopted else Happening.APPLIED,
            self._step.migration,
            with_text=True,
            remark="; ".join(self._notes) or None,
            renamed_from=self._step.renamed_from,
        )

    def _finished(self, landing: Landing, watch: Watch) -> Finish | None:
        """How it ended; None where another attempt is right."""
        broken, lost = landing.broken, landing.lost
        applied = Finish(Verdict.APPLIED, notes=(*self._notes, *watch.remarks))
        if broken is None and lost is None:
            return applied
        if lost is not None and (broken is None or broken.message.part is Part.COMMIT):
            return self._session.find_out(self._step, lost.reason, self._notes, watch.cancelled_by)
        assert broken is not None  # noqa: S101  # for the type checker: one of the two is set
        if broken.message.part is Part.COMMIT and self._session.in_ledger(self._step):
            return applied
        if broken.message.part is Part.LEDGER and lost is None:
            taken = self._session.taken(self._step, broken)
            if taken is not None:
                return taken
        if lost is None and watch.cancelled_by is None and in_the_way(broken):
            return None
        return self._failed(landing, watch, 1)

    def _tell(self, landing: Landing, watch: Watch, attempt: int) -> str | None:
        assert landing.broken is not None  # noqa: S101  # for the type checker: the caller looked
        who = self._session.retry(self._step.migration, landing.broken, watch, attempt)
        self._notes = (*self._script.notes, f"it took {attempt + 1} attempts: others were in the way")
        return who

    def _failed(self, landing: Landing, watch: Watch, attempts: int, cancelled_by: str | None = None) -> Finish:
        assert landing.broken is not None  # noqa: S101  # for the type checker: the caller looked
        problem = self._session.problem(self._step, landing.broken, watch, began=landing.value(Part.LEDGER))
        if attempts > 1:
            problem = replace(problem, advice=f"Tried {attempts} times. {problem.advice}")
        if landing.broken.message.part is Part.FRAME and landing.lost is None and self._session.in_ledger(self._step):
            problem = replace(
                problem, advice=f"{problem.advice} The ledger has the file, because it committed that too."
            )
        return self._session.ended(
            self._step,
            problem,
            started_at=landing.value(Part.LEDGER),
            cancelled_by=cancelled_by or watch.cancelled_by,
        )
