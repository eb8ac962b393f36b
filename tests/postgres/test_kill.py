"""The kill test: the runner dies at every piece it sends; whatever is left, the next run finishes it, each file once."""

import os
import signal
import subprocess
import sys
from collections import deque
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
VICTIM = """
from dashboard.core.environment import Environment, Secret
from dashboard.core.safety import review
from dashboard.services.apply import apply
from tests.oracle import ORDER, three_files
url = input()
print(apply(Environment("local", 0, Secret(url)), three_files, ORDER).outcome.value)
"""
ROOT = Path(__file__).resolve().parents[2]


class Victim:
    """A runner in a process of its own that waits for an address."""

    def __init__(self) -> None:
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", VICTIM], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def dismiss(self) -> None:
        self.kill()
        self._process.communicate()

    def run(self, url: Secret) -> str:
        """Go, and say how it ended; empty when it was killed."""
        out, _ = self._process.communicate(url.reveal() + "\n", timeout=60)
        assert self._process.returncode in (0, -signal.SIGKILL), "it ended by itself"
        return out.strip()


@pytest.fixture
def victims() -> Iterator[Iterator[Victim]]:
    """Runners; the next two are being made ready meanwhile."""
    ready = deque((Victim(), Victim()))

    def take() -> Iterator[Victim]:
        while True:
            ready.append(Victim())
            yield ready.popleft()

    yield take()
    for victim in ready:
        victim.dismiss()


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
    make_database: MakeDatabase, victims: Iterator[Victim], delivered: bool
) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        environment = Environment("local", 0, make_database())
        killed = killed_at(environment, next(victims), number, delivered=delivered)
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
