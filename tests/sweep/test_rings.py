"""The rings themselves: what `make test` leaves out, and what the full ring stands on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.core.environment import Environment
from dashboard.core.run import Outcome
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.oracle import ORDER, assert_consistent, three_files

ROOT = Path(__file__).parents[2]


def test_the_fast_ring_leaves_out_what_is_slow_and_the_full_ring_nothing() -> None:
    recipes = dict(re.findall(r"^(test|test-full):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert '-m "not slow"' in recipes["test"]
    assert "not slow" not in recipes["test-full"]
    collected = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    fast = subprocess.run([*collected, "-m", "not slow"], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert "runs_three_files" not in fast
    assert "the_fast_ring" in fast


@pytest.mark.slow
def test_every_other_major_that_is_here_runs_three_files(other_server: EmbeddedServer) -> None:
    other_server.create_database("rings")
    environment = Environment("local", 0, other_server.url("rings"))
    assert apply(environment, three_files, ORDER).outcome is Outcome.APPLIED
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])
    other_server.drop_database("rings")
