"""The lock: one run at a time, a bounded wait that names the holder, and no deadlock with concurrent index builds."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboard.core.environment import Environment
from dashboard.core.events import WaitingForLock
from dashboard.core.run import LockHolder, nobody_stops
from dashboard.postgres.connect import Connection, connect
from dashboard.postgres.lock import Busy, Held, Stopped, acquire, key_of
from tests.oracle import Seen, ask, wait_until

HOLD = """
import os, sys, time
from dashboard.core.environment import Environment, Secret
from dashboard.core.events import silence
from dashboard.core.run import nobody_stops
from dashboard.postgres.connect import connect
from dashboard.postgres.lock import acquire
connection = connect(Environment("local", 0, Secret(os.environ["URL"])), purpose="control")
print(acquire(connection, "public", 5, silence, nobody_stops), flush=True)
time.sleep(600)
"""


@pytest.fixture
def ours(environment: Environment) -> Iterator[Connection]:
    with connect(environment, purpose="control") as connection:
        yield connection


@pytest.fixture
def theirs(environment: Environment) -> Iterator[Connection]:
    with connect(environment, purpose="control") as connection:
        yield connection


def take(connection: Connection, wait: float = 0, seen: Seen | None = None, schema: str = "public") -> object:
    return acquire(connection, schema, wait, seen if seen is not None else Seen(), nobody_stops)


@pytest.mark.fault(50)
def test_a_second_run_does_not_get_it_and_is_told_who_holds_it(ours: Connection, theirs: Connection) -> None:
    held = take(theirs)
    assert isinstance(held, Held)
    busy = take(ours, 1.3, seen := Seen())
    assert isinstance(busy, Busy)
    assert busy.holder is not None
    assert busy.holder.pid == held.pid == theirs.info.backend_pid
    assert busy.holder.application == "rung control"
    assert busy.holder.host == "127.0.0.1"
    assert busy.holder.since is not None
    assert busy.holder.since.tzinfo is not None
    assert 1.2 < busy.seconds < 3
    waits = seen.of(WaitingForLock)
    assert [round(wait.seconds) for wait in waits] == [0, 1]
    assert all(wait.holder == busy.holder for wait in waits)


def test_without_patience_it_is_tried_once(ours: Connection, theirs: Connection) -> None:
    take(theirs)
    began = time.monotonic()
    assert isinstance(take(ours, 0), Busy)
    assert time.monotonic() - began < 1


def test_it_is_had_as_soon_as_the_holder_is_gone(ours: Connection, theirs: Connection) -> None:
    take(theirs)
    threading.Timer(0.4, theirs.close).start()
    assert isinstance(take(ours, 20), Held)


def test_a_killed_holder_frees_it_within_two_seconds(environment: Environment, ours: Connection) -> None:
    assert environment.url
    variables = {**os.environ, "URL": environment.url.reveal()}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Held")
        process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        assert isinstance(take(ours, 20), Held)
        assert time.monotonic() - began < 2


def test_whoever_asks_to_stop_ends_the_wait(ours: Connection, theirs: Connection) -> None:
    take(theirs)
    began = time.monotonic()
    answer = acquire(ours, "public", 60, Seen(), lambda: "the lead" if time.monotonic() - began > 0.3 else None)
    assert answer == Stopped("the lead")
    assert time.monotonic() - began < 5


@pytest.mark.fault(91)
def test_two_ledgers_in_one_database_have_two_locks(ours: Connection, theirs: Connection) -> None:
    assert key_of("public") != key_of("billing")
    take(theirs, schema="public")
    assert isinstance(take(ours, schema="billing"), Held)


def test_the_same_lock_in_another_database_is_another_lock(
    environments: tuple[Environment, ...], ours: Connection
) -> None:
    with connect(environments[0], purpose="control") as first, connect(environments[1], purpose="control") as second:
        assert isinstance(take(first), Held)
        assert isinstance(take(second), Held)


def test_somebody_who_waits_does_not_stop_a_concurrent_index_build(
    environment: Environment, ours: Connection, theirs: Connection
) -> None:
    ask(environment, "CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS id")
    take(theirs)
    answers, seen = [], Seen()
    waiter = threading.Thread(target=lambda: answers.append(take(ours, 30, seen)))
    waiter.start()
    wait_until(lambda: seen.of(WaitingForLock))
    began = time.monotonic()
    ask(environment, "CREATE INDEX CONCURRENTLY ix ON public.t (id)")
    assert time.monotonic() - began < 5
    theirs.close()
    waiter.join()
    assert isinstance(answers[0], Held)


def test_the_condition_tells_whether_it_is_still_held(ours: Connection, theirs: Connection) -> None:
    held = take(theirs)
    assert isinstance(held, Held)
    question = f"SELECT {held.condition()}"
    assert ours.execute(question.encode()).fetchone() == (True,)
    other = replace(held, pid=ours.info.backend_pid)
    assert ours.execute(f"SELECT {other.condition()}".encode()).fetchone() == (False,)
    theirs.close()
    wait_until(lambda: ours.execute(question.encode()).fetchone() == (False,))


def test_the_connection_that_holds_it_keeps_no_snapshot(environment: Environment, theirs: Connection) -> None:
    take(theirs)
    rows = ask(
        environment,
        "SELECT state, backend_xmin, backend_xid FROM pg_stat_activity WHERE pid = %s",
        theirs.info.backend_pid,
    )
    assert rows == [("idle", None, None)]


def test_a_holder_that_cannot_be_seen_is_nobody() -> None:
    assert Busy(None, 1.0).holder is None
    assert LockHolder(1, "", "", None).since is None
