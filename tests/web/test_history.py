"""The history: filters in the address, pages by cursor, every row a link."""

import itertools
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.run import Actor, ActorKind, Door, Order, Result
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write

DEPLOY = Actor(ActorKind.DEPLOY, "srv-42", Door.DEPLOY)
DEV = Actor(ActorKind.PERSON, "dev@example.com", Door.CLI)


@pytest.fixture
def happened(settings: Settings, services: Services, folder_path: Path, write: Write) -> dict[str, Result]:
    """A deploy to staging, and a failure on local by a developer."""
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    write(folder_path, "002_b.sql", "CREATE TABLE b (id int);")
    done = apply(settings.environment("staging"), services.folder.read, Order(DEPLOY))
    write(folder_path, "002_b.sql", 'SELECT 1/0 AS "<b onclick=alert(1)>";')
    failed = apply(settings.environment("local"), services.folder.read, Order(DEV))
    services.compare.live()
    return {"done": done, "failed": failed}


def rows(page: str) -> list[str]:
    """The first words of every row."""
    return re.findall(r'(?s)<tr>\s*<td class="[^"]*"><span class="state [a-z]+">.*?</svg>([^<]+)</span>', page)


def test_nothing_yet_teaches_the_first_command(cast: Cast) -> None:
    assert "Nothing has happened yet" in cast.viewer.read("/history")
    assert "rung migrate" in cast.viewer.read("/history")


def test_newest_first_with_who_where_and_how_it_ended(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history")
    assert rows(page.text)[0] == "failed"
    assert sorted(rows(page.text)) == ["applied", "applied", "applied", "failed", "identified", "identified"]
    text = words(page)
    assert "22012: division by zero" in text
    assert "dev@example.com cli" in text
    assert "srv-42 deploy" in text


def test_every_row_leads_to_run_file_and_environment(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history").text
    for href in (f"/runs/{happened['done'].run_id}", "/migrations/002_b.sql", "/environments/staging"):
        assert f'href="{href}"' in page
        assert cast.viewer.get(href).status_code == 200


FILTERS = [
    ("environment=staging", 3),
    ("environment=production", 0),
    ("outcome=failed", 1),
    ("actor=SRV", 3),
    ("file=001", 2),
    ("file=001&environment=local", 1),
    ("actor=%25", 0),
    ("file=a_b", 0),
    ("before=nonsense", 6),
    ("kind=files", 4),
    ("kind=statements", 0),
    ("kind=remarks&environment=local", 1),
    ("kind=files&outcome=failed&actor=dev&environment=local&file=002", 1),
    ("from=1999-01-01&to=2999-01-01&zone=Europe/Berlin", 6),
    ("from=2999-01-01", 0),
    ("to=1999-01-01", 0),
    ("zone=Asia/Tokyo", 6),
]


def test_the_address_holds_the_filter(happened: dict[str, Result], cast: Cast) -> None:
    for query, number in FILTERS:
        page = cast.viewer.get(f"/history?{query}")
        assert page.status_code == 200
        assert len(rows(page.text)) == number, query


def test_the_filter_is_shown_as_it_was_chosen(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history?environment=staging&outcome=applied&actor=%22%3E%3Cb%3E&file=001").text
    assert '<option value="staging" selected>' in page
    assert '<option value="applied" selected>' in page
    assert 'value="&#34;&gt;&lt;b&gt;"' in page
    assert "Nothing like that" in page


MISTAKES = [
    ("environment=stagin", "stagin is not an environment here; there is local, staging and production."),
    ("environment=stagin", "Did you mean staging?"),
    ("environment=staging'--", "is not an environment here"),
    ("outcome=fialed", "Did you mean failed?"),
    ("kind=file", "Did you mean files?"),
    ("from=yesterday", "takes a day such as 2026-11-03, and yesterday is none"),
    ("to=0001-01-01", "between 1970 and 9000"),
    ("from=2026-11-03&to=2026-11-02", "2026-11-02 is before 2026-11-03"),
    ("zone=Mars/Olympus", "Mars/Olympus is not a time zone"),
    ("zone=../../etc/passwd", "is not a time zone"),
    ("zone=Europe", "Europe is not a time zone"),
    ("environment=staging&environment=local", "The filter environment is given 2 times"),
    ("enviroment=staging", "The history has no filter called enviroment"),
    (f"actor={'x' * 301}", "longer than 300 characters"),
]


def test_a_filter_that_makes_no_sense_is_refused_and_never_answered(happened: dict[str, Result], cast: Cast) -> None:
    for (query, said), path in itertools.product(MISTAKES, ("/history", "/history.csv", "/history.json")):
        page = cast.viewer.get(f"{path}?{query}")
        assert page.status_code == 400, query
        assert said in words(page)
        assert rows(page.text) == []


def test_a_day_begins_at_the_readers_midnight(
    happened: dict[str, Result], cast: Cast, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("UPDATE home.history SET finished_at = '2026-06-30 22:30:00+00' WHERE event = 'failed'")
    in_home.execute("DELETE FROM home.history WHERE event <> 'failed'")
    for query, number in {
        "from=2026-07-01&to=2026-07-01&zone=Europe/Berlin": 1,
        "from=2026-07-01&to=2026-07-01": 0,
        "from=2026-06-30&to=2026-06-30&zone=UTC": 1,
        "to=2026-06-30&zone=Europe/Berlin": 0,
    }.items():
        assert len(rows(cast.viewer.get(f"/history?{query}").text)) == number, query
    assert "from 2026-07-01 (Europe/Berlin)" in cast.viewer.read("/history?from=2026-07-01&zone=Europe/Berlin")


def test_an_empty_answer_says_what_was_asked_and_how_to_widen_it(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history?environment=production&outcome=failed")
    assert "No entry has all of these: environment production and what failed." in words(page)
    widened = re.findall(r'<li><a href="([^"]+)" aria-label="Remove the filter ([^"]+)"', page.text)
    assert widened == [
        ("/history?outcome=failed", "environment production"),
        ("/history?environment=production", "what failed"),
    ]
    assert 'href="/history">Clear all' in page.text


def test_an_environment_that_left_the_configuration_can_still_be_asked_for(
    happened: dict[str, Result], cast: Cast, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("UPDATE home.history SET environment = 'old' WHERE environment = 'local'")
    page = cast.viewer.get("/history?environment=old").text
    assert len(rows(page)) == 3
    assert '<option value="old" selected>' in page


def test_older_pages_are_reached_by_a_cursor(
    cast: Cast, settings: Settings, services: Services, folder_path: Path, write: Write
) -> None:
    for number in range(1, 121):
        write(folder_path, f"{number:03}_t.sql", f"CREATE TABLE t{number} (id int);")
    apply(settings.environment("staging"), services.folder.read, Order(DEPLOY))
    services.compare.live()
    path: str | None = "/history?environment=staging"
    seen: list[str] = []
    while path:
        page = cast.viewer.get(path).text
        seen += re.findall(r'class="file" href="/migrations/([^"]+)"', page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        path = older[1].replace("&amp;", "&") if older else None
        assert path is None or "environment=staging" in path
    assert seen == [f"{number:03}_t.sql" for number in range(120, 0, -1)]


def test_what_one_run_did_is_tied_together(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history?environment=staging").text
    assert re.findall(r'<tr>\s*<td class="([^"]*)">', page) == ["down", "both", "up"]


def test_errors_are_only_text(happened: dict[str, Result], cast: Cast) -> None:
    assert "<b onclick" not in cast.viewer.get("/history").text


def test_rows_of_environments_one_may_not_look_at_are_left_out(
    happened: dict[str, Result], cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    page = cast.viewer.get("/history")
    assert len(rows(page.text)) == 3
    assert "staging" not in words(page)
    refused = cast.viewer.get("/history?environment=staging")
    assert (refused.status_code, rows(refused.text)) == (400, [])
    assert words(refused).replace("staging", "nowhere") == words(cast.viewer.get("/history?environment=nowhere"))
