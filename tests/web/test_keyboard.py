"""A whole journey without a mouse: in, along the ladder, apply, watch, look it up; the focus can be seen all the way."""

import re
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from tests.cast import EMAILS, PASSWORD, Cast
from tests.web.test_browser_axe import OPTIONS

pytestmark = pytest.mark.browser

MOST = 60  # stops of the Tab key on one page
OUTLINE = """() => {
  const ring = document.activeElement.querySelector('.reach');  // marks of a picture have a ring of their own
  if (ring) return parseFloat(getComputedStyle(ring).strokeWidth) >= 2;
  const seen = getComputedStyle(document.activeElement);
  return seen.outlineStyle !== 'none' && parseFloat(seen.outlineWidth) >= 2;
}"""


def tab_to(page: Page, name: str) -> None:
    """Tab until the element of that name has the focus; every stop on the way can be seen."""
    for _ in range(MOST):
        page.keyboard.press("Tab")
        label = page.evaluate(
            "(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || '')(document.activeElement)"
        )
        if page.evaluate("document.activeElement !== document.body"):
            assert page.evaluate(OUTLINE), f"the focus on {label!r} cannot be seen"
        if re.search(name, label.strip()):
            return
    pytest.fail(f"the Tab key never came to {name}")


def test_from_the_sign_in_to_the_history_without_a_mouse(
    page: Page, address: str, cast: Cast, three: tuple[str, ...], services: Services
) -> None:
    services.accounts.set_password(EMAILS[Role.OPERATOR], PASSWORD)
    page.goto(address)
    page.keyboard.type(EMAILS[Role.OPERATOR])  # the field has the focus already
    tab_to(page, "^Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/")

    tab_to(page, "^staging")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/environments/staging"))
    tab_to(page, "^Apply 1 pending to staging")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/runs/"))

    worker = threading.Thread(target=services.runs.execute, args=(page.url.rpartition("/")[2],))
    worker.start()
    expect(page.get_by_role("status").first).to_contain_text("Applied 1 file to staging")
    worker.join()

    tab_to(page, "^History")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/history")
    page.goto(f"{address}/history?file=005")
    tab_to(page, r"005_create_tasks\.sql")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/migrations/005_create_tasks.sql"))


def test_the_keys_are_told_by_a_key_and_can_be_turned_off(
    page: Page, address: str, cast: Cast, three: tuple[str, ...]
) -> None:
    page.goto(f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.VIEWER])}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")
    keys = page.get_by_role("dialog", name="Keys")
    page.keyboard.press("?")
    expect(keys.get_by_role("button", name="Close")).to_be_focused()
    assert Axe().run(page, options=OPTIONS).response["violations"] == []
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("?/")
    expect(page.get_by_role("searchbox")).to_have_value("?/")
    expect(keys).to_be_hidden()

    page.get_by_role("button", name="Keys").click()
    keys.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.goto(f"{address}/")
    page.keyboard.press("?")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    expect(keys).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    expect(keys.get_by_role("checkbox")).not_to_be_checked()


def test_the_first_stop_of_every_page_skips_what_all_pages_have(
    page: Page, address: str, cast: Cast, three: tuple[str, ...]
) -> None:
    page.goto(f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.ADMIN])}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")
    for path in ("/", "/environments/staging", "/history", "/people", "/audit", "/account"):
        page.goto(f"{address}{path}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content", path
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("!!document.activeElement.closest('main')"), path
