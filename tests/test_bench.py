import json
import os
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import ground, table
from bench.files import psql_script, sample_files
from bench.measure import Bound, Group, Line, take_turns
from bench.rows import ROWS
from dashboard.postgres.embedded import EmbeddedServer

TINY = ground.Sizes(
    rounds=1,
    files=3,
    far_files=2,
    far_rounds=1,
    planned_files=20,
    planned_rounds=1,
    page_files=12,
    page_views=2,
    paints=1,
    watchers=5,
    watched_seconds=1,
)


SLOW = ("far", "fresh", "paint", "review", "twenty", "watchers")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ROWS])
def test_a_row_measures_what_really_ran(name: str, server: EmbeddedServer, tmp_path: Path) -> None:
    group = ROWS[name](ground.Ground(server, tmp_path, TINY))
    assert group.name == name
    if name == "paint" and not group.lines:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(group.notes[0])
    assert any(line.bound for line in group.lines)
    assert all(line.samples for line in group.lines)
    assert all(sample > 0 for line in group.lines for sample in line.samples if line.unit in ("s", "ms", "KB"))
    assert group.title in table.as_text([], [group])


def test_a_process_that_fails_is_never_timed() -> None:
    with pytest.raises(AssertionError, match="ended with 1"):
        ground.wall(["false"], variables={})


@pytest.mark.slow
def test_a_bound_that_is_not_kept_is_said_and_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Group("slow", "A slow thing", (Line("it", (3.0, 1.0, 2.0), bound=Bound(1.5, 1.0)),))
    monkeypatch.setitem(ROWS, "slow", lambda _: slow)
    assert command.main(["--only", "slow"]) == 0
    said = capsys.readouterr().out
    assert "<= 1.5 s (aim 1)  OVER" in said
    assert "0 of 1 bounds kept\n  over: it" in said
    assert command.main(["--only", "slow", "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["groups"][0]["lines"][0]["median"] == 2.0


def test_a_ratio_is_taken_round_by_round() -> None:
    floor = Line("floor", (1.0, 2.0, 4.0))
    assert Line("it", (2.0, 4.0, 4.0), floor=floor, bound=Bound(1.9)).ratio == 2.0
    assert Line("it", (2.0, 4.0, 4.0), floor=floor, bound=Bound(1.9)).over
    assert not Line("it", (2.0, 4.0, 4.0), floor=floor, bound=Bound(2.0)).over


def test_subjects_take_turns_and_the_first_turn_does_not_count() -> None:
    seen: list[str] = []

    def turn(name: str) -> float:
        seen.append(name)
        return float(len(seen))

    taken = take_turns({"a": lambda: turn("a"), "b": lambda: turn("b")}, 2)
    assert seen == ["a", "b", "a", "b", "b", "a"]
    assert taken == {"a": (3.0, 6.0), "b": (4.0, 5.0)}


def test_the_floor_runs_the_same_statements_as_the_files() -> None:
    files = sample_files(30)
    script = psql_script(files)
    assert len({file.name for file in files}) == 30
    assert all(file.body in script and file.name in script for file in files)
    assert {file.wrapped for file in files} == {True, False}
