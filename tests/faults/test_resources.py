"""Resources that run out: a disk for data, a disk for WAL, connections; and many databases at once."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dashboard.core.environment import Environment
from dashboard.core.run import Outcome
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.oracle import ORDER, Seen, ask, assert_consistent, three_files

ROOT = Path(__file__).resolve().parents[2]
ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk of its own, which takes root")

# Both run in a mount namespace of their own, so that the small disk is gone with the process.
SMALL_DISK = """
import dataclasses, json, os, pwd, subprocess, sys
from pathlib import Path
from dashboard.core.environment import Environment
from dashboard.postgres import embedded
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import ORDER, Seen, ask, assert_consistent, events, three_files, wait_until

folder = Path(sys.argv[1])
FILL = "CREATE TABLE big (t text){where};\\nINSERT INTO big SELECT repeat(md5(i::text), 30) FROM generate_series(1, {rows}) AS i;"

def told(result):
    problem = result.problem
    return [result.outcome.value, result.applied, problem.message if problem else "", problem.advice if problem else "",
            problem.sqlstate if problem else None, result.seconds]
"""
DATA = (
    SMALL_DISK
    + """
disk = folder.parent / (folder.name + "-disk")
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", disk], check=True)
server = embedded.start(folder, settings=FAST)
try:
    owner = (folder / "data").stat()
    os.chown(disk, owner.st_uid, owner.st_gid)
    server.create_database("target")
    environment = Environment("local", 0, server.url("target"))
    ask(environment, f"CREATE TABLESPACE small LOCATION '{disk}'")
    result = apply(environment, lambda: three_files(FILL.format(where=" TABLESPACE small", rows=20000)), ORDER, Seen())
    print(json.dumps(told(result)))
    assert_consistent(environment, ["001_log.sql"])
    assert apply(environment, three_files, ORDER, Seen()).applied == ("002_middle.sql", "003_end.sql")
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])
finally:
    embedded.remove(folder)
    subprocess.run(["umount", disk], check=True)
    disk.rmdir()
"""
)
WAL = (
    SMALL_DISK
    + """
server = embedded.start(folder, settings=FAST | {"max_wal_size": "1GB", "checkpoint_timeout": "1h"})
server.create_database("target")
embedded.stop(folder)
disk, wal = folder / "data" / "wal-disk", folder / "data" / "pg_wal"
owner = (folder / "data").stat()
disk.mkdir()
options = f"size=80m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
subprocess.run(["cp", "-a", f"{wal}/.", disk], check=True)
wal.rename(folder / "data" / "old-wal")
wal.symlink_to(disk)
server = embedded.start(folder, settings=FAST | {"max_wal_size": "1GB", "checkpoint_timeout": "1h"})
try:
    environment = Environment("local", 0, server.url("target"))
    result = apply(environment, lambda: three_files(FILL.format(where="", rows=150000)), ORDER, Seen())
    print(json.dumps(told(result)))
    subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
    embedded.stop(folder)
    server = embedded.start(folder, settings=FAST)
    environment = dataclasses.replace(environment, url=server.url("target"))
    apply(environment, three_files, ORDER, Seen())
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])
finally:
    embedded.stop(folder)
    subprocess.run(["umount", "-l", disk], check=True)
    embedded.remove(folder)
"""
)


def on_a_small_disk(script: str, folder: Path) -> tuple[str, list[str], str, str, str | None, float]:
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", script, folder],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome, applied, message, advice, state, seconds = json.loads(done.stdout)
    return outcome, applied, message, advice, state, seconds


@AS_ROOT
@pytest.mark.slow
@pytest.mark.fault(35)
def test_a_full_disk_for_data_rolls_the_file_back_and_is_called_that(cluster_place: Callable[[str], Path]) -> None:
    outcome, applied, message, advice, state, _ = on_a_small_disk(DATA, cluster_place("small-data"))
    assert (outcome, applied, state) == ("failed", ["001_log.sql"], "53100")
    assert "No space left on device" in message
    assert advice == "Nothing of this file was kept. The server's disk is full: make room there first."


@AS_ROOT
@pytest.mark.slow
@pytest.mark.fault(36)
def test_a_full_disk_for_wal_brings_the_server_down_and_the_run_to_a_bounded_end(
    cluster_place: Callable[[str], Path],
) -> None:
    """The server panics; what is known then is said, and the next run goes on from what is there.

    A replication slot that nobody reads from fills the same disk, and the server says the same.
    """
    outcome, _, message, advice, state, seconds = on_a_small_disk(WAL, cluster_place("small-wal"))
    assert outcome in ("failed", "unreachable")
    assert (state == "53100" and "No space left on device" in message) or "connection" in message
    assert "make room there first" in advice or "Run again" in advice
    assert seconds < 90


@pytest.mark.slow
@pytest.mark.fault(44)
def test_a_hundred_databases_eight_at_a_time_are_all_brought_up_to_date_and_memory_stays_flat(
    server: EmbeddedServer, template: str
) -> None:
    many = [Environment(f"tenant {number}", number, server.url(f"tenant_{number}")) for number in range(100)]
    for number in range(100):
        server.create_database(f"tenant_{number}", template)
    over, most = threading.Event(), [0]

    def watch() -> None:
        counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rung %'"
        while not over.is_set():
            most[0] = max(most[0], ask(many[0], counted)[0][0])
            over.wait(0.05)

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda one: apply(one, three_files, ORDER, Seen()), many[:16]))
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rest = list(pool.map(lambda one: apply(one, three_files, ORDER, Seen()), many[16:]))
    late = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    over.set()
    watching.join()
    results = first + rest
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert most[0] <= 8 * 2, f"{most[0]} connections"
    assert late - early < 20 * 1024, f"{early} kB after 16 databases, {late} kB after 100"
    assert max(result.seconds for result in results) < 15  # nobody starves
    for one in many:
        assert_consistent(one, ALL)
    for number in range(100):
        server.drop_database(f"tenant_{number}")


@pytest.mark.slow
@pytest.mark.fault(44)
def test_one_bad_database_among_many_is_one_bad_result(server: EmbeddedServer, template: str) -> None:
    many = [Environment(f"tenant {number}", number, server.url(f"mixed_{number}")) for number in range(24)]
    for number in range(24):
        server.create_database(f"mixed_{number}", template)
    ask(many[5], "CREATE TABLE public.log (something int)")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda one: apply(one, three_files, ORDER, Seen()), many))
    outcomes = [result.outcome for result in results]
    assert outcomes.pop(5) is Outcome.FAILED
    assert set(outcomes) == {Outcome.APPLIED}
    for number in range(24):
        server.drop_database(f"mixed_{number}")
