"""What interrupted statements leave on a real server, and that it is read right: nothing INVALID counts as done."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.migration import Folder
from dashboard.core.picture import Picture, UnfinishedFile, picture_from_json, picture_to_json
from dashboard.core.resolving import Decision
from dashboard.core.run import Outcome, Problem, Result, StopQuestion, nobody_stops
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from dashboard.services.resolve import Ending, Wanted, resolve
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, noted, wait_until
from tests.wire import Chunk, Deafen, wire_to

FIRST = ("001_log.sql", LOG + noted("001_log.sql") + "CREATE TABLE t AS SELECT generate_series(1, 9) AS id;\n")
NAME = "002_index.sql"
NOTED = noted(NAME).strip(";\n")


def folder(*statements: str, top: str = "") -> Folder:
    return folder_of(FIRST, (NAME, top + "".join(f"{statement};\n" for statement in statements)))


def run(environment: Environment, files: Folder, stop: StopQuestion = nobody_stops) -> Result:
    return apply(environment, lambda: files, replace(ORDER, force=True, reason="a test"), Seen(), stop)


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def decide(environment: Environment, files: Folder, decision: Decision) -> str:
    """What it was answered: the sentence where it fits, else why not."""
    answer = resolve(environment, lambda: files, Wanted(NAME, decision, ORDER.actor, "a test"))
    assert answer.ending in (Ending.RESOLVED, Ending.REFUSED), answer
    return answer.said or f"no: {answer.problem and answer.problem.message}"


def left(environment: Environment) -> UnfinishedFile:
    picture = take_picture(environment)
    assert isinstance(picture, Picture)
    assert picture_from_json(picture_to_json(picture)) == picture  # as home keeps it
    (file,) = picture.unfinished
    return file


@contextmanager
def in_the_way(environment: Environment, *statements: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Another session in the middle of a transaction."""
    assert environment.url
    with psycopg.connect(environment.url.reveal()) as other:
        for statement in statements:
            other.execute(statement.encode())
        yield other
        other.rollback()


def after_a_while(seconds: float = 0.7) -> StopQuestion:
    began = time.monotonic()
    return lambda: "the lead" if time.monotonic() > began + seconds else None


def lost_in(environment: Environment, files: Folder, words: bytes) -> Callable[[], None]:
    """A run whose connection is lost when a statement with these words has arrived; the server goes on with it."""

    def lose() -> None:
        assert environment.url
        with wire_to(environment.url) as wire:

            def deafen(chunk: Chunk) -> None:
                if words in chunk.data and b"rung.history" not in chunk.data:
                    raise Deafen

            wire.after = deafen
            run(replace(environment, url=wire.url), files)
        working = "application_name LIKE 'rung work%' AND datname = current_database()"
        wait_until(lambda: not ask(environment, f"SELECT 1 FROM pg_stat_activity WHERE {working}"))

    return lose


def cut_short(environment: Environment, files: Folder, words: str) -> None:
    """A run whose connection is lost in a statement about table t that waits, and whose server process is ended then."""
    with in_the_way(environment, "INSERT INTO t VALUES (10)") as other:
        losing = threading.Thread(target=lost_in(environment, files, words.encode()))
        losing.start()
        waiting = f"query LIKE '{words}%' AND wait_event_type = 'Lock' AND datname = current_database()"
        find = f"SELECT pid FROM pg_stat_activity WHERE {waiting}"
        ((pid,),) = wait_until(lambda: ask(environment, find))
        ask(environment, "SELECT pg_terminate_backend(%s)", pid)
        other.rollback()
        losing.join()


# --- CREATE INDEX ---


def test_what_became_valid_after_the_decision_is_not_dropped(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON t (id)", NOTED)
    cut_short(environment, files, "CREATE INDEX CONCURRENTLY")
    assert left(environment).left == ("public.ix",)
    decide(environment, files, Decision.DROP_AND_RETRY)
    ask(environment, "REINDEX INDEX ix")
    built = ask(environment, "SELECT 'ix'::regclass::oid")
    assert run(environment, files).outcome is Outcome.APPLIED
    assert ask(environment, "SELECT 'ix'::regclass::oid") == built
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(42)
def test_a_build_that_waits_for_an_old_snapshot_and_is_stopped_can_be_dropped_and_built_again(
    environment: Environment,
) -> None:
    run(environment, folder_of(FIRST))
    files = folder("CREATE INDEX CONCURRENTLY ix ON t (id)", NOTED)
    with in_the_way(environment, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM log"):
        result = run(environment, files, after_a_while())
    assert result.outcome is Outcome.CANCELLED
    assert "It left the INVALID index public.ix." in problem_of(result).advice
    assert '--drop-and-retry --reason "…"' in problem_of(result).advice
    assert decide(environment, files, Decision.DROP_AND_RETRY).startswith("The next run drops")
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(82)
def test_an_index_without_a_name_is_told_from_an_invalid_one_that_was_there_before(environment: Environment) -> None:
    ask(environment, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    ask(environment, "CREATE INDEX older ON twice (id)")
    ask(environment, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'older'::regclass")
    files = folder("CREATE UNIQUE INDEX CONCURRENTLY ON twice (id)", NOTED)
    assert "It left the INVALID index public.twice_id_idx." in problem_of(run(environment, files)).advice
    assert left(environment).left == ("public.twice_id_idx",)
    assert decide(environment, files, Decision.RETRY).startswith("no: ")
    assert decide(environment, files, Decision.MARK_APPLIED).startswith("no: ")
    ask(environment, "DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")
    decide(environment, files, Decision.DROP_AND_RETRY)
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME], invalid=["older"])


def test_an_index_without_a_name_that_the_server_finished_alone_is_shown_as_new(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, "CREATE INDEX CONCURRENTLY ON t (id)")
    lost_in(environment, files, b"INDEX CONCURRENTLY ON t")()
    assert left(environment).evidence == ("Index public.t_id_idx is new, and valid.",)
    assert "recorded as applied at once" in decide(environment, files, Decision.MARK_APPLIED)
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(83)
def test_if_not_exists_over_an_invalid_index_can_be_resolved_and_is_recorded_only_when_it_is_valid(
    environment: Environment,
) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, "CREATE INDEX ix ON t (id)")
    ask(environment, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    files = folder("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON t (id)", NOTED)
    for _ in range(2):
        assert run(environment, files).outcome in (Outcome.FAILED, Outcome.REFUSED)
    assert_consistent(environment, ["001_log.sql"], invalid=["ix"])
    decide(environment, files, Decision.DROP_AND_RETRY)
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_an_index_that_somebody_put_right_by_hand_needs_no_second_build(environment: Environment) -> None:
    ask(environment, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    files = folder("CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id)", NOTED)
    run(environment, files)
    ask(environment, "DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")
    ask(environment, "REINDEX INDEX once")
    assert "Index public.once exists and is valid." in problem_of(run(environment, files)).message
    assert (
        decide(environment, files, Decision.MARK_APPLIED)
        == "Statement 1 counts as done; the next run goes on after it."
    )
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


# --- REINDEX ---


@pytest.mark.parametrize(
    "what",
    [
        "INDEX CONCURRENTLY ix",
        pytest.param("TABLE CONCURRENTLY t", marks=pytest.mark.slow),
        pytest.param("SCHEMA CONCURRENTLY app", marks=pytest.mark.slow),
    ],
)
def test_a_reindex_that_is_stopped_leaves_a_copy_that_is_named_and_dropped(environment: Environment, what: str) -> None:
    ask(environment, "CREATE SCHEMA app")
    ask(environment, "CREATE TABLE app.t (id int)")
    ask(environment, "CREATE INDEX ix ON app.t (id)")
    files = folder("SET search_path = app", f"REINDEX {what}", NOTED)
    with in_the_way(environment, "INSERT INTO app.t VALUES (1)"):
        result = run(environment, files, after_a_while())
    assert "It left the INVALID index app.ix_ccnew." in problem_of(result).advice, result.problem
    assert left(environment).left == ("app.ix_ccnew",)
    assert decide(environment, files, Decision.MARK_APPLIED).startswith("no: ")
    decide(environment, files, Decision.DROP_AND_RETRY)
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_reindex_that_leaves_an_index_invalid_is_never_recorded_as_success(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, "CREATE INDEX ix ON t (id)")
    ask(environment, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    files = folder("REINDEX TABLE CONCURRENTLY t", NOTED)
    told = problem_of(run(environment, files))
    assert told.message == "index public.ix is INVALID, and the server left it so"
    assert "REINDEX INDEX CONCURRENTLY public.ix;" in told.advice
    assert "REINDEX INDEX CONCURRENTLY public.ix;" in problem_of(run(environment, files)).advice
    assert_consistent(environment, ["001_log.sql"], invalid=["ix"])
    ask(environment, "REINDEX INDEX ix")
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


# --- DROP INDEX, DETACH PARTITION ---


def test_a_drop_that_was_interrupted_is_simply_repeated(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, "CREATE INDEX ix ON t (id)")
    files = folder(NOTED, "DROP INDEX CONCURRENTLY ix")
    cut_short(environment, files, "DROP INDEX CONCURRENTLY")
    assert left(environment).evidence[0].startswith("Index public.ix is INVALID: its removal was begun")
    assert decide(environment, files, Decision.MARK_APPLIED).startswith("no: ")
    assert decide(environment, files, Decision.DROP_AND_RETRY).startswith("no: ")
    assert decide(environment, files, Decision.RETRY) == "The next run executes statement 2 again."
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_drop_that_the_server_finished_alone_counts_as_done(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, "CREATE INDEX ix ON t (id)")
    files = folder(NOTED, "DROP INDEX CONCURRENTLY ix")
    lost_in(environment, files, b"DROP INDEX CONCURRENTLY")()
    assert left(environment).evidence == ("Index public.ix is gone.",)
    assert decide(environment, files, Decision.RETRY).startswith("no: ")
    assert "recorded as applied at once" in decide(environment, files, Decision.MARK_APPLIED)
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_half_detached_partition_is_finished_by_hand_and_then_counts_as_done(environment: Environment) -> None:
    ask(environment, "CREATE TABLE parts (id int) PARTITION BY LIST (id)")
    ask(environment, "CREATE TABLE one PARTITION OF parts FOR VALUES IN (1)")
    files = folder("ALTER TABLE parts DETACH PARTITION one CONCURRENTLY", NOTED)
    run(environment, folder_of(FIRST))
    with in_the_way(environment, "SELECT * FROM parts"):
        result = run(environment, files, after_a_while())
    assert result.outcome is Outcome.CANCELLED
    first = "ALTER TABLE public.parts DETACH PARTITION public.one FINALIZE;"
    refused = problem_of(run(environment, files))
    assert "Partition public.one is half detached from public.parts" in refused.message
    assert first in refused.advice
    for decision in Decision:
        assert decide(environment, files, decision).startswith("no: ")
    ask(environment, first)
    assert left(environment).evidence == ("Table public.one is detached.",)
    decide(environment, files, Decision.MARK_APPLIED)
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


# --- what commits by itself ---

COMMITS = "CREATE PROCEDURE totals() LANGUAGE plpgsql AS $$ BEGIN COMMIT; INSERT INTO log VALUES ('{}'); COMMIT; END $$"


@pytest.mark.fault(80)
def test_a_call_that_commits_is_explained_and_runs_where_the_file_asks_for_no_transaction(
    environment: Environment,
) -> None:
    run(environment, folder_of(FIRST))
    ask(environment, COMMITS.format(NAME))
    told = problem_of(run(environment, folder("CALL totals()")))
    assert (told.sqlstate, told.line) == ("2D000", 1)
    assert "'-- rung: no transaction' as its first line" in told.advice
    result = run(environment, folder("CALL totals()", top="-- rung: no transaction\n"))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ["001_log.sql", NAME])


@pytest.mark.fault(80)
def test_a_call_of_a_procedure_that_an_earlier_pending_file_makes_is_known_to_commit(environment: Environment) -> None:
    procedure = ("002_procedure.sql", COMMITS.format("003_call.sql") + ";\n" + noted("002_procedure.sql"))
    result = run(environment, folder_of(FIRST, procedure, ("003_call.sql", "CALL totals();")))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ["001_log.sql", "002_procedure.sql", "003_call.sql"])
