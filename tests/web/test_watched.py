"""Many people watch one run: home is asked once for all of them, and each gets what is theirs."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.bootstrap import Services
from dashboard.core.progress import RunState, RunView
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.runs import Runs
from dashboard.web import watched
from dashboard.web.progress import add_up
from tests.cast import TOKEN, Cast
from tests.conftest import Write
from tests.oracle import wait_until

NOW = datetime(2026, 11, 3, tzinfo=UTC)


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


def test_a_look_is_drawn_once_however_many_come_at_once_and_nobody_waits_for_it_twice() -> None:
    """A drawing takes as long as twenty answers; eight threads that all drew it would leave no time for other pages."""
    first, second = a_look(), a_look()
    begun, go_on = threading.Event(), threading.Event()
    drawings: list[str] = []

    def slowly() -> watched.Drawn:
        drawings.append("drawn")
        begun.set()
        assert go_on.wait(10)
        return watched.Drawn(str(len(drawings)), "", None)

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(first.draw, slowly, may_stop=False) for _ in range(8)]
        assert begun.wait(10)
        assert not any(one.done() for one in waiting)
        go_on.set()
        assert {one.result(10).version for one in waiting} == {"1"}
        second.earlier.update(first.drawn)
        begun.clear()
        go_on.clear()
        drawing = threads.submit(second.draw, slowly, may_stop=False)
        assert begun.wait(10)
        assert {second.draw(slowly, may_stop=False).version for _ in range(8)} == {"1"}, "what there was before"
        go_on.set()
        assert drawing.result(10).version == "2"
    assert second.draw(slowly, may_stop=False).version == "2"
    assert len(drawings) == 2


def test_who_may_stop_a_run_is_never_given_the_drawing_of_others() -> None:
    look = a_look()
    kinds = {may: look.draw(lambda may=may: watched.Drawn("1", f"{may}", None), may_stop=may) for may in (True, False)}
    assert [kinds[may].html for may in (True, False)] == ["True", "False"]


def a_look() -> watched.Look:
    run = RunView(
        run_id="1", environment="staging", order=Order(Actor(ActorKind.PERSON, "a", Door.WEB)), state=RunState.RUNNING,
        outcome=None, requested_at=NOW, started_at=NOW, heard_at=NOW, ended_at=None, attempt=1, stop_asked_by=None,
        result=None, now=NOW,
    )  # fmt: skip
    return watched.Look(run, (), add_up(()), 0.0, {})
