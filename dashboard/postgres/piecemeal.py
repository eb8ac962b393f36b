"""A file that cannot run in one transaction: statement by statement, each remembered before and after."""

import re
from collections.abc import Iterator
from dataclasses import replace

from dashboard.core.evidence import BuiltIndex, built_index, is_concurrent, is_setting
from dashboard.core.plan import Step
from dashboard.core.record import Happening
from dashboard.core.run import Problem
from dashboard.core.script import Script, Statement
from dashboard.postgres import frame
from dashboard.postgres.flight import SYNC, Landing, Leg, Message, Part
from dashboard.postgres.history import Entry
from dashboard.postgres.session import ATTEMPTS, Finish, Session, Verdict, in_the_way, transaction
from dashboard.postgres.watch import Watch

# With the file's own search_path: where a concurrent index goes. No operator of that path may be found.
_SCHEMA = """
SELECT n.nspname FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)"""

# With our own: $1 is the index, or where PostgreSQL chose its name, $2 its table.
_INVALID = """
SELECT concat(quote_ident(n.nspname), '.', quote_ident(c.relname))
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid
   AND (i.indexrelid = to_regclass($1::text) OR ($1 IS NULL AND i.indrelid = to_regclass($2::text)))
 ORDER BY i.indexrelid DESC LIMIT 1"""

# A file may set its own lock_timeout; it waits in a setting of ours while a concurrent statement runs without one.
_KEEP = "SELECT pg_catalog.set_config('rung.lock_timeout', pg_catalog.current_setting('lock_timeout'), false)"
_PUT_BACK = "SELECT pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('rung.lock_timeout'), false)"


class Piecemeal:
    """One run of one such file, on a session of its own."""

    def __init__(self, session: Session, step: Step, script: Script) -> None:
        self._session, self._step, self._script = session, step, script
        self._owed: tuple[Entry, ...] = ()  # written together with what comes next
        self._began: str | None = None  # when the first statement did, by the database's clock
        self._begun: str | None = None  # when the newest statement did
        self._table: str | None = None  # of the index that the statement builds concurrently
        self._subject: str | None = None  # that index, where it has a name

    def run(self) -> Finish:
        self._session.close_work()
        try:
            return self._prepare() or self._statements() or self._close()
        finally:
            self._session.close_work()

    def _prepare(self) -> Finish | None:
        """Limits for the session, and again what the finished statements had set up in it."""
        work = self._session.working()
        done = self._script.statements[: self._step.resume_after]
        settings = [one for one in done if is_setting(one)]
        plain = self._session.plain
        legs: list[Leg] = [frame.limits(work.info.server_version, local=False, plain=plain), SYNC]
        for statement in settings:
            legs += (Message(statement.text, Part.STATEMENT), SYNC)
        landing, watch = self._session.fly(legs, self._step.migration)
        return self._prepare() if self._session.refused(landing) else self._stopped(landing, watch, None)

    def _statements(self) -> Finish | None:
        for statement in self._script.statements[self._step.resume_after :]:
            finish = self._begin(statement) or self._run(statement)
            if finish is not None:
                return finish
            self._owed = (replace(self._entry(Happening.STATEMENT_DONE, statement), started_at=self._begun),)
            who = self._session.stop()
            if who is not None and statement is not self._script.statements[-1]:
                return self._cancelled(who, statement)
        return None

    def _begin(self, statement: Statement) -> Finish | None:
        """Remember that it begins, and that the one before has ended; in one transaction."""
        self._table, self._subject = self._built(built_index(statement))
        entries = (*self._owed, replace(self._entry(Happening.STARTED, statement), with_text=not self._owed))
        messages = [frame.check(self._session.held), *self._session.rows(*entries)]
        landing, watch = self._session.fly(transaction(messages), self._step.migration)
        self._begun = landing.value(Part.HISTORY, 1)
        self._began = self._began or self._begun
        return self._unbegun(landing, watch, statement)

    def _built(self, built: BuiltIndex | None) -> tuple[str | None, str | None]:
        """Table and index, schema-qualified; None where there is none, or where PostgreSQL chooses the name."""
        if built is None:
            return None, None
        table = ".".join(_quoted(part) for part in (built.schema, built.table) if part)
        schema = self._session.ask(self._session.working(), Message(_SCHEMA, Part.ASK, (table,)))
        if schema is None:
            return None, None  # the statement will say so itself
        index = f"{_quoted(schema)}.{_quoted(built.name)}" if built.name else None
        return f"{_quoted(schema)}.{_quoted(built.table)}", index

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
        return self._stopped(landing, watch, statement) or self._check(statement)

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
        left = self._invalid() if self._subject else None
        if left is None:
            return None
        problem = Problem(
            environment=self._session.environment.name,
            message=f"index {left} is INVALID, and IF NOT EXISTS took it for finished",
            advice=self._kept(statement, left),
            filename=self._step.migration.filename,
            statement=statement.index,
            line=statement.line,
            column=statement.column,
            excerpt=statement.first_line,
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
            return Finish(Verdict.APPLIED, notes=(*self._script.notes, *watch.remarks))
        taken = session.taken(step, broken) if broken.message.part is Part.LEDGER and lost is None else None
        return taken or session.ended(step, self._problem(landing, watch, None), cancelled_by=watch.cancelled_by)

    # --- when it does not go through ---

    def _stopped(self, landing: Landing, watch: Watch, statement: Statement | None) -> Finish | None:
        """None where all of the flight was accepted."""
        if landing.broken is None and landing.lost is None:
            return None
        if landing.broken is None:
            return self._lost_while(landing, statement)
        left = self._invalid() if self._table and landing.broken.message.statement is statement else None
        problem = self._problem(landing, watch, statement, left)
        return self._session.ended(
            self._step, problem, started_at=self._begun, cancelled_by=watch.cancelled_by, subject=left
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

    def _lost_while(self, landing: Landing, statement: Statement | None) -> Finish:
        """Nobody knows whether the statement ended, and Rung does not run it again by itself."""
        where = f"while statement {statement.index} ran" if statement else "before the first statement"
        problem = self._problem_of_lost(landing, where, statement)
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
            excerpt=statement.first_line if statement else "",
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

    def _problem(self, landing: Landing, watch: Watch, statement: Statement | None, left: str | None = None) -> Problem:
        assert landing.broken is not None  # noqa: S101  # for the type checker: the caller looked
        kept, began = self._kept(statement, left), landing.value(Part.LEDGER)
        return self._session.problem(self._step, landing.broken, watch, kept, began)

    def _kept(self, statement: Statement | None, left: str | None) -> str:
        done = (statement.index if statement else len(self._script.statements) + 1) - 1
        kept = f"Its first {done} statements are done and stay; the next run goes on after them." if done else ""
        dropped = f"Remove what it left: DROP INDEX CONCURRENTLY {left}; then run again." if left else ""
        return " ".join(filter(None, (kept, dropped)))

    def _invalid(self) -> str | None:
        """The INVALID index that the statement left or found, schema-qualified."""
        question = Message(_INVALID, Part.ASK, (self._subject, self._table))
        landing, _ = self._session.fly(transaction([question]), self._step.migration)
        return landing.value(Part.ASK)

    def _entry(self, event: Happening, statement: Statement | None = None) -> Entry:
        subject = self._subject if event is Happening.STARTED else None
        return Entry(event, self._step.migration, statement.index if statement else None, subject=subject)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name.replace(chr(34), chr(34) * 2)}"'
