"""SIGKILL at every piece the runner sends to the server: running again ends with every file applied exactly once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.postgres import embedded, history
from dashboard.postgres.connect import connect
from tests.conftest import MakeDatabase, Write
from tests.cutting_proxy import When, cutting_proxy

NUMBERS = (1, 2, 3)
MANY = 200  # no run of three files sends as many pieces


@pytest.fixture
def files(folder_path: Path, write: Write) -> Path:
    """Three files, each of which leaves its number in a table that refuses nothing; the second in its own BEGIN."""
    write(folder_path, "001_log.sql", "CREATE TABLE log (number int);\nINSERT INTO log VALUES (1);\n")
    write(folder_path, "002_two.sql", "BEGIN;\nINSERT INTO log VALUES (2);\nCOMMIT;\n")
    write(folder_path, "003_three.sql", "INSERT INTO log VALUES (3);\nCREATE INDEX ON log (number);\n")
    return folder_path


def start(url: str, folder: Path) -> "subprocess.Popen[str]":
    shell = {**os.environ, "DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "dashboard", "migrate", "--dir", str(folder)]
    return subprocess.Popen(command, env=shell, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_consistent(url: Secret) -> None:
    """Every effect exactly once, ledger = effects, a history that holds, and soon nobody left over."""
    with connect(Environment("local", 0, url), purpose="check") as connection:
        assert history.verify(connection).ok
    with psycopg.connect(url.reveal(), autocommit=True) as connection:

        def ask(query: LiteralString) -> list[object]:
            return [row[0] for row in connection.execute(query)]

        assert ask("SELECT number FROM public.log ORDER BY number") == list(NUMBERS)
        ledger = ask("SELECT filename FROM public._migrations_applied ORDER BY filename")
        applied = ask("SELECT filename FROM rung.history WHERE event = 'applied' ORDER BY filename")
        assert ledger == applied == ["001_log.sql", "002_two.sql", "003_three.sql"]
        until = time.monotonic() + 10
        while ask(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rung %' AND datname = current_database()"
        ):
            assert time.monotonic() < until, "a session of a runner that ended is still there"
            time.sleep(0.05)
        assert (
            ask(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            == []
        )


@pytest.mark.parametrize("when", list(When))
def test_a_runner_killed_at_any_point_is_made_good_by_the_next_run(
    when: When, server: embedded.EmbeddedServer, make_database: MakeDatabase, files: Path
) -> None:
    for at in range(1, MANY):
        url = make_database()
        started: list[subprocess.Popen[str]] = []
        with cutting_proxy(server.port, at, when, lambda: started[0].send_signal(signal.SIGKILL)) as proxy:  # noqa: B023
            started.append(start(url.reveal().replace(f":{server.port}/", f":{proxy.port}/"), files))
            said, _ = started[0].communicate(timeout=60)
            killed = started[0].returncode == -signal.SIGKILL
        assert killed or started[0].returncode == 0, said
        again = start(url.reveal(), files)
        said, _ = again.communicate(timeout=60)
        assert again.returncode == 0, f"killed {when} piece {at}: {said}"
        assert_consistent(url)
        if not killed:
            assert at > 3, "the sweep met no kill point"
            return
    pytest.fail("the run never ended by itself")
