"""Runs files on a throwaway copy of a schema, and writes down what each statement did there."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread

import psycopg

from dashboard.core.plan import Action, Step
from dashboard.core.rehearsal import FileTrace, Lock, Snapshot, StatementTrace, new_locks, trace_of
from dashboard.core.run import Problem
from dashboard.core.script import Script
from dashboard.core.statement import Statement
from dashboard.postgres.connect import Connection
from dashboard.postgres.diagnosis import explain
from dashboard.postgres.scratch import Scratch
from dashboard.postgres.snapshot import locks_of, take_snapshot

_LOOK_EVERY = 0.005  # seconds between two looks at a statement that runs outside of a transaction
_HELD_UP = 1.0  # seconds at most that such a statement is kept waiting, so that there is something to see
_STOP_EVERY = 1.0  # seconds between two questions whether somebody wants it to stop
NOTHING_KEPT = "This happened on a throwaway copy; nothing was changed on the environment."
# What a copy without rows, without superuser and without some extensions cannot decide.
_INCONCLUSIVE = ("22", "23", "57014", "42501", "0A000", "58P01", "P0", "21000")
_PATH = "pg_catalog, pg_temp"
_STATE = ("search_path", "role", "session_replication_role", "lock_timeout", "statement_timeout")

Told = Callable[[str], None]
"""Told the name of each file before it is tried."""
Stopped = Callable[[], bool]
"""Whether nobody wants the answer any more; must not raise."""


def rehearse(
    environment: str, scratch: Scratch, steps: Sequence[Step], told: Told, stopped: Stopped
) -> tuple[FileTrace, ...]:
    """Try files in order, up to the first that does not go through. Names in them are those of the environment."""
    traces: list[FileTrace] = []
    with _watching(scratch) as observer, _watching(scratch) as elder:
        for step in steps:
            if step.action is Action.ADOPT or step.script is None:
                continue
            told(step.migration.filename)
            with contextlib.closing(scratch.connect()) as work, _stoppable(work, stopped):
                traces.append(_File(environment, step, step.script, work, observer, elder).run())
            if traces[-1].problem is not None:
                break
    return tuple(traces)


@contextlib.contextmanager
def _stoppable(work: Connection, stopped: Stopped) -> Iterator[None]:
    """Cancels what runs there once nobody wants it: a file may have lifted the bounds of its statements."""
    over = Event()

    def look() -> None:
        while not over.wait(_STOP_EVERY):
            if stopped():
                with contextlib.suppress(psycopg.Error):
                    work.cancel_safe(timeout=2)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _watching(scratch: Scratch) -> Iterator[Connection]:
    """A session of the superuser's, to look from outside."""
    with contextlib.closing(psycopg.connect(scratch.watching.reveal(), autocommit=True)) as connection:
        connection.execute(f"SET search_path = {_PATH}")
        yield connection


def picture_of(scratch: Scratch) -> Snapshot:
    """The schema as a whole, as it is now."""
    with contextlib.closing(scratch.connect()) as connection:
        connection.execute(f"SET search_path = {_PATH}")
        return take_snapshot(connection)


@dataclass
class _File:
    """One file on its way."""

    environment: str
    step: Step
    script: Script
    work: Connection
    observer: Connection
    elder: Connection
    held: dict[str, Lock] = field(default_factory=dict)
    traces: list[StatementTrace] = field(default_factory=list)

    def run(self) -> FileTrace:
        name, statements = self.step.migration.filename, self.script.statements[self.step.resume_after :]
        state = self._state()
        try:
            if self.script.transactional:
                self._in_transaction(statements)
            else:
                self._one_by_one(statements)
        except _Refused as refused:
            return FileTrace(name, tuple(self.traces), refused.problem, inconclusive=refused.inconclusive)
        return FileTrace(name, tuple(self.traces), left=self._left(state))

    def _in_transaction(self, statements: Sequence[Statement]) -> None:
        self._execute(None, self.script.begin)
        before = self._snapshot()
        there = before.relations
        for statement in statements:
            self._execute(statement, statement.text)
            after = self._snapshot()
            before = self._write_down(statement, before, after, locks_of(self.observer, self._pid, there))
        self._execute(None, "COMMIT")

    def _one_by_one(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            before, self.held = self._snapshot(), {}
            seen = self._watched(statement, before.relations)
            self._write_down(statement, before, self._snapshot(), seen)
            self.traces[-1] = replace(self.traces[-1], sampled=True)

    def _write_down(
        self, statement: Statement, before: Snapshot, after: Snapshot, seen: set[tuple[str, str]]
    ) -> Snapshot:
        locks = new_locks(self.held, seen, statement.index)
        self.held |= {lock.relation: lock for lock in locks}
        brief = statement.in_brief
        trace = trace_of(statement.index, statement.line, brief, statement.kind, before, after, locks)
        self.traces.append(trace)
        return after

    def _watched(self, statement: Statement, relations: Mapping[int, str]) -> set[tuple[str, str]]:
        """Run it in a thread of its own, and look meanwhile which locks it has.

        An old snapshot makes a concurrent build wait for it, so that its locks are seen although there are no rows.
        """
        failure: list[_Refused] = []
        self.elder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.elder.execute("SELECT FROM pg_catalog.pg_class LIMIT 1")
        until = time.monotonic() + _HELD_UP

        def run() -> None:
            try:
                self._execute(statement, statement.text)
            except _Refused as refused:
                failure.append(refused)

        thread, seen = Thread(target=run, daemon=True), set[tuple[str, str]]()
        thread.start()
        while thread.is_alive():
            seen |= locks_of(self.observer, self._pid, relations)
            if not self._free and (self._waits() or time.monotonic() > until):
                self._let_go()
            thread.join(_LOOK_EVERY)
        self._let_go()
        if failure:
            raise failure[0]
        return seen

    @property
    def _free(self) -> bool:
        return self.elder.info.transaction_status is psycopg.pq.TransactionStatus.IDLE

    def _let_go(self) -> None:
        if not self._free:
            self.elder.execute("ROLLBACK")

    def _waits(self) -> bool:
        """Whether it waits for the old snapshot."""
        row = self.observer.execute("SELECT pg_blocking_pids(%s) <> '{}'", (self._pid,)).fetchone()
        return bool(row and row[0])

    def _execute(self, statement: Statement | None, text: str) -> None:
        try:
            self.work.execute(text.encode())
        except psycopg.Error as wrong:
            problem = explain(self.environment, self.step.migration, statement, wrong, NOTHING_KEPT)
            raise _Refused(problem) from None

    @property
    def _pid(self) -> int:
        return self.work.info.backend_pid

    def _snapshot(self) -> Snapshot:
        """With our own path for a moment; the file's own comes back."""
        path = self._path(_PATH)
        snapshot = take_snapshot(self.work)
        self._path(path)
        return snapshot

    def _path(self, wanted: str) -> str:
        """Set the path in the same way as it was set, and answer the one before."""
        local = str(self.script.transactional).lower()
        before = self.work.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
        self.work.execute(f"SELECT pg_catalog.set_config('search_path', %s, {local})", (wanted,))
        return str(before[0]) if before else ""

    def _state(self) -> dict[str, str]:
        asked = ", ".join(f"pg_catalog.current_setting('{name}')" for name in _STATE)
        row = self.work.execute(f"SELECT {asked}".encode()).fetchone() or ()
        return dict(zip(_STATE, map(str, row), strict=True))

    def _left(self, before: Mapping[str, str]) -> tuple[str, ...]:
        """What the session is like now, as sentences."""
        changed = [f"{name} is {value or 'empty'}" for name, value in self._state().items() if value != before[name]]
        locks = self.observer.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s", (self._pid,)
        ).fetchone()
        if locks and locks[0]:
            changed.append("an advisory lock is held")
        return tuple(changed)


class _Refused(Exception):
    """The copy's server refused something."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.inconclusive = (problem.sqlstate or "").startswith(_INCONCLUSIVE)
