"""Many people watch one run: home is asked once for all of them, and each gets what is theirs."""

import gzip
from pathlib import Path

import pytest

from dashboard.bootstrap import Services
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.runs import Runs
from dashboard.web import watched
from tests.cast import TOKEN, Cast
from tests.conftest import Write
from tests.oracle import wait_until


@pytest.fixture
def watching(services: Services, write: Write, folder_path: Path) -> str:
    """The address of the live piece of a run that no worker has taken yet."""
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);\n")
    order = Order(Actor(ActorKind.PERSON, "operator@example.com", Door.WEB))
    return f"/fragments/runs/{services.runs.ask('staging', order).run_id}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that home was really asked about."""
    asked: list[str] = []
    show = Runs.show
    monkeypatch.setattr(Runs, "show", lambda runs, run_id: asked.append(run_id) or show(runs, run_id))
    return asked


def test_the_button_carries_the_token_of_whoever_reads_and_is_not_there_for_others(cast: Cast, watching: str) -> None:
    operator, admin, viewer = (one.get(watching).text for one in (cast.operator, cast.admin, cast.viewer))
    assert not TOKEN.search(viewer)
    tokens = [found[1] for found in map(TOKEN.search, (operator, admin)) if found]
    assert len(set(tokens)) == 2
    stop = watching.removeprefix("/fragments") + "/stop"
    assert cast.operator.client.post(stop, data={"csrf": tokens[1]}).status_code == 403
    assert cast.operator.client.post(stop, data={"csrf": tokens[0]}).status_code == 303


def test_whoever_has_no_button_gets_the_same_bytes_packed_or_not(cast: Cast, watching: str) -> None:
    plain = cast.viewer.get(watching)
    packed = cast.viewer.get(watching, headers={"Accept-Encoding": "gzip"})
    assert (plain.content_encoding, packed.content_encoding) == (None, "gzip")
    assert gzip.decompress(packed.data).decode() == plain.text
    with_button = cast.operator.get(watching, headers={"Accept-Encoding": "gzip"})
    assert TOKEN.search(gzip.decompress(with_button.data).decode())


def test_home_is_asked_once_for_all_who_watch(
    cast: Cast, watching: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "FRESH", 2.5)
    version = cast.viewer.get(watching).text.partition('data-version="')[2].partition('"')[0]
    answers = [cast.viewer.get(f"{watching}?seen={version}").status_code for _ in range(20)]
    assert answers == [204] * 20
    assert len(asked) == 1


def test_what_happened_is_seen_by_the_next_look(cast: Cast, services: Services, watching: str) -> None:
    assert "Waiting to start on staging" in cast.viewer.get(watching).text
    services.runs.execute(watching.rpartition("/")[2])
    wait_until(lambda: "Applied 1 file to staging" in cast.viewer.get(watching).text, 3)
    assert 'data-pace="still"' in cast.viewer.get(watching).text


def test_a_look_that_is_too_old_is_shown_to_nobody(
    cast: Cast, watching: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks home may wait for it long; the others must not go on reading yesterday's news meanwhile."""
    monkeypatch.setattr(watched, "FRESH", 0)
    monkeypatch.setattr(watched, "_OLD", 0)
    for _ in range(3):
        assert cast.viewer.get(watching).status_code == 200
    assert len(asked) == 3
