"""Workers, pages, commands and deploys side by side: who dies, restarts or comes second changes nothing."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Environment, Secret
from dashboard.core.progress import RunState, RunView
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.postgres.home.pool import Home
from dashboard.settings import Settings
from tests.oracle import LOG, ask, assert_consistent, ledger, noted, wait_until
from tests.sweep.victim import ROOT, Victim, ready
from tests.test_worker import WORKER
from tests.wire import Chunk, Cut, wire_to

pytestmark = pytest.mark.slow

CLICK = Order(Actor(ActorKind.PERSON, "lead@example.com", Door.WEB))
ALL = ["001_log.sql", "002_slow.sql", "003_end.sql"]
SLEEPS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


@dataclass
class Place:
    """An application's folder with one environment, a home, and the processes around them."""

    folder: Path
    target: Environment
    home_url: Secret
    log: Path
    started: list[subprocess.Popen[bytes]]

    def services(self, home: Secret | None = None) -> Services:
        return build(self.settings(home))

    def settings(self, home: Secret | None = None) -> Settings:
        return Settings(self.folder, self.folder / "migrations", (self.target,), home or self.home_url)

    def worker(self, home: Secret | None = None, prefix: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """A worker that is quick to believe others dead."""
        assert self.target.url
        given = {
            "environments": [(self.target.name, self.target.url.reveal())],
            "folder": str(self.folder / "migrations"),
            "home": (home or self.home_url).reveal(),
            "grace": 5,
        }
        return self.start((*prefix, sys.executable, "-c", WORKER), GIVEN=json.dumps(given))

    def start(self, command: Sequence[str], **variables: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**self.variables, **variables}, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    @property
    def variables(self) -> dict[str, str]:
        assert self.target.url
        ours = {"LOCAL_URL": self.target.url.reveal(), "RUNG_HOME_URL": self.home_url.reveal()}
        return {**os.environ, **ours, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def place(tmp_path: Path, environment: Environment, home_url: Secret) -> Iterator[Place]:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "rung.toml").write_text('home = "$RUNG_HOME_URL"\n[environments.local]\nurl = "$LOCAL_URL"\n')
    made = Place(tmp_path, environment, home_url, tmp_path / "log", [])
    write(made, seconds=0.0)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def write(place: Place, *, seconds: float) -> None:
    texts = (LOG + noted(ALL[0]), noted(ALL[1]) + f"SELECT pg_sleep({seconds});\n", noted(ALL[2]))
    for name, text in zip(ALL, texts, strict=True):
        (place.folder / "migrations" / name).write_text(text)


def ended(services: Services, run_id: str) -> RunView:
    view = wait_until(lambda: (now := services.runs.show(run_id)) and now.state is RunState.ENDED and now, 60)
    assert isinstance(view, RunView)
    return view


def assert_told_once(place: Place) -> None:
    """The target is consistent, home has the same history, and no log has the password."""
    home = Home(place.home_url)
    assert_consistent(place.target, ALL, home=home, said=place.log.read_text())
    home.close()


# --- between the target's answer and home's knowledge ---


@pytest.mark.fault(3)
@pytest.mark.parametrize("piece", [1, 2, 4, 7, 11, 16])
def test_a_worker_killed_before_home_knows_what_the_target_has_is_found_out(place: Place, piece: int) -> None:
    services = place.services()
    run_id = services.runs.ask("local", CLICK).run_id
    with wire_to(place.home_url) as wire:
        pieces = itertools.count(1)

        def kill(chunk: Chunk) -> None:
            if ledger(place.target) == ALL and next(pieces) == piece:
                worker.kill()
                raise Cut

        wire.before = kill
        worker = place.worker(wire.url)
        assert worker.wait(60) == -signal.SIGKILL
        assert services.runs.show(run_id).state is not RunState.ENDED  # type: ignore[union-attr]  # it is there
        place.worker()
        view = ended(services, run_id)
    assert view.outcome is Outcome.APPLIED, view.result
    assert view.attempt == 2
    assert view.result
    assert sorted(view.result.applied) == ALL
    services.close()
    assert_told_once(place)


# --- pages that come and go ---


def pages(place: Place, port: int) -> "subprocess.Popen[bytes]":
    options = ("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--max-requests", "3")
    key = "a key of the tests, long enough to be used"
    process = place.start((sys.executable, "-m", "gunicorn", *options, "dashboard.wsgi:app"), RUNG_SECRET_KEY=key)
    wait_until(lambda: get(port) == 200, 60)
    return process


def get(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


@pytest.mark.fault(8)
@pytest.mark.fault(9)
def test_pages_that_are_recycled_and_restarted_leave_a_run_alone(place: Place) -> None:
    write(place, seconds=15)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    services = place.services()
    first = pages(place, port)
    worker = place.worker()
    run_id = services.runs.ask("local", CLICK).run_id
    wait_until(lambda: ask(place.target, SLEEPS))
    (backend,) = ask(place.target, SLEEPS)
    for _ in range(10):  # three times the worker of the pages is replaced
        wait_until(lambda: get(port) == 200)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    pages(place, port)
    assert ask(place.target, SLEEPS) == [backend]
    view = ended(services, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 1)
    assert worker.poll() is None
    sequence = [event.sequence for event in services.runs.events_since(run_id)]
    assert sequence == sorted(set(sequence))
    services.close()
    assert_told_once(place)


@pytest.mark.fault(10)
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="two processes of one id need root and unshare"
)
def test_two_workers_of_one_host_name_and_one_process_id_do_not_take_each_other_s_runs(place: Place) -> None:
    """As in two containers that were given the same name."""
    write(place, seconds=6)  # four times as long as a worker may be silent before it counts as dead
    services = place.services()
    alone = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts")
    twins = [place.worker(prefix=alone), place.worker(prefix=alone)]
    run_id = services.runs.ask("local", CLICK).run_id
    wait_until(lambda: ask(place.target, SLEEPS))
    (backend,) = ask(place.target, SLEEPS)
    time.sleep(4)  # nothing shall happen, so there is nothing to wait for
    assert ask(place.target, SLEEPS) == [backend]
    view = ended(services, run_id)
    assert (view.outcome, view.attempt) == (Outcome.APPLIED, 1)
    begun = [json.loads(line) for line in place.log.read_text().splitlines() if "run begins" in line]
    assert [(line["process"], line["attempt"]) for line in begun] == [(1, 1)]
    assert [twin.poll() for twin in twins] == [None, None]
    services.close()
    assert_told_once(place)


# --- all at once ---


@pytest.fixture
def commands() -> Iterator[Iterator[Victim]]:
    with ready(Victim, 6) as waiting:
        yield waiting


@pytest.mark.fault(43)
def test_fifty_clicks_five_commands_and_a_deploy_at_once_apply_every_file_once(
    place: Place, commands: Iterator[Victim]
) -> None:
    write(place, seconds=0.5)
    place.worker()
    place.worker()
    shells = [next(commands) for _ in range(6)]
    desks = [place.services() for _ in range(5)]
    barrier, clicked = threading.Barrier(51), []

    def click(desk: Services) -> None:
        barrier.wait()
        clicked.append(desk.runs.ask("local", CLICK))

    threads = [threading.Thread(target=click, args=(desk,)) for desk in desks for _ in range(10)]
    for thread in threads:
        thread.start()
    barrier.wait()
    told: dict[str, Any] = {name: place.variables[name] for name in ("LOCAL_URL", "RUNG_HOME_URL")}
    for shell in shells[:5]:
        shell.tell(place.folder, "migrate", "--env", "local", "--lock-wait", "60", **told)
    shells[5].tell(place.folder, "start", "--env", "local", "--lock-wait", "60", "--", "true", **told)
    for thread in threads:
        thread.join()
    said = [shell.said() for shell in shells]
    assert [one.code for one in said] == [0] * 6, said
    views = [ended(desks[0], run_id) for run_id in {answer.run_id for answer in clicked}]
    assert {view.outcome for view in views} <= {Outcome.APPLIED, Outcome.NOTHING}
    assert len(clicked) == 50
    assert sum(not answer.already for answer in clicked) == len(views)
    runs = ask(place.target, "SELECT count(DISTINCT run_id) FROM rung.history WHERE event = 'applied'")
    assert runs == [(1,)]
    for desk in desks:
        desk.close()
    assert_consistent(place.target, ALL, said="".join(one.text for one in said))
