"""Light, dark, or as the system has it."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from tests.cast import EMAILS, Cast

NIGHT, DAY = "rgb(14, 16, 19)", "rgb(246, 247, 248)"


def test_a_made_up_theme_is_the_system_s(cast: Cast) -> None:
    answer = cast.viewer.post("/theme", {"theme": "<b>", "back": "/history"})
    assert "rung-theme=system;" in answer.headers["Set-Cookie"]
    cast.viewer.client.set_cookie("rung-theme", '"><b>')
    assert "Theme: system. Change to light" in cast.viewer.get("/history").text


@pytest.mark.parametrize("back", ["https://example.com/", "//example.com", "/sign-out", "/nowhere", ""])
def test_the_way_back_never_leads_elsewhere(cast: Cast, back: str) -> None:
    assert cast.viewer.post("/theme", {"theme": "dark", "back": back}).location == "/"


def test_a_choice_leads_back_to_the_same_page_with_its_filters(cast: Cast) -> None:
    page = cast.viewer.get("/history?outcome=failed").text
    assert 'name="back" value="/history?outcome=failed"' in page
    answer = cast.viewer.post("/theme", {"theme": "dark", "back": "/history?outcome=failed"})
    assert (answer.status_code, answer.location) == (303, "/history?outcome=failed")


def ground(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return colour


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False])
def test_the_button_changes_the_theme_whatever_the_system_has(
    browser: Browser, address: str, cast: Cast, three: tuple[str, ...], services: Services, *, script: bool
) -> None:
    context = browser.new_context(java_script_enabled=script, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER])}")
    page.get_by_role("button", name="Sign in").click()
    for theme, colour in (("system", NIGHT), ("light", DAY), ("dark", NIGHT)):
        button = page.get_by_role("button", name=re.compile("^Theme:"))
        expect(button).to_have_accessible_name(re.compile(f"^Theme: {theme}."))
        assert ground(page) == colour, theme
        with page.expect_navigation():  # nothing may be asked of a page that is leaving
            button.click()
    context.close()


@pytest.mark.browser
def test_a_dark_page_is_printed_light(page: Page, address: str, cast: Cast, services: Services) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{address}/sign-in")
    assert ground(page) == NIGHT
    page.emulate_media(color_scheme="dark", media="print")
    muted = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--text')")
    assert muted != "#e8ebee"
