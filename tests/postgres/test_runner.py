"""The runner: nothing lost, nothing twice, nothing left behind, and always a reason."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.events import (
    Blocked,
    Event,
    FileApplied,
    FileFailed,
    FileRetrying,
    FileStarted,
    Notice,
    OutcomeUnknown,
    StatementDone,
)
from dashboard.core.migration import Folder
from dashboard.core.plan import Action, Step
from dashboard.core.run import Actor, ActorKind, Door, Outcome, Problem, Result, nobody_stops
from dashboard.core.script import Script
from dashboard.core.statement import Statement
from dashboard.postgres import session
from dashboard.postgres.connect import Connection, connect
from dashboard.postgres.history import Author
from dashboard.postgres.lock import Held
from dashboard.postgres.runner import Runner
from dashboard.postgres.session import Verdict
from dashboard.services.apply import apply
from tests.oracle import (
    LOG,
    ORDER,
    Seen,
    ask,
    assert_consistent,
    events,
    folder_of,
    ledger,
    noted,
    three_files,
    wait_until,
)
from tests.wire import Chunk, Cut, Deafen, wire_to

ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six attempts would take eight seconds of pauses."""
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)


def run(environment: Environment, folder: Folder, seen: Seen | None = None) -> Result:
    return apply(environment, lambda: folder, ORDER, seen if seen is not None else Seen())


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def one(text: str, name: str = "002_middle.sql") -> Folder:
    """A folder whose first file makes the log, and one more."""
    return folder_of(("001_log.sql", LOG + noted("001_log.sql")), (name, text))


@contextmanager
def held_table(environment: Environment, table: str = "public.log") -> Iterator[Connection]:
    """Another session reads the table, and does not let go."""
    assert environment.url
    with psycopg.connect(environment.url.reveal(), application_name="nightly dump") as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE".encode())
        yield other
        other.rollback()


def while_sleeping(environment: Environment, deed: Callable[[int], object]) -> threading.Thread:
    """Do something to the work connection's server process, as soon as it sleeps."""

    def wait_and_do() -> None:
        find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        deed(wait_until(lambda: ask(environment, find))[0][0])

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


# --- files that fail ---


def test_a_file_that_fails_leaves_nothing_behind_and_stops_the_run(environment: Environment) -> None:
    result = run(environment, three_files("CREATE TABLE half (id int);\nSELECT 1/0;\n"))
    assert (result.outcome, result.applied) == (Outcome.FAILED, ("001_log.sql",))
    assert ask(environment, "SELECT to_regclass('public.half')") == [(None,)]
    assert_consistent(environment, ["001_log.sql"])


def test_a_failure_says_environment_file_line_column_caret_state_message_and_hint(environment: Environment) -> None:
    text = "SELECT 'ä€🙂';\r\nCREATE TABLE b (\r\n  id int,\r\n\tother nosuchtype\r\n);\r\n"
    seen = Seen()
    told = problem_of(run(environment, one(text), seen))
    assert (told.environment, told.filename, told.statement) == ("local", "002_middle.sql", 2)
    assert (told.line, told.column) == (4, 8)
    assert told.excerpt == "\tother nosuchtype\n\t      ^"
    assert (told.sqlstate, told.message) == ("42704", 'type "nosuchtype" does not exist')
    assert told.advice.startswith("Nothing of this file was kept.")
    assert seen.of(FileFailed)[0].problem == told


def test_the_history_remembers_a_failure_with_all_of_it(environment: Environment) -> None:
    told = problem_of(run(environment, one("SELECT count(*) FROM public.log;\nSELECT nam FROM pg_class;")))
    rows = ask(
        environment,
        "SELECT event, filename, statement, line, column_number, excerpt, sqlstate, message, hint, actor, sql_text "
        "FROM rung.history ORDER BY id DESC LIMIT 1",
    )
    text = "SELECT count(*) FROM public.log;\nSELECT nam FROM pg_class;"
    assert rows == [
        ("failed", "002_middle.sql", 2, 2, 8, told.excerpt, "42703", told.message, told.hint, "somebody", text)
    ]


def test_an_error_inside_a_function_comes_with_its_context(environment: Environment) -> None:
    told = problem_of(
        run(environment, one("SELECT 1;\nDO $$\nBEGIN\n  RAISE EXCEPTION 'no' USING HINT = 'try';\nEND $$;"))
    )
    assert (told.line, told.column, told.hint) == (2, None, "try")
    assert "inline_code_block line 3 at RAISE" in (told.detail or "")
    assert told.excerpt == "DO $$ BEGIN RAISE EXCEPTION 'no' USING HINT = 'try'; END $$"


def test_a_constraint_put_off_to_the_end_fails_the_file_before_the_commit(environment: Environment) -> None:
    text = (
        "CREATE TABLE parent (id int PRIMARY KEY);\n"
        "CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO child VALUES (1);"
    )
    told = problem_of(run(environment, one(text)))
    assert told.sqlstate == "23503"
    assert_consistent(environment, ["001_log.sql"])


def test_what_is_put_off_to_the_end_runs_on_the_file_s_own_path(environment: Environment) -> None:
    text = (
        "CREATE SCHEMA shop;\nSET LOCAL search_path = shop;\nCREATE TABLE seen (id int);\nCREATE TABLE t (id int);\n"
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS\n"
        "'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END';\n"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED\n"
        "FOR EACH ROW EXECUTE FUNCTION see();\nINSERT INTO t VALUES (7);\n"
    )
    result = run(environment, one(text + noted("002_middle.sql")))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT id FROM shop.seen") == [(7,)]


def test_a_corrected_file_runs_the_next_time(environment: Environment) -> None:
    run(environment, three_files("SELECT 1/0;"))
    result = run(environment, three_files())
    assert result.applied == ("002_middle.sql", "003_end.sql")
    assert_consistent(environment, ALL)


@pytest.mark.fault(81)
def test_a_new_enum_value_used_in_the_same_file_is_told_what_to_do(environment: Environment) -> None:
    run(environment, one("CREATE TYPE mood AS ENUM ('fine');", "000_mood.sql"))
    told = problem_of(
        run(environment, one("ALTER TYPE mood ADD VALUE 'new';\nSELECT ('ne' || 'w')::mood;"))
    )  # past the review
    assert (told.sqlstate, told.line) == ("55P04", 2)
    assert "put what uses it into the next file" in told.advice


def test_an_error_of_the_file_s_own_is_not_tried_again(environment: Environment) -> None:
    seen = Seen()
    assert run(environment, one("SELECT 1/0;"), seen).outcome is Outcome.FAILED
    assert seen.of(FileRetrying) == []
    assert len(seen.of(FileFailed)) == 1


def test_a_row_that_the_ledger_refuses_does_not_make_the_file_somebody_else_s(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql"))))
    ask(environment, "CREATE UNIQUE INDEX one_row ON _migrations_applied ((true))")
    result = run(environment, one(noted("002_middle.sql")))
    assert (result.outcome, problem_of(result).sqlstate) == (Outcome.FAILED, "23505")
    assert ask(environment, "SELECT entry FROM public.log") == [("001_log.sql",)]


# --- others in the way ---


@pytest.mark.fault(38)
def test_a_lock_that_is_let_go_in_time_costs_retries_and_nothing_else(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql"))))
    seen = Seen()
    folder = one(
        "SET LOCAL lock_timeout = '100ms';\nALTER TABLE log ADD COLUMN more int;\nINSERT INTO log VALUES ('002_middle.sql');"
    )
    with held_table(environment) as other:

        def let_go(event: Event) -> None:
            seen(event)
            if isinstance(event, FileRetrying) and event.attempt == 2:
                other.rollback()

        result = apply(environment, lambda: folder, ORDER, let_go)
    assert result.outcome is Outcome.APPLIED
    retries = seen.of(FileRetrying)
    assert [(retry.attempt, retry.attempts, retry.sqlstate) for retry in retries] == [(1, 6, "55P03"), (2, 6, "55P03")]
    assert any("it took 3 attempts" in note for note in result.notes)
    assert [event for event in events(environment) if event[0] == "note"] == [("note", "002_middle.sql")] * 2
    assert_consistent(environment, ["001_log.sql", "002_middle.sql"])


@pytest.mark.fault(38)
@pytest.mark.fault(39)
def test_a_lock_that_is_never_let_go_fails_the_file_and_names_who_holds_it(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql"))))
    seen = Seen()
    with held_table(environment):
        folder = one("SET LOCAL lock_timeout = '1300ms';\nALTER TABLE log ADD COLUMN more int;")
        result = run(environment, folder, seen)
    told = problem_of(result)
    assert (result.outcome, told.sqlstate, len(seen.of(FileRetrying))) == (Outcome.FAILED, "55P03", 5)
    assert told.advice.startswith("Tried 6 times.")
    assert "nightly dump" in (told.detail or "")
    assert "idle in transaction" in (told.detail or "")
    assert {blocker.application for event in seen.of(Blocked) for blocker in event.blockers} == {"nightly dump"}
    assert_consistent(environment, ["001_log.sql"])


def test_a_file_waits_three_seconds_for_a_lock_unless_it_says_otherwise(environment: Environment) -> None:
    run(environment, one("CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS it;"))
    assert ask(environment, "SELECT it FROM waits") == [("3s",)]


@pytest.mark.fault(40)
def test_a_deadlock_is_tried_again(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + "CREATE TABLE a (); CREATE TABLE b ();" + noted("001_log.sql"))))
    seen = Seen()
    text = "SET LOCAL deadlock_timeout = '50ms';\nLOCK TABLE b;\nSELECT pg_sleep(0.3);\nLOCK TABLE a;\n" + noted(
        "002_middle.sql"
    )
    with held_table(environment, "a") as other:

        def cross(pid: int) -> None:
            other.execute("SET LOCAL deadlock_timeout = '60s'")
            other.execute("LOCK TABLE b IN ACCESS SHARE MODE")
            other.rollback()

        thread = while_sleeping(environment, cross)
        result = run(environment, one(text), seen)
        thread.join()
    assert result.outcome is Outcome.APPLIED, result.problem
    assert [retry.sqlstate for retry in seen.of(FileRetrying)] == ["40P01"]
    assert_consistent(environment, ["001_log.sql", "002_middle.sql"])


@pytest.mark.fault(41)
def test_a_serialization_failure_is_tried_again(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql") + "CREATE TABLE n AS SELECT 1 AS n;")))
    seen = Seen()
    text = (
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT pg_sleep(0.3);\nUPDATE n SET n = n + 1 WHERE n > 0;\n"
        + noted("002_middle.sql")
        + "COMMIT;"
    )
    thread = while_sleeping(environment, lambda pid: ask(environment, "UPDATE n SET n = 10"))
    result = run(environment, one(text), seen)
    thread.join()
    assert result.outcome is Outcome.APPLIED, result.problem
    assert "40001" in [retry.sqlstate for retry in seen.of(FileRetrying)]
    assert_consistent(environment, ["001_log.sql", "002_middle.sql"])


def test_another_writer_of_the_history_costs_a_repeatable_read_file_one_retry(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql"))))
    author = Author("0d5c0f5e-93a1-4b7c-8a4b-3f3c7b1f6f10", "local", Actor(ActorKind.PERSON, "x", Door.CLI), "h", "1")

    def write(pid: int) -> None:
        with Runner(environment, author, Seen(), nobody_stops) as other:
            other.look()
            other.remember("meanwhile")

    seen = Seen()
    thread = while_sleeping(environment, write)
    text = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_sleep(0.5); " + noted("002_middle.sql") + " COMMIT;"
    result = run(environment, one(text), seen)
    thread.join()
    assert result.outcome is Outcome.APPLIED, result.problem
    assert len(seen.of(FileRetrying)) == 1
    assert_consistent(environment, ["001_log.sql", "002_middle.sql"])


# --- what files do to their session ---

LEAKS = """
SET search_path = '';
SET lock_timeout = 0;
SET statement_timeout = '1h';
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SET client_encoding = 'LATIN1';
SET rung_test.mine = 'x';
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;
CREATE TEMPORARY TABLE leaked (id int);
PREPARE leaked AS SELECT 1;
DECLARE leaked CURSOR WITH HOLD FOR SELECT 1;
LISTEN leaked;
SELECT pg_catalog.pg_advisory_lock(4711);
SELECT pg_catalog.nextval('public.seq');
"""
LOOK = """
CREATE TABLE found AS SELECT current_setting('search_path') AS path, current_setting('lock_timeout') AS locks,
  current_setting('statement_timeout') AS statements, current_setting('TimeZone') AS zone,
  current_setting('DateStyle') AS dates, current_setting('client_encoding') AS encoding,
  coalesce(current_setting('rung_test.mine', true), '') AS mine,
  current_setting('transaction_isolation') AS isolation, current_user AS who,
  to_regclass('pg_temp.leaked') AS temporary, (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
  (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'rung%') AS prepared,
  (SELECT count(*) FROM pg_listening_channels()) AS channels,
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS advisory;
"""


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "leaks", [LEAKS, LEAKS.replace("PREPARE leaked AS SELECT 1;\n", "")], ids=["new session", "same session"]
)
def test_what_a_file_leaves_in_its_session_does_not_reach_the_next_one(environment: Environment, leaks: str) -> None:
    first = ("001_log.sql", LOG + "CREATE SEQUENCE seq;" + noted("001_log.sql"))
    alone = folder_of(first, ("003_end.sql", LOOK + noted("003_end.sql")))
    run(environment, alone)
    expected = ask(environment, "SELECT * FROM found")
    ask(environment, "DROP TABLE found, log, _migrations_applied; DROP SEQUENCE seq; DROP SCHEMA rung CASCADE")
    leaking = ("002_middle.sql", leaks + noted("002_middle.sql"))
    result = run(environment, folder_of(first, leaking, ("003_end.sql", LOOK + noted("003_end.sql"))))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT * FROM found") == expected
    assert_consistent(environment, ALL)


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "deed",
    [
        "SET search_path = '';",
        "SET LOCAL search_path = pg_temp, trojan;",
        "CREATE ROLE nobody_much; SET ROLE nobody_much;",
        "CREATE ROLE nobody_much; SET SESSION AUTHORIZATION nobody_much;",
        "SET statement_timeout = '1ms';",
        "SET client_encoding = 'LATIN1';",
        "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET IntervalStyle = iso_8601;",
        "SELECT pg_advisory_unlock_all();",
        "SET session_replication_role = replica;",
        "SET standard_conforming_strings = off;",
        "SET row_security = off;",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$;",
        "SET CONSTRAINTS ALL DEFERRED;",
        "SET default_transaction_read_only = on;",
        "SET transform_null_equals = on; SET enable_seqscan = off; SET quote_all_identifiers = on;",
    ],
)
def test_our_own_rows_are_right_whatever_a_file_does_to_its_session(environment: Environment, deed: str) -> None:
    result = apply(environment, lambda: three_files(deed), replace(ORDER, force=True, reason="a test"), Seen())
    ask(environment, "DROP ROLE IF EXISTS nobody_much")
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ALL)


def test_a_role_that_is_set_up_for_the_login_comes_back_after_a_file_changed_it(environment: Environment) -> None:
    assert environment.url
    for statement in (
        "DROP OWNED BY app_owner, app_login"
        if ask(environment, "SELECT 1 FROM pg_roles WHERE rolname = 'app_owner'")
        else "",
        "DROP ROLE IF EXISTS app_owner, app_login",
        "CREATE ROLE app_owner",
        "CREATE ROLE app_login LOGIN PASSWORD 'x' IN ROLE app_owner",
        "ALTER ROLE app_login SET role = 'app_owner'",
        "GRANT CREATE ON SCHEMA public TO app_owner",
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO app_owner', current_database()); END $$",
    ):
        ask(environment, statement or "SELECT 1")
    url = type(environment.url)(f"postgresql://app_login:x@{environment.url.reveal().partition('@')[2]}")
    result = run(replace(environment, url=url), three_files("SET ROLE app_login;\nCREATE TABLE mine ();\n"))
    owners = ask(
        environment,
        "SELECT relname::text, pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('log', 'mine', 'history')",
    )
    for statement in ("DROP OWNED BY app_owner, app_login", "DROP ROLE app_login", "DROP ROLE app_owner"):
        ask(environment, statement)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert dict(owners) == {"log": "app_owner", "history": "app_owner", "mine": "app_login"}


def test_what_a_file_sets_for_new_sessions_holds_for_the_next_file(environment: Environment) -> None:
    assert environment.url
    name = environment.url.reveal().rpartition("/")[2]
    folder = folder_of(
        (
            "001_log.sql",
            LOG + noted("001_log.sql") + f"CREATE SCHEMA app; ALTER DATABASE {name} SET search_path = app, public;",
        ),
        ("002_middle.sql", "CREATE TABLE here ();" + noted("002_middle.sql")),
    )
    assert run(environment, folder).outcome is Outcome.APPLIED
    assert ask(environment, "SELECT to_regclass('app.here') IS NOT NULL") == [(True,)]


@pytest.mark.fault(89)
def test_a_trojan_path_set_by_the_owner_does_not_reach_our_statements(environment: Environment) -> None:
    assert environment.url
    name = environment.url.reveal().rpartition("/")[2]
    ask(environment, "CREATE SCHEMA trojan")
    for function, answer in (("now()", "timestamptz '1999-01-01'"), ("set_config(text, text, boolean)", "text 'x'")):
        kind = answer.split()[0]
        ask(environment, f"CREATE FUNCTION trojan.{function} RETURNS {kind} LANGUAGE sql AS $$SELECT {answer}$$")
    ask(environment, "CREATE FUNCTION trojan.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'")
    ask(environment, "CREATE OPERATOR trojan.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trojan.never)")
    ask(environment, f"ALTER DATABASE {name} SET search_path = trojan, pg_catalog, public")
    result = run(environment, three_files())
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT count(*) FROM public._migrations_applied WHERE applied_at > '2020-01-01'") == [(3,)]
    assert run(environment, three_files()).outcome is Outcome.NOTHING


def hand_made(name: str, *texts: str) -> Step:
    """A step whose statements did not go through the parser's refusals."""
    (migration,) = folder_of((name, ";\n".join(texts))).migrations
    statements = tuple(
        Statement(index, text, index, 1, 0, "SELECT", transactional=True, tree=None)
        for index, text in enumerate(texts, 1)
    )
    return Step(migration, Action.RUN, Script(name, statements))


@pytest.mark.fault(77)
def test_transaction_control_that_slipped_through_is_found_before_the_commit(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql"))))
    author = Author("0d5c0f5e-93a1-4b7c-8a4b-3f3c7b1f6f10", "local", ORDER.actor, "h", "1")
    for name, end in (("002_a.sql", "ROLLBACK"), ("003_b.sql", "COMMIT")):
        with Runner(environment, author, Seen(), nobody_stops) as runner:
            runner.look()
            assert isinstance(runner.lock(5), Held)
            (finish,) = runner.execute([hand_made(name, noted(name).strip(";\n"), end, "BEGIN", "SELECT 1")], 0)
        assert finish.verdict is Verdict.FAILED
        assert finish.problem
        assert "ended the transaction it runs in" in finish.problem.message
        assert ("The ledger has the file" in finish.problem.advice) == (end == "COMMIT")
    assert ledger(environment) == ["001_log.sql", "003_b.sql"]
    assert ask(environment, "SELECT entry FROM log ORDER BY 1") == [("001_log.sql",), ("003_b.sql",)]


# --- ends that nobody asked for ---


@pytest.mark.fault(13)
def test_a_server_process_that_is_ended_takes_the_file_with_it(environment: Environment) -> None:
    thread = while_sleeping(environment, lambda pid: ask(environment, "SELECT pg_terminate_backend(%s)", pid))
    result = run(environment, three_files("SELECT pg_sleep(30);"))
    thread.join()
    told = problem_of(result)
    assert (result.outcome, told.sqlstate, told.statement) == (Outcome.FAILED, "57P01", 2)
    assert "administrator" in told.advice
    assert events(environment)[-1] == ("failed", "002_middle.sql")
    assert_consistent(environment, ["001_log.sql"])


@pytest.mark.fault(14)
def test_a_statement_cancelled_at_the_server_is_told_apart_from_ours(environment: Environment) -> None:
    thread = while_sleeping(environment, lambda pid: ask(environment, "SELECT pg_cancel_backend(%s)", pid))
    result = run(environment, three_files("SELECT pg_sleep(30);"))
    thread.join()
    told = problem_of(result)
    assert (result.outcome, told.sqlstate) == (Outcome.FAILED, "57014")
    assert "Somebody cancelled the statement at the server" in told.advice


@pytest.mark.fault(49)
def test_a_statement_timeout_of_the_role_is_named_as_such(environment: Environment) -> None:
    told = problem_of(run(environment, three_files("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(30);")))
    assert "statement_timeout" in told.advice


def test_a_run_that_is_asked_to_stop_cancels_its_statement_and_says_who(environment: Environment) -> None:
    asleep = threading.Event()
    thread = while_sleeping(environment, lambda pid: asleep.set())
    began = time.monotonic()
    stop = lambda: "lead@example.com" if asleep.is_set() else None  # noqa: E731  # the question
    result = apply(environment, lambda: three_files("SELECT pg_sleep(60);"), ORDER, Seen(), stop)
    thread.join()
    assert result.outcome is Outcome.CANCELLED
    told = problem_of(result)
    assert (told.message, told.sqlstate) == ("cancelled by lead@example.com", "57014")
    assert told.advice == "Nothing of this file was kept. Run again."
    assert time.monotonic() - began < 15
    last = ask(environment, "SELECT event, filename, message FROM rung.history ORDER BY id DESC LIMIT 1")
    assert last == [("failed", "002_middle.sql", "cancelled by lead@example.com")]
    assert_consistent(environment, ["001_log.sql"])


@pytest.mark.fault(78)
def test_a_run_that_loses_its_lock_commits_nothing_more(environment: Environment) -> None:
    def end_control(pid: int) -> None:
        ask(
            environment,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'rung control' AND datname = current_database()",
        )

    thread = while_sleeping(environment, end_control)
    result = run(environment, three_files("SELECT pg_sleep(0.5);"))
    thread.join()
    assert result.outcome is Outcome.FAILED
    assert problem_of(result).message == "the runner's lock was lost while the file ran"
    assert_consistent(environment, ["001_log.sql"])


def carries_the_middle_file(chunk: Chunk) -> bool:
    return b"COMMIT" in chunk.data and b"002_middle" in chunk.data


def cut_before_commit(chunk: Chunk) -> None:
    if carries_the_middle_file(chunk):
        raise Cut


def deafen_after_commit(chunk: Chunk) -> None:
    if carries_the_middle_file(chunk):
        raise Deafen


@pytest.mark.fault(17)
@pytest.mark.fault(18)
@pytest.mark.usefixtures("one_file_a_flight")
@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer_to_commit_is_found_out_and_never_guessed(environment: Environment, arrives: bool) -> None:
    assert environment.url
    folder, seen = three_files(), Seen()
    with wire_to(environment.url) as wire:
        if arrives:  # muted first: an answer may come back before `after` is asked
            wire.before = lambda chunk: wire.mute(chunk.link) if carries_the_middle_file(chunk) else None
            wire.after = deafen_after_commit
        else:
            wire.before = cut_before_commit
        result = run(replace(environment, url=wire.url), folder, seen)
    assert len(seen.of(OutcomeUnknown)) == 1
    if arrives:
        assert result.outcome is Outcome.APPLIED, result.problem
        assert any("it is applied (checked)" in note for note in result.notes)
        assert_consistent(environment, ALL)
    else:
        assert result.outcome is Outcome.FAILED
        assert "it is not applied (checked)" in problem_of(result).message
        assert_consistent(environment, ["001_log.sql"])
        assert run(environment, folder).applied == ("002_middle.sql", "003_end.sql")
        assert_consistent(environment, ALL)


@pytest.mark.fault(20)
@pytest.mark.usefixtures("one_file_a_flight")
def test_when_both_connections_are_lost_the_lock_is_taken_anew_before_the_ledger_is_read(
    environment: Environment,
) -> None:
    assert environment.url
    seen = Seen()
    with wire_to(environment.url) as wire:

        def mute(chunk: Chunk) -> None:
            if carries_the_middle_file(chunk):
                wire.mute(chunk.link)  # the runner must not look for itself before both are gone

        def deafen_all(chunk: Chunk) -> None:
            if carries_the_middle_file(chunk):
                wait_until(lambda: "002_middle.sql" in ledger(environment))  # else the file misses its lock
                wire.deafen_all()
                raise Deafen

        wire.before, wire.after = mute, deafen_all
        result = run(replace(environment, url=wire.url), three_files(), seen)
    assert len(seen.of(OutcomeUnknown)) == 1
    assert result.applied == ("001_log.sql", "002_middle.sql")
    assert result.outcome is Outcome.FAILED
    assert "1 file did not run" in problem_of(result).message
    assert run(environment, three_files()).applied == ("003_end.sql",)
    assert_consistent(environment, ALL)


def test_a_server_process_that_goes_on_alone_is_waited_for(environment: Environment) -> None:
    """The connection is gone while the server still works on the file, and then it commits."""
    assert environment.url
    with wire_to(environment.url) as wire:
        wire.after = deafen_after_commit
        result = run(replace(environment, url=wire.url), three_files("SELECT pg_sleep(1);"))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ALL)


# --- what else a run does ---


def test_every_file_and_statement_is_reported_as_it_happens(environment: Environment) -> None:
    seen = Seen()
    run(environment, three_files("SELECT generate_series(1, 7);"), seen)
    started = seen.of(FileStarted)
    assert [(event.filename, event.index, event.total, event.transactional) for event in started] == [
        (name, index, 3, True) for index, name in enumerate(ALL, 1)
    ]
    assert started[1].first_lines == (
        "INSERT INTO public.log VALUES ('002_middle.sql')",
        "SELECT generate_series(1, 7)",
    )
    assert [(event.statement, event.rows) for event in seen.of(StatementDone) if event.filename == ALL[1]] == [
        (1, 1),
        (2, 7),
    ]
    assert [event.filename for event in seen.of(FileApplied)] == ALL


def test_a_statement_is_reported_while_the_next_one_still_runs(environment: Environment) -> None:
    moments: dict[object, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, StatementDone) and event.filename == ALL[1]:
            moments[event.statement] = time.monotonic()

    apply(environment, lambda: three_files("SELECT pg_sleep(0.4); SELECT 1;"), ORDER, note)
    assert moments[2] - moments[1] > 0.3


def test_what_the_server_remarks_is_passed_on(environment: Environment) -> None:
    seen = Seen()
    run(environment, three_files("DO $$ BEGIN RAISE NOTICE 'half way'; RAISE WARNING 'careful'; END $$;"), seen)
    told = [(notice.filename, notice.message) for notice in seen.of(Notice)]
    assert told == [(ALL[1], "NOTICE: half way"), (ALL[1], "WARNING: careful")]


@pytest.mark.fault(72)
def test_a_file_without_a_statement_is_recorded_with_a_note(environment: Environment) -> None:
    seen = Seen()
    result = run(environment, folder_of(("001_empty.sql", ""), ("002_comment.sql", "-- later\n")), seen)
    assert result.outcome is Outcome.APPLIED
    assert all("no statement" in (event.note or "") for event in seen.of(FileApplied))
    assert ledger(environment) == ["001_empty.sql", "002_comment.sql"]


def test_a_file_with_its_own_begin_and_commit_runs_in_one_transaction_with_its_row(environment: Environment) -> None:
    text = "BEGIN;\n" + noted("002_middle.sql") + "CREATE TABLE ids AS SELECT txid_current() AS id;\nCOMMIT;\n"
    assert run(environment, one(text)).outcome is Outcome.APPLIED
    same = "SELECT xmin::text = (SELECT id FROM ids)::text FROM _migrations_applied WHERE filename = '002_middle.sql'"
    assert ask(environment, same) == [(True,)]


def test_a_renamed_file_is_recorded_and_not_run(environment: Environment) -> None:
    run(environment, three_files())
    text = three_files().migrations[1].text
    kept = three_files().migrations
    renamed = folder_of(("001_log.sql", kept[0].text), ("002_centre.sql", text), ("003_end.sql", kept[2].text))
    seen = Seen()
    result = run(environment, renamed, seen)
    assert result.applied == ("002_centre.sql",)
    assert seen.of(FileApplied)[0].adopted
    assert len(ask(environment, "SELECT entry FROM log")) == 3
    last = ask(environment, "SELECT event, renamed_from FROM rung.history ORDER BY id DESC LIMIT 1")
    assert last == [("adopted", "002_middle.sql")]
    assert run(environment, renamed).outcome is Outcome.NOTHING


def test_a_large_file_with_large_answers_neither_stalls_nor_fails(environment: Environment) -> None:
    big = "INSERT INTO big SELECT repeat('x', 100);\nSELECT repeat('y', 20000);\n" * 400
    filler = "-- " + "z" * 4_000_000 + "\n"
    result = run(environment, three_files("CREATE TABLE big (t text);\n" + big + filler))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT count(*) FROM big") == [(400,)]
    assert_consistent(environment, ALL)


def test_a_file_takes_at_most_two_pieces_on_the_wire(environment: Environment) -> None:
    assert environment.url
    files = folder_of(("001_log.sql", LOG), *((f"{number:03}_x.sql", noted(f"{number}")) for number in range(2, 42)))
    with wire_to(environment.url) as wire:
        assert run(replace(environment, url=wire.url), files).outcome is Outcome.APPLIED
        sent = wire.sent
    assert sent <= 2 * 41 + 15, sent  # libpq sends one at every sync; nothing waits for an answer in between


@pytest.mark.fault(60)
def test_debians_server_does_it_all_as_well(debian: Callable[[], Environment]) -> None:
    environment = debian()
    folder = three_files(
        "CREATE TABLE a AS SELECT 1 AS i;\n" + LEAKS.replace("SELECT pg_catalog.nextval('public.seq');", "")
    )
    assert run(environment, folder).outcome is Outcome.APPLIED
    alone = folder_of(
        *((file.filename, file.text) for file in folder.migrations),
        ("004_ix.sql", "CREATE INDEX CONCURRENTLY ix ON a (i); VACUUM a; INSERT INTO log VALUES ('004_ix.sql');"),
    )
    assert run(environment, alone).outcome is Outcome.APPLIED
    failing = folder_of(*((file.filename, file.text) for file in alone.migrations), ("005_no.sql", "SELECT nonsense;"))
    assert problem_of(run(environment, failing)).column == 8
    assert_consistent(environment, [*ALL, "004_ix.sql"])
    with connect(environment, purpose="test") as connection:
        assert connection.info.server_version < 180000
