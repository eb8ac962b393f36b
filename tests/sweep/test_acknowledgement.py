"""COMMIT without an answer: the run says that it does not know, finds out, is right, and never commits twice."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.core.environment import Environment
from dashboard.core.events import Notice, OutcomeUnknown
from dashboard.core.run import Outcome, Result
from dashboard.postgres import embedded
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, ledger, noted, wait_until
from tests.wire import Chunk, Cut, Deafen, Spoken, Wire, wire_to

# A standby that is configured and does not exist: whoever asks for its confirmation waits for ever at COMMIT.
GHOST = {"synchronous_commit": "local", "synchronous_standby_names": "ghost"}
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
FIRST = ("001_log.sql", LOG + noted("001_log.sql"))
LAST = ("003_end.sql", noted("003_end.sql"))
NAME = "002_middle.sql"
FOLDERS = {
    "whole": folder_of(FIRST, (NAME, f"SET LOCAL synchronous_commit = on;\n{noted(NAME)}"), LAST),
    # The last statement asks for the confirmation, so that only the closing transaction waits for it.
    "piecemeal": folder_of(FIRST, (NAME, f"{noted(NAME)}VACUUM public.log;\nSET synchronous_commit = on;\n"), LAST),
}
ALL = [FIRST[0], NAME, LAST[0]]


@pytest.fixture(scope="module")
def ghostly(cluster_place: Callable[[str], Path]) -> Iterator[embedded.EmbeddedServer]:
    """A server of our own: a standby's name is a matter of the whole cluster."""
    folder = cluster_place("ghost")
    try:
        yield embedded.start(folder, settings=FAST | GHOST)
    finally:
        embedded.remove(folder)


@pytest.fixture
def target(ghostly: embedded.EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Environment]:
    name = f"ack_{abs(hash(request.node.name))}"
    ghostly.create_database(name)
    yield begin(Environment("local", 0, ghostly.url(name)))
    ghostly.drop_database(name)


@contextmanager
def at_commit(environment: Environment, deed: Callable[[int], object]) -> Iterator[None]:
    """Do something to the server process that waits for the ghost, as soon as there is one."""
    thread = threading.Thread(target=lambda: deed(wait_until(lambda: ask(environment, WAITING))[0][0]))
    thread.start()
    yield
    thread.join()


def begin(environment: Environment) -> Environment:
    """The first file is in already, so that the middle one is the first to fly."""
    assert apply(environment, lambda: folder_of(FIRST), ORDER).outcome is Outcome.APPLIED
    return environment


def run(environment: Environment, kind: str, seen: Seen, wire: Wire | None = None) -> Result:
    through = replace(environment, url=wire.url) if wire else environment
    return apply(through, lambda: FOLDERS[kind], ORDER, seen)


def closes_the_file(transaction: bytes) -> bool:
    """Whether it brings the middle file into the ledger: nothing else has the name as its first value."""
    values = b"\0\0\0[\1\2]" + len(NAME).to_bytes(4) + re.escape(NAME.encode())
    return re.search(values, transaction) is not None


def assert_checked(result: Result, seen: Seen, *, applied: bool) -> None:
    """It said so while it did not know, and then what it found out."""
    (unknown,) = seen.of(OutcomeUnknown)
    assert unknown.filename == NAME
    said = "; ".join(result.notes) if applied else (result.problem.message if result.problem else "")
    assert f"it is {'applied' if applied else 'not applied'} (checked)" in said, result
    assert "the outcome was unknown for" in said


@pytest.mark.fault(17)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_session_ended_while_it_waits_for_a_standby_has_committed(target: Environment, kind: str) -> None:
    seen, spoken = Seen(), Spoken()
    assert target.url
    with (
        wire_to(target.url) as wire,
        at_commit(target, lambda pid: ask(target, "SELECT pg_terminate_backend(%s)", pid)),
    ):
        wire.before = spoken
        result = run(target, kind, seen, wire)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_checked(result, seen, applied=True)
    assert sum(map(closes_the_file, spoken.transactions())) == 1
    assert_consistent(target, ALL)


@pytest.mark.fault(20)
@pytest.mark.parametrize("kind", FOLDERS)
def test_while_the_old_session_still_commits_nobody_guesses(target: Environment, kind: str) -> None:
    """The link is cut and the server does not notice: the row is not there yet, and still the file is not run again."""
    seen, spoken = Seen(), Spoken()
    assert target.url
    with wire_to(target.url) as wire:
        links: list[int] = []

        def remember(chunk: Chunk) -> None:
            spoken(chunk)
            transactions = spoken.transactions()
            if not links and any(map(closes_the_file, transactions)):
                links.append(chunk.link)
                wait_until(lambda: ask(target, WAITING))
                assert NAME not in ledger(target)
                raise Deafen

        wire.after = remember
        result = run(target, kind, seen, wire)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_checked(result, seen, applied=True)
    assert sum(map(closes_the_file, spoken.transactions())) == 1
    assert_consistent(target, ALL)


@pytest.mark.fault(18)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_commit_that_never_arrived_is_not_applied_and_the_next_run_does_it(
    environment: Environment, kind: str
) -> None:
    seen, spoken = Seen(), Spoken()
    begin(environment)
    assert environment.url
    with wire_to(environment.url) as wire:
        cut: list[int] = []

        def cut_once(chunk: Chunk) -> None:
            spoken(chunk)
            transactions = spoken.transactions()
            if not cut and any(map(closes_the_file, transactions)):
                cut.append(chunk.number)
                raise Cut

        wire.before = cut_once
        result = run(environment, kind, seen, wire)
    assert result.outcome is Outcome.FAILED
    assert_checked(result, seen, applied=False)
    assert sum(map(closes_the_file, spoken.transactions())) == 1
    assert ledger(environment) == [FIRST[0]]
    assert run(environment, kind, Seen()).outcome is Outcome.APPLIED
    assert_consistent(environment, ALL)


@pytest.mark.fault(17)
def test_when_the_lock_is_lost_with_the_answer_it_is_taken_anew_before_the_ledger_is_read(target: Environment) -> None:
    seen = Seen()
    ours = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rung %'"

    def end_both(_: int) -> None:
        ask(target, f"SELECT pg_terminate_backend(pid) {ours}")

    with at_commit(target, end_both):
        result = run(target, "whole", seen)
    assert NAME in result.applied
    assert len(seen.of(OutcomeUnknown)) == 1
    assert run(target, "whole", Seen()).outcome in (Outcome.APPLIED, Outcome.NOTHING)
    assert_consistent(target, ALL)


@pytest.mark.fault(19)
def test_a_commit_whose_wait_was_cancelled_is_applied_and_the_servers_warning_is_kept(target: Environment) -> None:
    seen = Seen()
    with at_commit(target, lambda pid: ask(target, "SELECT pg_cancel_backend(%s)", pid)):
        result = run(target, "whole", seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert not seen.of(OutcomeUnknown)
    warnings = [notice.message for notice in seen.of(Notice) if notice.filename == NAME]
    assert any("canceling wait for synchronous replication" in said for said in warnings), warnings
    assert_consistent(target, ALL)
