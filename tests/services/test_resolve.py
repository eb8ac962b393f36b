"""Resolve, the recipe: what a person may decide about a file, what is refused, and where the next run goes on."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.errors import NotFound
from dashboard.core.migration import Folder
from dashboard.core.resolving import Decision
from dashboard.core.run import Actor, ActorKind, Door, Outcome, Problem, Result
from dashboard.postgres import session
from dashboard.postgres.connect import connect
from dashboard.postgres.history import verify
from dashboard.postgres.lock import acquire
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from dashboard.services.resolve import Ending, Resolution, Wanted, resolve
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, ledger, noted, wait_until
from tests.wire import Chunk, Cut, Deafen, wire_to

FIRST = ("001_log.sql", LOG + noted("001_log.sql") + "CREATE TABLE t AS SELECT generate_series(1, 9) AS id;\n")
NAME = "002_index.sql"
INDEX = "CREATE INDEX CONCURRENTLY ix ON t (id)"
UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id)"
NOTED = noted(NAME).strip(";\n")
LEAD = Actor(ActorKind.PERSON, "lead@example.com", Door.CLI)
MakeInvalid = Callable[[Environment, str], None]


def folder(*statements: str) -> Folder:
    """The table, and a non-transactional file of these statements."""
    return folder_of(FIRST, (NAME, "".join(f"{statement};\n" for statement in statements)))


def run(environment: Environment, files: Folder) -> Result:
    return apply(environment, lambda: files, ORDER, Seen())


def decide(environment: Environment, files: Folder, decision: Decision, name: str = NAME, **how: object) -> Resolution:
    wanted = Wanted(name, decision, LEAD, "seen to", lock_wait=1)
    return resolve(environment, lambda: files, replace(wanted, **how))  # type: ignore[arg-type]  # fields of Wanted


def problem_of(result: Result | Resolution) -> Problem:
    assert result.problem, result
    return result.problem


def refused(environment: Environment, files: Folder, decision: Decision, *parts: str, name: str = NAME) -> None:
    """It is refused with these words, and nothing is written down."""
    before = ask(environment, "SELECT count(*) FROM rung.history")
    answer = decide(environment, files, decision, name)
    assert answer.ending is Ending.REFUSED, answer
    told = problem_of(answer)
    for part in parts:
        assert part in f"{told.message} {told.advice}"
    assert ask(environment, "SELECT count(*) FROM rung.history") == before


def cut_in(environment: Environment, files: Folder, statement: bytes, *, arrives: bool) -> None:
    """A run whose connection is lost while that statement is sent, before or after it reached the server."""
    assert environment.url
    with wire_to(environment.url) as wire:

        def at(chunk: Chunk) -> None:
            if statement in chunk.data and b"rung.history" not in chunk.data:
                raise Deafen if arrives else Cut

        if arrives:
            wire.after = at
        else:
            wire.before = at
        result = run(replace(environment, url=wire.url), files)
    assert result.outcome is Outcome.FAILED, result
    gone = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'rung work%' AND datname = current_database()"
    wait_until(lambda: not ask(environment, gone))


def spoil(environment: Environment, index: str) -> None:
    """Make an index what an interrupted build leaves."""
    ask(environment, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", index)


def twice(environment: Environment) -> None:
    ask(environment, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")


def once(environment: Environment) -> None:
    ask(environment, "DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")


def resolved(environment: Environment) -> list[tuple[object, ...]]:
    query = "SELECT statement, split_part(message, ':', 1), subject, actor, door, reason FROM rung.history"
    return ask(environment, f"{query} WHERE event = 'resolved' ORDER BY id")


# --- refused ---


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_decision_without_a_reason_is_refused(environment: Environment, reason: str) -> None:
    files = folder(INDEX)
    run(environment, files)
    answer = decide(environment, files, Decision.RETRY, reason=reason)
    assert answer.ending is Ending.REFUSED
    assert "needs a reason" in problem_of(answer).message


def test_a_file_that_nobody_knows_is_an_error_that_names_it(environment: Environment) -> None:
    with pytest.raises(NotFound, match=r"999_x\.sql"):
        decide(environment, folder(INDEX), Decision.RETRY, "999_x.sql")


@pytest.mark.parametrize("decision", Decision)
def test_a_file_that_is_applied_needs_no_decision_and_its_state_is_said(
    environment: Environment, decision: Decision
) -> None:
    files = folder(INDEX, NOTED)
    run(environment, files)
    refused(environment, files, decision, "it is applied on local")
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_pending_file_needs_no_decision(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    refused(environment, folder(INDEX), Decision.MARK_APPLIED, "it is pending on local")
    assert ledger(environment) == ["001_log.sql"]


def test_a_file_that_stopped_between_two_statements_goes_on_by_itself(environment: Environment) -> None:
    files = folder(NOTED, INDEX, "SELECT 1/0")
    run(environment, files)
    refused(environment, files, Decision.RETRY, "no statement of it is in doubt", "the next run goes on by itself")


def test_an_invalid_index_is_neither_repeated_over_nor_taken_for_done(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    run(environment, files)
    refused(environment, files, Decision.RETRY, "Index public.once is INVALID.", "--drop-and-retry")
    refused(environment, files, Decision.MARK_APPLIED, "Index public.once is INVALID.", "What fits: --drop-and-retry.")
    assert_consistent(environment, ["001_log.sql"], invalid=["once"])


def test_an_index_that_was_finished_alone_is_not_built_again_nor_dropped(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, INDEX)
    cut_in(environment, files, b"INDEX CONCURRENTLY ix", arrives=True)
    wait_until(lambda: ask(environment, "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix') AND indisvalid"))
    refused(environment, files, Decision.RETRY, "is done already: Index public.ix exists and is valid.")
    refused(environment, files, Decision.DROP_AND_RETRY, "left no INVALID index", "What fits: --mark-applied.")


def test_an_index_that_was_never_begun_does_not_count_as_done(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, INDEX)
    cut_in(environment, files, b"INDEX CONCURRENTLY ix", arrives=False)
    refused(environment, files, Decision.MARK_APPLIED, "There is no index public.ix.", "What fits: --retry.")
    assert decide(environment, files, Decision.RETRY).ending is Ending.RESOLVED
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_somebody_else_who_holds_the_lock_is_named(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    run(environment, files)
    with connect(environment, purpose="another run") as other:
        acquire(other, "public", 0, lambda event: None, lambda: None)
        answer = decide(environment, files, Decision.DROP_AND_RETRY, lock_wait=0.1)
    assert answer.ending is Ending.BUSY
    assert answer.holder
    assert f"pid {answer.holder.pid}" in problem_of(answer).message
    assert resolved(environment) == []


def test_what_changed_while_the_lock_was_waited_for_counts(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    run(environment, files)
    answers: list[Resolution] = []
    ours = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'rung control%' AND datname = current_database()"
    with connect(environment, purpose="another run") as other:
        acquire(other, "public", 0, lambda event: None, lambda: None)
        deciding = threading.Thread(
            target=lambda: answers.append(decide(environment, files, Decision.DROP_AND_RETRY, lock_wait=20))
        )
        deciding.start()
        waiting = f"{ours} AND query LIKE '%pg_try_advisory_lock%'"
        wait_until(lambda: ask(environment, waiting))
        ask(environment, "DROP INDEX once")
    deciding.join()
    assert answers[0].ending is Ending.REFUSED, answers
    assert resolved(environment) == []


def test_a_database_that_cannot_be_reached_is_a_value(environment: Environment) -> None:
    assert environment.url
    gone = type(environment.url)("postgresql://nobody@127.0.0.1:1/x")
    answer = decide(replace(environment, url=gone), folder(INDEX), Decision.RETRY)
    assert answer.ending is Ending.UNREACHABLE


def test_another_content_than_the_one_that_was_shown_is_not_decided_about(environment: Environment) -> None:
    run(environment, folder(INDEX, NOTED))
    edited = folder(INDEX, NOTED, "SELECT 1")
    shown = folder(INDEX, NOTED, "SELECT 2").migrations[1].raw_hash
    answer = decide(environment, edited, Decision.ACCEPT_EDIT, expected_hash=shown)
    assert answer.ending is Ending.REFUSED
    assert "has changed since it was shown" in problem_of(answer).message
    assert resolved(environment) == []


def test_a_decision_that_cannot_be_written_down_is_said_to_be_none(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    run(environment, files)
    ask(
        environment,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is tired'; END $$",
    )
    ask(environment, "CREATE TRIGGER no BEFORE INSERT ON rung.history FOR EACH ROW EXECUTE FUNCTION no()")
    answer = decide(environment, files, Decision.DROP_AND_RETRY)
    assert answer.ending is Ending.FAILED
    assert "the disk is tired" in problem_of(answer).message
    assert resolved(environment) == []


def test_a_decision_to_which_no_answer_comes_is_given_up(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PATIENCE", 1.0)
    twice(environment)
    files = folder(UNIQUE)
    run(environment, files)
    assert environment.url
    with wire_to(environment.url) as wire:
        wire.before = lambda chunk: wire.mute(chunk.link) if b"INSERT INTO rung.history" in chunk.data else None
        answer = decide(replace(environment, url=wire.url), files, Decision.DROP_AND_RETRY)
    assert answer.ending is Ending.FAILED
    assert "no answer in time" in problem_of(answer).message


def test_a_file_that_is_gone_from_the_folder_is_not_decided_about(environment: Environment) -> None:
    twice(environment)
    run(environment, folder(UNIQUE, NOTED))
    refused(environment, folder_of(FIRST), Decision.DROP_AND_RETRY, "not in the folder any more")


def test_a_file_that_cannot_be_read_is_not_decided_about(environment: Environment) -> None:
    twice(environment)
    run(environment, folder(UNIQUE, NOTED))
    refused(environment, folder(UNIQUE, "SELECT ("), Decision.DROP_AND_RETRY, "it cannot be used as it is")


@pytest.mark.parametrize("arrives", [pytest.param(True, marks=pytest.mark.slow), False])
def test_an_answer_to_the_last_decision_that_is_lost_is_found_out(environment: Environment, arrives: bool) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, INDEX)
    cut_in(environment, files, b"INDEX CONCURRENTLY ix", arrives=True)
    wait_until(lambda: ask(environment, "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix') AND indisvalid"))
    assert environment.url
    with wire_to(environment.url) as wire:

        def at_the_end(chunk: Chunk) -> None:
            if b"INSERT INTO" in chunk.data and b"_migrations_applied" in chunk.data:
                raise Deafen if arrives else Cut

        if arrives:
            wire.after = at_the_end
        else:
            wire.before = at_the_end
        answer = decide(replace(environment, url=wire.url), files, Decision.MARK_APPLIED)
    if not arrives:
        assert answer.ending is Ending.FAILED
        assert "it is not applied (checked)" in problem_of(answer).message
        assert run(environment, files).outcome is Outcome.APPLIED
    else:
        assert (answer.ending, answer.applied) == (Ending.RESOLVED, True)
    assert_consistent(environment, ["001_log.sql", NAME])


# --- while the server process lives ---


@contextlib.contextmanager
def an_abandoned_build(environment: Environment, files: Folder) -> Iterator[int]:
    """The runner is gone, and its server process goes on with the build; that process."""
    assert environment.url
    with psycopg.connect(environment.url.reveal()) as other, wire_to(environment.url) as wire:
        other.execute("INSERT INTO t VALUES (10)")  # the build waits for this transaction

        def deafen(chunk: Chunk) -> None:
            if b"INDEX CONCURRENTLY ix" in chunk.data and b"rung.history" not in chunk.data:
                raise Deafen

        wire.after = deafen
        thread = threading.Thread(target=run, args=(replace(environment, url=wire.url), files))
        thread.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
        pid = wait_until(lambda: ask(environment, waiting))[0][0]
        thread.join()
        yield pid
        other.rollback()
    wait_until(lambda: not ask(environment, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))


@pytest.mark.parametrize("decision", [Decision.RETRY, Decision.DROP_AND_RETRY, Decision.MARK_APPLIED])
def test_nothing_is_decided_while_the_server_process_is_still_there(
    environment: Environment, decision: Decision
) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, INDEX)
    with an_abandoned_build(environment, files) as pid:
        wanted = (f"the server process {pid} that ran statement 2 is still there", f"pg_terminate_backend({pid})")
        refused(environment, files, decision, *wanted)


# --- what is decided, and the next run ---


def test_what_was_left_is_dropped_by_the_next_run_which_then_goes_on(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    run(environment, files)
    once(environment)
    answer = decide(environment, files, Decision.DROP_AND_RETRY)
    assert answer.ending is Ending.RESOLVED, answer
    assert answer.said == "The next run drops the INVALID index public.once, then executes statement 1 again."
    assert ask(environment, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'once'::regclass") == [(False,)]
    assert resolved(environment) == [(1, "drop and retry", "public.once", "lead@example.com", "cli", "seen to")]
    result = run(environment, files)
    assert result.outcome is Outcome.APPLIED, result.problem
    notes = ask(environment, "SELECT message FROM rung.history WHERE event = 'note' AND subject = 'public.once'")
    assert notes == [("dropped the INVALID index public.once, which an interrupted statement had left",)]
    assert_consistent(environment, ["001_log.sql", NAME])


def test_an_index_that_a_file_before_put_right_is_not_dropped(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE)
    run(environment, files)
    assert decide(environment, files, Decision.DROP_AND_RETRY).ending is Ending.RESOLVED
    repair = """
    DROP INDEX once;
    ALTER TABLE twice ADD COLUMN n integer GENERATED ALWAYS AS IDENTITY;
    CREATE UNIQUE INDEX once ON twice (id, n);
    """
    more = folder_of(("000_repair.sql", repair), FIRST, (NAME, f"{UNIQUE};\n"))
    result = apply(environment, lambda: more, replace(ORDER, force=True, reason="seen to"), Seen())
    assert problem_of(result).sqlstate == "42P07"
    kept = "SELECT indisvalid, indnatts FROM pg_index WHERE indexrelid = 'once'::regclass"
    assert ask(environment, kept) == [(True, 2)]


def test_a_name_that_needs_quotes_is_dropped_and_nothing_else(environment: Environment) -> None:
    ask(environment, 'CREATE SCHEMA "My ""App"""')
    ask(environment, 'CREATE TABLE "My ""App"""."T; x" AS SELECT 1 AS id FROM generate_series(1, 2)')
    ask(environment, "CREATE TABLE other AS SELECT 1 AS id")
    ask(environment, "CREATE INDEX spoilt ON other (id)")
    spoil(environment, "spoilt")
    files = folder('CREATE UNIQUE INDEX CONCURRENTLY "Once, ""x""" ON "My ""App"""."T; x" (id)', NOTED)
    run(environment, files)
    ask(environment, 'DELETE FROM "My ""App"""."T; x" WHERE ctid = (SELECT max(ctid) FROM "My ""App"""."T; x")')
    assert decide(environment, files, Decision.DROP_AND_RETRY).ending is Ending.RESOLVED
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME], invalid=["spoilt"])


def test_a_corrected_text_may_follow_the_drop_where_nothing_of_the_old_one_is_done(environment: Environment) -> None:
    twice(environment)
    run(environment, folder(UNIQUE, NOTED))
    better = folder("DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)", UNIQUE, NOTED)
    assert decide(environment, better, Decision.DROP_AND_RETRY).ending is Ending.RESOLVED
    order = replace(ORDER, force=True, reason="a test")
    assert apply(environment, lambda: better, order, Seen()).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_text_that_became_transactional_is_run_whole_after_the_drop(environment: Environment) -> None:
    twice(environment)
    run(environment, folder(UNIQUE, NOTED))
    once(environment)
    plain = folder("CREATE UNIQUE INDEX once ON twice (id)", NOTED)
    assert decide(environment, plain, Decision.DROP_AND_RETRY).ending is Ending.RESOLVED
    result = run(environment, plain)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_last_statement_that_counts_as_done_puts_the_file_into_the_ledger_at_once(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(NOTED, INDEX)
    cut_in(environment, files, b"INDEX CONCURRENTLY ix", arrives=True)
    wait_until(lambda: ask(environment, "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix') AND indisvalid"))
    answer = decide(environment, files, Decision.MARK_APPLIED)
    assert (answer.ending, answer.applied) == (Ending.RESOLVED, True), answer
    assert resolved(environment) == [(2, "mark applied", None, "lead@example.com", "cli", "seen to")]
    assert_consistent(environment, ["001_log.sql", NAME])
    assert run(environment, files).outcome is Outcome.NOTHING


def test_a_statement_in_the_middle_that_counts_as_done_is_not_run_again(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(INDEX, NOTED, "VACUUM t")
    cut_in(environment, files, b"INSERT INTO public.log", arrives=True)
    wait_until(lambda: len(ask(environment, "SELECT entry FROM log")) == 2)
    answer = decide(environment, files, Decision.MARK_APPLIED)
    assert (answer.ending, answer.applied) == (Ending.RESOLVED, False), answer
    assert answer.said == "Statement 2 counts as done; the next run goes on after it."
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_statement_of_which_the_catalog_knows_nothing_is_a_persons_to_judge(environment: Environment) -> None:
    run(environment, folder_of(FIRST))
    files = folder(INDEX, NOTED, "VACUUM t")
    cut_in(environment, files, b"INSERT INTO public.log", arrives=False)
    told = problem_of(run(environment, files))
    assert "The catalog cannot tell whether it came to its end." in told.message
    assert "If nothing of it is in the database: the next run executes statement 2 again." in told.advice
    assert f'rung resolve {NAME} --env local --retry --reason "…"' in told.advice
    assert f'rung resolve {NAME} --env local --mark-applied --reason "…"' in told.advice
    assert decide(environment, files, Decision.RETRY).ending is Ending.RESOLVED
    assert run(environment, files).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_changed_text_of_which_something_is_done_can_be_accepted(environment: Environment) -> None:
    run(environment, folder(NOTED, INDEX, "SELECT 1/0"))
    better = folder(NOTED, INDEX, "SELECT 1")
    told = problem_of(run(environment, better))
    assert "its first 2 statements are done, and its text was changed since" in told.message
    assert "--accept-edit" in told.advice
    refused(environment, better, Decision.RETRY, "its text was changed", "--accept-edit")
    refused(environment, folder(INDEX), Decision.ACCEPT_EDIT, "2 statements of it are done", "Keep the statements")
    assert decide(environment, better, Decision.ACCEPT_EDIT).ending is Ending.RESOLVED
    assert run(environment, better).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", NAME])


def test_an_edited_file_whose_content_is_accepted_is_applied_again_and_the_history_keeps_both(
    environment: Environment,
) -> None:
    files = folder(INDEX, NOTED)
    run(environment, files)
    edited = folder(INDEX, NOTED, "-- a remark that changes nothing\nSELECT 1")
    was = files.migrations[1].raw_hash
    answer = decide(environment, edited, Decision.ACCEPT_EDIT)
    assert (answer.ending, answer.said) == (
        Ending.RESOLVED,
        "Its present content counts as what was applied; nothing runs.",
    )
    result = run(environment, edited)
    assert result.outcome is Outcome.NOTHING
    assert result.plan
    assert [entry.state for entry in result.plan.entries] == ["applied", "applied"]
    kept = ask(environment, "SELECT event, raw_hash, sql_text FROM rung.history WHERE sql_text LIKE '%INDEX%'")
    assert [(event, digest) for event, digest, _ in kept if event in ("applied", "resolved")] == [
        ("applied", was),
        ("resolved", edited.migrations[1].raw_hash),
    ]
    assert kept[-1][2] == edited.migrations[1].text
    assert was in str(ask(environment, "SELECT message FROM rung.history WHERE event = 'resolved'"))
    picture = take_picture(environment)
    assert picture.applied[NAME].actor == "somebody"  # type: ignore[union-attr]  # it can be reached
    refused(environment, edited, Decision.ACCEPT_EDIT, "it is applied on local")
    refused(environment, files, Decision.RETRY, "it is edited on local", "--accept-edit")
    assert_consistent(environment, ["001_log.sql", NAME])


def test_a_rename_survives_the_acceptance_of_an_edit(environment: Environment) -> None:
    run(environment, folder_of(FIRST, ("002_old.sql", noted("002_old.sql"))))
    run(environment, folder_of(FIRST, ("003_new.sql", noted("002_old.sql"))))
    edited = folder_of(FIRST, ("003_new.sql", noted("002_old.sql") + "SELECT 1;\n"))
    assert decide(environment, edited, Decision.ACCEPT_EDIT, "003_new.sql").ending is Ending.RESOLVED
    plan = run(environment, edited).plan
    assert plan
    assert {entry.filename: entry.state for entry in plan.entries}["002_old.sql"] == "renamed"


def test_the_history_still_verifies_after_decisions(environment: Environment) -> None:
    twice(environment)
    files = folder(UNIQUE, NOTED)
    for _ in range(2):
        run(environment, files)
        decide(environment, files, Decision.DROP_AND_RETRY)
    with connect(environment, purpose="test") as connection:
        assert verify(connection).ok
