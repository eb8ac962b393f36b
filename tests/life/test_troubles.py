"""Home restarts, is shut or full, a target goes away: the target's ledger stays true, and home makes up for it."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Secret
from dashboard.postgres import embedded
from tests.conftest import MakeDatabase
from tests.life.conftest import FIRST, do, let_in, until
from tests.life.people import Person
from tests.life.render import WORKER, Render
from tests.life.test_end import GATED, at_the_gate
from tests.sweep.test_server_ends import Machine

pytestmark = pytest.mark.slow

MANY = {f"{n:03}_c.sql": f"CREATE TABLE c_{n} (id bigint);" for n in range(3, 63)}  # more events than fit on a page
FILES = FIRST | {"002_gated.sql": GATED} | MANY
_numbers = iter(range(1, 100))


@pytest.fixture(scope="module")
def machine(cluster_place: Callable[[str], Path]) -> Iterator[Machine]:
    """A server that may be stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Machine(cluster_place("troubles"), port)
    made.start()
    yield made
    embedded.remove(made.folder)


@pytest.fixture
def database(machine: Machine) -> Secret:
    """On that server."""
    server, name = machine.start(), f"troubled_{next(_numbers)}"
    server.create_database(name)
    return server.url(name)


@dataclass
class Town:
    """Pages, a worker, and a person who is signed in. `staging`: its second file waits until the gate is opened."""

    render: Render
    lead: Person
    staging: str
    checkout: Path

    def click(self) -> str:
        """As people do it: where the page had an older look, the next one is shown, and they click again."""
        apply = "/environments/staging/apply"
        answer = until(lambda: (a := self.lead.post(apply, self.lead.button("staging"))).status == 303 and a)
        return str(answer.headers["Location"])

    def ledger(self) -> list[str]:
        return [str(row[0]) for row in do(self.staging, "SELECT filename FROM public._migrations_applied ORDER BY 1")]

    def log(self) -> str:
        assert self.render.worker
        return self.render.worker.said


@contextmanager
def town(folder: Path, home: str, staging: str, other: str) -> Iterator[Town]:
    render = Render(folder, home, {"STAGING_DATABASE_URL": staging, "PRODUCTION_DATABASE_URL": other})
    do(staging, "CREATE TABLE gate (id bigint)", "INSERT INTO gate VALUES (1)")
    checkout = render.checkout("first", FILES)
    try:
        assert render.deploy(checkout).ended == "live"
        render.deploy_worker(checkout)
        yield Town(render, let_in(render, checkout), staging, checkout)
    finally:
        render.close()


# --- home ---

Trouble = Callable[[Machine, str], AbstractContextManager[None]]


@contextmanager
def away(machine: Machine, _url: str) -> Iterator[None]:
    machine.stop(signal.SIGQUIT)
    yield
    machine.start()


@contextmanager
def read_only(machine: Machine, url: str) -> Iterator[None]:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    master = machine.start().url("postgres").reveal()
    out = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    do(master, f"ALTER DATABASE {name} SET default_transaction_read_only = on", out)
    yield
    do(master, f"ALTER DATABASE {name} RESET default_transaction_read_only", out)


@contextmanager
def full(_machine: Machine, url: str) -> Iterator[None]:
    ((disk,),) = do(
        url, "SELECT pg_tablespace_location(dattablespace) FROM pg_database WHERE datname = current_database()"
    )
    filler = Path(str(disk)) / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler).free)
    yield
    filler.unlink()


@pytest.fixture
def small_disk(machine: Machine) -> Iterator[Secret]:
    """A database on a disk of its own."""
    disk = machine.folder.with_name(f"{machine.folder.name}-disk")
    disk.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        disk.rmdir()
        pytest.skip("only root may make a small disk, where mounting is allowed")
    owner = (machine.folder / "data").stat()
    os.chown(disk, owner.st_uid, owner.st_gid)
    server, name = machine.start(), f"troubled_{next(_numbers)}"
    master = server.url("postgres").reveal()
    try:
        do(master, f"CREATE TABLESPACE small LOCATION '{disk}'", f"CREATE DATABASE {name} TABLESPACE small")
        yield server.url(name)
        do(master, f"DROP DATABASE {name} WITH (FORCE)", "DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


@pytest.mark.parametrize(
    ("home_place", "trouble", "said"),
    [
        pytest.param("database", away, "events wait", id="home is stopped at once and started again"),
        pytest.param("database", read_only, "it takes no rows", id="home takes no rows"),
        pytest.param("small_disk", full, "it takes no rows", id="the disk of home is full"),
    ],
)
def test_what_ran_while_home_was_in_trouble_is_true_in_the_target_and_home_makes_up_for_it(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    machine: Machine,
    make_database: MakeDatabase,
    home_place: str,
    trouble: Trouble,
    said: str,
) -> None:
    home = request.getfixturevalue(home_place).reveal()
    with town(tmp_path, home, make_database().reveal(), make_database().reveal()) as place:
        run = place.click()
        at_the_gate(place.staging)
        with trouble(machine, home):
            do(place.staging, "DELETE FROM gate")
            until(lambda: len(place.ledger()) == len(FILES))
            until(lambda: said in place.log())
            page = place.lead.get(run)
            assert page.status in (200, 503), page.text
            assert place.lead.get("/healthz").status == 200
        until(lambda: f"Applied {len(FILES)} files to staging" in place.lead.get(run).text)
        assert do(home, "SELECT attempt, outcome FROM home.run") == [(1, "applied")]
        told = (
            "SELECT event ->> 'filename' FROM home.run_event WHERE event ->> 'event' = 'file_applied' ORDER BY sequence"
        )
        assert [row[0] for row in do(home, told)] == sorted(FILES)
        until(lambda: do(home, "SELECT count(*) FROM home.audit WHERE deed = 'run ended'") == [(1,)])
        assert do(place.staging, "SELECT count(*) FROM b") == [(1,)]
        assert "Nothing to do" in place.lead.get("/environments/staging").text
        assert f"{len(FILES)} files" in place.lead.get("/history").text
        assert "Traceback" not in place.log()


# --- a target ---


def test_a_target_that_is_away_ends_a_run_with_the_reason_and_the_next_one_finishes(
    tmp_path: Path, machine: Machine, database: Secret, home_url: Secret, make_database: MakeDatabase
) -> None:
    with town(tmp_path, home_url.reveal(), database.reveal(), make_database().reveal()) as place:
        button = place.lead.button("staging")
        machine.stop(signal.SIGINT)
        refused = place.lead.post("/environments/staging/apply", button)
        assert (refused.status, "staging does not answer. Nothing was started." in refused.text) == (409, True)
        assert place.lead.get("/").status == 200, "a page never waits for a target"
        machine.start()
        assert place.render.worker
        place.render.worker.retire()
        queued = place.click()
        machine.stop(signal.SIGINT)
        place.render.worker = place.render.boot(WORKER, place.checkout)
        assert outcome_of(place, queued) == "unreachable"
        machine.start()
        middle = place.click()
        at_the_gate(place.staging)
        machine.stop(signal.SIGQUIT)
        assert outcome_of(place, middle) in ("unreachable", "unknown", "failed")
        machine.start()
        assert place.ledger() == ["001_a.sql"]
        assert do(place.staging, "SELECT to_regclass('b')") == [(None,)]
        do(place.staging, "DELETE FROM gate")
        last = place.click()
        until(lambda: f"Applied {len(FILES) - 1} files to staging" in place.lead.get(last).text, 60)
        assert place.ledger() == sorted(FILES)
        assert do(place.staging, "SELECT count(*) FROM b") == [(1,)]
        assert "Traceback" not in place.log()


def outcome_of(place: Town, run: str) -> str:
    asked = f"SELECT outcome FROM home.run WHERE id = '{run.rpartition('/')[2]}' AND state = 'ended'"
    ((outcome,),) = until(lambda: do(place.render.home, asked), 90)
    return str(outcome)
