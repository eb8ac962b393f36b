"""The timeline: what a mark says and where it stands, and the picture on the page."""

import itertools
import random
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.record import PastRun
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web.pages import Timeline
from dashboard.web.timeline import PLACES, TICKS, make_timeline
from tests.cast import EMAILS, Cast
from tests.conftest import Write

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
NAMES = ("local", "staging", "production")


def run(at: datetime, name: str = "staging", *, failed: bool = False, applied: int = 1, started: int = 0) -> PastRun:
    return PastRun(name, f"{name} {at}", "lead@example.com", at, failed, False, applied, started)


def days_href(environment: str, first: date, last: date) -> str:
    return f"{environment}/{first}/{last}"


def draw(*runs: PastRun, zone: str = "UTC") -> Timeline:
    made = make_timeline(runs, NAMES, ZoneInfo(zone), (lambda run_id: f"run/{run_id}", days_href), zone_name=zone)
    assert made
    return made


def test_nothing_that_ran_is_no_picture() -> None:
    assert make_timeline((), NAMES, UTC, (str, days_href)) is None


def test_one_run_stands_in_the_middle_and_leads_to_itself() -> None:
    picture = draw(run(NOON))
    ((mark,),) = [lane.marks for lane in picture.lanes]
    assert mark.href == f"run/staging {NOON}"
    assert mark.label == "staging: applied 1 file, by lead@example.com, 2026-11-03 12:00"
    assert mark.number == ""
    assert 45 < float(mark.x[:-1]) < 55
    assert picture.said == "1 run from 2026-11-03 12:00 to 2026-11-03 12:00 (UTC)"


def test_lanes_stand_in_the_environments_own_order() -> None:
    picture = draw(run(NOON, "production"), run(NOON, "local"))
    assert [lane.name for lane in picture.lanes] == ["local", "production"]


def test_runs_too_close_to_be_told_apart_are_bundled_and_the_worst_shows() -> None:
    day = [run(NOON + timedelta(minutes=m), failed=m == 7) for m in range(120)]
    picture = draw(run(NOON - timedelta(days=365)), *day)
    first, bundle = picture.lanes[0].marks
    assert (first.number, bundle.number) == ("", "99+")
    assert bundle.sign.name == "failed"
    assert "120 runs: 1 failed and 119 applied" in bundle.label
    assert bundle.href == "staging/2026-11-03/2026-11-03"


def test_a_bundles_days_are_the_readers() -> None:
    late = datetime(2026, 11, 3, 23, 30, tzinfo=UTC)
    picture = draw(run(late - timedelta(days=300)), run(late), run(late), zone="Europe/Berlin")
    assert picture.lanes[0].marks[-1].href == "staging/2026-11-04/2026-11-04"


@pytest.mark.parametrize(
    ("runs", "sign"),
    [
        (run(NOON, failed=True), "failed"),
        (run(NOON, applied=0, started=2), "unfinished"),
        (run(NOON, applied=2), "applied"),
        (run(NOON, applied=0), "notice"),
        (PastRun("staging", "x", "a", NOON, False, True, 0, 0), "done"),
        (PastRun("staging", "x", "a", NOON, False, False, 1, 0, cancelled=True), "stopped"),
    ],
)
def test_each_outcome_has_a_sign_of_its_own(runs: PastRun, sign: str) -> None:
    assert draw(runs).lanes[0].marks[0].sign.name == sign


def test_marks_and_ticks_keep_their_places_whatever_the_span() -> None:
    chance = random.Random(7)  # noqa: S311  # no secret
    for seconds in (0, 1, 90, 3600, 86400, 10 * 86400, 80 * 86400, 700 * 86400, 4000 * 86400, 20000 * 86400):
        runs = [run(NOON - timedelta(seconds=chance.uniform(0, seconds))) for _ in range(60)]
        picture = draw(*runs, zone=chance.choice(["UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin"]))
        places = [float(mark.x[:-1]) for mark in picture.lanes[0].marks]
        assert places == sorted(places)
        assert all(after - before > 99 / PLACES for before, after in itertools.pairwise(places))
        assert all(0 <= float(tick.x[:-1]) <= 100 for tick in picture.ticks)
        assert len(picture.ticks) <= TICKS + 1, seconds
        assert len({tick.label for tick in picture.ticks}) == len(picture.ticks), seconds


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (0.2, ["08:00", "09:00", "10:00", "11:00", "12:00"]),
        (4, ["31 Oct", "1 Nov", "2 Nov", "3 Nov"]),
        (30, ["5 Oct", "12 Oct", "19 Oct", "26 Oct", "2 Nov"]),
        (150, ["Jul 2026", "Aug 2026", "Sep 2026", "Oct 2026", "Nov 2026"]),
        (1500, ["2023", "2024", "2025", "2026"]),
    ],
)
def test_ticks_stand_where_people_count(days: float, labels: list[str]) -> None:
    picture = draw(run(NOON - timedelta(days=days)), run(NOON))
    assert [tick.label for tick in picture.ticks] == labels


def test_days_begin_at_the_readers_midnight_also_when_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 24, tzinfo=berlin)
    picture = draw(run(first), run(datetime(2026, 10, 26, tzinfo=berlin)), zone="Europe/Berlin")
    ticks = {tick.label: float(tick.x[:-1]) for tick in picture.ticks}
    assert ticks["25 Oct"] == pytest.approx(100 * 24 / 49, abs=0.01)  # that day has 25 hours


# --- on the page ---


@pytest.fixture
def happened(settings: Settings, services: Services, folder_path: Path, write: Write) -> None:
    deploy = Actor(ActorKind.DEPLOY, '"><b>x', Door.DEPLOY)
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    apply(settings.environment("staging"), services.folder.read, Order(deploy))
    write(folder_path, "001_a.sql", "SELECT 1/0;")
    apply(settings.environment("local"), services.folder.read, Order(deploy))
    services.compare.live()


def marks(page: str) -> list[tuple[str, str, str]]:
    """Where each mark leads, its hue, and its name."""
    return re.findall(r'<a href="([^"]+)" class="(\w+)" aria-label="([^"]+)"><title>', page)


def test_the_picture_shows_the_rows_of_the_filter_and_every_mark_leads_somewhere(happened: None, cast: Cast) -> None:
    page = cast.viewer.get("/history").text
    assert [(hue, label.partition(":")[0]) for _, hue, label in marks(page)] == [
        ("danger", "local"),
        ("good", "staging"),
    ]
    assert all(cast.viewer.get(href).status_code == 200 for href, _, _ in marks(page))
    assert "<b>x" not in page
    assert [hue for _, hue, _ in marks(cast.viewer.get("/history?outcome=failed").text)] == ["danger"]
    assert marks(cast.viewer.get("/history?environment=production").text) == []
    assert marks(cast.viewer.get("/history?environment=nowhere").text) == []


def test_a_run_is_told_by_all_its_rows_whatever_the_filter(happened: None, cast: Cast) -> None:
    page = cast.viewer.get("/history?kind=remarks&environment=local").text
    assert [hue for _, hue, _ in marks(page)] == ["danger"]


def test_the_table_says_what_the_picture_shows(happened: None, cast: Cast) -> None:
    page = cast.viewer.get("/history").text
    table = page.partition("The picture as a table")[2].partition("</table>")[0]
    assert [href for href, _, _ in marks(page)] == re.findall(r'<a href="([^"]+)"', table)


def test_runs_of_environments_one_may_not_look_at_are_in_no_picture(
    happened: None, cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    assert [label.partition(":")[0] for _, _, label in marks(cast.viewer.get("/history").text)] == ["local"]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("RAISE EXCEPTION 'cancelled by nobody'", "danger"),  # a failure, whatever it says of itself
        ("RAISE EXCEPTION 'cancelled by lead@example.com' USING ERRCODE = '57014'", "waiting"),  # as a stop is kept
    ],
)
def test_what_somebody_stopped_is_calm_in_the_picture_and_what_failed_is_not(
    cast: Cast, services: Services, settings: Settings, folder_path: Path, write: Write, text: str, mark: str
) -> None:
    write(folder_path, "001_a.sql", f"DO $$ BEGIN {text}; END $$;\n")
    dev = Order(Actor(ActorKind.PERSON, "dev@example.com", Door.CLI), force=True, reason="a DO is opaque")
    apply(settings.environment("staging"), services.folder.read, dev)
    services.compare.live()
    page = cast.viewer.get("/history").text
    assert re.search(r'<a href="/runs/[^"]+" class="(\w+)" aria-label="staging: ', page)[1] == mark  # type: ignore[index]  # or it fails
    assert re.search(r'<p class="said (\w+)">', page)[1] == mark  # type: ignore[index]  # or it fails
