"""The history: filters in the address, pages by cursor, every row a link."""

import re
from pathlib import Path

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


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("environment=staging", 3),
        ("environment=production", 0),
        ("outcome=failed", 1),
        ("actor=SRV", 3),
        ("file=001", 2),
        ("file=001&environment=local", 1),
        ("actor=%25", 0),
        ("file=a_b", 0),
        ("before=nonsense", 6),
        ("environment=staging'--", 0),
    ],
)
def test_the_address_holds_the_filter(happened: dict[str, Result], cast: Cast, query: str, number: int) -> None:
    page = cast.viewer.get(f"/history?{query}")
    assert page.status_code == 200
    assert len(rows(page.text)) == number


def test_the_filter_is_shown_as_it_was_chosen(happened: dict[str, Result], cast: Cast) -> None:
    page = cast.viewer.get("/history?environment=staging&outcome=applied&actor=%22%3E%3Cb%3E&file=001").text
    assert '<option value="staging" selected>' in page
    assert '<option value="applied" selected>' in page
    assert 'value="&#34;&gt;&lt;b&gt;"' in page
    assert "Nothing like that" in page


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
