"""Files that cannot run in one transaction: remembered statement by statement, resumed, never blindly repeated."""

import threading
import time
from dataclasses import replace

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.events import FileRetrying, FileStarted, StatementDone
from dashboard.core.migration import Folder
from dashboard.core.run import Outcome, Problem, Result
from dashboard.postgres import session
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, events, folder_of, ledger, noted, wait_until
from tests.wire import Chunk, Cut, Deafen, wire_to

FIRST = ("001_log.sql", LOG + noted("001_log.sql") + "CREATE TABLE t AS SELECT generate_series(1, 9) AS id;\n")
NAME = "002_index.sql"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)


def folder(*statements: str) -> Folder:
    """The table, and a non-transactional file of these statements."""
    return folder_of(FIRST, (NAME, "".join(f"{statement};\n" for statement in statements)))


def run(environment: Environment, files: Folder, seen: Seen | None = None) -> Result:
    return apply(environment, lambda: files, ORDER, seen if seen is not None else Seen())


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


INDEX = "CREATE INDEX CONCURRENTLY ix ON t (id)"
NOTED = noted(NAME).strip(";\n")


def test_every_statement_is_remembered_before_and_after(environment: Environment) -> None:
    seen = Seen()
    result = run(environment, folder(INDEX, "VACUUM t", NOTED), seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert not seen.of(FileStarted)[1].transactional
    assert [event.statement for event in seen.of(StatementDone) if event.filename == NAME] == [1, 2, 3]
    rows = ask(environment, "SELECT event, statement, subject FROM rung.history WHERE filename = %s ORDER BY id", NAME)
    assert rows == [
        ("started", 1, "public.ix"),
        ("statement done", 1, None),
        ("started", 2, None),
        ("statement done", 2, None),
        ("started", 3, None),
        ("statement done", 3, None),
        ("applied", None, None),
    ]
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_failure_half_way_keeps_what_is_done_and_goes_on_from_there(environment: Environment) -> None:
    ask(environment, "CREATE TABLE switch AS SELECT 0 AS divisor")
    files = folder(NOTED, INDEX, "SELECT 1 / divisor FROM switch", "VACUUM t")
    result = run(environment, files)
    told = problem_of(result)
    assert (result.outcome, told.statement, told.line, told.sqlstate) == (Outcome.FAILED, 3, 3, "22012")
    assert told.advice.startswith("Its first 2 statements are done and stay")
    assert ledger(environment) == ["001_log.sql"]
    ask(environment, "UPDATE switch SET divisor = 1")
    seen = Seen()
    again = run(environment, files, seen)
    assert again.outcome is Outcome.APPLIED, again.problem
    assert seen.of(FileStarted)[0].resume_after == 2
    assert [event.statement for event in seen.of(StatementDone)] == [3, 4]
    assert_consistent(environment, ["001_log.sql", NAME])


def test_resuming_repeats_what_the_finished_statements_had_set_up(environment: Environment) -> None:
    ask(environment, "CREATE TABLE switch AS SELECT 0 AS divisor")
    files = folder(
        "CREATE SCHEMA app",
        "SET search_path = app, public",
        NOTED,
        "SELECT 1 / divisor FROM switch",
        "CREATE TABLE here ()",
        "VACUUM t",
    )
    run(environment, files)
    ask(environment, "UPDATE switch SET divisor = 1")
    assert run(environment, files).outcome is Outcome.APPLIED
    assert ask(environment, "SELECT to_regclass('app.here') IS NOT NULL") == [(True,)]


def test_a_text_that_changed_after_it_was_begun_is_not_resumed(environment: Environment) -> None:
    run(environment, folder(NOTED, INDEX, "SELECT 1/0"))
    result = run(environment, folder(NOTED, INDEX, "SELECT 1"))
    assert result.outcome is Outcome.REFUSED
    assert "its first 2 statements are done, and its text was changed since" in problem_of(result).message
    assert_nothing_more(environment)


def test_a_failed_first_statement_leaves_the_file_as_if_it_had_not_been_tried(environment: Environment) -> None:
    run(environment, folder("SELECT 1/0", "VACUUM t", NOTED))
    assert run(environment, folder("SELECT 1", "VACUUM t", NOTED)).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(82)
def test_an_index_that_ends_invalid_is_a_failure_with_its_name_and_the_way_out(environment: Environment) -> None:
    ask(environment, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    files = folder("CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id)", NOTED)
    told = problem_of(run(environment, files))
    assert told.sqlstate == "23505"
    assert "It left the INVALID index public.once." in told.advice
    assert '\n  rung resolve 002_index.sql --env local --drop-and-retry --reason "…"\n' in told.advice
    refused = run(environment, files)
    assert refused.outcome is Outcome.REFUSED
    assert "Index public.once is INVALID." in problem_of(refused).message
    assert_consistent(environment, ["001_log.sql"], invalid=["once"])
    ask(environment, "DROP INDEX once")
    ask(environment, "DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_an_index_without_a_name_that_ends_invalid_is_found_too(environment: Environment) -> None:
    ask(environment, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    told = problem_of(run(environment, folder("CREATE UNIQUE INDEX CONCURRENTLY ON twice (id)")))
    assert "It left the INVALID index public.twice_id_idx." in told.advice


@pytest.mark.fault(83)
def test_if_not_exists_does_not_make_an_invalid_index_a_success(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, "CREATE INDEX ix ON t (id)")
    ask(environment, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    result = run(environment, folder("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON t (id)", NOTED))
    told = problem_of(result)
    assert result.outcome is Outcome.FAILED
    assert told.message == "index public.ix is INVALID, and IF NOT EXISTS took it for finished"
    assert (told.filename, told.statement, told.line) == (NAME, 1, 1)
    assert_consistent(environment, ["001_log.sql"], invalid=["ix"])


def test_the_index_is_found_where_the_files_own_path_puts_it(environment: Environment) -> None:
    ask(environment, 'CREATE SCHEMA "My App"')
    ask(environment, 'CREATE TABLE "My App"."T" AS SELECT 1 AS id')
    files = folder('SET search_path = "My App"', 'CREATE INDEX CONCURRENTLY "Ix" ON "T" (id)', NOTED)
    assert run(environment, files).outcome is Outcome.APPLIED
    subject = "SELECT subject FROM rung.history WHERE subject IS NOT NULL"
    assert ask(environment, subject) == [('"My App"."Ix"',)]


def test_concurrent_builds_wait_without_a_limit_and_the_rest_does_not(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    seen = Seen()
    with psycopg.connect(environment.url.reveal()) as other:
        other.execute("INSERT INTO t VALUES (10)")  # the build waits for this transaction
        thread = threading.Timer(3.6, other.rollback)
        thread.start()
        result = run(
            environment,
            folder(INDEX, "CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS it", NOTED),
            seen,
        )
        thread.join()
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT it FROM waits") == [("3s",)]
    assert seen.of(StatementDone)[0].seconds > 3
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_files_own_lock_timeout_comes_back_after_a_concurrent_build(environment: Environment) -> None:
    table = "CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS it"
    assert run(environment, folder("SET lock_timeout = '7s'", INDEX, table, NOTED)).outcome is Outcome.APPLIED
    assert ask(environment, "SELECT it FROM waits") == [("7s",)]


def test_an_ordinary_statement_in_such_a_file_is_tried_again_when_others_are_in_the_way(
    environment: Environment,
) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    seen = Seen()
    with psycopg.connect(environment.url.reveal()) as other:
        other.execute("LOCK TABLE t IN ACCESS SHARE MODE")

        def let_go(event: object) -> None:
            seen(event)  # type: ignore[arg-type]  # an event
            if isinstance(event, FileRetrying):
                other.rollback()

        files = folder("SET lock_timeout = '100ms'", "ALTER TABLE t ADD COLUMN more int", INDEX, NOTED)
        result = apply(environment, lambda: files, ORDER, let_go)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert len(seen.of(FileRetrying)) == 1
    assert ("note", NAME) in events(environment)
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "deed",
    [
        "DISCARD ALL",
        "SET ROLE nobody_much",
        "SET search_path = ''",
        "SET DateStyle = German",
        "DEALLOCATE ALL",
        "SET client_encoding = LATIN1",
    ],
)
def test_our_own_rows_are_right_whatever_such_a_file_does_to_its_session(environment: Environment, deed: str) -> None:
    ask(environment, "DROP ROLE IF EXISTS nobody_much")
    ask(environment, "CREATE ROLE nobody_much")
    files = folder(INDEX, NOTED, deed)
    result = apply(environment, lambda: files, replace(ORDER, force=True, reason="a test"), Seen())
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ["001_log.sql", NAME])
    ask(environment, "DROP ROLE nobody_much")


def test_somebody_who_asks_to_stop_between_two_statements_stops_there(environment: Environment) -> None:
    seen = Seen()
    stop = lambda: "the lead" if [e for e in seen.of(StatementDone) if e.filename == NAME] else None  # noqa: E731  # a question
    files = folder(NOTED, INDEX, "VACUUM t")
    result = apply(environment, lambda: files, ORDER, seen, stop)
    assert result.outcome is Outcome.CANCELLED
    assert problem_of(result).message == "cancelled by the lead"
    again = run(environment, files)
    assert again.applied == (NAME,)
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(42)
def test_a_concurrent_build_that_is_cancelled_leaves_an_index_that_is_named(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    began = time.monotonic()
    with psycopg.connect(environment.url.reveal()) as other:
        other.execute("INSERT INTO t VALUES (10)")
        seen = Seen()
        result = apply(
            environment,
            lambda: folder(INDEX, NOTED),
            ORDER,
            seen,
            lambda: "the lead" if time.monotonic() > began + 1 else None,
        )
        other.rollback()
    assert result.outcome is Outcome.CANCELLED
    assert "public.ix" in problem_of(result).advice
    assert_consistent(environment, ["001_log.sql"], invalid=["ix"])


def test_a_statement_whose_connection_is_lost_is_not_run_again_blindly(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    files = folder(NOTED, INDEX)
    with wire_to(environment.url) as wire:

        def deafen(chunk: Chunk) -> None:
            if b"INDEX CONCURRENTLY ix" in chunk.data and b"rung.history" not in chunk.data:
                raise Deafen

        wire.after = deafen
        result = run(replace(environment, url=wire.url), files)
    assert result.outcome is Outcome.FAILED
    assert "the connection was lost while statement 2 ran" in problem_of(result).message
    wait_until(lambda: ask(environment, "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix') AND indisvalid"))
    refused = run(environment, files)
    assert refused.outcome is Outcome.REFUSED
    told = problem_of(refused)
    assert "statement 2 was started, and its end is not known" in told.message
    assert "Index public.ix exists and is valid" in told.message
    assert (told.filename, told.statement, told.line) == (NAME, 2, 2)
    assert_nothing_more(environment)


@pytest.mark.fault(17)
@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer_at_its_end_is_found_out(environment: Environment, arrives: bool) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    files = folder(NOTED, INDEX)
    with wire_to(environment.url) as wire:

        def at_the_end(chunk: Chunk) -> None:
            if b"INSERT INTO" in chunk.data and b"_migrations_applied" in chunk.data:
                raise Deafen if arrives else Cut

        if arrives:
            wire.after = at_the_end
        else:
            wire.before = at_the_end
        result = run(replace(environment, url=wire.url), files)
    if not arrives:
        assert "it is not applied (checked)" in problem_of(result).message
        result = run(environment, files)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(13)
def test_a_server_process_that_is_ended_in_a_concurrent_build_leaves_a_named_index(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    assert environment.url
    with psycopg.connect(environment.url.reveal()) as other:
        other.execute("INSERT INTO t VALUES (10)")

        def end() -> None:
            find = (
                "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%%' AND wait_event_type = 'Lock'"
            )
            pid = wait_until(lambda: ask(environment, find.replace("%%", "%")))[0][0]
            ask(environment, "SELECT pg_terminate_backend(%s)", pid)

        thread = threading.Thread(target=end)
        thread.start()
        result = run(environment, folder(INDEX, NOTED))
        thread.join()
        other.rollback()
    told = problem_of(result)
    assert (told.sqlstate, told.statement) == ("57P01", 1)
    assert "public.ix" in told.advice
    assert_consistent(environment, ["001_log.sql"], invalid=["ix"])


def assert_nothing_more(environment: Environment) -> None:
    """The file's trace is there once, and the ledger does not have it."""
    assert ask(environment, "SELECT entry FROM log ORDER BY 1") == [("001_log.sql",), (NAME,)]
    assert ledger(environment) == ["001_log.sql"]


def end_the_work(environment: Environment) -> None:
    ask(environment, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rung work'")


def test_what_a_file_had_set_up_holds_for_a_statement_that_is_tried_again_in_a_new_session(
    environment: Environment,
) -> None:
    ask(environment, "CREATE TABLE public.t (id integer); CREATE SCHEMA app CREATE TABLE t (id integer);")
    text = "-- rung: no transaction\nSET search_path = app;\nSET lock_timeout = '300ms';\nALTER TABLE t ADD more int;\n"
    with psycopg.connect(environment.url.reveal() if environment.url else "") as other:
        other.execute("LOCK TABLE app.t")

        def lose(event: object) -> None:
            if isinstance(event, FileRetrying):
                other.rollback()
                end_the_work(environment)

        result = apply(environment, lambda: folder_of((NAME, text)), ORDER, lose)
    assert result.outcome is Outcome.APPLIED, result.problem
    altered = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'more'"
    assert ask(environment, altered) == [("app.t",)]


def test_an_index_that_nobody_could_look_at_does_not_count_as_done(environment: Environment) -> None:
    assert run(environment, folder_of(FIRST)).outcome is Outcome.APPLIED
    with psycopg.connect(environment.url.reveal() if environment.url else "", autocommit=True) as other:
        other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            other.execute("CREATE UNIQUE INDEX CONCURRENTLY ix ON t (id)")

    def lose(chunk: Chunk) -> None:
        if b"pg_partition_tree" in chunk.data and b"rung.history" not in chunk.data:
            raise Cut

    assert environment.url
    files = folder("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix ON t (id)")
    with wire_to(environment.url) as wire:
        wire.before = lose
        result = run(replace(environment, url=wire.url), files)
    assert result.outcome is Outcome.FAILED
    assert NAME not in ledger(environment)
    assert "left its index INVALID" in problem_of(result).message
    again = run(environment, files)
    assert again.outcome is Outcome.REFUSED
    assert "Index public.ix is INVALID" in problem_of(again).message


def test_a_file_whose_set_up_cannot_be_repeated_says_how_much_of_it_is_done(environment: Environment) -> None:
    [(role,)] = ask(environment, "SELECT concat('helper_of_', current_database())")
    text = f"-- rung: no transaction\nSET ROLE {role};\nRESET ROLE;\nTABLE public.later;\n"
    ask(environment, f"CREATE ROLE {role}")
    assert run(environment, folder_of((NAME, text))).outcome is Outcome.FAILED
    ask(environment, f"DROP ROLE {role}")
    problem = problem_of(run(environment, folder_of((NAME, text))))
    assert role in problem.message
    assert "Its first 2 statements are done and stay; the next run goes on after them." in problem.advice
