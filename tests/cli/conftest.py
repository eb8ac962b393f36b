"""A checkout of an application with a `rung.toml`, and a shell in it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from dashboard.core.environment import Environment
from tests.forks import Forks

RUNG = (sys.executable, "-m", "dashboard")
CANARY = "c4n4ry-p4ssw0rd"
PATIENCE = 60.0


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass
class Checkout:
    """The folder of an application with three environments, and `gone`, where nothing listens."""

    folder: Path
    environments: dict[str, Environment]
    variables: dict[str, str]
    forks: Forks
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str, sql: str) -> Path:
        path = self.folder / "migrations" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(sql)
        return path

    def rung(self, *words: str, code: int | None = None, typed: str | None = None, **variables: str) -> Said:
        """Run one command to its end. Whatever it says, no password is in it."""
        shell = self.variables | variables
        if not self.forks.fits(shell):
            return self.end(self.begin(*words, **variables), code=code, typed=typed)
        return self._judge(Said(*self.forks.run(words, typed or "", shell, self.folder, PATIENCE)), code)

    def begin(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        """Start a command: keywords in capitals are variables, the others are for the process."""
        variables = {name: value for name, value in how.items() if name.isupper()}
        options = {name: value for name, value in how.items() if not name.isupper()}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [*RUNG, *words], env=self.variables | variables, text=True, **({"cwd": self.folder} | pipes | options)
        )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[str], *, code: int | None = None, typed: str | None = None) -> Said:
        out, err = process.communicate(typed, timeout=PATIENCE)
        return self._judge(Said(process.returncode, out or "", err or ""), code)

    def _judge(self, said: Said, code: int | None) -> Said:
        for secret in self.secrets:
            assert secret not in said.out + said.err
        assert "Traceback" not in said.err, said.err
        assert code in (None, said.code), said.out + said.err
        return said

    def ask(self, question: str, name: str = "local") -> Any:
        """The first value of the first row, past Rung."""
        with self.connect(name) as connection:
            row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None

    def do(self, *statements: str, name: str = "local") -> None:
        with self.connect(name) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def connect(self, name: str = "local") -> psycopg.Connection[Any]:
        url = self.environments[name].url
        assert url is not None
        return psycopg.connect(url.reveal(), autocommit=True)

    def ledger(self, name: str = "local") -> list[str]:
        with self.connect(name) as connection:
            if connection.execute("SELECT to_regclass('_migrations_applied')").fetchone() == (None,):
                return []
            return [row[0] for row in connection.execute("SELECT filename FROM _migrations_applied ORDER BY 1")]

    @property
    def secrets(self) -> set[str]:
        urls = [environment.url for environment in self.environments.values()]
        found = {urlsplit(url.reveal()).password for url in urls if url}
        return {CANARY} | {password for password in found if password}

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is ours, and where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
def shell() -> dict[str, str]:
    """The variables that every command gets."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="session")
def forks(shell: dict[str, str]) -> Iterator[Forks]:
    made = Forks(shell)
    yield made
    made.close()


@pytest.fixture
def checkout(
    tmp_path: Path, environments: tuple[Environment, ...], closed_port: int, shell: dict[str, str], forks: Forks
) -> Iterator[Checkout]:
    folder = tmp_path / "application"
    (folder / "migrations").mkdir(parents=True)
    names = [environment.name for environment in environments]
    tables = [f'[environments.{name}]\nurl = "${name.upper()}_URL"\n' for name in (*names, "gone")]
    (folder / "rung.toml").write_text('home = "$RUNG_HOME_URL"\n\n' + "\n".join(tables))
    urls = {f"{one.name.upper()}_URL": one.url.reveal() for one in environments if one.url}
    gone = {"GONE_URL": f"postgresql://app:{CANARY}@127.0.0.1:{closed_port}/app"}
    made = Checkout(
        folder,
        {environment.name: environment for environment in environments},
        shell | urls | gone | {"HOME": str(tmp_path)},
        forks,
    )
    yield made
    made.close()


def until(true: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask until the answer is something; that answer."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = true()
        if answer:
            return answer
        time.sleep(0.02)
    pytest.fail("it never came true")


def wait_for_statement(checkout: Checkout, part: str, name: str = "local") -> int:
    """Until a session runs a statement with this in it; the process at the server."""
    found = until(
        lambda: checkout.ask(
            f"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{part}%'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            name,
        )
    )
    return int(found)


@contextmanager
def a_run_that_waits_for_us(checkout: Checkout) -> Iterator[subprocess.Popen[str]]:
    """A `rung migrate` in the middle of a file that ends, well, when this block does."""
    checkout.do("CREATE TABLE IF NOT EXISTS gate (id bigint)", "INSERT INTO gate VALUES (1)")
    checkout.write(
        "800_waits.sql", "DO $$ BEGIN WHILE EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;"
    )
    process = checkout.begin("migrate")
    wait_for_statement(checkout, "WHILE EXISTS (SELECT FROM gate)")
    yield process
    checkout.do("DELETE FROM gate")
    checkout.end(process, code=0)


@contextmanager
def a_run_that_holds_the_lock(checkout: Checkout) -> Iterator[subprocess.Popen[str]]:
    """Another `rung migrate` in the middle of a long file; ended with Ctrl-C afterwards."""
    path = checkout.write("900_sleeps.sql", "SELECT pg_sleep(600);")
    process = checkout.begin("migrate")
    wait_for_statement(checkout, "pg_sleep(600)")
    yield process
    process.send_signal(signal.SIGINT)
    checkout.end(process, code=1)
    path.unlink()
