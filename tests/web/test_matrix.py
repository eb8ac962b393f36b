"""The ladder."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services, build
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web import create_app, matrix
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write
from tests.web.conftest import NOWHERE, Applied


def cells(page: str, name: str) -> list[str]:
    """The words of one row's cells."""
    row = re.search(rf'(?s)<tr data-key="{re.escape(name)}">(.*?)</tr>', page)
    assert row, f"no row for {name}"
    return re.findall(r"<b>([^<]*)</b>", row[1])


# --- when something is wrong ---


def test_a_dead_environment_is_a_hatched_column_with_its_reason(
    settings: Settings, three: tuple[str, ...], cast: Cast
) -> None:
    *others, production = settings.environments
    services = build(replace(settings, environments=(*others, replace(production, url=NOWHERE))))
    services.compare.refresh(0)
    person = cast.admin
    person.client.application = create_app(services)  # the same browser, the same home, an environment that died
    page = person.get("/")
    assert page.status_code == 200
    assert "No answer from production" in words(page)
    assert re.search(r"not reachable for \d+ s", words(page))
    assert "nothing listens" in words(page)
    assert cells(page.text, "001_create_users.sql") == ["applied"] * 3  # as last seen
    assert 'class="good hatched"' in page.text
    services.close()


def test_the_head_of_a_column_says_that_a_file_failed(
    settings: Settings, services: Services, cast: Cast, folder_path: Path, write: Write
) -> None:
    write(folder_path, "001_fails.sql", "SELECT 1/0;")
    apply(settings.environment("staging"), services.folder.read, Order(Actor(ActorKind.PERSON, "ann", Door.CLI)))
    services.compare.live()
    page = cast.viewer.get("/")
    assert cells(page.text, "001_fails.sql") == ["pending", "failed", "pending"]
    assert words(page).count("1 failed") == 1


def test_an_environment_that_was_never_asked_says_so(names: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/")
    assert "Local, staging and production not asked yet" in words(page)


def test_without_a_migrations_folder_the_page_says_which_and_what_to_do(
    settings: Settings, cast: Cast, folder_path: Path
) -> None:
    folder_path.rmdir()
    page = cast.viewer.get("/")
    assert page.status_code == 503
    assert "There is no migrations folder" in words(page)
    assert "rung new" in words(page)


def test_without_any_file_the_page_teaches_the_first_command(cast: Cast, services: Services) -> None:
    services.compare.live()
    assert 'rung new "create users"' in cast.viewer.read("/")
    assert "Only differences" not in cast.viewer.read("/")


# --- what it shows ---


def test_every_environment_says_in_words_how_far_it_is(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.read("/")
    assert "1 behind on staging, 3 on production" in page
    assert "up to date" in page
    assert "1 blocked" in page


def test_every_state_has_a_word_and_every_cell_is_a_link(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/").text
    assert cells(page, "005_create_tasks.sql") == ["applied", "pending", "pending"]
    assert cells(page, "004_drop_is_admin.sql") == ["applied", "applied", "blocked"]
    assert page.count('href="/migrations/004_drop_is_admin.sql#in-production"') == 1


def test_newest_files_stand_on_top(three: tuple[str, ...], cast: Cast) -> None:
    rows = re.findall(r'<tr data-key="([^"]+)"', cast.viewer.get("/").text)
    assert rows == sorted(three, reverse=True)


def test_a_file_that_only_the_ledger_knows_is_a_row_too(three: tuple[str, ...], applied: Applied, cast: Cast) -> None:
    applied("staging", "000_from_another_time.sql")
    assert cells(cast.viewer.get("/").text, "000_from_another_time.sql") == ["not here", "missing file", "not here"]


def test_a_protected_environment_has_a_lock_by_its_name(three: tuple[str, ...], cast: Cast) -> None:
    head = re.search(
        r'(?s)<th scope="col" class="rail [^"]*"><div class="head">\s*<a class="name" href="/environments/production">.*?</a>',
        cast.viewer.get("/").text,
    )
    assert head
    assert "#protected" in head[0]


def test_the_title_says_how_far_behind(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/").text
    assert "<title>3 behind · Rung</title>" in page
    assert re.search(r'rel="icon"[^>]*favicon-behind\.', page)


# --- filters live in the address ---


def test_only_differences_leaves_out_what_all_agree_on(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/?only=differences").text
    assert re.findall(r'<tr data-key="([^"]+)"', page) == [
        "005_create_tasks.sql",
        "004_drop_is_admin.sql",
        "003_add_email.sql",
    ]
    assert "3 of 5 files" in page


def test_the_search_finds_a_part_of_the_name_in_any_case(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/?q=DROP").text
    assert re.findall(r'<tr data-key="([^"]+)"', page) == ["004_drop_is_admin.sql"]
    assert 'value="DROP"' in page


def test_a_search_without_a_hit_says_so(three: tuple[str, ...], cast: Cast) -> None:
    assert "No file name holds “zebra”" in cast.viewer.read("/?q=zebra")


def test_when_all_agree_the_filter_says_so(names: tuple[str, ...], applied: Applied, cast: Cast) -> None:
    for name in ("local", "staging", "production"):
        applied(name, *names)
    assert "Everything is up to date" in cast.viewer.read("/")
    assert "All environments have all 5 files" in cast.viewer.read("/?only=differences")


# --- the live piece ---


def test_the_piece_is_what_the_page_holds(three: tuple[str, ...], cast: Cast) -> None:
    page, piece = cast.viewer.get("/").text, cast.viewer.get("/fragments/ladder").text
    rows = re.search(r"(?s)<tbody>.*</tbody>", page)
    assert rows
    assert rows[0] in piece
    assert "<html" not in piece


def test_a_piece_that_was_seen_already_is_not_sent_again(three: tuple[str, ...], cast: Cast) -> None:
    version = re.search(r'data-version="([^"]+)"', cast.viewer.get("/").text)
    assert version
    answer = cast.viewer.get(f"/fragments/ladder?seen={version[1]}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Rung-Looked" in answer.headers


def test_the_piece_asks_the_environments_again(
    three: tuple[str, ...], cast: Cast, settings: Settings, in_home: psycopg.Connection[Any]
) -> None:
    url = settings.environment("staging").url
    assert url is not None
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("INSERT INTO public._migrations_applied (filename) VALUES ('005_create_tasks.sql')")
    assert "1 behind on staging" in cast.viewer.read("/")  # the page itself never asks
    in_home.execute("UPDATE home.picture SET asked_at = asked_at - interval '1 hour'")
    assert "on staging" not in cast.viewer.read("/fragments/ladder")


def test_the_piece_keeps_the_filter(three: tuple[str, ...], cast: Cast) -> None:
    href = re.search(r'data-live="([^"]+)"', cast.viewer.get("/?q=drop&only=differences").text)
    assert href
    piece = cast.viewer.get(href[1].replace("&amp;", "&")).text
    assert re.findall(r'<tr data-key="([^"]+)"', piece) == ["004_drop_is_admin.sql"]


# --- rights and hostile names ---


def test_who_may_look_at_one_environment_sees_that_one(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "staging")
    page = cast.viewer.read("/")
    assert "staging" in page
    assert "production" not in page


def test_a_hostile_name_in_a_ledger_is_only_text(three: tuple[str, ...], applied: Applied, cast: Cast) -> None:
    hostile = "<img src=x onerror=alert(1)>{{7*7}}\"'.sql"
    applied("local", hostile, "a/../../b.sql", "\u202etxt.sql")
    page = cast.viewer.get("/")
    assert page.status_code == 200
    assert "<img" not in page.text
    assert "{{7*7}}" in words(page)
    assert "\u202e" not in words(page)
    assert "⟨U+202E⟩txt.sql" in words(page)


def test_long_names_are_wrapped_never_cut(write: Write, folder_path: Path, cast: Cast, services: Services) -> None:
    name = "001_" + "very_long_" * 23 + "end.sql"
    write(folder_path, name, "SELECT 1;")
    services.compare.live()
    assert name in cast.viewer.read("/")


def test_after_a_change_only_the_rows_it_touches_are_drawn(
    three: tuple[str, ...], cast: Cast, filled: Applied, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(matrix, "_bodies", {})
    monkeypatch.setattr(matrix, "_drawn", {})
    monkeypatch.setattr(
        matrix, "make_row", lambda row, *how, make=matrix.make_row: drawn.append(row.filename) or make(row, *how)
    )
    cast.viewer.get("/")
    assert sorted(drawn) == sorted(three)
    drawn.clear()
    filled("staging", "005_create_tasks.sql")
    services.compare.live()
    page = cast.viewer.get("/").text
    assert drawn == ["005_create_tasks.sql"]
    assert cells(page, "005_create_tasks.sql") == ["applied", "applied", "pending"]
    monkeypatch.setattr(matrix, "_bodies", {})
    monkeypatch.setattr(matrix, "_drawn", {})
    anew = cast.viewer.get("/").text
    assert (
        anew.partition("<tbody>")[2].partition("</tbody>")[0] == page.partition("<tbody>")[2].partition("</tbody>")[0]
    )
