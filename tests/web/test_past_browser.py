"""The history in a real Chromium: the reader's days, the picture by keyboard, and all of it without a script."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from playwright.sync_api import Page as Tab

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import EMAILS, Cast
from tests.conftest import Write

pytestmark = pytest.mark.browser

DEPLOY = Actor(ActorKind.DEPLOY, "a deploy with a rather long name", Door.DEPLOY)


@pytest.fixture
def run_id(settings: Settings, services: Services, folder_path: Path, write: Write, cast: Cast) -> str:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    done = apply(settings.environment("staging"), services.folder.read, Order(DEPLOY))
    services.compare.live()
    return done.run_id


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def reader(
    browser: Browser, address: str, services: Services, run_id: str, request: pytest.FixtureRequest
) -> Iterator[Tab]:
    """A viewer in Tokyo with a telephone, in front of the history."""
    context: BrowserContext = browser.new_context(
        java_script_enabled=request.param, timezone_id="Asia/Tokyo", viewport={"width": 360, "height": 800}
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(f"{address}/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER])}")
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{address}/history")
    yield page
    context.close()
    assert complaints == []


def test_days_are_the_readers_own_or_said_to_be_utc(reader: Tab, request: pytest.FixtureRequest) -> None:
    scripted = "no script" not in request.node.name
    zone = "Asia/Tokyo" if scripted else "UTC"
    expect(reader.get_by_label("Time zone of the days")).to_have_value(zone)
    reader.get_by_label("From", exact=True).fill("2026-01-01")
    reader.get_by_role("button", name="Filter").click()
    expect(reader.get_by_role("list", name="Filters in force")).to_contain_text(f"from 2026-01-01 ({zone})")
    reader.reload()  # what the address says stays as it is
    expect(reader.get_by_label("Time zone of the days")).to_have_value(zone)
    expect(reader.get_by_text("001_a.sql")).to_be_visible()


def test_a_mark_is_a_link_for_the_keyboard_and_fits_a_telephone(reader: Tab, address: str, run_id: str) -> None:
    mark = reader.get_by_role("link", name=re.compile("^staging: applied 1 file, by a deploy"))
    box = mark.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    mark.focus()
    reader.keyboard.press("Enter")
    expect(reader).to_have_url(f"{address}/runs/{run_id}")


def test_the_chain_is_checked_by_a_button(reader: Tab) -> None:
    reader.get_by_role("button", name="Check staging now").click()
    expect(reader.locator("#chain-staging")).to_contain_text("whole up to row 2")
    expect(reader.locator("#chain-local")).to_contain_text("not checked yet")
