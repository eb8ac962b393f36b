"""Apply, the recipe: what is decided before anything runs, and how every run ends."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.core.errors import MissingVariable, NoFolder
from dashboard.core.events import Ended, Event, FileStarted, Notice, Planned, WaitingForLock
from dashboard.core.migration import Folder, Refusal
from dashboard.core.run import Order, Outcome, Problem, Result, nobody_stops
from dashboard.postgres.connect import connect
from dashboard.postgres.lock import acquire
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
from tests.wire import wire_to

ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]
DROPS = "CREATE TABLE IF NOT EXISTS old (id int);\n\nDROP TABLE old;\n"


def run(environment: Environment, folder: Folder, seen: Seen | None = None, **order: object) -> Result:
    return apply(environment, lambda: folder, replace(ORDER, **order), seen if seen is not None else Seen())  # type: ignore[arg-type]  # fields of Order


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def assert_untouched(environment: Environment) -> None:
    assert ask(environment, "SELECT to_regclass('_migrations_applied'), to_regnamespace('rung')") == [(None, None)]


# --- nothing runs ---


def test_force_without_a_reason_is_refused_as_bad_usage(environment: Environment) -> None:
    for reason in (None, "", "  "):
        result = run(environment, three_files(), force=True, reason=reason)
        assert result.outcome is Outcome.REFUSED
        assert "forcing needs a reason" in problem_of(result).message
    assert_untouched(environment)


def test_a_destructive_file_stops_everything_and_names_file_line_loss_and_both_ways_on(
    environment: Environment,
) -> None:
    result = run(environment, three_files(DROPS))
    told = problem_of(result)
    assert (result.outcome, result.applied) == (Outcome.REFUSED, ())
    assert (told.filename, told.line, told.excerpt) == ("002_middle.sql", 4, "DROP TABLE old")
    assert "old" in told.message
    assert '--force --reason "' in told.advice
    assert "change the file" in told.advice
    assert result.plan is not None
    assert_untouched(environment)


def test_until_blocked_runs_what_comes_before_and_says_what_stopped_it(environment: Environment) -> None:
    result = run(environment, three_files(DROPS), until_blocked=True)
    assert (result.outcome, result.applied) == (Outcome.REFUSED, ("001_log.sql",))
    assert problem_of(result).filename == "002_middle.sql"
    assert_consistent(environment, ["001_log.sql"])


def test_a_reason_lifts_the_gate_and_goes_into_the_history(environment: Environment) -> None:
    result = run(environment, three_files(DROPS), force=True, reason="agreed with the data team")
    assert result.outcome is Outcome.APPLIED
    assert ask(environment, "SELECT DISTINCT reason FROM rung.history") == [("agreed with the data team",)]
    assert_consistent(environment, ALL)


def test_a_file_that_cannot_be_parsed_is_refused_with_its_place_whatever_the_force(environment: Environment) -> None:
    result = run(environment, three_files("SELECT (;\n"), force=True, reason="please")
    told = problem_of(result)
    assert result.outcome is Outcome.REFUSED
    assert (told.filename, told.line) == ("002_middle.sql", 2)
    assert told.excerpt.endswith("^")
    assert_untouched(environment)


def test_an_unusable_file_in_the_folder_stops_everything(environment: Environment) -> None:
    refusal = Refusal("004_bad.sql", "nul-byte", "it holds a NUL byte", "Remove the byte.")
    result = run(environment, replace(three_files(), refusals=(refusal,)))
    assert result.outcome is Outcome.REFUSED
    assert "004_bad.sql: it holds a NUL byte" in problem_of(result).message
    assert_untouched(environment)


@pytest.mark.fault(68)
def test_two_files_with_one_number_stop_everything(environment: Environment) -> None:
    result = run(environment, folder_of(("001_a.sql", "SELECT 1"), ("001_b.sql", "SELECT 1")))
    assert result.outcome is Outcome.REFUSED
    assert "001_a.sql and 001_b.sql have the same number" in problem_of(result).message


@pytest.mark.fault(64)
def test_another_plan_than_the_one_that_was_shown_runs_nothing(environment: Environment) -> None:
    result = run(environment, three_files(), expected_digest="0" * 64)
    assert result.outcome is Outcome.CHANGED
    assert result.plan is not None
    assert_untouched(environment)


def test_the_plan_that_was_shown_runs(environment: Environment) -> None:
    shown = run(environment, three_files(), expected_digest="0" * 64).plan
    assert shown
    seen = Seen()
    result = run(environment, three_files(), seen, expected_digest=shown.digest)
    assert result.outcome is Outcome.APPLIED
    assert seen.of(Planned)[0].digest == shown.digest


@pytest.mark.fault(64)
def test_a_folder_that_changes_after_it_was_read_does_not_change_what_runs(environment: Environment) -> None:
    reads: list[Folder] = []

    def read() -> Folder:
        reads.append(three_files("" if not reads else "SELECT 1/0;"))
        return reads[-1]

    assert apply(environment, read, ORDER).outcome is Outcome.APPLIED
    assert len(reads) == 1


def test_files_that_another_run_applied_while_we_waited_do_not_run_again(environment: Environment) -> None:
    """What was planned before the lock may be old."""
    with connect(environment, purpose="control") as holder:
        acquire(holder, "public", 0, Seen(), nobody_stops)

        def apply_meanwhile(event: Event) -> None:
            if isinstance(event, WaitingForLock) and not holder.closed:
                holder.close()
                run(environment, three_files())

        result = apply(environment, three_files, ORDER, apply_meanwhile)
    assert result.outcome is Outcome.NOTHING
    assert_consistent(environment, ALL)


def test_where_the_lock_is_free_it_is_taken_before_anything_is_seen(environment: Environment) -> None:
    """Or what was seen could be old already, and one look would not be enough."""
    run(environment, three_files())
    ours = """
        SELECT 1 FROM pg_locks AS had JOIN pg_locks AS wanted USING (pid)
         WHERE had.locktype = 'advisory' AND had.granted AND wanted.relation = '_migrations_applied'::regclass
           AND NOT wanted.granted
    """
    results: list[Result] = []
    with connect(environment, purpose="another tool", autocommit=False) as other:
        other.execute("LOCK TABLE public._migrations_applied IN ACCESS EXCLUSIVE MODE")
        running = threading.Thread(target=lambda: results.append(run(environment, three_files())))
        running.start()
        wait_until(lambda: ask(environment, ours) or not running.is_alive())
        other.rollback()
        running.join()
    assert [result.outcome for result in results] == [Outcome.NOTHING]


def test_where_the_lock_is_free_the_database_is_looked_at_once(environment: Environment) -> None:
    assert environment.url
    with wire_to(environment.url) as wire:
        pieces: list[bytes] = []
        wire.before = lambda chunk: pieces.append(chunk.data)
        result = apply(replace(environment, url=wire.url), three_files, ORDER)
    assert result.outcome is Outcome.APPLIED
    assert sum(b"pg_is_in_recovery" in piece for piece in pieces) == 2, "at first as if ledger and history were there"


def test_an_order_for_a_plan_that_changed_while_we_waited_runs_nothing(environment: Environment) -> None:
    shown = run(environment, three_files(), expected_digest="0" * 64).plan
    assert shown
    with connect(environment, purpose="control") as holder:
        acquire(holder, "public", 0, Seen(), nobody_stops)

        def apply_some(event: Event) -> None:
            if isinstance(event, WaitingForLock) and not holder.closed:
                holder.close()
                run(environment, Folder(three_files().migrations[:1]))

        order = replace(ORDER, expected_digest=shown.digest)
        result = apply(environment, three_files, order, apply_some)
    assert result.outcome is Outcome.CHANGED
    assert_consistent(environment, ["001_log.sql"])


@pytest.mark.fault(61)
def test_a_policy_against_edited_files_stops_everything(environment: Environment) -> None:
    run(environment, three_files())
    strict = replace(environment, policies=Policies(edited=Policy.REFUSE))
    edited = folder_of(
        *((file.filename, file.text + "-- later\n") for file in three_files().migrations), ("004_x.sql", "")
    )
    result = run(strict, edited)
    assert result.outcome is Outcome.REFUSED
    assert "was edited after it was applied" in problem_of(result).message
    assert run(environment, edited).applied == ("004_x.sql",)  # by default it is a notice


# --- the environment is not there, or not for writing ---


def test_a_dead_environment_is_an_outcome_with_its_reason() -> None:
    dead = Environment("staging", 1, Secret("postgresql://app:s3cret@127.0.0.1:1/shop"))
    result = run(dead, three_files())
    assert result.outcome is Outcome.UNREACHABLE
    assert (
        problem_of(result).message
        == "staging cannot be reached: nothing listens at 127.0.0.1:1 (database shop, user app)."
    )
    assert "s3cret" not in repr(result)


def test_what_the_configuration_lacks_is_raised_before_anything_is_asked() -> None:
    with pytest.raises(MissingVariable):
        run(Environment("staging", 1, None, variable="STAGING_URL"), three_files())


def test_a_missing_folder_is_raised(environment: Environment) -> None:
    def read() -> Folder:
        raise NoFolder("migrations")

    with pytest.raises(NoFolder):
        apply(environment, read, ORDER)


def test_a_run_that_is_refused_leaves_no_session_behind(environment: Environment) -> None:
    """The work connection is dialled while the review goes on, and not wanted then."""
    for _ in range(3):
        assert run(environment, three_files(DROPS)).outcome is Outcome.REFUSED
    ours = "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^rung ' AND datname = current_database()"
    wait_until(lambda: not ask(environment, ours))


@pytest.mark.fault(31)
def test_a_database_that_is_read_only_by_default_is_refused_before_planning(environment: Environment) -> None:
    assert environment.url
    name = environment.url.reveal().rpartition("/")[2]
    ask(environment, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    result = run(environment, three_files())
    assert result.outcome is Outcome.UNREACHABLE
    assert "default_transaction_read_only is on" in problem_of(result).message
    assert result.plan is None


@pytest.mark.fault(50)
def test_somebody_elses_lock_is_waited_for_and_named(environment: Environment) -> None:
    with connect(environment, purpose="control") as holder:
        acquire(holder, "public", 0, Seen(), nobody_stops)
        result = run(environment, three_files(), seen := Seen(), lock_wait=0.5)
    assert result.outcome is Outcome.BUSY
    assert result.holder
    assert result.holder.pid == seen.of(WaitingForLock)[0].holder.pid
    assert f"pid {result.holder.pid} (rung control on 127.0.0.1, connected since" in problem_of(result).message
    assert_untouched(environment)


# --- people ---


def test_a_reporter_that_raises_undoes_nothing(environment: Environment) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event.name)

    result = apply(environment, three_files, ORDER, broken)
    assert result.outcome is Outcome.APPLIED
    assert result.notes == ("progress could not be reported: RuntimeError",)
    assert_consistent(environment, ALL)


def test_a_question_that_raises_stops_nothing(environment: Environment) -> None:
    def broken() -> str | None:
        raise RuntimeError

    assert apply(environment, three_files, ORDER, stop=broken).outcome is Outcome.APPLIED


@pytest.mark.usefixtures("one_file_a_flight")
def test_whoever_stops_a_run_between_files_is_in_the_history(environment: Environment) -> None:
    seen = Seen()

    def stop() -> str | None:
        return "lead@example.com" if len(seen.of(FileStarted)) == 2 else None

    result = apply(environment, three_files, ORDER, seen, stop)
    assert result.outcome is Outcome.CANCELLED
    assert problem_of(result).filename in ("002_middle.sql", "003_end.sql")
    rows = ask(environment, "SELECT message FROM rung.history ORDER BY id DESC LIMIT 1")
    assert "cancelled by lead@example.com" in rows[0][0]
    assert_consistent(environment, ALL[: len(result.applied)])


def test_a_run_that_is_stopped_at_once_runs_nothing(environment: Environment) -> None:
    result = apply(environment, three_files, ORDER, stop=lambda: "the lead")
    assert result.outcome is Outcome.CANCELLED
    assert ledger(environment) == []


def test_a_fault_in_the_middle_keeps_what_was_applied_in_the_result(environment: Environment) -> None:
    folder = three_files("SELECT 1/0;")
    result = run(environment, folder)
    assert (result.outcome, result.applied) == (Outcome.FAILED, ("001_log.sql",))


# --- the good days ---


def test_everything_pending_runs_in_order_and_the_run_is_told_from_its_id(environment: Environment) -> None:
    seen, run_id = Seen(), "0d5c0f5e-93a1-4b7c-8a4b-3f3c7b1f6f10"
    result = apply(environment, three_files, ORDER, seen, run_id=run_id)
    assert (result.outcome, result.applied, result.run_id) == (Outcome.APPLIED, tuple(ALL), run_id)
    assert isinstance(seen[0], Planned)
    assert seen[-1] == Ended("applied", tuple(ALL), None, result.seconds)
    assert ask(environment, "SELECT DISTINCT run_id::text, actor, door, environment FROM rung.history") == [
        (run_id, "somebody", "cli", "local")
    ]
    assert_consistent(environment, ALL)


def test_nothing_to_do_is_said_without_a_lock_or_the_parser(environment: Environment) -> None:
    run(environment, three_files())
    with connect(environment, purpose="control") as holder:
        acquire(holder, "public", 0, Seen(), nobody_stops)  # somebody else is at it; we have nothing to ask for
        seen = Seen()
        result = run(environment, three_files(), seen)
    assert result.outcome is Outcome.NOTHING
    assert [event.name for event in seen] == ["ended"]
    assert events(environment)[-1] == ("applied", "003_end.sql")


def test_notices_of_the_plan_reach_the_reporter_and_the_result(environment: Environment) -> None:
    run(environment, folder_of(("001_log.sql", LOG + noted("001_log.sql")), ("003_end.sql", noted("003_end.sql"))))
    seen = Seen()
    result = run(environment, three_files(), seen)
    assert result.applied == ("002_middle.sql",)
    assert any("002_middle.sql is out of order" in note for note in result.notes)
    assert any("002_middle.sql is out of order" in notice.message for notice in seen.of(Notice))


@pytest.mark.fault(43)
def test_ten_runs_at_once_apply_every_file_once_and_all_succeed(environment: Environment) -> None:
    barrier, results = threading.Barrier(10), []
    order: Callable[[], Order] = lambda: replace(ORDER, lock_wait=60)  # noqa: E731  # one each

    def start() -> None:
        barrier.wait()
        results.append(apply(environment, three_files, order()))

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.outcome for result in results) == [Outcome.APPLIED] + [Outcome.NOTHING] * 9
    assert_consistent(environment, ALL)
