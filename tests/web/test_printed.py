"""One run on paper: all that is known, and black on white."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write

DEV = Actor(ActorKind.PERSON, "dev@example.com", Door.CLI)
LEAD = Actor(ActorKind.PERSON, "lead@example.com", Door.WEB)
REASON = "nobody reads <b>old</b> any more"


@pytest.fixture
def forced(settings: Settings, services: Services, folder_path: Path, write: Write) -> str:
    """A run on staging: one ordinary file, one outside a transaction, one forced past the gate."""
    write(folder_path, "000_old.sql", "CREATE TABLE old (id int, old text);")
    apply(settings.environment("staging"), services.folder.read, Order(DEV))
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    write(folder_path, "002_index.sql", "CREATE INDEX CONCURRENTLY a_id ON a (id);")
    write(folder_path, "003_drop.sql", "ALTER TABLE old DROP COLUMN old;")
    order = Order(DEV, force=True, reason=REASON)
    done = apply(settings.environment("staging"), services.folder.read, order)
    assert done.applied == ("001_a.sql", "002_index.sql", "003_drop.sql")
    services.compare.live()
    return done.run_id


def test_it_says_who_why_what_and_when(forced: str, cast: Cast, services: Services) -> None:
    page = cast.viewer.get(f"/runs/{forced}/print")
    text = words(page)
    assert "Asked for by dev@example.com (person), through cli" in text
    assert "Forced, because nobody reads <b>old</b> any more" in text
    assert "<b>old" not in page.text
    assert re.search(r"Began \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, by the database's clock", text)
    for file in ("001_a.sql", "002_index.sql", "003_drop.sql"):
        assert f"{file} applied SHA-256 of the file" in text
    for one in services.history.of_run(forced):
        assert f"Row {one.row.id}" in text
        assert one.row.own_hash in text
        assert (one.row.raw_hash or "") in text


def test_what_was_overruled_stands_by_its_file(forced: str, cast: Cast) -> None:
    text = words(cast.viewer.get(f"/runs/{forced}/print"))
    before, _, after = text.partition("003_drop.sql applied")
    assert "The gate would have stopped this file" not in before
    assert f"The gate would have stopped this file; it was forced, because: {REASON}" in after
    assert "drop-column" in after


def test_statements_outside_a_transaction_have_their_times(forced: str, cast: Cast) -> None:
    text = words(cast.viewer.get(f"/runs/{forced}/print"))
    part = text.partition("002_index.sql applied")[2].partition("003_drop.sql")[0]
    assert re.search(r"1 CREATE INDEX CONCURRENTLY started \d{4}-", part)
    assert re.search(r"1 CREATE INDEX CONCURRENTLY statement done \d{4}-", part)
    assert "its statements have no times of their own" in text.partition("001_a.sql applied")[2].partition("002_")[0]


def test_how_it_was_verified_names_the_head_or_that_nobody_looked(forced: str, cast: Cast, services: Services) -> None:
    assert "The chain of staging: not checked yet." in cast.viewer.read(f"/runs/{forced}/print")
    services.history.check("staging", "lead@example.com")
    text = cast.viewer.read(f"/runs/{forced}/print")
    assert "The chain of staging: whole up to row" in text
    assert f"Head {services.history.verify('staging').head}" in text
    assert "rung history --env staging --verify" in text


def test_a_failure_is_printed_with_what_the_server_said(
    settings: Settings, services: Services, folder_path: Path, write: Write, cast: Cast
) -> None:
    write(folder_path, "001_a.sql", "SELECT 1/0;")
    failed = apply(settings.environment("local"), services.folder.read, Order(DEV))
    services.compare.live()
    text = cast.viewer.read(f"/runs/{failed.run_id}/print")
    assert "Failed at 001_a.sql Environment local" in text
    assert "ERROR 22012: division by zero" in text
    assert "Forced, because not forced, so none was asked for" in text


def test_a_row_that_the_database_lost_says_so(forced: str, cast: Cast, in_home: psycopg.Connection[Any]) -> None:
    in_home.execute("UPDATE home.history SET gone_since = now() WHERE filename = '003_drop.sql'")
    text = cast.viewer.read(f"/runs/{forced}/print")
    assert text.count("not in the database any more since") == 1
    assert "drop-column" in text


def test_a_run_of_the_browser_has_the_times_of_its_statements(three: tuple[str, ...], cast: Cast) -> None:
    run = cast.services.runs.ask("staging", Order(LEAD))
    cast.services.runs.execute(run.run_id)
    cast.services.compare.live()
    text = cast.viewer.read(f"/runs/{run.run_id}/print")
    assert "Asked for by lead@example.com (person), through web" in text
    assert re.search(r"1 CREATE TABLE tasks \S.* done \d{4}-", text)


def test_a_run_that_ran_nothing_is_printed_too(three: tuple[str, ...], cast: Cast) -> None:
    run = cast.services.runs.ask("production", Order(LEAD))
    cast.services.runs.execute(run.run_id)
    text = cast.viewer.read(f"/runs/{run.run_id}/print")
    assert "Refused on production Environment production" in text
    assert "Asked for by lead@example.com (person), through web" in text
    assert "No file ran." in text
    assert "it changed nothing there" in text


def test_run_page_and_history_lead_there(forced: str, cast: Cast) -> None:
    href = f'href="/runs/{forced}/print"'
    assert cast.viewer.get(f"/runs/{forced}").text.count(href) == 1
    assert cast.viewer.get("/history").text.count(href) == 1  # beside its newest row


def test_what_one_may_not_look_at_is_not_printed(forced: str, cast: Cast, services: Services) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    assert cast.viewer.get(f"/runs/{forced}/print").status_code == 404
    assert cast.viewer.get("/runs/nonsense/print").status_code == 404


@pytest.mark.browser
def test_on_paper_it_is_black_on_white_without_navigation(
    forced: str, page: Page, address: str, cast: Cast, services: Services
) -> None:
    page.goto(f"{address}/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER])}")
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{address}/runs/{forced}/print")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".bar").is_visible()
    assert not page.locator(".trail").is_visible()
    colours = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => e.offsetParent).map(e => getComputedStyle(e).color)"
    )
    assert set(colours) == {"rgb(0, 0, 0)"}
    assert page.evaluate("getComputedStyle(document.querySelector('.proof')).breakInside") == "avoid"
    assert page.pdf(format="A4").startswith(b"%PDF")
