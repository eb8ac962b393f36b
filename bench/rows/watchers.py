"""Two hundred people who watch one run, and what other pages take meanwhile; real processes, real HTTP."""

import contextlib
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import crowd
from bench.files import sample_files, write_files
from bench.ground import Ground
from bench.measure import Bound, Group, Line
from bench.rows.page import databases, session_of
from dashboard import bootstrap, settings
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.runs import Runs

NOTES = (
    f"Each watcher asks for the run every {crowd.PACE} s, or as seldom as the answer before told it to, as its page",
    "does, on a connection of its own. A reader opens the matrix again and again meanwhile, each time on a new",
    "connection. The run sleeps a third of a second in each file, so that nearly every answer to a watcher is new.",
    "Pages and worker are `rung serve`, the crowd is a process of its own, and all share this machine's processors.",
)
_SLOW = "CREATE TABLE watched_{number} (id bigint);\nSELECT pg_sleep(0.3);\n"
_RUN_FILES = 120
_COMES_UP = 30.0


def measure(ground: Ground) -> Group:
    folder = ground.folder / "watched"
    write_files(folder / "migrations", sample_files(ground.sizes.page_files))
    with databases(ground, folder) as variables:
        for number in range(_RUN_FILES):
            name = f"90{number:03}_watched.sql"
            (folder / "migrations" / name).write_text(_SLOW.format(number=number), encoding="utf-8")
        with serving(folder, variables) as (port, services):
            cookie = f"rung={session_of(services)}"
            alone = _crowd(ground, port, cookie, "/fragments/ladder", 0)
            order = Order(Actor(ActorKind.PERSON, "bench@example.com", Door.WEB))
            run_id = services.runs.ask("local", order).run_id
            _wait_until_running(services.runs, run_id)
            many = _crowd(ground, port, cookie, f"/fragments/runs/{run_id}", ground.sizes.watchers)
    return Group(
        "watchers",
        f"{ground.sizes.watchers} people watch one run",
        (
            Line("another page, nobody watches", _milliseconds(alone.read), "ms"),
            Line("another page, everybody watches", _milliseconds(many.read), "ms"),
            Line("another page, everybody watches, 95 of 100 within", (_p95(many.read),), "ms", bound=Bound(100)),
            Line("what a watcher waits", _milliseconds(many.watched), "ms"),
        ),
        NOTES,
    )


def _milliseconds(seconds: list[float]) -> tuple[float, ...]:
    return tuple(1000 * one for one in seconds)


def _p95(seconds: list[float]) -> float:
    return 1000 * statistics.quantiles(seconds, n=20)[18]


def _crowd(ground: Ground, port: int, cookie: str, piece: str, watchers: int) -> crowd.Told:
    size = ("--watchers", str(watchers), "--seconds", str(ground.sizes.watched_seconds))
    command = [sys.executable, "-m", "bench.crowd", str(port), cookie, piece, *size]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    told = crowd.Told(**json.loads(done.stdout))
    assert not told.errors, told.errors[:3]
    return told


def _wait_until_running(runs: Runs, run_id: str) -> None:
    until = time.monotonic() + _COMES_UP
    while not runs.events_since(run_id):
        assert time.monotonic() < until, "no worker took the run"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(folder: Path, variables: dict[str, str]) -> Iterator[tuple[int, bootstrap.Services]]:
    """`rung serve` in that folder: its port, and the same services beside it."""
    services = bootstrap.build(settings.load(variables, start=folder))
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    rung = Path(sys.executable).with_name("rung")
    process = subprocess.Popen(
        [rung, "serve", "--port", "0"],
        cwd=folder,
        env=kept | variables | {"HOME": str(folder), "RUNG_SECRET_KEY": secrets.token_urlsafe(32)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert "http://" in address, "rung serve did not start"
        services.compare.live()
        yield int(address.rsplit(":", 1)[1]), services
        _stop_runs(services.runs)
    finally:
        services.close()
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _stop_runs(runs: Runs) -> None:
    for run in runs.running():
        runs.ask_to_stop(run.run_id, "bench@example.com")
