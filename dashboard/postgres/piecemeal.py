"""A file that cannot run in one transaction: statement by statement, each remembered before and after."""

import json
from collections.abc import Iterator
from dataclasses import replace

from psycopg import sql

from dashboard.core.errors import EnvironmentFault
from dashboard.core.events import Notice
from dashboard.core.evidence import (
    Subject,
    Traces,
    deed_of,
    is_concurrent,
    is_setting,
    is_wide,
    leaves_indexes,
    subject_of,
    traces_of,
)
from dashboard.core.plan import Step
from dashboard.core.record import Happening
from dashboard.core.resolving import after_failure
from dashboard.core.run import Problem
from dashboard.core.script import Script, Statement
from dashboard.postgres import frame, traces
from dashboard.postgres.connect import Connection
from dashboard.postgres.flight import SYNC, Landing, Leg, Message, Part
from dashboard.postgres.history import Entry
from dashboard.postgres.session import ATTEMPTS, Finish, Session, Verdict, in_the_way, transaction
from dashboard.postgres.watch import Watch

_TRACES = "SELECT " + traces.SEEN.format(subject="$1::text", deed="$2::text", before="$3::text")

_IS_VALID = """
SELECT i.indisvalid FROM pg_catalog.pg_index AS i
 WHERE i.indexrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)"""

# A file may set its own lock_timeout; it waits in a setting of ours while a concurrent statement runs without one.
_KEEP = "SELECT pg_catalog.set_config('rung.lock_timeout', pg_catalog.current_setting('lock_timeout'), false)"
_PUT_BACK = "SELECT pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('rung.lock_timeout'), false)"


class Piecemeal:
    """One run of one such file, on a session of its own."""

    def __init__(self, session: Session, step: Step, script: Script) -> None:
        self._session, self._step, self._script = session, step, script
        self._owed: tuple[Entry, ...] = ()  # written together with what comes next
        self._held: tuple[str, ...] = ()  # the locks that were seen, statement after statement
        self._began: str | None = None  # when the first statement did, by the database's clock
        self._begun: str | None = None  # when the newest statement did
        self._subject: str | None = None  # what a concurrent statement is about, schema-qualified
        self._before: str | None = None  # oids of the indexes that were there before it
        self._set_up: Connection | None = None  # the session that has the limits, and what the file has set

    def run(self) -> Finish:
        self._session.close_work()
        try:
            done = self._step.resume_after
            dropped = drop_leftovers(self._session, self._step)
            return dropped or self._prepare(done) or self._statements() or self._close()
        except EnvironmentFault:
            if self._owed:
                self._session.record(*self._owed)
            raise
        finally:
            self._session.close_work()

    def conclude(self, decided: Entry, began: str) -> Finish:
        """Record the file as applied, because somebody decided that its last statement is done. began: as epoch."""
        self._owed, self._began = (decided,), began
        try:
            return self._close()
        finally:
            self._session.close_work()

    def _prepare(self, done: int) -> Finish | None:
        """Limits for the session, and again what the first so many statements had set up in it."""
        work = self._session.working()
        settings = [one for one in self._script.statements[:done] if is_setting(one)]
        plain = self._session.plain
        legs: list[Leg] = [frame.limits(work.info.server_version, local=False, plain=plain), SYNC]
        for statement in settings:
            legs += (Message(statement.text, Part.STATEMENT), SYNC)
        landing, watch = self._session.fly(legs, self._step.migration)
        if self._session.refused(landing):
            return self._prepare(done)
        self._set_up = work
        return self._unprepared(landing, watch, done)

    def _prepared(self, statement: Statement) -> Finish | None:
        """The session may have been lost since: what the file had set would not hold for this statement."""
        return None if self._session.working() is self._set_up else self._prepare(statement.index - 1)

    def _statements(self) -> Finish | None:
        for statement in self._script.statements[self._step.resume_after :]:
            finish = self._prepared(statement) or self._begin(statement) or self._run(statement)
            if finish is not None:
                return finish
            done = replace(self._entry(Happening.STATEMENT_DONE, statement), started_at=self._begun)
            self._owed = (done, *self._owed)
            who = self._session.stop()
            if who is not None and statement is not self._script.statements[-1]:
                return self._cancelled(who, statement)
        return None

    def _begin(self, statement: Statement) -> Finish | None:
        """Remember that it begins, and that the one before has ended; in one transaction."""
        self._subject, self._before = self._found(subject_of(statement))
        entries = (*self._owed, replace(self._entry(Happening.STARTED, statement), with_text=not self._owed))
        messages = [frame.check(self._session.held), *self._session.rows(*entries)]
        landing, watch = self._session.fly(transaction(messages), self._step.migration)
        self._begun = landing.value(Part.HISTORY, 1)
        self._began = self._began or self._begun
        unbegun = self._unbegun(landing, watch, statement)
        self._owed = ()
        return unbegun

    def _found(self, subject: Subject | None) -> tuple[str | None, str | None]:
        """What the statement is about, schema-qualified, and the oids of the indexes that are there already."""
        if subject is None or not (subject.parts or is_wide(subject.deed)):
            return None, None
        question = Message(traces.INVALID_BEFORE, Part.ASK)
        if subject.parts:
            name = sql.Identifier(*subject.parts).as_string()
            question = Message(traces.FOUND, Part.ASK, (name, subject.index))
        answer = self._session.ask(self._session.working(), question)
        if answer is None:
            return None, None  # the statement will say so itself
        name, before = json.loads(answer)
        return name, before or ""

    def _run(self, statement: Statement) -> Finish | None:
        for attempt in range(1, ATTEMPTS + 1):
            yields = not is_concurrent(statement)  # cut short, it would leave something behind
            landing, watch = self._session.fly(self._flight(statement), self._step.migration, yields=yields)
            broken = landing.broken
            again = broken is not None and landing.lost is None and in_the_way(broken) and attempt < ATTEMPTS
            if broken is None or not again or is_concurrent(statement) or watch.cancelled_by is not None:
                break
            who = self._session.retry(self._step.migration, broken, watch, attempt)
            if who is not None:
                return self._session.ended(self._step, self._problem(landing, watch, statement), cancelled_by=who)
            unprepared = self._prepared(statement)
            if unprepared is not None:
                return unprepared
        held = watch.held()
        self._held += held
        self._owed = tuple(self._noted(remark, statement) for remark in held)
        return self._stopped(landing, watch, statement) or self._check(statement)

    def _noted(self, remark: str, statement: Statement) -> Entry:
        return Entry(Happening.NOTE, self._step.migration, statement=statement.index, remark=remark)

    def _flight(self, statement: Statement) -> Iterator[Leg]:
        """Alone between two syncs: nothing else may be in its implicit transaction."""
        unlimited = is_concurrent(statement)
        if unlimited:
            yield from (Message(_KEEP, Part.GUARD), Message("SET lock_timeout = 0", Part.GUARD), SYNC)
        yield from (Message(statement.text, Part.STATEMENT, statement=statement), SYNC)
        if unlimited:
            yield from (Message(_PUT_BACK, Part.GUARD), SYNC)

    def _check(self, statement: Statement) -> Finish | None:
        """A concurrent index that ended INVALID is not there, whatever the server's answer was."""
        if not self._leaves_indexes(statement):
            return None
        found = self._traces(statement)
        if found is None:
            return self._unchecked(statement)
        if not found.invalid:
            return None
        left = found.invalid[0]
        why = "IF NOT EXISTS took it for finished" if statement.kind.startswith("CREATE") else "the server left it so"
        problem = Problem(
            environment=self._session.environment.name,
            message=f"index {left} is INVALID, and {why}",
            advice=self._kept(statement, found),
            filename=self._step.migration.filename,
            statement=statement.index,
            line=statement.line,
            column=statement.column,
            excerpt=statement.in_brief,
        )
        return self._session.ended(self._step, problem, subject=left)

    def _close(self) -> Finish:
        """The last statement's end, the ledger's row and the file's end, in one transaction."""
        session, step = self._session, self._step
        remark = "; ".join(self._script.notes) or None
        applied = replace(self._entry(Happening.APPLIED), with_text=True, remark=remark, started_at=self._began)
        messages = [
            *session.known.ledger.insert(step.migration.filename),
            frame.check(session.held, session.known.ledger, step.migration.filename),
            *session.rows(*self._owed, applied),
        ]
        landing, watch = session.fly(transaction(messages), step.migration)
        finish = self._closed(landing, watch)
        if finish.verdict in (Verdict.FAILED, Verdict.CANCELLED):
            session.record(*self._owed)
        return finish

    def _closed(self, landing: Landing, watch: Watch) -> Finish:
        session, step, broken, lost = self._session, self._step, landing.broken, landing.lost
        if lost is not None and (broken is None or broken.message.part is Part.COMMIT):
            return session.find_out(step, lost.reason, self._script.notes, watch.cancelled_by)
        if broken is None or (broken.message.part is Part.COMMIT and session.in_ledger(step)):
            return Finish(Verdict.APPLIED, notes=(*self._script.notes, *self._held, *watch.remarks))
        taken = session.taken(step, broken) if broken.message.part is Part.LEDGER and lost is None else None
        if taken is not None:
            session.record(*self._owed)
            there = "its row was in the ledger before its end, by another session or by itself; its statements are done"
            return replace(taken, notes=(there,))
        return session.ended(step, self._problem(landing, watch, None), cancelled_by=watch.cancelled_by)

    # --- when it does not go through ---

    def _unprepared(self, landing: Landing, watch: Watch, done: int) -> Finish | None:
        """None where all of the flight was accepted."""
        if landing.broken is None and landing.lost is None:
            return None
        if self._owed:
            self._session.record(*self._owed)
        upcoming = next(iter(self._script.statements[done:]), None)
        if landing.broken is None:
            where = f"before statement {upcoming.index} began" if upcoming else "before its end was recorded"
            problem = self._problem_of_lost(landing, where, None)
        else:
            problem = self._problem(landing, watch, upcoming)
        return self._session.ended(self._step, problem, cancelled_by=watch.cancelled_by)

    def _unchecked(self, statement: Statement) -> Finish:
        """As `_lost_while`: what has no end in the history is looked at before anything else runs."""
        message = f"the connection was lost before anybody could see whether statement {statement.index} left its "
        problem = Problem(
            environment=self._session.environment.name,
            message=f"{message}index INVALID",
            advice="Run again: it is looked at then.",
            filename=self._step.migration.filename,
            statement=statement.index,
            line=statement.line,
            excerpt=statement.in_brief,
        )
        self._session.record(Entry(Happening.NOTE, self._step.migration, remark=problem.message))
        return Finish(Verdict.FAILED, problem)

    def _stopped(self, landing: Landing, watch: Watch, statement: Statement) -> Finish | None:
        """None where all of the flight was accepted."""
        if landing.broken is None and landing.lost is None:
            return None
        if landing.broken is None:
            return self._lost_while(landing, statement)
        if self._owed:
            self._session.record(*self._owed)
        left = self._traces(statement) if landing.broken.message.statement is statement else None
        problem = self._problem(landing, watch, statement, left)
        subject = left.left[0] if left and left.left else None
        return self._session.ended(
            self._step, problem, started_at=self._begun, cancelled_by=watch.cancelled_by, subject=subject
        )

    def _unbegun(self, landing: Landing, watch: Watch, statement: Statement) -> Finish | None:
        """As `_stopped`, for what comes before a statement: it did not run, and the one before it did."""
        if landing.broken is None and landing.lost is None:
            return None
        self._session.record(*self._owed)
        if landing.broken is not None:
            problem = self._problem(landing, watch, statement)
        else:
            problem = self._problem_of_lost(landing, f"before statement {statement.index} began", statement)
        return self._session.ended(
            self._step, replace(problem, statement=statement.index), cancelled_by=watch.cancelled_by
        )

    def _lost_while(self, landing: Landing, statement: Statement) -> Finish:
        """Nobody knows whether the statement ended, and Rung does not run it again by itself."""
        problem = self._problem_of_lost(landing, f"while statement {statement.index} ran", statement)
        self._session.record(Entry(Happening.NOTE, self._step.migration, remark=problem.message))
        return Finish(Verdict.FAILED, problem)

    def _problem_of_lost(self, landing: Landing, where: str, statement: Statement | None) -> Problem:
        assert landing.lost is not None  # noqa: S101  # for the type checker: the caller looked
        return Problem(
            environment=self._session.environment.name,
            message=f"the connection was lost {where}: {landing.lost.reason}",
            advice="The server may go on with what it was told last. Look at the database, then run again.",
            filename=self._step.migration.filename,
            statement=statement.index if statement else None,
            line=statement.line if statement else None,
            excerpt=statement.in_brief if statement else "",
        )

    def _cancelled(self, who: str, statement: Statement) -> Finish:
        self._session.record(*self._owed)
        problem = Problem(
            environment=self._session.environment.name,
            message=f"stopped after statement {statement.index}",
            advice="Run again: it goes on with the next statement.",
            filename=self._step.migration.filename,
        )
        return self._session.ended(self._step, problem, cancelled_by=who)

    def _problem(
        self, landing: Landing, watch: Watch, statement: Statement | None, left: Traces | None = None
    ) -> Problem:
        assert landing.broken is not None  # noqa: S101  # for the type checker: the caller looked
        kept, began = self._kept(statement, left), landing.value(Part.LEDGER)
        return self._session.problem(self._step, landing.broken, watch, kept, began)

    def _kept(self, statement: Statement | None, left: Traces | None) -> str:
        """What of the file stays, and what has to go."""
        done = (statement.index if statement else len(self._script.statements) + 1) - 1
        first = "first statement is done and stays" if done == 1 else f"first {done} statements are done and stay"
        kept = f"Its {first}; the next run goes on after {'it' if done == 1 else 'them'}." if done else ""
        ways = after_failure(self._session.environment.name, self._step.migration.filename, left)
        return " ".join(filter(None, (kept, ways)))

    def _leaves_indexes(self, statement: Statement) -> bool:
        deed = deed_of(statement)
        return leaves_indexes(deed) and (self._subject is not None or is_wide(deed))

    def _traces(self, statement: Statement) -> Traces | None:
        """What the catalog has of a statement; None where it leaves nothing behind, or no answer came."""
        if not self._leaves_indexes(statement):
            return None
        deed = deed_of(statement)
        question = Message(_TRACES, Part.ASK, (self._subject, deed, self._before))
        landing, _ = self._session.fly(transaction([question]), self._step.migration)
        answer = landing.value(Part.ASK)
        return traces_of(traces.seen_of(deed, self._subject, answer)) if answer else None

    def _entry(self, event: Happening, statement: Statement | None = None) -> Entry:
        entry = Entry(event, self._step.migration, statement.index if statement else None)
        if event is not Happening.STARTED or statement is None:
            return entry
        return replace(entry, subject=self._subject, detail=self._before, remark=deed_of(statement))


def drop_leftovers(session: Session, step: Step) -> Finish | None:
    """Away with what an interrupted statement left, where a person decided so. None where it went well."""
    for index in step.unfinished.drop if step.unfinished else ():
        finish = _drop(session, step, index)
        if finish is not None:
            return finish
    return None


def _drop(session: Session, step: Step, index: str) -> Finish | None:
    """Only this very index, and only while it is INVALID: a file before this one may have put it right."""
    work = session.working()
    if session.ask(work, Message(_IS_VALID, Part.ASK, (index,))) == "t":
        session.report(
            Notice(step.migration.filename, f"index {index} was to be dropped, and is valid by now: it stays")
        )
        return None
    legs: list[Leg] = [frame.limits(work.info.server_version, local=False, plain=session.plain), SYNC]
    legs += [Message("SET lock_timeout = 0", Part.GUARD), SYNC]  # it waits for other sessions by design
    legs += [Message(f"DROP INDEX CONCURRENTLY IF EXISTS {index}", Part.STATEMENT), SYNC]  # quoted by the server
    landing, watch = session.fly(legs, step.migration, yields=False)
    if session.refused(landing):
        return _drop(session, step, index)
    if landing.broken is None and landing.lost is None:
        said = f"dropped the INVALID index {index}, which an interrupted statement had left"
        session.record(Entry(Happening.NOTE, step.migration, remark=said, subject=index))
        session.report(Notice(step.migration.filename, said))
        return None
    kept = f"The INVALID index {index} was to be dropped first, and nothing else was done. Run again."
    if landing.broken is not None:
        problem = session.problem(step, landing.broken, watch, kept)
    else:
        reason = landing.lost.reason if landing.lost else ""
        message = f"the connection was lost while index {index} was dropped: {reason}"
        problem = Problem(session.environment.name, message, kept, step.migration.filename)
    return session.ended(step, problem, cancelled_by=watch.cancelled_by)
