"""Runs: asked for once, executed by anybody, watched by everybody."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import UnknownEnvironment
from dashboard.core.events import Ended, FileApplied, Planned
from dashboard.core.picture import NotReachable, Picture
from dashboard.core.progress import RunState, RunView
from dashboard.core.record import HistoryFilter
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.folder import FolderReader
from dashboard.postgres.home.pool import Home
from dashboard.postgres.observe import take_picture
from dashboard.services import runs as services_runs
from dashboard.services.compare import Compare
from dashboard.services.history import HistoryService
from dashboard.services.runs import Executed, Runs
from tests.conftest import Write

LEAD = Actor(ActorKind.PERSON, "lead@example.com", Door.WEB)
ORDER = Order(LEAD)


@pytest.fixture
def reader(folder_path: Path, write: Write) -> FolderReader:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    write(folder_path, "002_b.sql", "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1);")
    return FolderReader(folder_path)


@pytest.fixture
def compare(environments: tuple[Environment, ...], reader: FolderReader, home: Home) -> Compare:
    return Compare(environments, reader.read, home)


@pytest.fixture
def runs(environments: tuple[Environment, ...], reader: FolderReader, home: Home, compare: Compare) -> Runs:
    return Runs(environments, reader.read, home, compare.look_again)


def shown(runs: Runs, run_id: str) -> RunView:
    view = runs.show(run_id)
    assert view is not None
    return view


def jobs(in_home: psycopg.Connection[Any]) -> list[str]:
    return [status for (status,) in in_home.execute("SELECT status FROM home.procrastinate_jobs ORDER BY id")]


# --- asking ---


@pytest.mark.fault(43)
def test_fifty_clicks_make_one_run(
    environments: tuple[Environment, ...], reader: FolderReader, home_url: Secret, in_home: psycopg.Connection[Any]
) -> None:
    homes = [Home(home_url) for _ in range(5)]
    desks = [Runs(environments, reader.read, home, lambda name: None) for home in homes]
    answers = []
    threads = [
        threading.Thread(target=lambda d=desk: answers.append(d.ask("staging", ORDER)))
        for desk in desks
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for home in homes:
        home.close()
    assert len(answers) == 50
    assert len({answer.run_id for answer in answers}) == 1
    assert sum(not answer.already for answer in answers) == 1
    assert jobs(in_home) == ["todo"]


def test_each_environment_has_a_run_of_its_own(runs: Runs) -> None:
    staging, local = runs.ask("staging", ORDER), runs.ask("local", ORDER)
    assert staging.run_id != local.run_id
    assert [run.environment for run in runs.running()] == ["staging", "local"]


def test_an_unknown_environment_is_refused_before_anything_is_queued(
    runs: Runs, in_home: psycopg.Connection[Any]
) -> None:
    with pytest.raises(UnknownEnvironment, match="moon"):
        runs.ask("moon", ORDER)
    assert jobs(in_home) == []


def test_an_order_comes_back_as_it_was_given(runs: Runs) -> None:
    order = Order(
        Actor(ActorKind.AGENT, 'Zoë "; DROP TABLE', Door.API),
        force=True, reason="we know\n\0 what we do", until_blocked=True, expected_digest="ab" * 32, lock_wait=1.5,
    )  # fmt: skip
    view = shown(runs, runs.ask("local", order).run_id)
    assert view.order == order
    assert (view.state, view.outcome, view.attempt, view.started_at) == (RunState.QUEUED, None, 0, None)
    assert view.now >= view.requested_at


@pytest.mark.parametrize("run_id", ["", "x", "0c8fca66-92c1-4a39-8d43-94e7b6c36e05", "' OR true --", "\0"])
def test_a_run_that_never_was_is_not_shown(runs: Runs, run_id: str) -> None:
    assert runs.show(run_id) is None
    assert runs.events_since(run_id) == ()
    runs.ask_to_stop(run_id, "lead@example.com")


def test_a_queued_run_that_is_stopped_never_runs(runs: Runs, in_home: psycopg.Connection[Any]) -> None:
    run_id = runs.ask("local", ORDER).run_id
    runs.ask_to_stop(run_id, "other@example.com")
    view = shown(runs, run_id)
    assert (view.state, view.outcome, view.stop_asked_by) == (RunState.ENDED, Outcome.CANCELLED, "other@example.com")
    assert view.result is not None
    assert view.result.problem is not None
    assert "other@example.com stopped it" in view.result.problem.message
    assert jobs(in_home) == []
    assert runs.execute(run_id) is Executed.ENDED
    assert not runs.ask("local", ORDER).already


# --- executing ---


def test_a_run_brings_the_environment_up_to_date_and_says_how(runs: Runs, compare: Compare) -> None:
    compare.refresh(0)
    run_id = runs.ask("staging", ORDER).run_id
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert (view.state, view.outcome, view.attempt) == (RunState.ENDED, Outcome.APPLIED, 1)
    assert view.result is not None
    assert view.result.applied == ("001_a.sql", "002_b.sql")
    assert view.started_at is not None
    assert view.ended_at is not None
    assert view.requested_at <= view.started_at <= view.ended_at <= view.now
    assert compare.last_look("staging").plan is not None
    assert [column.headline for column in compare.last_known().columns] == ["2 behind", "up to date", "2 behind"]


def test_its_events_are_told_in_order_without_gaps(runs: Runs) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    runs.execute(run_id)
    told = runs.events_since(run_id)
    assert [one.sequence for one in told] == list(range(1, len(told) + 1))
    assert isinstance(told[0].event, Planned)
    assert isinstance(told[-1].event, Ended)
    assert [one.event.filename for one in told if isinstance(one.event, FileApplied)] == ["001_a.sql", "002_b.sql"]
    assert [one.at for one in told] == sorted(one.at for one in told)
    assert runs.events_since(run_id, told[-2].sequence) == told[-1:]


def test_its_rows_in_the_history_carry_its_id_and_actor(
    runs: Runs, environments: tuple[Environment, ...], home: Home
) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    runs.execute(run_id)
    service = HistoryService(environments, home)
    rows = [one.row for one in service.of_run(run_id)]
    assert {(row.filename, row.event) for row in rows} == {
        (None, "identified"),
        ("001_a.sql", "applied"),
        ("002_b.sql", "applied"),
    }
    assert {(row.actor, row.actor_kind, row.door) for row in rows} == {("lead@example.com", "person", "web")}
    assert [one.row.filename for one in service.page(HistoryFilter(environment="staging")).rows] == [
        "002_b.sql",
        "001_a.sql",
        None,
    ]
    assert [row.filename for row in service.live("staging")] == ["002_b.sql", "001_a.sql", None]
    assert [row.filename for row in service.live("staging", HistoryFilter(filename="a.sql"), 1)] == ["001_a.sql"]
    assert service.live("local") == ()
    assert service.verify("staging").ok


def test_a_file_that_fails_ends_the_run_with_its_problem(runs: Runs, folder_path: Path, write: Write) -> None:
    write(folder_path, "002_b.sql", "CREATE TABLE a (id int);")
    run_id = runs.ask("staging", ORDER).run_id
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert view.outcome is Outcome.FAILED
    assert view.result is not None
    assert view.result.applied == ("001_a.sql",)
    assert view.result.problem is not None
    assert (view.result.problem.filename, view.result.problem.sqlstate) == ("002_b.sql", "42P07")


def test_another_plan_than_the_one_that_was_shown_runs_nothing(runs: Runs) -> None:
    run_id = runs.ask("staging", replace(ORDER, expected_digest="0" * 64)).run_id
    runs.execute(run_id)
    assert shown(runs, run_id).outcome is Outcome.CHANGED


def test_the_plan_that_was_shown_runs(runs: Runs, compare: Compare) -> None:
    plan = compare.look("staging").plan
    assert plan is not None
    run_id = runs.ask("staging", replace(ORDER, expected_digest=plan.digest)).run_id
    runs.execute(run_id)
    assert shown(runs, run_id).outcome is Outcome.APPLIED


def test_an_environment_that_is_gone_from_the_configuration_ends_the_run(
    runs: Runs, environments: tuple[Environment, ...], reader: FolderReader, home: Home
) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    fewer = Runs(environments[:1], reader.read, home, lambda name: None)
    assert fewer.execute(run_id) is Executed.ENDED
    problem = shown(runs, run_id).result
    assert problem is not None
    assert problem.problem is not None
    assert "There is no environment called 'staging'" in problem.problem.message


def test_a_folder_that_is_gone_ends_the_run(runs: Runs, folder_path: Path) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    folder_path.rename(folder_path.with_name("elsewhere"))
    assert runs.execute(run_id) is Executed.ENDED
    assert shown(runs, run_id).outcome is not Outcome.APPLIED


def test_a_run_in_the_middle_can_be_stopped(runs: Runs, folder_path: Path, write: Write) -> None:
    write(folder_path, "002_b.sql", "SELECT pg_sleep(60);")
    run_id = runs.ask("staging", ORDER).run_id
    working = threading.Thread(target=runs.execute, args=(run_id,))
    working.start()
    wait_until(lambda: any(isinstance(one.event, FileApplied) for one in runs.events_since(run_id)))
    assert shown(runs, run_id).state is RunState.RUNNING
    runs.ask_to_stop(run_id, "other@example.com")
    working.join(20)
    view = shown(runs, run_id)
    assert (view.outcome, view.stop_asked_by) == (Outcome.CANCELLED, "other@example.com")
    assert view.result is not None
    assert view.result.applied == ("001_a.sql",)


@pytest.mark.fault(47)
def test_a_home_that_restarts_in_the_middle_changes_nothing(
    runs: Runs, folder_path: Path, write: Write, in_home: psycopg.Connection[Any]
) -> None:
    write(folder_path, "002_b.sql", "SELECT pg_sleep(3);\nCREATE TABLE b (id int);")
    run_id = runs.ask("staging", ORDER).run_id
    working = threading.Thread(target=runs.execute, args=(run_id,))
    working.start()
    wait_until(lambda: any(isinstance(one.event, FileApplied) for one in runs.events_since(run_id)))
    end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while working.is_alive():
        in_home.execute(end_all)
        time.sleep(0.1)
        if not runs_file_b(runs):
            continue
        break
    working.join(30)
    view = shown(runs, run_id)
    assert view.outcome is Outcome.APPLIED
    told = runs.events_since(run_id)
    assert [one.event.filename for one in told if isinstance(one.event, FileApplied)] == ["001_a.sql", "002_b.sql"]
    assert isinstance(told[-1].event, Ended)


def runs_file_b(runs: Runs) -> bool:
    environment = runs._environments["staging"]
    assert environment.url is not None
    with psycopg.connect(environment.url.reveal()) as connection:
        return connection.execute("SELECT to_regclass('b') IS NOT NULL").fetchone() == (True,)


def wait_until(true: Callable[[], bool], patience: float = 20) -> None:
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- taking up again ---


def test_a_worker_that_has_to_go_leaves_the_run_to_the_next(runs: Runs, folder_path: Path, write: Write) -> None:
    write(folder_path, "002_b.sql", "SELECT pg_sleep(60);")
    run_id = runs.ask("staging", ORDER).run_id
    leaving: list[bool] = []
    answer: list[Executed] = []
    working = threading.Thread(target=lambda: answer.append(runs.execute(run_id, lambda: bool(leaving))))
    working.start()
    wait_until(lambda: any(isinstance(one.event, FileApplied) for one in runs.events_since(run_id)))
    leaving.append(True)
    working.join(20)
    assert answer == [Executed.AGAIN]
    assert shown(runs, run_id).state is RunState.RUNNING


def abandoned(runs: Runs, home: Home, environment: Environment) -> str:
    """A run whose worker died after it had applied the first of two files, one file a flight, and nobody was told."""
    run_id = runs.ask(environment.name, ORDER).run_id
    leave_after_first = threading.Event()

    def first_only() -> bool:
        assert environment.url is not None
        with psycopg.connect(environment.url.reveal()) as connection:
            found = connection.execute("SELECT to_regclass('a') IS NOT NULL").fetchone() == (True,)
        if found:
            leave_after_first.set()
        return found

    assert runs.execute(run_id, first_only) is Executed.AGAIN
    assert leave_after_first.is_set()
    return run_id


@pytest.fixture
def slow_second(folder_path: Path, write: Write) -> None:
    write(folder_path, "002_b.sql", "SELECT pg_sleep(1);\nCREATE TABLE b (id int);")


@pytest.mark.fault(3)
@pytest.mark.usefixtures("slow_second")
@pytest.mark.usefixtures("one_file_a_flight")
def test_what_an_earlier_attempt_applied_belongs_to_the_run(
    runs: Runs, home: Home, environments: tuple[Environment, ...]
) -> None:
    run_id = abandoned(runs, home, environments[1])
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 2)
    assert view.result is not None
    assert view.result.applied == ("001_a.sql", "002_b.sql")


@pytest.mark.usefixtures("slow_second")
@pytest.mark.usefixtures("one_file_a_flight")
def test_a_later_attempt_runs_no_file_that_nobody_saw(
    runs: Runs, home: Home, environments: tuple[Environment, ...], folder_path: Path, write: Write
) -> None:
    run_id = abandoned(runs, home, environments[1])
    write(folder_path, "003_new.sql", "CREATE TABLE never (id int);")
    assert runs.execute(run_id) is Executed.ENDED
    result = shown(runs, run_id).result
    assert result is not None
    assert result.applied == ("001_a.sql", "002_b.sql")


@pytest.mark.parametrize("looks", [0, 1])
@pytest.mark.usefixtures("slow_second")
@pytest.mark.usefixtures("one_file_a_flight")
def test_nor_where_the_environment_cannot_be_asked_for_a_moment(
    runs: Runs,
    home: Home,
    environments: tuple[Environment, ...],
    folder_path: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    looks: int,
) -> None:
    run_id = abandoned(runs, home, environments[1])
    write(folder_path, "003_new.sql", "CREATE TABLE never (id int);")
    asked = itertools.count()

    def away_once(environment: Environment) -> Picture | NotReachable:
        away = next(asked) == looks
        return NotReachable(environment.name, "nobody is there", "Wait.") if away else take_picture(environment)

    monkeypatch.setattr(services_runs, "take_picture", away_once)
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert view.result is not None
    assert view.result.problem is not None
    assert "staging cannot be reached: nobody is there" in view.result.problem.message
    assert view.result.applied == ("001_a.sql",)


@pytest.mark.usefixtures("slow_second")
@pytest.mark.usefixtures("one_file_a_flight")
def test_a_later_attempt_does_not_run_a_file_that_changed_meanwhile(
    runs: Runs, home: Home, environments: tuple[Environment, ...], folder_path: Path, write: Write
) -> None:
    run_id = abandoned(runs, home, environments[1])
    write(folder_path, "002_b.sql", "CREATE TABLE something_else (id int);")
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert view.result is not None
    assert view.result.applied == ("001_a.sql",)
    assert view.outcome is Outcome.CHANGED


@pytest.mark.usefixtures("slow_second")
@pytest.mark.usefixtures("one_file_a_flight")
def test_somebody_else_finished_it_meanwhile(
    runs: Runs, home: Home, environments: tuple[Environment, ...], reader: FolderReader
) -> None:
    from dashboard.services.apply import apply

    run_id = abandoned(runs, home, environments[1])
    apply(environments[1], reader.read, Order(Actor(ActorKind.PERSON, "dev", Door.CLI)))
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert view.outcome is Outcome.APPLIED
    assert view.result is not None
    assert view.result.applied == ("001_a.sql",)


@pytest.mark.fault(6)
def test_an_attempt_that_everybody_believed_dead_finishes_and_the_next_one_waits_for_it(
    runs: Runs, folder_path: Path, write: Write
) -> None:
    write(folder_path, "002_b.sql", "SELECT pg_sleep(3);\nCREATE TABLE b (id int);")
    run_id = runs.ask("staging", replace(ORDER, lock_wait=0.2)).run_id
    working = threading.Thread(target=runs.execute, args=(run_id,))
    working.start()
    wait_until(lambda: any(isinstance(one.event, FileApplied) for one in runs.events_since(run_id)))
    assert runs.execute(run_id) is Executed.AGAIN
    assert shown(runs, run_id).state is RunState.RUNNING
    working.join(20)
    assert runs.execute(run_id) is Executed.ENDED
    view = shown(runs, run_id)
    assert view.outcome is Outcome.APPLIED
    assert view.result is not None
    assert view.result.applied == ("001_a.sql", "002_b.sql")
