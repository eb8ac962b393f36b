"""The worker as a process: it takes runs, dies, is told to end, and loses home, and every file runs exactly once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services, build, prepare_home
from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import HomeNotReady, NoHome
from dashboard.core.events import FileApplied
from dashboard.core.progress import RunState, RunView
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.postgres import embedded
from dashboard.settings import Settings
from tests.conftest import MakeDatabase, Write

ORDER = Order(Actor(ActorKind.PERSON, "lead@example.com", Door.WEB))

# Quick enough to watch; the real ones are in seconds to tens of seconds.
WORKER = """
import json, os
from pathlib import Path
from dashboard.core.environment import Environment, Secret
from dashboard.core.progress import Pace
from dashboard.settings import Settings
from dashboard.worker import run_worker

given = json.loads(os.environ["GIVEN"])
environments = tuple(Environment(name, place, Secret(url)) for place, (name, url) in enumerate(given["environments"]))
settings = Settings(Path.cwd(), Path(given["folder"]), environments, Secret(given["home"]))
run_worker(settings, Pace(heartbeat=0.2, stalled=1.5, sweep=0.3, poll=0.3, grace=given["grace"]))
"""


# What a web process does when somebody clicks.
ASKER = """
import os, time
from pathlib import Path
from dashboard.bootstrap import build
from dashboard.core.environment import Environment, Secret
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.settings import Settings

local = Environment("local", 0, Secret(os.environ["LOCAL_URL"]))
services = build(Settings(Path.cwd(), Path.cwd(), (local,), Secret(os.environ["HOME_URL"])))
print(services.runs.ask("local", Order(Actor(ActorKind.PERSON, "lead@example.com", Door.WEB))).run_id, flush=True)
time.sleep(60)
"""


class Workers:
    """Worker processes of one home."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings, self.log = settings, log
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, grace: float = 5) -> "subprocess.Popen[bytes]":
        given = {
            "environments": [(one.name, one.url.reveal()) for one in self.settings.environments if one.url],
            "folder": str(self.settings.migrations),
            "home": self.settings.home.reveal() if self.settings.home else "",
            "grace": grace,
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER], env={**os.environ, "GIVEN": json.dumps(given)}, stderr=log
            )
        self.started.append(process)
        return process

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def settings(environments: tuple[Environment, ...], folder_path: Path, home_url: Secret) -> Settings:
    return Settings(folder_path, folder_path, environments, home_url)


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    built = build(settings)
    yield built
    built.close()


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(settings, tmp_path / "log")
    yield made
    made.end()


def wait_until(true: Callable[[], bool], patience: float = 30) -> None:
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def ended(services: Services, run_id: str) -> RunView:
    wait_until(lambda: (view := services.runs.show(run_id)) is not None and view.state is RunState.ENDED)
    view = services.runs.show(run_id)
    assert view is not None
    return view


def rows(environment: Environment, query: str) -> list[tuple[Any, ...]]:
    assert environment.url is not None
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def sleeping(environment: Environment) -> bool:
    return bool(
        rows(
            environment,
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        )
    )


def slow(folder: Path, write: Write, seconds: float) -> None:
    """A file that shows how often it ran, and one before it."""
    write(folder, "001_a.sql", "CREATE TABLE a (id int);")
    write(
        folder,
        "002_slow.sql",
        f"CREATE TABLE IF NOT EXISTS b (id int);\nSELECT pg_sleep({seconds});\nINSERT INTO b VALUES (1);",
    )


# --- the work ---


def test_a_worker_executes_what_was_asked_before_and_after_it_started(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    before = services.runs.ask("local", ORDER).run_id
    workers.start()
    assert ended(services, before).outcome is Outcome.APPLIED
    begun = time.monotonic()
    after = services.runs.ask("staging", ORDER).run_id
    assert ended(services, after).outcome is Outcome.APPLIED
    assert time.monotonic() - begun < 5
    again = services.runs.ask("staging", ORDER)
    assert not again.already
    assert ended(services, again.run_id).outcome is Outcome.NOTHING
    assert {line["level"] for line in workers.lines()} == {"info"}
    assert [line["message"] for line in workers.lines()].count("worker takes runs") == 1


@pytest.mark.fault(10)
@pytest.mark.fault(44)
def test_environments_do_not_wait_for_each_other_and_one_runs_once_at_a_time(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 3)
    workers.start()
    workers.start()
    ids = [services.runs.ask(name, ORDER).run_id for name in ("local", "staging", "local", "staging")]
    assert len(set(ids)) == 2
    wait_until(lambda: all(sleeping(one) for one in services.settings.environments[:2]))
    assert [ended(services, run_id).outcome for run_id in ids] == [Outcome.APPLIED] * 4


@pytest.mark.fault(8)
@pytest.mark.fault(9)
def test_a_run_goes_on_and_keeps_its_events_when_the_process_that_asked_for_it_is_gone(
    services: Services, workers: Workers, settings: Settings, folder_path: Path, write: Write
) -> None:
    """Pages come from processes that are recycled, restarted and deployed anew; they hold nothing of a run."""
    slow(folder_path, write, 2)
    workers.start()
    local = settings.environments[0]
    assert settings.home
    assert local.url
    told = {**os.environ, "HOME_URL": settings.home.reveal(), "LOCAL_URL": local.url.reveal()}
    told["PYTHONPATH"] = str(Path(__file__).parents[1])
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER], env=told, cwd=folder_path, stdout=subprocess.PIPE, text=True
    )
    assert asker.stdout is not None
    run_id = asker.stdout.readline().strip()
    wait_until(lambda: sleeping(local))
    asker.kill()
    asker.communicate()
    assert ended(services, run_id).outcome is Outcome.APPLIED
    events = services.runs.events_since(run_id)
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))
    assert [one.event.filename for one in events if isinstance(one.event, FileApplied)] == ["001_a.sql", "002_slow.sql"]
    assert rows(local, "SELECT count(*) FROM b") == [(1,)]


def test_the_log_is_json_with_run_ids_and_without_secrets(
    services: Services, workers: Workers, settings: Settings, folder_path: Path, write: Write
) -> None:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    workers.start()
    run_id = services.runs.ask("local", ORDER).run_id
    ended(services, run_id)
    wait_until(lambda: any(line["message"] == "run ended" for line in workers.lines()))
    line = next(line for line in workers.lines() if line["message"] == "run ended")
    assert (line["run_id"], line["outcome"], line["level"]) == (run_id, "applied", "info")
    for environment in settings.environments:
        assert environment.url is not None
        assert environment.url.reveal() not in workers.log.read_text()
        password = environment.url.reveal().split("@")[0].rpartition(":")[2]
        assert password not in workers.log.read_text()


# --- death ---


@pytest.mark.fault(2)
def test_a_worker_killed_in_the_middle_of_a_file_is_replaced_by_another_and_the_file_runs_once(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 2)
    first = workers.start()
    run_id = services.runs.ask("staging", ORDER).run_id
    staging = services.settings.environment("staging")
    wait_until(lambda: sleeping(staging))
    first.send_signal(signal.SIGKILL)
    first.wait()
    workers.start()
    view = ended(services, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 2)
    assert view.result is not None
    assert view.result.applied == ("001_a.sql", "002_slow.sql")
    assert rows(staging, "SELECT count(*) FROM b") == [(1,)]
    assert rows(staging, "SELECT filename FROM _migrations_applied ORDER BY 1") == [("001_a.sql",), ("002_slow.sql",)]
    assert rows(staging, "SELECT filename FROM rung.history WHERE event = 'applied' ORDER BY id") == [
        ("001_a.sql",),
        ("002_slow.sql",),
    ]
    assert services.audit.verify().ok
    told = [(row.deed, row.subject) for row in reversed(services.audit.newest(50))]
    assert sorted(deed for deed, _ in told) == sorted([
        "configuration changed",  # by the first worker; the second found the same one
        "run asked for", "run started", "run taken up again", "file run", "file run", "run ended",
    ])  # fmt: skip
    assert [subject for deed, subject in told if deed == "file run"] == ["001_a.sql", "002_slow.sql"]


@pytest.mark.fault(3)
def test_a_worker_that_lives_beside_takes_the_run_up(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 1)
    first, second = workers.start(), workers.start()
    run_id = services.runs.ask("staging", ORDER).run_id
    wait_until(lambda: sleeping(services.settings.environment("staging")))
    taken = next(line["process"] for line in workers.lines() if line["message"] == "run begins")
    (first if first.pid == taken else second).send_signal(signal.SIGKILL)
    assert ended(services, run_id).outcome is Outcome.APPLIED
    assert rows(services.settings.environment("staging"), "SELECT count(*) FROM b") == [(1,)]


def test_after_a_death_the_next_click_is_not_lost(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 30)
    first = workers.start()
    run_id = services.runs.ask("staging", ORDER).run_id
    wait_until(lambda: sleeping(services.settings.environment("staging")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    again = services.runs.ask("staging", ORDER)
    assert (again.run_id, again.already) == (run_id, True)
    services.runs.ask_to_stop(run_id, "lead@example.com")
    workers.start()
    assert ended(services, run_id).outcome is Outcome.CANCELLED
    write(folder_path, "002_slow.sql", "CREATE TABLE b (id int);")
    assert ended(services, services.runs.ask("staging", ORDER).run_id).outcome is Outcome.APPLIED


# --- being told to end ---


def test_a_worker_without_work_ends_at_once(workers: Workers) -> None:
    process = workers.start()
    wait_until(lambda: any(line["message"] == "worker takes runs" for line in workers.lines()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert workers.lines()[-1]["message"] == "worker has ended"


def test_a_worker_that_is_told_to_end_finishes_what_is_nearly_done(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 2)
    process = workers.start(grace=20)
    run_id = services.runs.ask("staging", ORDER).run_id
    wait_until(lambda: sleeping(services.settings.environment("staging")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    view = services.runs.show(run_id)
    assert view is not None
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 1)


@pytest.mark.fault(4)
def test_a_worker_that_is_told_to_end_leaves_a_long_run_to_the_next(
    services: Services, workers: Workers, folder_path: Path, write: Write
) -> None:
    slow(folder_path, write, 6)
    process = workers.start(grace=0.5)
    run_id = services.runs.ask("staging", ORDER).run_id
    wait_until(lambda: sleeping(services.settings.environment("staging")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    view = services.runs.show(run_id)
    assert view is not None
    assert view.state is RunState.RUNNING
    workers.start()
    view = ended(services, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 2)
    assert rows(services.settings.environment("staging"), "SELECT count(*) FROM b") == [(1,)]


# --- home ---


@pytest.mark.fault(47)
def test_home_is_away_while_a_file_ends_and_the_worker_tells_it_afterwards(
    services: Services,
    workers: Workers,
    folder_path: Path,
    write: Write,
    server: embedded.EmbeddedServer,
    in_home: psycopg.Connection[Any],
) -> None:
    slow(folder_path, write, 2)
    workers.start()
    run_id = services.runs.ask("staging", ORDER).run_id
    staging = services.settings.environment("staging")
    wait_until(lambda: sleeping(staging))
    with away(server, in_home.info.dbname):
        wait_until(lambda: rows(staging, "SELECT count(*) FROM _migrations_applied") == [(2,)])
        waits = "home is away: events wait"
        wait_until(lambda: [line["message"] for line in workers.lines()].count(waits) > 3)
    view = ended(services, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 1)
    assert view.result is not None
    assert view.result.applied == ("001_a.sql", "002_slow.sql")
    told = [one.event.filename for one in services.runs.events_since(run_id) if isinstance(one.event, FileApplied)]
    assert told == ["001_a.sql", "002_slow.sql"]
    assert ended(services, services.runs.ask("staging", ORDER).run_id).outcome is Outcome.NOTHING
    assert {line["level"] for line in workers.lines()} == {"info", "warning"}


@contextlib.contextmanager
def away(server: embedded.EmbeddedServer, database: str) -> Iterator[None]:
    """A database that ends its sessions and takes no new ones."""
    name = psycopg.sql.Identifier(database)
    with psycopg.connect(server.url("postgres").reveal(), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (database,)
        )
        yield
        connection.execute(psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def test_without_home_there_is_no_worker(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(NoHome):
        prepare_home(replace(settings, home=None))


def test_a_home_that_cannot_be_reached_is_said_to_be_that(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(HomeNotReady, match=r"nothing listens at 127\.0\.0\.1:1"):
        prepare_home(replace(settings, home=Secret("postgresql://rung:s3cr3t@127.0.0.1:1/home")))


def test_many_processes_prepare_home_at_once(settings: Settings, make_database: MakeDatabase) -> None:
    code = (
        "import os; from dashboard.services.prepare import prepare; from dashboard.core.environment import Secret;"
        "prepare(Secret(os.environ['HOME_URL']), None)"
    )
    url = make_database()
    started = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "HOME_URL": url.reveal()}) for _ in range(5)
    ]
    assert [process.wait(60) for process in started] == [0] * 5
    with psycopg.connect(url.reveal()) as connection:
        twice = connection.execute(
            "SELECT filename FROM rung.history WHERE event = 'applied' GROUP BY filename HAVING count(*) > 1"
        ).fetchall()
        applied = connection.execute("SELECT count(*) FROM home._migrations_applied").fetchone()
    assert twice == []
    assert applied is not None
    assert applied[0] > 30
