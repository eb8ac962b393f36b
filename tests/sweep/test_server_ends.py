"""The server stops, restarts or crashes under a run: bounded, found out, and the next run finishes."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.run import Outcome, Result
from dashboard.postgres import embedded
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, assert_nothing_half, folder_of, noted, wait_until
from tests.sweep.resolving import settled

pytestmark = pytest.mark.slow

# At COMMIT a file waits for a standby that does not exist; everything else waits for nobody.
GHOST = {"synchronous_commit": "local", "synchronous_standby_names": "ghost"}
FIRST = ("001_log.sql", LOG + noted("001_log.sql"))
SEAMS = {  # name -> the second file, and what its server process waits for at the seam
    "while a statement runs": (noted("002_middle.sql") + "SELECT pg_sleep(3);\n", "PgSleep"),
    "at commit": ("SET LOCAL synchronous_commit = on;\n" + noted("002_middle.sql"), "SyncRep"),
    "in a file without a transaction": (
        noted("002_middle.sql") + "VACUUM public.log;\nSELECT pg_sleep(3);\n",
        "PgSleep",
    ),
}
STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass
class Machine:
    """A server of our own at a port that stays the same."""

    folder: Path
    port: int

    def start(self) -> embedded.EmbeddedServer:
        return replace(embedded.start(self.folder, settings=FAST | GHOST | {"port": str(self.port)}), port=self.port)

    def stop(self, how: signal.Signals) -> None:
        """As pg_ctl does it, and wait until it is gone."""
        file = self.folder / "data" / "postmaster.pid"
        os.kill(int(file.read_text().splitlines()[0]), how)
        wait_until(lambda: not file.exists())


@pytest.fixture(scope="module")
def machine(cluster_place: Callable[[str], Path]) -> Iterator[Machine]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Machine(cluster_place("machine"), port)
    try:
        made.start()
        yield made
    finally:
        embedded.remove(made.folder)


@pytest.fixture
def target(machine: Machine) -> Environment:
    server = machine.start()
    name = f"ends_{time.monotonic_ns()}"
    server.create_database(name)
    environment = Environment("local", 0, server.url(name))
    assert apply(environment, lambda: folder_of(FIRST), ORDER).outcome is Outcome.APPLIED
    return environment


def run_while(
    environment: Environment, files: tuple[tuple[str, str], ...], wait_event: str, deed: Callable[[int], object]
) -> Result:
    """Run, and do something to the server as soon as the file's server process waits for that."""
    find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = %s"
    thread = threading.Thread(target=lambda: deed(wait_until(lambda: ask(environment, find, wait_event))[0][0]))
    thread.start()
    result = apply(environment, lambda: folder_of(*files), ORDER, Seen())
    thread.join()
    return result


def assert_the_next_run_finishes(environment: Environment, files: tuple[tuple[str, str], ...]) -> None:
    wait_until(lambda: answers(environment))
    folder, order = folder_of(*files), replace(ORDER, lock_wait=30)
    if "synchronous_commit" in files[1][1]:  # nobody ends its wait this time
        folder = folder_of(*((name, text.replace("= on", "= local")) for name, text in files))
    result = settled(environment, folder, lambda: apply(environment, lambda: folder, order))
    assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), result.problem
    assert_consistent(environment, [name for name, _ in files])


def answers(environment: Environment) -> bool:
    try:
        return ask(environment, "SELECT 1") == [(1,)]
    except psycopg.Error:
        return False


@pytest.mark.fault(15)
@pytest.mark.parametrize("away", [0, 4])
@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize("how", STOPS)
def test_a_server_that_is_stopped_and_started_again_loses_nothing(
    machine: Machine, target: Environment, how: str, seam: str, away: int
) -> None:
    text, wait_event = SEAMS[seam]
    files = (FIRST, ("002_middle.sql", text), ("003_end.sql", noted("003_end.sql")))

    def restart(_: int) -> None:
        machine.stop(STOPS[how])
        time.sleep(away)
        machine.start()

    began = time.monotonic()
    result = run_while(target, files, wait_event, restart)
    assert time.monotonic() - began < 30 + away
    assert result.outcome in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.APPLIED), result
    if result.problem:
        assert result.problem.environment == "local"
        assert result.problem.advice
    assert_nothing_half(target, piecemeal="002_middle.sql" if "VACUUM" in text else "")
    assert_the_next_run_finishes(target, files)


@pytest.mark.fault(16)
@pytest.mark.parametrize("seam", SEAMS)
def test_a_server_process_that_is_killed_takes_all_sessions_with_it_and_loses_nothing(
    target: Environment, seam: str
) -> None:
    text, wait_event = SEAMS[seam]
    files = (FIRST, ("002_middle.sql", text), ("003_end.sql", noted("003_end.sql")))
    result = run_while(target, files, wait_event, lambda pid: os.kill(pid, signal.SIGKILL))
    assert result.outcome in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.APPLIED), result
    wait_until(lambda: answers(target))
    assert_nothing_half(target, piecemeal="002_middle.sql" if "VACUUM" in text else "")
    assert_the_next_run_finishes(target, files)


@pytest.mark.fault(15)
def test_a_server_that_stays_away_ends_the_run_with_a_reason_and_no_guess(
    machine: Machine, target: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.postgres import session

    monkeypatch.setattr(session, "_FIND_OUT", 3.0)
    files = (FIRST, ("002_middle.sql", SEAMS["at commit"][0]))
    result = run_while(target, files, "SyncRep", lambda _: machine.stop(signal.SIGQUIT))
    assert result.outcome is Outcome.UNKNOWN, result
    assert result.problem
    assert "could not be asked since whether it is applied" in result.problem.message
    machine.start()
    assert_the_next_run_finishes(target, files)
