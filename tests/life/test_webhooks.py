"""Messages to webhooks outlive the worker that was at them, and receivers that do not answer hold up no run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Secret
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.settings import load
from tests.conftest import MakeDatabase
from tests.life.conftest import FIRST, until
from tests.receiver import Receiver, receiving, status

ORDER = Order(Actor(ActorKind.PERSON, "lead@example.com", Door.WEB))
WORKER = """
import os
from pathlib import Path
from dashboard.core.progress import Pace
from dashboard.settings import load
from dashboard.worker import run_worker

pace = Pace(heartbeat=0.2, stalled=1.5, sweep=0.3, poll=0.2, grace=5, message=0.1)
run_worker(load(os.environ, start=Path.cwd()), pace)
"""
CONFIGURATION = """
home = "$RUNG_HOME_URL"
[environments.staging]
url = "$STAGING_URL"
[[webhooks]]
url = "$HOOK_URL"
outcomes = ["applied", "nothing to do"]
[[webhooks]]
url = "$UNSET_URL"
"""


@dataclass
class Place:
    """A checkout with its workers."""

    folder: Path
    variables: dict[str, str]
    services: Services
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def worker(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            made = subprocess.Popen(
                [sys.executable, "-c", WORKER], cwd=self.folder, env=os.environ | self.variables, stderr=log
            )
        self.started.append(made)
        return made

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def standings(self) -> list[str]:
        return [one.standing.value for one in self.services.webhooks.newest()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, make_database: MakeDatabase, home_url: Secret, receiver: Receiver) -> Iterator[Place]:
    (tmp_path / "rung.toml").write_text(CONFIGURATION)
    (tmp_path / "migrations").mkdir()
    for name, sql in FIRST.items():
        (tmp_path / "migrations" / name).write_text(sql)
    variables = {
        "RUNG_HOME_URL": home_url.reveal(),
        "STAGING_URL": make_database().reveal(),
        "HOOK_URL": receiver.url,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    services = build(load(variables, start=tmp_path))
    made = Place(tmp_path, variables, services)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
    services.close()


@pytest.mark.slow
def test_a_worker_killed_before_its_message_was_heard_is_followed_by_one_that_sends_it_again(
    place: Place, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    """The run is over, and its worker dies while the receiver thinks."""

    def think(_: BaseHTTPRequestHandler) -> None:
        receiver.leaving.wait(8)

    receiver.answers = [think, status(500)]
    first = place.worker()
    run_id = place.services.runs.ask("staging", ORDER).run_id
    until(lambda: receiver.heard)
    assert in_home.execute("SELECT state FROM home.run").fetchall() == [("ended",)]
    first.kill()
    first.wait()
    assert place.standings() == ["waiting"]
    place.worker()
    until(lambda: place.standings() == ["delivered"])
    assert len(receiver.heard) == 3
    assert len({(one.headers["Webhook-Id"], one.body) for one in receiver.heard}) == 1
    assert json.loads(receiver.heard[0].body)["run"]["id"] == run_id
    assert in_home.execute("SELECT count(*) FROM home.procrastinate_jobs").fetchone() == (0,)
    said = place.log()
    assert [one["reason"] for one in said if one["message"] == "webhook not told yet"] == ["it answered 500"]
    assert "UNSET_URL is not set" in [one["reason"] for one in said if one["message"] == "webhook is not used"]
    assert "c4n4ry" not in (place.folder / "log").read_text()


def test_receivers_that_do_not_answer_hold_up_no_run(place: Place, receiver: Receiver) -> None:
    held = place.services.settings.environments[0].name
    receiver.answers = [lambda _: (receiver.leaving.wait(30), None)[1] for _ in range(10)]
    place.worker()
    for _ in range(5):
        run = place.services.runs.ask(held, ORDER)
        until(lambda: (view := place.services.runs.show(run.run_id)) and view.result, 5)  # noqa: B023  # asked at once
    until(lambda: len(receiver.heard) == 3)
    assert place.standings() == ["waiting"] * 5
    receiver.leaving.set()
    until(lambda: set(place.standings()) == {"delivered"})
