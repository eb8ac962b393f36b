"""The kill sweep: the kernel kills `rung migrate` at every piece it sends over the network, and at every answer."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.resolving import Decision
from dashboard.core.run import Outcome
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.conftest import MakeDatabase
from tests.oracle import ORDER, ask, assert_consistent, assert_nothing_half, folder_of
from tests.sweep import scenarios
from tests.sweep.resolving import settled
from tests.sweep.scenarios import Scenario
from tests.sweep.victim import KILLED, Victim, killed_at, ready

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fault(1),
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here (Debian: apt-get install strace)"),
]
CANARY = "K4nari/env0gel@%!'"  # a password that libpq, a URL and a log would each write in another way


@pytest.fixture(scope="module")
def canary(server: EmbeddedServer) -> Iterator[str]:
    """The user and the password of every address in the sweep."""
    environment = Environment("local", 0, server.url("postgres"))
    ask(environment, "DROP ROLE IF EXISTS sweeper")
    ask(environment, f"CREATE ROLE sweeper SUPERUSER LOGIN PASSWORD '{CANARY.replace(chr(39), chr(39) * 2)}'")
    yield f"sweeper:{quote(CANARY, safe='')}"
    ask(environment, "DROP ROLE IF EXISTS sweeper")


def as_sweeper(url: Secret, canary: str) -> Environment:
    parts = urlsplit(url.reveal())
    return Environment(
        "local", 0, Secret(urlunsplit(parts._replace(netloc=f"{canary}@{parts.netloc.rpartition('@')[2]}")))
    )


@pytest.fixture(params=["sendto", "recvfrom"])
def victims(request: pytest.FixtureRequest) -> Iterator[Iterator[Victim]]:
    """The first dies as it sends its first piece, or as it reads its first answer; the second at the second, and so on.

    At a send the piece does not arrive; at a read the server has done what it was told, and nobody hears of it.
    """
    numbers = count(1)
    with ready(lambda: killed_at(request.param, next(numbers))) as waiting:
        yield waiting


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name)
def test_a_runner_killed_at_any_piece_leaves_nothing_that_the_next_run_does_not_finish(
    scenario: Scenario,
    server: EmbeddedServer,
    make_database: MakeDatabase,
    victims: Iterator[Victim],
    canary: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    for name, text in scenario.folder:
        (tmp_path / name).write_text(text)
    seen: list[int] = []
    decided: Counter[Decision] = Counter()
    for number, victim in enumerate(victims, 1):
        environment = prepared(as_sweeper(make_database(), canary), scenario)
        assert environment.url
        victim.tell(tmp_path, "migrate", "--dir", ".", DATABASE_URL=environment.url.reveal())
        said = victim.said()
        piecemeal = "002_index.sql" if scenario is scenarios.PIECEMEAL else ""
        assert_nothing_half(environment, piecemeal=piecemeal, said=said.text)
        seen.append(said.code)
        finish(environment, scenario, number, decided)
        server.drop_database(urlsplit(environment.url.reveal()).path[1:])
        if said.code != KILLED:
            break
    assert seen[:-1] == [KILLED] * (len(seen) - 1)
    assert seen[-1] == (1 if scenario.fails else 0), said.text
    assert len(seen) > 6, "strace killed it at too few places"  # how many answers come in one piece is the network's
    if scenario is scenarios.PIECEMEAL:
        assert decided[Decision.RETRY]
        assert decided[Decision.MARK_APPLIED] or request.node.callspec.id.startswith("sendto")
    record_property(
        "told",
        f"kill sweep, {request.node.callspec.id}: {len(seen) - 1} kill points, 0 divergences{decisions(decided)}",
    )


def decisions(decided: Counter[Decision]) -> str:
    return "".join(f", {times} x {decision}" for decision, times in decided.items())


def prepared(environment: Environment, scenario: Scenario) -> Environment:
    """With the files that were there before."""
    if scenario.before:
        result = apply(environment, lambda: folder_of(*scenario.before), ORDER)
        assert result.outcome is Outcome.APPLIED, result.problem
    return environment


def finish(environment: Environment, scenario: Scenario, number: int, decided: Counter[Decision]) -> None:
    """Run again until it is through; a person decides where Rung must not."""
    order, folder = replace(ORDER, lock_wait=30), folder_of(*scenario.folder)
    result = settled(environment, folder, lambda: apply(environment, lambda: folder, order), decided)
    expected = (Outcome.FAILED,) if scenario.fails else (Outcome.APPLIED, Outcome.NOTHING)
    assert result.outcome in expected, (number, result.problem)
    assert_consistent(environment, scenario.reachable)
    assert apply(environment, lambda: folder_of(*scenario.mended()), order).outcome is not Outcome.FAILED, number
    assert_consistent(environment, scenario.names)
