"""The watch: who is in the way and whom we are in the way of, how far a statement is, and ends that nobody asked for."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Policies
from dashboard.core.events import (
    Blocked,
    Event,
    FileApplied,
    FileRetrying,
    Locked,
    Notice,
    OutcomeUnknown,
    Working,
    event_from_json,
    event_to_json,
)
from dashboard.core.migration import Folder
from dashboard.core.run import Outcome, Problem, Result
from dashboard.postgres import frame, look, session, watch, whole
from dashboard.postgres.connect import Connection, connect
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.postgres.look import Eye, Look
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, noted, three_files, wait_until
from tests.wire import Chunk, Wire, wire_to

FIRST = ("001_log.sql", LOG + noted("001_log.sql"))
NAME = "002_alter.sql"
ALTER = "ALTER TABLE public.log ADD COLUMN more int;\n"
INDEX = "CREATE INDEX CONCURRENTLY ix ON public.log (entry);\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def busy(environment: Environment) -> Environment:
    """A database with the log, and readers of it."""
    assert run(environment, folder_of(FIRST)).outcome is Outcome.APPLIED
    return environment


def run(environment: Environment, files: Folder, seen: Callable[[Event], None] | None = None) -> Result:
    return apply(environment, lambda: files, ORDER, Seen() if seen is None else seen)


def altering(text: str = ALTER) -> Folder:
    return folder_of(FIRST, (NAME, text + noted(NAME)))


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def notes_in_history(environment: Environment) -> list[tuple[str, str]]:
    return ask(environment, "SELECT filename, message FROM rung.history WHERE event = 'note' ORDER BY id")


def test_the_locks_that_a_slow_file_had_are_reported_while_it_runs_and_kept_in_the_history(busy: Environment) -> None:
    told: list[Event] = []
    slow = ALTER + "CREATE TABLE public.fresh ();\nSELECT pg_sleep(1.2);\n"
    result = run(busy, altering(slow), told.append)
    assert result.outcome is Outcome.APPLIED
    locks = [event for event in told if isinstance(event, Locked)]
    assert locks == [Locked(NAME, "public.log", "AccessExclusiveLock")]  # and not of the table that nobody sees yet
    assert event_from_json(json.loads(json.dumps(event_to_json(locks[0])))) == locks[0]
    ends = [event for event in told if isinstance(event, FileApplied)]
    assert told.index(locks[0]) < told.index(ends[0])
    [(filename, held)] = notes_in_history(busy)
    assert filename == NAME
    assert re.fullmatch(r"held ACCESS EXCLUSIVE on public\.log for \d.* or longer; reads and writes had to wait", held)
    assert ends[0].note == held
    assert_consistent(busy, ["001_log.sql", NAME])


def test_the_locks_of_a_statement_outside_a_transaction_are_kept_with_its_number(busy: Environment) -> None:
    slow = (
        "-- rung: no transaction\nCREATE PROCEDURE public.p() LANGUAGE plpgsql AS $$ BEGIN"
        " LOCK public.log IN SHARE MODE; PERFORM pg_sleep(1.2); END $$;\nCALL public.p();\n"
    )
    assert run(busy, folder_of(FIRST, (NAME, slow))).outcome is Outcome.APPLIED
    rows = ask(busy, "SELECT statement, message FROM rung.history WHERE event = 'note'")
    assert [number for number, _ in rows] == [2]
    assert rows[0][1].startswith("held SHARE on public.log for ")
    assert rows[0][1].endswith("; writes had to wait")


def test_a_file_that_fails_after_it_held_a_lock_says_so_in_the_history(busy: Environment) -> None:
    slow = ALTER + "SELECT pg_sleep(0.9);\nSELECT 1/0;\n"
    assert run(busy, altering(slow)).outcome is Outcome.FAILED
    assert [name for name, _ in notes_in_history(busy)] == [NAME]


@contextmanager
def somebody(environment: Environment, application: str = "nightly dump") -> Iterator[Connection]:
    """Another session, inside a transaction."""
    assert environment.url
    with psycopg.connect(environment.url.reveal(), application_name=application) as other:
        yield other
        other.rollback()


class Reader:
    """Somebody who reads the log while a run is about, and says how long that took."""

    def __init__(self, environment: Environment, query: str = "SELECT count(*) FROM public.log") -> None:
        self._environment, self._query = environment, query
        self.stalled: float | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._environment.url
        url = self._environment.url.reveal()
        with psycopg.connect(url, application_name="shop", autocommit=True) as connection:
            began = time.monotonic()
            connection.execute(self._query.encode())
            self.stalled = time.monotonic() - began

    def join(self) -> float:
        self._thread.join(60)
        assert self.stalled is not None, "it never got its answer"
        return self.stalled


def wait_for_the_queue(environment: Environment, kind: str = "ALTER%") -> None:
    """Until a statement of ours stands in the queue for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'rung work' AND wait_event_type = 'Lock' AND query LIKE %s"
    wait_until(lambda: ask(environment, query, kind))


# --- a statement that waits ---


@pytest.mark.fault(38)
@pytest.mark.parametrize("says_since_when", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_statement_that_waits_makes_room_for_whoever_is_stuck_behind_it(
    busy: Environment, monkeypatch: pytest.MonkeyPatch, says_since_when: bool
) -> None:
    if not says_since_when:
        monkeypatch.setattr(look, "_WAITSTART_SINCE", 990000)  # as on a server before 14
    patient = altering("SET LOCAL lock_timeout = '60s';\n" + ALTER)  # so that nothing else ends the wait
    seen, readers = Seen(), []
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")

        def watch_and_let_go(event: Event) -> None:
            seen(event)
            if isinstance(event, FileRetrying):
                other.rollback()

        thread = threading.Thread(target=run, args=(busy, patient, watch_and_let_go))
        thread.start()
        wait_for_the_queue(busy)
        readers.append(Reader(busy))
        stalled = readers[0].join()
        thread.join(60)
    assert 1.5 < stalled < 10, "two seconds, and what a machine with much to do adds"
    [retry] = seen.of(FileRetrying)
    assert (retry.attempt, retry.sqlstate) == (1, "57014")
    assert "cancelled while it waited for a lock, because 1 session waited behind it" in retry.message
    assert "nightly dump" in retry.message
    last = [event for event in seen.of(Blocked) if event.stuck][-1]
    assert [(one.application, one.pid > 0) for one in last.stuck] == [("shop", True)]
    [blocker] = last.blockers
    assert (blocker.application, blocker.state) == ("nightly dump", "idle in transaction")
    assert blocker.query_since
    assert blocker.since
    assert blocker.age is not None
    [(remark,)] = ask(busy, "SELECT message FROM rung.history WHERE event = 'note'")
    assert "1 session waited behind it" in remark
    assert "nightly dump" in remark
    assert_consistent(busy, ["001_log.sql", NAME])


@pytest.mark.fault(38)
def test_more_sessions_than_may_wait_are_let_through_at_once(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "ATTEMPTS", 2)
    impatient = replace(busy, policies=Policies(stuck_sessions=0, stuck_seconds=600))
    seen = Seen()
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")
        files = altering("SET LOCAL lock_timeout = '60s';\n" + ALTER)
        results: list[Result] = []
        thread = threading.Thread(target=lambda: results.append(run(impatient, files, seen)))
        thread.start()
        while thread.is_alive():
            Reader(busy).join()
        thread.join()
        assert results[0].outcome is Outcome.FAILED
    told = problem_of(results[0])
    assert "because 1 session waited behind it" in told.message
    assert told.sqlstate is None
    assert told.advice.startswith("Tried 2 times.")
    assert "Blocked by pid" in (told.detail or "")
    assert "Stuck behind it: pid" in (told.detail or "")
    assert_consistent(busy, ["001_log.sql"])


def test_a_statement_that_works_is_not_cancelled_however_many_wait_for_it(busy: Environment) -> None:
    strict, seen = replace(busy, policies=Policies(stuck_sessions=0, stuck_seconds=0)), Seen()
    files = altering(ALTER + "SELECT pg_sleep(1.3);\n")
    thread = threading.Thread(target=run, args=(strict, files, seen))
    thread.start()
    find = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'rung work' AND wait_event = 'PgSleep'"
    wait_until(lambda: ask(busy, find))
    reader = Reader(busy)
    thread.join()
    reader.join()
    assert not seen.of(FileRetrying)
    told = seen.of(Blocked)
    assert [(event.waited, event.blockers, bool(event.stuck)) for event in told] == [(None, (), True)]
    assert_consistent(busy, ["001_log.sql", NAME])


def test_when_nobody_is_in_the_way_any_more_that_is_told_too(busy: Environment) -> None:
    seen = Seen()
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")

        def let_go(event: Event) -> None:
            seen(event)
            if isinstance(event, Blocked):
                other.rollback()

        run(busy, altering(ALTER + "SELECT pg_sleep(1.2);\n"), let_go)
    first, second = seen.of(Blocked)
    assert first.waited > 0
    assert second == Blocked(NAME)


@pytest.mark.fault(39)
def test_who_is_in_the_way_is_told_although_the_server_says_little_about_others(
    busy: Environment, server: EmbeddedServer
) -> None:
    role = "a_modest_role"
    ask(busy, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    assert busy.url
    try:
        ask(busy, f"ALTER TABLE log OWNER TO {role}")
        with somebody(busy, "copying") as other, psycopg.connect(busy.url.reveal(), user=role, password="x") as ours:
            other.execute("LOCK TABLE log IN ACCESS EXCLUSIVE MODE")
            pid = other.info.backend_pid
            with psycopg.connect(busy.url.reveal(), user=role, password="x", autocommit=True) as control:
                control.execute("SET search_path = pg_catalog")
                thread = threading.Thread(target=ours.execute, args=("SELECT * FROM public.log",))
                thread.start()
                found = wait_until(lambda: seen if (seen := look_at(control, ours)).blockers else None)
                other.rollback()
                thread.join()
        [blocker] = found.blockers
        assert (blocker.pid, blocker.application) == (pid, "copying")
        assert found.waited is not None
    finally:
        ask(busy, f"ALTER TABLE log OWNER TO CURRENT_USER; DROP ROLE {role}")


def test_a_prepared_transaction_that_is_in_the_way_is_said_to_be_one() -> None:
    event = Blocked(NAME, 1.0, (watch.Blocker(0),))
    assert str(event.blockers[0]) == "a prepared transaction (see pg_prepared_xacts)"


def look_at(control: Connection, work: Connection) -> Look:
    eye = Eye(control, work.info.backend_pid)
    eye.ask()
    return wait_until(eye.answer)  # type: ignore[no-any-return]  # it is a Look


# --- a statement that works ---


def test_the_progress_of_a_long_statement_is_told(busy: Environment) -> None:
    ask(busy, "CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_sleep(0.01); SELECT $1'")
    ask(busy, "ALTER TABLE log ALTER entry SET STORAGE PLAIN")
    ask(busy, "INSERT INTO log SELECT repeat('x', 5000) FROM generate_series(1, 200)")
    seen = Seen()
    files = folder_of(FIRST, (NAME, "CREATE INDEX ON log (left(slow(entry), 9));"))
    run(busy, files, seen)
    told = seen.of(Working)
    assert told
    assert {event.command for event in told} == {"CREATE INDEX"}
    assert any(event.phase.startswith("building index") for event in told)
    print("PROG", [(event.phase, event.done, event.total, event.unit) for event in told])
    assert any(0 < (event.percent or 0) < 100 for event in told)


def test_a_concurrent_build_says_whose_transactions_it_waits_for_and_is_never_cancelled_for_others(
    busy: Environment,
) -> None:
    strict, seen = replace(busy, policies=Policies(stuck_sessions=0, stuck_seconds=0)), Seen()
    with somebody(busy) as other:
        other.execute("INSERT INTO log SELECT 'x' WHERE false")

        def let_go(event: Event) -> None:
            seen(event)
            if isinstance(event, Blocked) and event.stuck:
                other.rollback()

        thread = threading.Thread(target=run, args=(strict, folder_of(FIRST, (NAME, INDEX)), let_go))
        thread.start()
        wait_for_the_queue(busy, "CREATE INDEX%")
        Reader(busy, "VACUUM public.log").join()  # it waits without a snapshot, else there would be a deadlock
        thread.join(60)
    assert next(one.application for event in seen.of(Working) for one in event.lockers) == "nightly dump"
    assert not seen.of(FileRetrying)
    assert seen.of(FileApplied)


@pytest.mark.slow
@pytest.mark.fault(60)
def test_every_other_server_answers_a_look_with_all_of_it(other_server: EmbeddedServer) -> None:
    name = "looked_at"
    other_server.create_database(name)
    environment = Environment("local", 0, other_server.url(name))
    with connect(environment, purpose="control") as control, connect(environment, purpose="work") as work:
        eye = Eye(control, work.info.backend_pid)
        question = eye.question
        eye.ask()
        found = wait_until(eye.answer)
        assert (found.there, found.busy, found.progress) == (True, False, None)
        assert eye.question == question, "it had to do without the progress views"
    other_server.drop_database(name)


def test_events_survive_the_way_through_home(busy: Environment) -> None:
    seen = Seen()
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")
        files = altering("SET LOCAL lock_timeout = '1s';\n" + ALTER)

        def let_go(event: Event) -> None:
            seen(event)
            if isinstance(event, FileRetrying):
                other.rollback()

        run(busy, files, let_go)
    seen(Working(NAME, "CREATE INDEX", "waiting", 1, 2, "blocks", seen.of(Blocked)[0].blockers))
    assert seen.of(Blocked)
    for event in seen:
        assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


# --- somebody wants it to stop ---


def stop_when(true: Callable[[], object]) -> Callable[[], str | None]:
    return lambda: "lead@example.com" if true() else None


def test_a_run_is_stopped_while_its_statement_waits_for_a_lock(busy: Environment) -> None:
    seen = Seen()
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")
        files = altering("SET LOCAL lock_timeout = '60s';\n" + ALTER)
        result = apply(busy, lambda: files, ORDER, seen, stop_when(lambda: seen.of(Blocked)))
        assert result.outcome is Outcome.CANCELLED
        assert problem_of(result).message == "cancelled by lead@example.com"
    assert_consistent(busy, ["001_log.sql"])


def test_a_run_is_stopped_between_two_attempts(busy: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_FIRST_PAUSE", 60)
    seen, began = Seen(), time.monotonic()
    with somebody(busy) as other:
        other.execute("SELECT * FROM public.log")
        files = altering("SET LOCAL lock_timeout = '50ms';\n" + ALTER)
        result = apply(busy, lambda: files, ORDER, seen, stop_when(lambda: seen.of(FileRetrying)))
    assert result.outcome is Outcome.CANCELLED
    assert time.monotonic() - began < 20
    last = ask(busy, "SELECT event, filename, message FROM rung.history ORDER BY id DESC LIMIT 1")
    assert last == [("failed", NAME, "cancelled by lead@example.com")]
    assert_consistent(busy, ["001_log.sql"])


@contextmanager
def ghost_standby(server: EmbeddedServer, environment: Environment) -> Iterator[None]:
    """Every COMMIT in this database waits for a standby that does not exist."""
    name = ask(environment, "SELECT current_database()")[0][0]
    ask(environment, f"ALTER DATABASE {name} SET synchronous_commit = on")
    ask(environment, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
    ask(environment, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        assert environment.url
        with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
            connection.execute("SET synchronous_commit = local")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


WAITING_FOR_GHOST = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'rung work'"


@pytest.mark.fault(19)
@pytest.mark.parametrize("by_us", [True, False])
def test_a_commit_whose_wait_for_the_standby_is_cancelled_is_applied_and_said_to_be_unconfirmed(
    busy: Environment, server: EmbeddedServer, by_us: bool
) -> None:
    seen, stop = Seen(), threading.Event()
    with ghost_standby(server, busy):
        results: list[Result] = []
        question = stop_when(stop.is_set)
        thread = threading.Thread(target=lambda: results.append(apply(busy, altering, ORDER, seen, question)))
        thread.start()
        [(pid,)] = wait_until(lambda: ask(busy, WAITING_FOR_GHOST))
        wait_until(lambda: [one for one in seen.of(Notice) if "waits for its synchronous standby" in one.message])
        stop.set() if by_us else ask(busy, "SELECT pg_cancel_backend(%s)", pid)
        thread.join(60)
    [result] = results
    assert result.outcome is Outcome.APPLIED, result.problem
    assert any(watch.UNCONFIRMED in note for note in result.notes)
    assert watch.UNCONFIRMED in (seen.of(FileApplied)[0].note or "")
    assert any("canceling wait for synchronous replication" in notice.message for notice in seen.of(Notice))
    assert_consistent(busy, ["001_log.sql", NAME])


@pytest.mark.usefixtures("one_file_a_flight")
def test_a_run_that_is_stopped_before_its_next_file_does_not_wait_for_the_standby_again(
    busy: Environment, server: EmbeddedServer
) -> None:
    seen, stop, began = Seen(), threading.Event(), time.monotonic()
    files = folder_of(FIRST, (NAME, ALTER + noted(NAME)), ("003_more.sql", noted("003_more.sql")))
    with ghost_standby(server, busy):
        results: list[Result] = []
        thread = threading.Thread(
            target=lambda: results.append(apply(busy, lambda: files, ORDER, seen, stop_when(stop.is_set)))
        )
        thread.start()
        wait_until(lambda: ask(busy, WAITING_FOR_GHOST))
        stop.set()
        thread.join(60)
    assert results[0].outcome is Outcome.CANCELLED
    assert time.monotonic() - began < 20
    assert_consistent(busy, ["001_log.sql", NAME])
    assert (
        "cancelled by lead@example.com" in ask(busy, "SELECT message FROM rung.history ORDER BY id DESC LIMIT 1")[0][0]
    )


# --- links that carry nothing any more ---


def mute_at(wire: Wire, text: bytes) -> None:
    """From this piece on, the client of that connection hears nothing, and the connection stays open."""
    muted = threading.Event()

    def before(chunk: Chunk) -> None:
        if text in chunk.data and not muted.is_set():
            muted.set()
            wire.mute(chunk.link)

    wire.before = before


@pytest.mark.fault(20)
@pytest.mark.fault(23)
def test_an_answer_that_was_swallowed_on_the_way_is_missed_and_found_out(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOST_AFTER", 0.5)
    assert busy.url
    seen = Seen()
    with wire_to(busy.url) as wire:
        mute_at(wire, NAME.encode())
        result = run(replace(busy, url=wire.url), altering(), seen)
    [unknown] = seen.of(OutcomeUnknown)
    assert "the server has nothing left to do, and its answer has not come" in unknown.reason
    assert result.outcome is Outcome.APPLIED, result.problem
    assert any("it is applied (checked)" in note for note in result.notes)
    assert_consistent(busy, ["001_log.sql", NAME])


@pytest.mark.fault(23)
def test_a_long_silence_of_a_server_that_works_is_not_taken_for_a_lost_link(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOST_AFTER", 0.3)
    seen = Seen()
    assert run(busy, altering("SELECT pg_sleep(1.2);\n"), seen).outcome is Outcome.APPLIED
    assert not seen.of(OutcomeUnknown)


@pytest.mark.fault(22)
@pytest.mark.fault(23)
def test_when_only_the_control_connection_is_deaf_the_file_goes_through_and_the_run_ends_after_it(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_BLIND_AFTER", 0.5)
    assert busy.url
    files = folder_of(FIRST, (NAME, "SELECT pg_sleep(2);\n" + noted(NAME)), ("003_more.sql", noted("003_more.sql")))
    with wire_to(busy.url) as wire:
        mute_at(wire, b"pg_stat_activity WHERE pid")  # the first look
        began = time.monotonic()
        result = run(replace(busy, url=wire.url), files)
    assert time.monotonic() - began < 15
    assert result.applied[:1] == (NAME,)
    assert result.outcome in (Outcome.FAILED, Outcome.APPLIED)
    run(busy, files)
    assert_consistent(busy, ["001_log.sql", NAME, "003_more.sql"])


def test_a_file_that_is_in_the_way_while_the_control_connection_is_deaf_does_not_go_on_without_the_lock(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_BLIND_AFTER", 0.2)
    assert busy.url
    files = folder_of(FIRST, (NAME, "SET lock_timeout = '1500ms';\n" + ALTER))
    with wire_to(busy.url) as wire, psycopg.connect(busy.url.reveal()) as other:
        other.execute("LOCK TABLE public.log")
        mute_at(wire, b"pg_stat_activity WHERE pid")  # the first look
        seen = Seen()
        opener = threading.Thread(target=lambda: (wait_until(lambda: seen.of(FileRetrying)), other.rollback()))
        opener.start()
        result = run(replace(busy, url=wire.url), files, seen)
        opener.join()
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert "the runner's lock was lost" in result.problem.message
    assert_consistent(busy, ["001_log.sql"])


def test_a_session_that_ends_while_the_control_connection_is_deaf_is_written_down(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_BLIND_AFTER", 0.2)
    assert busy.url

    def end_the_work() -> None:
        of = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rung %s'"
        wait_until(lambda: ask(busy, of.replace("%s", "watch")))
        ask(busy, f"SELECT pg_terminate_backend(pid) FROM ({of.replace('%s', 'work')}) AS one")

    ender = threading.Thread(target=end_the_work)
    with wire_to(busy.url) as wire:
        mute_at(wire, b"pg_stat_activity WHERE pid")
        ender.start()
        files = folder_of(FIRST, (NAME, "-- rung: no transaction\nSELECT pg_sleep(20);\n"))
        result = run(replace(busy, url=wire.url), files)
        ender.join()
    assert result.outcome is Outcome.FAILED
    assert ask(busy, "SELECT event, sqlstate FROM rung.history ORDER BY id DESC LIMIT 1") == [("failed", "57P01")]


@pytest.mark.slow
@pytest.mark.fault(23)
def test_when_nothing_comes_on_any_connection_the_run_ends_and_says_what_it_does_not_know(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_BLIND_AFTER", 0.5), ("_GIVE_UP_BLIND", 1.0)):
        monkeypatch.setattr(watch, name, seconds)
    for name, seconds in (("_FIND_OUT", 3.0), ("_PATIENCE", 2.0)):
        monkeypatch.setattr(session, name, seconds)
    assert busy.url
    with wire_to(busy.url) as wire:
        deaf = threading.Event()

        def before(chunk: Chunk) -> None:
            if NAME.encode() in chunk.data:
                deaf.set()
            if deaf.is_set():
                for link in range(1, wire.links + 20):
                    wire.mute(link)

        wire.before = before
        result = run(replace(busy, url=wire.url), altering())
    assert result.outcome is Outcome.UNKNOWN
    assert "could not be asked since whether it is applied" in problem_of(result).message
    wait_until(lambda: not ask(busy, "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'rung %'"))
    run(busy, altering())
    assert_consistent(busy, ["001_log.sql", NAME])


@pytest.mark.fault(23)
def test_a_server_that_stops_answering_while_it_is_looked_at_ends_the_run_in_time(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PATIENCE", 1.0)
    assert busy.url
    with wire_to(busy.url) as wire:
        mute_at(wire, b"_migrations_applied")
        began = time.monotonic()
        result = run(replace(busy, url=wire.url), altering())
    assert time.monotonic() - began < 15
    assert result.outcome is Outcome.UNREACHABLE
    assert "no answer for 1 s" in problem_of(result).message
    assert_consistent(busy, ["001_log.sql"])


@pytest.mark.fault(4)
def test_a_server_that_does_not_answer_the_cancel_is_given_up(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_CANCEL_PATIENCE", 1.0)
    stubborn = "LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
    files = altering(f"DO $$ BEGIN {stubborn} END $$;\n")
    find = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    began = time.monotonic()
    result = apply(busy, lambda: files, ORDER, Seen(), stop_when(lambda: ask(busy, find)))
    assert time.monotonic() - began < 20
    assert result.outcome is Outcome.CANCELLED
    assert "did not answer to being told to stop" in (problem_of(result).detail or "")
    assert_consistent(busy, ["001_log.sql"])


# --- runners that are gone ---


PARTITION = """
import json, os, signal, subprocess, sys, time
from dataclasses import replace
from pathlib import Path
from dashboard.core.environment import Environment
from dashboard.postgres import embedded
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import ORDER, Seen, ask, assert_consistent, three_files, wait_until

RUNNER = "import sys; from tests.oracle import *; from dashboard.core.environment import *; " \\
    "from dashboard.services.apply import apply; " \\
    "print(apply(Environment('local', 0, Secret(sys.argv[1])), lambda: three_files('SELECT pg_sleep(50);'), ORDER))"
OURS = "FROM pg_stat_activity WHERE application_name LIKE 'rung %'"
server = embedded.start(Path(sys.argv[1]), settings=FAST)
found = {}
try:
    server.create_database("target")
    environment = Environment("local", 0, server.url("target"))
    for frozen in (True, False):
        runner = subprocess.Popen([sys.executable, "-c", RUNNER, environment.url.reveal()], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: ask(environment, f"SELECT 1 {OURS} AND wait_event = 'PgSleep'"))
        for (port,) in ask(environment, f"SELECT client_port {OURS}"):
            for way in ("--dport", "--sport"):
                subprocess.run(["iptables", "-A", "INPUT", "-p", "tcp", way, str(port), "-j", "DROP"], check=True)
        began = time.monotonic()
        if frozen:  # it cannot clean up behind itself
            runner.send_signal(signal.SIGSTOP)
            wait_until(lambda: not ask(environment, f"SELECT 1 {OURS}"), 60)
            found["freed"] = time.monotonic() - began
            runner.kill()
            runner.communicate()
        else:
            found["said"] = runner.communicate(timeout=100)[0]
            found["noticed"] = time.monotonic() - began
        assert_consistent(environment, ["001_log.sql"])
    apply(environment, three_files, replace(ORDER, lock_wait=5), Seen())
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])
    print(json.dumps(found))
finally:
    runner.kill()
    embedded.remove(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.fault(21)
@pytest.mark.fault(22)
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables"), reason="needs root and iptables (apt-get install iptables)"
)
def test_when_all_packets_are_dropped_both_sides_notice_within_half_a_minute(
    cluster_place: Callable[[str], Path],
) -> None:
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", PARTITION]
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    folder = str(cluster_place("partition"))
    done = subprocess.run([*command, folder], check=False, capture_output=True, text=True, timeout=240, env=variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["freed"] < 30, "the server holds the lock and the transaction of a runner that is gone"
    assert found["noticed"] < 30, "the runner waits for a server that is gone"
    assert "it is not applied (checked)" in found["said"]


KILLED = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rung %' AND datname = current_database()"


def a_runner(environment: Environment, text: str) -> "subprocess.Popen[str]":
    """In a process of its own, on the first of three files that sleeps."""
    assert environment.url
    program = (
        "import sys; from tests.oracle import *; from dashboard.core.environment import *; "
        "from dashboard.services.apply import apply; "
        "print(apply(Environment('local', 0, Secret(sys.argv[1])), lambda: three_files(sys.argv[2]), ORDER).outcome)"
    )
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", program, environment.url.reveal(), text]
    runner = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    wait_until(lambda: ask(environment, asleep))
    return runner


def test_a_runner_killed_while_its_statement_runs_leaves_nothing_that_runs_on(environment: Environment) -> None:
    runner = a_runner(environment, "SELECT pg_sleep(60);")
    runner.kill()
    began = time.monotonic()
    wait_until(lambda: not ask(environment, KILLED))
    assert time.monotonic() - began < 4, "the server looks once a second whether we are there"
    runner.communicate()
    assert_consistent(environment, ["001_log.sql"])


@pytest.mark.fault(6)
def test_a_runner_that_is_frozen_keeps_its_lock_and_goes_on_when_it_thaws(environment: Environment) -> None:
    runner = a_runner(environment, "SELECT pg_sleep(0.5);")
    runner.send_signal(signal.SIGSTOP)
    try:
        busy = apply(environment, three_files, replace(ORDER, lock_wait=1), Seen())
        assert busy.outcome is Outcome.BUSY
        assert busy.holder
        assert busy.holder.application == "rung control"
    finally:
        runner.send_signal(signal.SIGCONT)
    assert runner.communicate(timeout=60)[0].strip() == "applied"
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])


# --- what a server may refuse ---


@pytest.mark.fault(59)
@pytest.mark.parametrize("text", [ALTER + noted(NAME), "VACUUM public.log;\n" + noted(NAME)])
def test_a_server_that_lets_nobody_set_how_soon_it_notices_our_end_is_worked_on_all_the_same(
    busy: Environment, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    pinned = frame._NOTICE_US_GONE_SINCE_14 | {"client_connection_check_interval": "no value the server takes"}
    monkeypatch.setattr(frame, "_NOTICE_US_GONE_SINCE_14", pinned)
    seen = Seen()
    files = folder_of(FIRST, (NAME, text), ("003_more.sql", noted("003_more.sql")))
    assert run(busy, files, seen).outcome is Outcome.APPLIED
    [said] = [notice.message for notice in seen.of(Notice)]
    assert said.startswith("this server does not let us set how soon it notices a runner that is gone (")
    assert "client_connection_check_interval" in said
    assert_consistent(busy, ["001_log.sql", NAME, "003_more.sql"])


@pytest.mark.fault(59)
def test_a_server_that_cannot_notice_our_end_is_said_to_be_one_once(
    busy: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "_CHECKS_SINCE", 990000)  # whatever server this is, it counts as an old one
    seen = Seen()
    name = "client_connection_check_interval"
    files = folder_of(FIRST, (NAME, f"CREATE TABLE told AS SELECT current_setting('{name}') AS it;"), ("003_a.sql", ""))
    assert run(busy, files, seen).outcome is Outcome.APPLIED
    assert [said.message for said in seen.of(Notice)] == [frame.BLIND]
    assert ask(busy, "SELECT it FROM told") == [("0",)]


@pytest.mark.fault(59)
def test_the_server_is_told_to_notice_our_end(busy: Environment) -> None:
    settings = ("client_connection_check_interval", "tcp_user_timeout", "tcp_keepalives_idle", "tcp_keepalives_count")
    text = ", ".join(f"current_setting('{name}')" for name in settings)
    run(busy, altering(f"CREATE TABLE told AS SELECT ARRAY[{text}] AS it;\n"))
    assert ask(busy, "SELECT it FROM told") == [(["1s", "15000", "5", "3"],)]
