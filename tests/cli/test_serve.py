import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from dashboard.core.environment import Secret
from tests.cli.conftest import Checkout, until


@pytest.fixture
def at_home(checkout: Checkout, home_url: Secret) -> Checkout:
    checkout.variables["RUNG_HOME_URL"] = home_url.reveal()
    checkout.variables["RUNG_SECRET_KEY"] = "a key of the tests, long enough to be used"
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    return checkout


def address_of(process: subprocess.Popen[str]) -> str:
    """The address it prints once the pages answer."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return found.group()
    return pytest.fail("it printed no address")


def children_of(process: subprocess.Popen[str]) -> dict[int, str]:
    """The processes it started itself, with their words."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children}


def alive(pid: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_without_a_home_it_does_not_start(checkout: Checkout) -> None:
    assert "RUNG_HOME_URL" in checkout.rung("serve", code=2).err
    assert "RUNG_HOME_URL" in checkout.rung("worker", code=2).err
    assert "RUNG_HOME_URL" in checkout.rung("prepare", code=2).err


@pytest.mark.slow  # Gunicorn tries for five seconds
def test_a_port_that_is_taken_ends_it_and_leaves_nothing_running(at_home: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = at_home.begin("serve", "--port", str(taken.getsockname()[1]))
        said = at_home.end(process, code=1)
    assert "the pages ended by itself" in said.err


def test_what_is_unsafe_is_said_all_at_once_and_nothing_is_served(at_home: Checkout) -> None:
    at_home.variables |= {"RUNG_SECRET_KEY": "hunter2hunter2", "RUNG_PUBLIC_URL": "http://rung.example.com"}
    at_home.variables["LOCAL_URL"] = "postgresql://app:hunter2@db.example.com/app"
    said = at_home.rung("serve", code=2)
    assert "RUNG_SECRET_KEY has fewer than 32 characters" in said.err
    assert "public_url is http://rung.example.com" in said.err
    assert "the address of local ($LOCAL_URL) lets the connection to db.example.com go unencrypted" in said.err
    assert "hunter2" not in said.err + said.out
    assert "RUNG_SECRET_KEY" not in at_home.rung("worker", code=2).err  # it signs nothing


def test_gunicorn_by_itself_is_told_to_halt_without_a_trace(at_home: Checkout) -> None:
    shell = at_home.variables | {"RUNG_SECRET_KEY": "hunter2"}
    command = (sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "dashboard.wsgi:app")
    done = subprocess.run(
        command, cwd=at_home.folder, env=shell, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 4
    assert "rung: this must not be served: RUNG_SECRET_KEY has fewer than 32 characters" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_pages_works_and_ends_both_in_order(at_home: Checkout, number: signal.Signals) -> None:
    process = at_home.begin("serve", "--port", "0")
    address = address_of(process)
    with urllib.request.urlopen(f"{address}/sign-in") as page:  # noqa: S310  # our own
        assert page.status == 200
    children = children_of(process)
    assert sorted("gunicorn" in words for words in children.values()) == [False, True]
    process.send_signal(number)
    said = at_home.end(process, code=0)
    assert not [pid for pid in children if alive(pid)]
    assert "worker has ended" in said.err
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/sign-in")  # noqa: S310  # our own


@pytest.mark.parametrize("which", ["gunicorn", "worker"])
def test_when_one_of_them_dies_the_other_is_ended_and_it_says_so(at_home: Checkout, which: str) -> None:
    process = at_home.begin("serve", "--port", "0")
    address_of(process)
    children = children_of(process)
    (victim,) = (pid for pid, words in children.items() if which in words.split("--bind")[0])
    os.kill(victim, signal.SIGKILL)
    said = at_home.end(process, code=1)
    assert "ended by itself" in said.err
    until(lambda: not [pid for pid in children if alive(pid)])


def test_the_pages_alone_may_be_served(at_home: Checkout) -> None:
    process = at_home.begin("serve", "--port", "0", "--no-worker")
    address_of(process)
    assert len(children_of(process)) == 1
    process.send_signal(signal.SIGTERM)
    at_home.end(process, code=0)


def test_the_port_of_the_platform_is_taken(at_home: Checkout, closed_port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = at_home.begin("serve", PORT=str(port))
    assert address_of(process).endswith(f":{port}")
    process.send_signal(signal.SIGTERM)
    at_home.end(process, code=0)


def test_pages_and_worker_use_the_configuration_that_was_named(at_home: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ("--config", str(at_home.folder / "rung.toml"), "--port", "0")
    process = at_home.begin("serve", *words, cwd=elsewhere)
    address_of(process)
    process.send_signal(signal.SIGTERM)
    at_home.end(process, code=0)


def test_a_worker_alone_ends_in_order(at_home: Checkout) -> None:
    process = at_home.begin("worker")
    assert process.stderr is not None
    until(lambda: "takes runs" in (process.stderr.readline() if process.stderr else ""))
    process.send_signal(signal.SIGTERM)
    assert "worker has ended" in at_home.end(process, code=0).err


def test_home_can_be_prepared_before_a_deploy(checkout: Checkout, database: Secret) -> None:
    for _ in range(2):
        said = checkout.rung("prepare", RUNG_HOME_URL=database.reveal(), code=0)
        assert said.out == "Rung's own database is up to date.\n"
