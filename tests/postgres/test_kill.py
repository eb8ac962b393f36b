"""The kill test: the runner dies at every piece it sends; whatever is left, the next run finishes it, each file once."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.run import Outcome
from dashboard.services.apply import apply
from tests.conftest import MakeDatabase
from tests.oracle import ORDER, ask, assert_consistent, ledger, three_files, wait_until
from tests.wire import Chunk, wire_to

ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]
RUNNERS = """
import os, sys
from dashboard.core.environment import Environment, Secret
from dashboard.core.safety import review
from dashboard.services.apply import apply
from tests.oracle import ORDER, three_files
for url in iter(sys.stdin.readline, ""):
    pid = os.fork()
    if pid == 0:
        print("outcome", apply(Environment("local", 0, Secret(url.strip())), three_files, ORDER).outcome.value, flush=True)
        os._exit(0)
    print("pid", pid, flush=True)
    print("code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
ROOT = Path(__file__).resolve().parents[2]


class Victim:
    """A runner in a process of its own."""

    def __init__(self, runners: "subprocess.Popen[str]") -> None:
        self._runners = runners
        self._started = threading.Event()
        self._pid = 0

    def kill(self) -> None:
        assert self._started.wait(20)
        os.kill(self._pid, signal.SIGKILL)

    def run(self, url: Secret) -> str:
        """Go, and say how it ended; empty when it was killed."""
        outcome = ""
        too_long = threading.Timer(60, self._runners.kill)
        too_long.start()
        for word, told in self._told(url):
            if word == "pid":
                self._pid = int(told)
                self._started.set()
            elif word == "outcome":
                outcome = told
            else:
                too_long.cancel()
                assert int(told) in (0, -signal.SIGKILL), "it ended by itself"
                return outcome
        pytest.fail("whoever starts the runners is gone")

    def _told(self, url: Secret) -> Iterator[list[str]]:
        assert self._runners.stdin
        assert self._runners.stdout
        self._runners.stdin.write(url.reveal() + "\n")
        self._runners.stdin.flush()
        return (line.split() for line in self._runners.stdout)


@pytest.fixture(scope="module")
def runners() -> "Iterator[subprocess.Popen[str]]":
    """A process that forks a runner for every address that it is given: so none waits for imports."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", RUNNERS], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def killed_at(environment: Environment, victim: Victim, number: int, *, delivered: bool) -> bool:
    """Kill it as it sends its n-th piece, which the server gets or does not. False: it was through before."""
    assert environment.url
    with wire_to(environment.url) as wire:

        def kill(chunk: Chunk) -> None:
            if chunk.number == number:
                victim.kill()

        if delivered:
            wire.after = kill
        else:
            wire.before = kill
        return victim.run(wire.url) == ""


@pytest.mark.fault(1)
@pytest.mark.parametrize("delivered", [False, True])
def test_a_runner_killed_at_any_piece_leaves_nothing_that_the_next_run_does_not_finish(
    make_database: MakeDatabase, runners: "subprocess.Popen[str]", delivered: bool
) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        environment = Environment("local", 0, make_database())
        killed = killed_at(environment, Victim(runners), number, delivered=delivered)
        assert_consistent_so_far(environment)
        result = apply(environment, three_files, replace(ORDER, lock_wait=30))
        assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), (number, result.problem)
        assert_consistent(environment, ALL)
    assert number > 10
    print(f"{number - 1} kill points")


def assert_consistent_so_far(environment: Environment) -> None:
    """Whatever is in the ledger has left its trace exactly once, and nothing else has."""
    ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rung %'"
    wait_until(lambda: not ask(environment, ours))
    done = ledger(environment)
    made = ask(environment, "SELECT to_regclass('public.log') IS NOT NULL") == [(True,)]
    traces = ask(environment, "SELECT entry FROM log ORDER BY entry") if made else []
    assert [entry for (entry,) in traces] == sorted(done)
