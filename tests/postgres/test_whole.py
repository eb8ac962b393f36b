"""Several files in one flight: each still in its own transaction, none runs behind one that did not go through."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from dashboard.core.environment import Environment, Policies
from dashboard.core.events import Event, FileApplied, FileRetrying, FileStarted, OutcomeUnknown, StatementDone
from dashboard.core.migration import Folder
from dashboard.core.plan import Step
from dashboard.core.run import Outcome, Result
from dashboard.postgres import frame, session, whole
from dashboard.postgres.connect import connect
from dashboard.postgres.flight import SYNC, fly
from dashboard.postgres.ledger import NOT_BEFORE, Ledger
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, events, folder_of, ledger, noted, wait_until
from tests.wire import Chunk, Cut, Deafen, wire_to

NAMES = [f"{number:03}_file.sql" for number in range(1, 7)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six attempts would take eight seconds of pauses."""
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)


def six(**more: str) -> Folder:
    """Six files that leave traces; `_003="SELECT 1"` adds to the third."""
    texts = [noted(name) + more.get(f"_{name[:3]}", "") for name in NAMES]
    return folder_of((NAMES[0], LOG + texts[0]), *zip(NAMES[1:], texts[1:], strict=True))


def run(environment: Environment, folder: Folder, seen: Seen | None = None) -> Result:
    return apply(environment, lambda: folder, ORDER, seen if seen is not None else Seen())


def carries(chunk: Chunk, name: str) -> bool:
    """Whether the file itself is in it; its name alone is in many a question."""
    return noted(name).strip(";\n").encode() in chunk.data


def test_a_file_that_fails_lets_nothing_behind_it_run_though_it_was_sent(environment: Environment) -> None:
    result = run(environment, six(_003="SELECT 1/0;"))
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert (result.problem.filename, result.problem.sqlstate) == (NAMES[2], "22012")
    assert_consistent(environment, NAMES[:2])
    assert events(environment)[-1] == ("failed", NAMES[2])
    assert run(environment, six()).applied == tuple(NAMES[2:])
    assert_consistent(environment, NAMES)


def test_a_file_whose_commit_fails_lets_nothing_behind_it_run(environment: Environment) -> None:
    """An error at COMMIT leaves no failed transaction open that would refuse what comes next: the ledger's row does."""
    fails = """
    CREATE TEMP TABLE one (id integer PRIMARY KEY) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE two (id integer REFERENCES one);
    """
    result = run(environment, six(_003=fails))
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert (result.problem.filename, result.problem.sqlstate) == (NAMES[2], "0A000")
    assert_consistent(environment, NAMES[:2])


def test_nor_where_the_ledger_has_no_key_that_could_refuse_it(environment: Environment) -> None:
    ask(environment, "CREATE TABLE public._migrations_applied (filename text, applied_at timestamptz)")
    fails = """
    CREATE TEMP TABLE one (id integer PRIMARY KEY) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE two (id integer REFERENCES one);
    """
    assert run(environment, six(_003=fails)).outcome is Outcome.FAILED
    assert_consistent(environment, NAMES[:2])


def test_the_ledger_refuses_a_row_without_the_row_before(environment: Environment) -> None:
    run(environment, six())
    ours = Ledger("public")
    with connect(environment, purpose="test") as connection:
        landing = fly(connection, [*ours.insert("008_b.sql", "007_a.sql"), SYNC])
        assert landing.broken
        assert NOT_BEFORE in str(landing.broken.error)
        landing = fly(connection, [*ours.insert("007_a.sql", NAMES[5]), SYNC])
        assert landing.broken is None
    assert ledger(environment) == [*NAMES, "007_a.sql"]


def test_another_session_in_the_way_of_one_file_costs_only_that_file_another_attempt(environment: Environment) -> None:
    deadlocked = """
    DO $$ BEGIN
      IF nextval('public.attempts') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF;
    END $$;
    """
    seen = Seen()
    result = run(environment, six(_001="CREATE SEQUENCE public.attempts;", _004=deadlocked), seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert [event.filename for event in seen.of(FileStarted)] == NAMES
    notes = {event.filename: event.note for event in seen.of(FileApplied)}
    assert [name for name in NAMES if notes[name] is not None] == [NAMES[3]]
    assert "3 attempts" in (notes[NAMES[3]] or "")
    assert_consistent(environment, NAMES)


def test_a_file_recorded_by_somebody_else_meanwhile_is_left_to_them_and_the_rest_runs(environment: Environment) -> None:
    """The third file is recorded by another hand while the second one is on its way with it."""
    assert environment.url
    elsewhere = f"INSERT INTO public._migrations_applied VALUES ('{NAMES[2]}', now());"
    result = run(environment, six(_002=elsewhere))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert result.applied == tuple(name for name in NAMES if name != NAMES[2])
    assert ledger(environment) == sorted(NAMES)
    assert ask(environment, "SELECT count(*) FROM public.log WHERE entry = %s", NAMES[2]) == [(0,)]


def test_each_file_is_reported_begun_when_the_one_before_it_is_in(environment: Environment) -> None:
    seen = Seen()
    run(environment, six(), seen)
    told: list[tuple[type[Event], str]] = [
        (type(event), event.filename) for event in seen.of(FileStarted, StatementDone, FileApplied)
    ]
    first = [(FileStarted, NAMES[0]), (StatementDone, NAMES[0]), (StatementDone, NAMES[0]), (FileApplied, NAMES[0])]
    rest = [(kind, name) for name in NAMES[1:] for kind in (FileStarted, StatementDone, FileApplied)]
    assert told == first + rest


@pytest.mark.parametrize("arrives", [True, False])
def test_when_the_answers_of_a_whole_flight_are_lost_each_of_its_files_is_looked_up(
    environment: Environment, arrives: bool
) -> None:
    assert environment.url
    seen = Seen()
    with wire_to(environment.url) as wire:

        def mute(chunk: Chunk) -> None:
            if carries(chunk, NAMES[0]):
                wire.mute(chunk.link)
                if not arrives:
                    raise Cut

        def deafen(chunk: Chunk) -> None:
            if carries(chunk, NAMES[-1]):
                raise Deafen

        wire.before, wire.after = mute, deafen
        result = run(replace(environment, url=wire.url), six(), seen)
    assert len(seen.of(OutcomeUnknown)) == 1
    if arrives:
        assert result.outcome is Outcome.APPLIED, result.problem
        assert result.applied == tuple(NAMES)
        assert [event.filename for event in seen.of(FileStarted)] == NAMES
    else:
        assert result.outcome is Outcome.FAILED
        assert result.problem
        assert (result.problem.filename, result.applied) == (NAMES[0], ())
        assert "it is not applied (checked)" in result.problem.message
        assert_consistent(environment, [])
        run(environment, six())
    assert_consistent(environment, NAMES)


def test_files_run_apart_where_one_leaves_what_only_a_new_session_is_free_of(environment: Environment) -> None:
    sets = "ALTER ROLE CURRENT_USER SET rung.told TO 'yes';"
    asks = "DO $$ BEGIN ASSERT current_setting('rung.told', true) = 'yes'; END $$;"
    try:
        assert run(environment, six(_002=sets, _003=asks)).outcome is Outcome.APPLIED
    finally:
        ask(environment, "ALTER ROLE CURRENT_USER RESET rung.told")
    assert_consistent(environment, NAMES)


def test_a_file_that_forgets_our_prepared_statements_costs_the_next_one_a_new_session(environment: Environment) -> None:
    forgets = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$;"
    result = apply(environment, lambda: six(_002=forgets, _004=forgets), replace(ORDER, force=True, reason="a test"))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, NAMES)


@pytest.mark.parametrize(("bound", "size"), [("FILES", 3), ("CHARACTERS", 200)])
def test_a_flight_has_a_bound_in_files_and_in_text(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, bound: str, size: int
) -> None:
    """Between two flights a run is asked whether it shall go on."""
    monkeypatch.setattr(whole, bound, size)
    seen, asked = Seen(), []
    result = apply(environment, six, ORDER, seen, lambda: asked.append(len(seen.of(FileApplied))))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert asked == [0, 3]


def test_a_file_whose_session_could_not_be_cleaned_does_not_run(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel may arrive at any message: what the file before had set would hold for the next one."""
    made = (NAMES[0], "CREATE SCHEMA elsewhere;")
    assert run(environment, folder_of(made)).outcome is Outcome.APPLIED
    cancel = "SELECT pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid()), pg_catalog.pg_sleep(5)"
    monkeypatch.setattr(frame, "_CLEAN", (cancel, *frame._CLEAN))
    texts = ("SET search_path = elsewhere;", "CREATE TABLE here (id integer);", "CREATE TABLE there (id integer);")
    result = run(environment, folder_of(made, *zip(NAMES[1:4], texts, strict=True)))
    assert result.outcome is Outcome.FAILED
    assert result.applied == (NAMES[1],)
    assert result.problem
    assert (result.problem.filename, result.problem.sqlstate) == (NAMES[2], "57014")
    assert ask(environment, "SELECT 1 FROM pg_class WHERE relname IN ('here', 'there')") == []


def test_a_prepared_statement_that_is_nowhere_fails_its_file_after_one_more_try(environment: Environment) -> None:
    """That a session was of use for it once more is tried with a new one, and not again and again."""
    folder = folder_of((NAMES[0], "EXECUTE nowhere;"))
    result = apply(environment, lambda: folder, replace(ORDER, force=True, reason="tried"), Seen())
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert result.problem.sqlstate == "26000"


def test_what_landed_is_told_also_where_the_database_cannot_be_reached_any_more(environment: Environment) -> None:
    run(environment, folder_of((NAMES[0], LOG)))
    assert environment.url
    seen = Seen()

    def gone(chunk: Chunk) -> None:
        if seen.of(FileRetrying):
            raise Cut

    waits = "SET lock_timeout = '100ms'; ALTER TABLE public.log ADD COLUMN more integer;"
    folder = folder_of((NAMES[0], LOG), (NAMES[1], "CREATE TABLE one ();"), (NAMES[2], waits))
    with wire_to(environment.url) as wire, psycopg.connect(environment.url.reveal()) as other:
        other.execute("LOCK TABLE public.log IN ACCESS SHARE MODE")
        wire.before = gone
        result = run(replace(environment, url=wire.url), folder, seen)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.applied == (NAMES[1],)
    assert ledger(environment) == NAMES[:2]


def test_a_reason_that_is_no_text_is_kept_as_far_as_it_is(environment: Environment) -> None:
    """A shell hands over any bytes; the machine gives them as half letters."""
    result = apply(environment, six, replace(ORDER, force=True, reason="because \udcff"), Seen())
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT DISTINCT reason FROM rung.history") == [("because ?",)]


def test_a_cancel_that_comes_too_late_for_one_file_is_no_failure_of_the_next(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that waits is cancelled for others' sake; when it gets its lock first, the cancel meets the file behind."""
    run(environment, folder_of((NAMES[0], LOG)))
    assert environment.url
    cancel, seen = Connection.cancel_safe, Seen()
    sleeps = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(1.5)'"
    with psycopg.connect(environment.url.reveal()) as other:
        other.execute("LOCK TABLE public.log IN ACCESS SHARE MODE")

        def too_late(self: Any, **how: Any) -> None:
            other.rollback()
            wait_until(lambda: ask(environment, sleeps))
            cancel(self, **how)

        monkeypatch.setattr(Connection, "cancel_safe", too_late)
        reader = threading.Thread(target=lambda: (wait_until(lambda: waits(environment)), readers(environment)))
        reader.start()
        waiting = (NAMES[1], "ALTER TABLE public.log ADD COLUMN more integer;")
        folder = folder_of((NAMES[0], LOG), waiting, (NAMES[2], "SELECT pg_sleep(1.5);"))
        strict = replace(environment, policies=Policies(stuck_sessions=0))
        result = run(strict, folder, seen)
        reader.join()
    assert result.outcome is Outcome.APPLIED, result.problem
    assert [event.filename for event in seen.of(FileRetrying)] == [NAMES[2]]


def waits(environment: Environment) -> list[tuple[object, ...]]:
    return ask(
        environment, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND wait_event_type = 'Lock'"
    )


def readers(environment: Environment) -> list[tuple[object, ...]]:
    return ask(environment, "SELECT count(*) FROM public.log")


def test_a_process_of_a_server_that_was_started_since_is_somebody_elses(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart the number of ours may be anybody's: who has it now is neither waited for nor ended."""
    innocent = psycopg.connect(environment.url.reveal() if environment.url else "", autocommit=True)
    settle = session.Session._settle

    def restarted(self: session.Session, step: Step, deadline: float) -> bool | None:
        self._work_pid, self._work_server = innocent.info.backend_pid, datetime(2001, 1, 1, tzinfo=UTC)
        return settle(self, step, deadline)

    monkeypatch.setattr(session.Session, "_settle", restarted)
    assert environment.url
    with wire_to(environment.url) as wire, innocent:
        wire.after = lambda chunk: hang_up_after(chunk, NAMES[0])
        began = time.monotonic()
        run(replace(environment, url=wire.url), folder_of((NAMES[0], LOG + noted(NAMES[0]))))
        assert time.monotonic() - began < session._GRACE
        assert innocent.execute("SELECT 1").fetchone() == (1,)


def hang_up_after(chunk: Chunk, name: str) -> None:
    if carries(chunk, name):
        raise Deafen
