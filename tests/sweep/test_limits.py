"""A process that gets too little of the machine, or a wrong clock: a named error or a finished run, never half of it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.core.environment import Environment
from dashboard.core.run import Outcome
from dashboard.folder import FolderReader
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, ask, assert_consistent, assert_nothing_half, noted, wait_until
from tests.sweep.victim import Said, Victim

pytestmark = pytest.mark.slow

BIG = "INSERT INTO public.log SELECT 'x' WHERE false;\n" * 25_000
OF_THE_PARSER = "Terminating process due to FATAL error"
FILES = {
    "001_log.sql": LOG + noted("001_log.sql"),
    "002_big.sql": BIG + noted("002_big.sql"),
    "003_end.sql": noted("003_end.sql"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run_with(environment: Environment, folder: Path, prefix: Sequence[str]) -> Said:
    assert environment.url
    victim = Victim(prefix)
    victim.tell(folder, "migrate", "--dir", ".", DATABASE_URL=environment.url.reveal())
    return victim.said()


def assert_named_or_done(environment: Environment, folder: Path, said: Said) -> None:
    """And then it runs without the limit."""
    assert said.code in (0, 1, 4), said
    assert "Traceback" not in said.text, said.text[-2000:]
    assert "fault of Rung" not in said.text
    # Where the parser finds no memory it ends the process itself, before any file is sent.
    assert said.code == 0 or "What to do: " in said.text or OF_THE_PARSER in said.text, said.text[-2000:]
    assert_nothing_half(environment, said=said.text)
    assert ask(environment, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    result = apply(environment, lambda: FolderReader(folder).read(), replace(ORDER, lock_wait=30))
    assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), result.problem
    assert_consistent(environment, list(FILES))


needs_prlimit = pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit here (Debian: util-linux)")


@needs_prlimit
@pytest.mark.fault(7)
@pytest.mark.parametrize("files", [5, 6, 7])  # with fewer Python itself does not start
def test_without_file_descriptors_a_run_says_so_or_goes_through(
    environment: Environment, folder: Path, files: int
) -> None:
    said = run_with(environment, folder, ("prlimit", f"--nofile={files}", "--"))
    assert_named_or_done(environment, folder, said)
    if files == 5:
        assert "Too many open files" in said.text


@needs_prlimit
@pytest.mark.fault(7)
@pytest.mark.parametrize("megabytes", [60, 80, 100, 120, 140, 160, 200])
def test_without_memory_a_run_says_so_or_goes_through(environment: Environment, folder: Path, megabytes: int) -> None:
    said = run_with(environment, folder, ("prlimit", f"--as={megabytes * 1024**2}", "--"))
    assert_named_or_done(environment, folder, said)


needs_faketime = pytest.mark.skipif(shutil.which("faketime") is None, reason="no faketime here (Debian: faketime)")


@needs_faketime
@pytest.mark.fault(11)
@pytest.mark.parametrize(("skew", "later"), [("-1h", "-1h"), ("+1h", "+1h"), ("+1h", "-1h"), ("-1h", "+1h")])
def test_a_wrong_clock_changes_no_order_and_makes_no_negative_duration(
    environment: Environment, folder: Path, skew: str, later: str
) -> None:
    """It is off by an hour, and leaps while a file runs."""
    (folder / "002_big.sql").write_text(noted("002_big.sql") + "SELECT pg_sleep(1);\n")
    clock = folder / "clock"
    clock.write_text(skew)
    preload = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], check=True, capture_output=True, text=True
    )
    faked = {"LD_PRELOAD": preload.stdout.strip(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    victim = Victim(("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", *(f"{name}={value}" for name, value in faked.items())))
    assert environment.url
    victim.tell(folder, "migrate", "--dir", ".", "--json", DATABASE_URL=environment.url.reveal())
    sleeps = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    wait_until(lambda: ask(environment, sleeps))
    clock.write_text(later)
    said = victim.said()
    assert said.code == 0, said
    told = json.loads(said.text)
    assert told["applied"] == list(FILES)
    assert 1 <= told["seconds"] < 30
    rows = ask(environment, "SELECT started_at, finished_at FROM rung.history WHERE event = 'applied' ORDER BY id")
    assert rows == sorted(rows)
    assert all(started <= finished for started, finished in rows)
    near = ask(environment, "SELECT bool_and(finished_at > clock_timestamp() - interval '10 min') FROM rung.history")
    assert near == [(True,)]
    assert_consistent(environment, list(FILES), said=said.text)
