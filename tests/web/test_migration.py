"""One migration: its text, where it stands, what happened to it."""

import re
from html import unescape
from pathlib import Path

import pytest

from dashboard.bootstrap import Services
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web.migration import SHOWN, coloured
from tests.cast import Cast, words
from tests.conftest import Write
from tests.web.conftest import Applied

DEPLOY = Order(Actor(ActorKind.DEPLOY, "srv-42", Door.DEPLOY))


def sql_of(page: str) -> str:
    """The SQL as a person would mark and copy it."""
    found = re.search(r'(?s)<pre id="sql-text">(.*?)</pre>', page)
    assert found
    return unescape(re.sub(r"<[^>]*>", "", found[1]))


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2fsecret",
        "../rung.toml",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "%00",
        "a%00b.sql",
        "CON",
        "nope.sql",
        "..",
        "é",
    ],
)
def test_only_names_that_folder_or_ledger_know_are_found(
    three: tuple[str, ...], cast: Cast, folder_path: Path, path: str
) -> None:
    (folder_path.parent / "secret").write_text("the secret")
    (folder_path.parent / "rung.toml").write_text("the secret")
    answer = cast.viewer.get(f"/migrations/{path}")
    assert answer.status_code in (400, 404)
    assert "the secret" not in answer.text


def test_a_symlink_that_leaves_the_folder_is_refused_and_not_shown(
    three: tuple[str, ...], cast: Cast, folder_path: Path
) -> None:
    (folder_path.parent / "secret").write_text("the secret")
    (folder_path / "006_link.sql").symlink_to(folder_path.parent / "secret")
    page = cast.viewer.get("/migrations/006_link.sql")
    assert page.status_code == 200
    assert "the secret" not in page.text
    assert "What to do:" in words(page)


def test_sql_with_markup_is_only_text(three: tuple[str, ...], cast: Cast, write: Write, folder_path: Path) -> None:
    text = "-- </script><script>alert(1)</script> {{7*7}}\nSELECT '<img src=x onerror=alert(1)>';\n"
    write(folder_path, "006_hostile.sql", text)
    page = cast.viewer.get("/migrations/006_hostile.sql").text
    assert page.count("<script") == 1
    assert "<img" not in page
    assert sql_of(page) == text


def test_characters_that_hide_or_turn_the_text_are_shown(
    three: tuple[str, ...], cast: Cast, write: Write, folder_path: Path
) -> None:
    write(folder_path, "006_turned.sql", "SELECT 1; -- \u202e gnihton\u2066\u200b\x1b[31m\n")
    page = cast.viewer.get("/migrations/006_turned.sql").text
    assert sql_of(page) == "SELECT 1; -- ⟨U+202E⟩ gnihton⟨U+2066⟩⟨U+200B⟩⟨U+001B⟩[31m\n"


def test_a_file_that_is_gone_is_known_from_the_ledger(three: tuple[str, ...], applied: Applied, cast: Cast) -> None:
    applied("local", "000_gone.sql")
    page = cast.viewer.read("/migrations/000_gone.sql")
    assert "not in the folder any more" in page
    assert "local missing file" in page
    assert "staging not here" in page


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN;\n\nCREATE TABLE a (\n\tid int\n);\nCOMMIT;\n",
        "SELECT $$ one\ntwo $$;",
        "SELECT 1;\r\n-- two\rSELECT 2;\n\n\n",
        "/* a\n b */ SELECT E'a\\nb', 1.5e3;",
        "",
        "\n",
        "SELECT 'ü𝄞';\n",
    ],
)
def test_the_text_is_shown_line_by_line_and_whole(text: str) -> None:
    lines = ["".join(piece for piece, _ in line) for line in coloured(text)]
    wanted = re.split(r"\r\n|\r|\n", text)
    assert lines == (wanted[:-1] if wanted[-1] == "" else wanted)


def test_a_very_long_file_is_shown_as_far_as_a_page_goes(
    three: tuple[str, ...], cast: Cast, write: Write, folder_path: Path
) -> None:
    write(folder_path, "006_long.sql", "SELECT 1;\n" * (SHOWN + 1000))
    page = cast.viewer.get("/migrations/006_long.sql").text
    assert page.count('class="line ') == SHOWN
    assert "1,000 more lines are not shown" in page


def test_it_says_where_the_file_stands_in_every_environment(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/migrations/004_drop_is_admin.sql")
    text = words(page)
    assert re.search(r"local applied applied .*? By another tool staging applied .*? production blocked", text)
    assert 'id="in-production"' in page.text
    assert "Drops column is_admin of table users" in text or "drops column is_admin of table users" in text


def test_a_finding_marks_its_line(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/migrations/004_drop_is_admin.sql").text
    assert re.search(r'<span class="line danger" id="L1">', page)


def test_what_happened_to_it_is_listed(
    names: tuple[str, ...], cast: Cast, services: Services, settings: Settings
) -> None:
    first = Order(DEPLOY.actor, until_blocked=True)
    run_id = apply(settings.environment("local"), services.folder.read, first).run_id
    services.compare.live()
    page = cast.viewer.get("/migrations/002_create_teams.sql")
    assert "by srv-42" in words(page)
    assert f'href="/runs/{run_id}"' in page.text
    assert f'href="/runs/{run_id}/print"' in page.text
    assert "srv-42 deploy" in words(page)
