"""Networks that misbehave: resets, slowness, several addresses, names that lead nowhere."""

import contextlib
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.events import Event, FileStarted, OutcomeUnknown
from dashboard.core.picture import NotReachable
from dashboard.core.run import Outcome, Problem, Result
from dashboard.postgres.connect import CONNECT_TIMEOUT
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from tests.oracle import ORDER, Seen, ask, assert_consistent, three_files
from tests.wire import Chunk, Cut, Wire, wire_to

ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]
ROOT = Path(__file__).resolve().parents[2]


def run(environment: Environment, middle: str = "", seen: Seen | None = None) -> Result:
    return apply(environment, lambda: three_files(middle), ORDER, seen if seen is not None else Seen())


def begin(environment: Environment) -> None:
    """The first file is there: what comes over the network next is the second."""
    assert run(environment, "SELECT 1/0;").applied == ("001_log.sql",)


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def through(environment: Environment, wire: Wire) -> Environment:
    return replace(environment, url=wire.url)


class Firewall(threading.Thread):
    """Forwards to a server until it is told to forget; then it answers with a reset, as firewalls do.

    One thread, because a socket that another thread reads from is not closed, and a reset comes from closing.
    """

    def __init__(self, target: Secret) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(target.reveal())
        self._server = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.forget: Callable[[int, bytes], bool] = lambda link, data: False  # asked for each piece, empty ones too
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._over = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._over = True
        self.join()
        for one in (self._listener, *chain.from_iterable(self._pairs)):
            one.close()

    def run(self) -> None:
        while not self._over:
            open_ones = [one for one in chain.from_iterable(self._pairs) if one.fileno() >= 0]
            ready, _, _ = select.select([self._listener, *open_ones], [], [], 0.02)
            if self._listener in ready:
                self._pairs.append((self._listener.accept()[0], socket.create_connection(self._server)))
            for link, (near, far) in enumerate(self._pairs, start=1):
                self._carry(link, near, far, ready)

    def _carry(self, link: int, near: socket.socket, far: socket.socket, ready: list[socket.socket]) -> None:
        if near.fileno() < 0:
            return
        data = near.recv(1 << 20) if near in ready else b""
        if self.forget(link, data):
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            far.sendall(data)
            answer = far.recv(1 << 20) if far in ready else b""
            near.sendall(answer)
            if (data or near not in ready) and (answer or far not in ready):
                return
        near.close()
        far.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- 24: resets ---


@pytest.mark.fault(24)
def test_a_reset_before_a_file_arrives_is_named_at_once_and_nothing_of_it_is_kept(environment: Environment) -> None:
    assert environment.url
    begin(environment)
    seen = Seen()
    with Firewall(environment.url) as firewall:
        firewall.forget = lambda link, data: b"002_middle" in data and b"COMMIT" in data
        result = run(at(environment, firewall.place), seen=seen)
    told = problem_of(result)
    assert (result.outcome, result.applied, told.filename) == (Outcome.FAILED, (), "002_middle.sql")
    assert "server closed the connection unexpectedly" in told.message
    assert "it is not applied (checked)" in told.message
    assert [event.filename for event in seen.of(OutcomeUnknown)] == ["002_middle.sql"]
    assert result.seconds < 5
    assert_consistent(environment, ALL[:1])
    assert run(environment).applied == ("002_middle.sql", "003_end.sql")


@pytest.mark.fault(24)
def test_a_reset_while_a_statement_runs_ends_the_statement_on_the_server_too(environment: Environment) -> None:
    assert environment.url
    begin(environment)
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with Firewall(environment.url) as firewall:
        firewall.forget = lambda link, data: link == 2 and ask(environment, sleeping) != []  # the one that works
        result = run(at(environment, firewall.place), "SELECT pg_sleep(60);")
    assert result.outcome is Outcome.FAILED
    assert "server closed the connection unexpectedly" in problem_of(result).message
    assert "it is not applied (checked)" in problem_of(result).message
    assert result.seconds < 10
    assert not ask(environment, sleeping)
    assert_consistent(environment, ALL[:1])


@pytest.mark.fault(24)
def test_a_reset_while_connecting_is_a_sentence_about_the_place(environment: Environment) -> None:
    assert environment.url
    with Firewall(environment.url) as firewall:
        firewall.forget = lambda link, data: data != b""
        result = run(at(environment, firewall.place))
    assert result.outcome is Outcome.UNREACHABLE
    assert f"{firewall.place} closed the connection before it was made" in problem_of(result).message
    assert problem_of(result).advice


NETFILTER = """
import json, subprocess, sys, threading
from pathlib import Path
from dashboard.core.environment import Environment
from dashboard.core.events import FileStarted
from dashboard.postgres import embedded, whole
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import ORDER, Seen, ask, assert_consistent, three_files, wait_until

folder = Path(sys.argv[1])
whole.FILES = 1  # so that something has to be sent while the firewall is shut
server = embedded.start(folder, settings=FAST)
try:
    server.create_database("target")
    environment = Environment("local", 0, server.url("target"))
    rule = ["OUTPUT", "-p", "tcp", "--dport", str(server.port), "-m", "tcp", "!", "--tcp-flags", "SYN", "SYN"]
    rule += ["-j", "REJECT", "--reject-with", "tcp-reset"]

    def block():
        wait_until(lambda: ask(environment, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        subprocess.run(["iptables", "-A", *rule], check=True)
        open_again = threading.Timer(3, subprocess.run, [["iptables", "-D", *rule]])
        open_again.start()
        open_again.join()

    thread = threading.Thread(target=block)
    thread.start()
    result = apply(environment, lambda: three_files("SELECT pg_sleep(1);"), ORDER, Seen())
    thread.join()
    said = '; '.join([*result.notes, *([result.problem.message] if result.problem else [])])
    print(json.dumps([said, result.seconds]))
    apply(environment, lambda: three_files('SELECT pg_sleep(1);'), ORDER, Seen())
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])
finally:
    embedded.remove(folder)
"""


@pytest.mark.slow
@pytest.mark.fault(24)
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables"), reason="needs root and iptables (apt-get install iptables)"
)
def test_a_firewall_that_rejects_with_resets_is_found_out_about_when_it_lets_go(
    cluster_place: Callable[[str], Path],
) -> None:
    folder = cluster_place("netfilter")
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", NETFILTER]
    done = subprocess.run(
        [*command, folder],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    said, seconds = json.loads(done.stdout)
    # It depends on which of the two connections sends something first.
    assert re.search(r"it is (not )?applied \(checked\)|the connection was lost for a while; 1 file did not run", said)
    assert seconds < 15


# --- 25: slow networks ---


def slow_down(wire: Wire, seconds: float) -> None:
    def wait(chunk: Chunk) -> None:
        time.sleep(seconds)

    wire.before = wait


@pytest.mark.fault(25)
def test_a_slow_network_makes_a_run_slower_and_nothing_else(environment: Environment) -> None:
    """A piece that waits as long as fifty good round trips."""
    assert environment.url
    with wire_to(environment.url) as wire:
        slow_down(wire, 0.05)
        seen = Seen()
        result = run(through(environment, wire), seen=seen)
        pieces = wire.sent
    assert result.outcome is Outcome.APPLIED, result.problem
    assert result.notes == ()
    assert not seen.of(OutcomeUnknown)
    assert result.seconds < pieces * 0.05 + 2
    assert_consistent(environment, ALL)


@pytest.mark.slow
@pytest.mark.fault(25)
def test_a_network_of_a_second_and_a_half_stays_below_every_bound(environment: Environment) -> None:
    """Connecting takes two pieces, so this is as slow as the three seconds for a connection allow for one of them."""
    assert environment.url
    with wire_to(environment.url) as wire:
        slow_down(wire, 0.7)
        result = run(through(environment, wire), "SELECT pg_sleep(2);")
    assert result.outcome is Outcome.APPLIED, result.problem
    assert result.notes == ()
    assert_consistent(environment, ALL)


# --- 27: several addresses ---


def at(environment: Environment, *places: str) -> Environment:
    """The same database under a list of hosts and ports."""
    assert environment.url
    before, _, after = environment.url.reveal().partition("@")
    return replace(environment, url=Secret(f"{before}@{','.join(places)}/{after.partition('/')[2]}"))


def place_of(environment: Environment) -> str:
    assert environment.url
    return environment.url.reveal().partition("@")[2].partition("/")[0]


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """A place that accepts packets and never answers: the queue of who wants in is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.fault(27)
def test_of_two_hosts_the_second_is_taken_when_nothing_listens_at_the_first(environment: Environment) -> None:
    two = at(environment, f"127.0.0.1:{free_port()}", place_of(environment))
    assert run(two).outcome is Outcome.APPLIED
    assert not isinstance(take_picture(two), NotReachable)
    assert_consistent(environment, ALL)


@pytest.mark.slow
@pytest.mark.fault(27)
def test_a_first_host_that_never_answers_costs_its_three_seconds_once(environment: Environment) -> None:
    """The second connection goes where the first one went."""
    with black_hole() as nowhere:
        result = run(at(environment, nowhere, place_of(environment)))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert CONNECT_TIMEOUT - 1 < result.seconds < CONNECT_TIMEOUT + 2
    assert_consistent(environment, ALL)


@pytest.mark.fault(27)
def test_when_no_host_answers_the_sentence_names_them_all(environment: Environment) -> None:
    places = [f"127.0.0.1:{free_port()}", f"127.0.0.2:{free_port()}"]
    result = run(at(environment, *places))
    told = problem_of(result)
    assert result.outcome is Outcome.UNREACHABLE
    assert f"nothing listens at {places[0]} or {places[1]}" in told.message
    assert result.seconds < 2


@pytest.fixture
def twins(server: EmbeddedServer, debian_server: EmbeddedServer) -> Iterator[tuple[Environment, Environment]]:
    """Two databases on two servers that one address with two hosts may mean."""
    both = []
    for order, one in enumerate((server, debian_server)):
        one.create_database("twin", "template0")
        whole = Environment(f"twin {order}", order, one.url("twin"))
        ask(whole, "CREATE ROLE twin LOGIN SUPERUSER PASSWORD 'twin'")
        both.append(replace(whole, url=Secret(f"postgresql://twin:twin@127.0.0.1:{one.port}/twin")))
    yield both[0], both[1]
    for one in (server, debian_server):
        one.drop_database("twin")
        ask(Environment("all", 0, one.url("postgres")), "DROP ROLE twin")


@pytest.mark.fault(27)
def test_of_two_servers_only_the_one_whose_lock_is_held_is_worked_on(twins: tuple[Environment, Environment]) -> None:
    """The first one stops taking connections after ours that holds the lock: the second is no substitute."""
    first, second = twins
    assert first.url
    with wire_to(first.url) as wire:

        def refuse(chunk: Chunk) -> None:
            if chunk.link > 1:
                raise Cut

        wire.before = refuse
        result = run(at(first, place_of(through(first, wire)), place_of(second)))
    assert result.outcome is Outcome.UNREACHABLE, result
    for environment in twins:
        nothing = "SELECT to_regclass('public.log'), to_regclass('_migrations_applied'), to_regclass('rung.history')"
        assert ask(environment, nothing) == [(None, None, None)]


# --- 28: names ---


@contextlib.contextmanager
def names(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> Iterator[None]:
    """What the system's resolver knows; the driver asks it through Python."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int | str, *rest: int, **more: int) -> list[object]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [answer for address in known[host] for answer in real(address, port, *rest, **more)]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


@pytest.mark.fault(28)
def test_a_name_that_leads_nowhere_is_named_and_nothing_else_is_blamed(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = at(environment, f"database.example:{place_of(environment).rpartition(':')[2]}")
    with names(monkeypatch, {}):
        result, seen = run(named), take_picture(named)
    assert result.outcome is Outcome.UNREACHABLE
    assert "the host name of database.example:" in problem_of(result).message
    assert "cannot be resolved" in problem_of(result).message
    assert isinstance(seen, NotReachable)
    assert "cannot be resolved" in seen.reason


@pytest.mark.fault(27)
@pytest.mark.fault(28)
def test_of_two_addresses_of_a_name_the_second_is_taken_when_the_first_is_dead(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = at(environment, f"database.example:{place_of(environment).rpartition(':')[2]}")
    with names(monkeypatch, {"database.example": ["127.0.0.77", "127.0.0.1"]}):
        assert run(named).outcome is Outcome.APPLIED
    assert_consistent(environment, ALL)


@pytest.mark.fault(28)
def test_a_name_that_changes_during_a_run_does_not_take_the_run_elsewhere(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file gets a new session here; where the name leads now matters to the next run only."""
    named = at(environment, f"database.example:{place_of(environment).rpartition(':')[2]}")
    known = {"database.example": ["127.0.0.1"]}

    def move(event: Event) -> None:
        if isinstance(event, FileStarted):
            known["database.example"] = ["127.0.0.77"]

    with names(monkeypatch, known):
        result = apply(named, lambda: three_files("PREPARE a AS SELECT 1;"), ORDER, move)
        again = run(named, "PREPARE a AS SELECT 1;")
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ALL)
    assert again.outcome is Outcome.UNREACHABLE
    assert "nothing listens at database.example:" in problem_of(again).message
