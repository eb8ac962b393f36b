"""The pages in a real Chromium: what the script does, and that nothing needs it."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.environment import Environment
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import EMAILS, PASSWORD, Cast
from tests.conftest import Write
from tests.web.conftest import NOWHERE, serving

pytestmark = pytest.mark.browser


@pytest.fixture
def lead(page: Page, address: str, cast: Cast, three: tuple[str, ...]) -> Iterator[Page]:
    """An admin in front of the ladder. Whatever the browser complains about fails the test."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: complaints.append(f"asked {r.url}") if not r.url.startswith(address) else None)
    page.goto(f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.ADMIN])}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")
    yield page
    assert complaints == []


def _is_complaint(message: ConsoleMessage) -> bool:
    """An answer that is no 200 is told to the console, too; whether it should be one is for each test to say."""
    return message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")


def applied_elsewhere(settings: Settings, environment: str, name: str) -> None:
    url = settings.environment(environment).url
    assert url is not None
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("INSERT INTO public._migrations_applied (filename) VALUES (%s)", (name,))


def look_again(page: Page, in_home: psycopg.Connection[Any]) -> None:
    """As if the last look were long ago, and the reader came back to the tab."""
    in_home.execute("UPDATE home.picture SET asked_at = asked_at - interval '1 hour'")
    come_back_to_the_tab(page)


def come_back_to_the_tab(page: Page) -> None:
    with page.expect_response(re.compile("/fragments/")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.name || ''")
    return text


# --- a refresh moves nothing ---


def test_a_change_appears_by_itself_and_the_focus_stays(
    lead: Page, settings: Settings, in_home: psycopg.Connection[Any]
) -> None:
    lead.locator('a[href="/migrations/002_create_teams.sql#in-staging"]').focus()
    applied_elsewhere(settings, "staging", "005_create_tasks.sql")
    look_again(lead, in_home)
    expect(lead.get_by_role("columnheader", name=re.compile("staging"))).to_contain_text("up to date")
    assert focused(lead) == "/migrations/002_create_teams.sql#in-staging"


def test_new_rows_above_do_not_move_what_one_reads(
    lead: Page, write: Write, folder_path: Path, in_home: psycopg.Connection[Any], services: Services
) -> None:
    for number in range(100, 160):
        write(folder_path, f"{number}_more.sql", f"CREATE TABLE more_{number} (id int);")
    look_again(lead, in_home)
    read = lead.locator('tr[data-key="110_more.sql"]')
    read.scroll_into_view_if_needed()
    before = read.bounding_box()
    for number in range(160, 170):
        write(folder_path, f"{number}_more.sql", f"CREATE TABLE more_{number} (id int);")
    look_again(lead, in_home)
    expect(lead.locator('tr[data-key="169_more.sql"]')).to_be_attached()
    after = read.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 2


def test_another_plan_never_takes_the_place_of_the_one_that_is_read(
    lead: Page, address: str, settings: Settings, in_home: psycopg.Connection[Any], write: Write, folder_path: Path
) -> None:
    lead.goto(f"{address}/environments/staging", wait_until="networkidle")  # a look that goes on serves the next asker
    changed = lead.get_by_text("The plan has changed since")
    expect(changed).to_be_hidden()
    write(folder_path, "006_new.sql", "CREATE TABLE new (id int);")
    look_again(lead, in_home)
    expect(lead.get_by_role("status").filter(has=changed)).to_be_visible()
    expect(lead.get_by_text("006_new.sql")).to_have_count(0)
    (folder_path / "006_new.sql").unlink()
    look_again(lead, in_home)
    expect(changed).to_be_hidden()
    applied_elsewhere(settings, "staging", "005_create_tasks.sql")
    look_again(lead, in_home)
    expect(changed).to_be_visible()
    expect(lead.get_by_role("button", name="Apply 1 pending to staging")).to_be_visible()
    lead.get_by_role("button", name="Apply 1 pending to staging").click()
    expect(lead.get_by_text("Nothing was started")).to_be_visible()
    expect(lead.get_by_text("Nothing to do")).to_be_visible()


def test_what_somebody_types_survives_a_refresh(lead: Page, address: str, in_home: psycopg.Connection[Any]) -> None:
    lead.goto(f"{address}/environments/production")
    lead.get_by_text("Apply past the gate").click()
    lead.get_by_label("Reason, for the history").fill("backup taken")
    look_again(lead, in_home)
    expect(lead.get_by_label("Reason, for the history")).to_have_value("backup taken")
    expect(lead.get_by_label("Reason, for the history")).to_be_visible()


@pytest.mark.slow
def test_when_rung_stops_answering_the_page_says_so_and_goes_on(lead: Page) -> None:
    lead.wait_for_load_state("networkidle")
    lead.route("**/fragments/**", lambda route: route.fulfill(status=503))
    come_back_to_the_tab(lead)
    expect(lead.get_by_text("no answer from Rung for")).to_be_visible(timeout=60_000)  # it asks again by itself
    lead.unroute("**/fragments/**")
    come_back_to_the_tab(lead)
    expect(lead.get_by_text("no answer from Rung for")).to_be_hidden()


def test_a_tab_that_nobody_sees_asks_nothing_until_it_is_seen_again(lead: Page, address: str) -> None:
    lead.add_init_script("Object.defineProperty(document, 'hidden', { get: () => globalThis.unseen ?? false })")
    lead.clock.install()
    lead.goto(address)
    with lead.expect_request(re.compile("/fragments/")):
        lead.clock.run_for(15_000)
    asked: list[str] = []
    lead.on("request", lambda request: asked.append(request.url))
    lead.evaluate("globalThis.unseen = true; document.dispatchEvent(new Event('visibilitychange'))")
    lead.clock.run_for(600_000)
    assert asked == []
    with lead.expect_request(re.compile("/fragments/")):
        lead.evaluate("globalThis.unseen = false; document.dispatchEvent(new Event('visibilitychange'))")
        lead.clock.run_for(10)


def test_a_session_that_ended_leads_to_the_sign_in_page(lead: Page, services: Services, address: str) -> None:
    services.accounts.sign_out_everywhere(EMAILS[Role.ADMIN])
    # The page may leave while it is still being asked to look.
    with lead.expect_navigation(url=f"{address}/sign-in"), contextlib.suppress(Error):
        lead.evaluate("setTimeout(() => document.dispatchEvent(new Event('visibilitychange')))")


# --- keyboard, filter, copying ---


def test_the_arrow_keys_walk_the_ladder(lead: Page) -> None:
    lead.locator('a[href="/migrations/005_create_tasks.sql"]').focus()
    for key, there in (
        ("ArrowRight", "/migrations/005_create_tasks.sql#in-local"),
        ("ArrowDown", "/migrations/004_drop_is_admin.sql#in-local"),
        ("End", "/migrations/004_drop_is_admin.sql#in-production"),
        ("ArrowUp", "/migrations/005_create_tasks.sql#in-production"),
        ("ArrowUp", "/environments/production"),
        ("ArrowLeft", "/environments/staging"),
        ("ArrowDown", "/migrations/005_create_tasks.sql#in-staging"),
        ("Home", "/migrations/005_create_tasks.sql"),
    ):
        lead.keyboard.press(key)
        assert focused(lead) == there, key


def test_the_ladder_is_one_stop_for_the_tab_key(lead: Page) -> None:
    stops = lead.locator('.rails tbody a[tabindex="0"]')
    expect(stops).to_have_count(1)
    lead.locator('a[href="/migrations/002_create_teams.sql"]').focus()
    expect(stops).to_have_count(1)
    assert stops.get_attribute("href") == "/migrations/002_create_teams.sql"


def test_the_filter_follows_the_typing_and_so_does_the_address(lead: Page, address: str) -> None:
    lead.keyboard.press("/")
    assert focused(lead) == "q"
    lead.keyboard.type("drop")
    expect(lead.locator("tbody tr")).to_have_count(1)
    expect(lead).to_have_url(f"{address}/?q=drop")
    assert focused(lead) == "q"
    lead.get_by_role("searchbox").fill("")
    lead.get_by_label("Only differences").check()
    expect(lead.locator("tbody tr")).to_have_count(3)
    expect(lead).to_have_url(f"{address}/?only=differences")
    lead.reload()
    expect(lead.locator("tbody tr")).to_have_count(3)


def test_the_sql_can_be_copied(lead: Page, address: str, browser: Browser) -> None:
    lead.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    lead.goto(f"{address}/migrations/003_add_email.sql")
    lead.get_by_role("button", name="Copy the SQL").click()
    expect(lead.get_by_text("Copied")).to_be_visible()
    assert lead.evaluate("navigator.clipboard.readText()") == (
        "-- where to write to\nALTER TABLE users ADD COLUMN email text;\n"
    )


def test_times_are_in_reach_in_the_readers_own_zone(lead: Page) -> None:
    title = lead.locator("time[data-ago]").first.get_attribute("title")
    assert title
    assert re.search(r"\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", title)


# --- without the script, and in every size ---


def test_everything_works_without_a_script(
    browser: Browser, address: str, cast: Cast, three: tuple[str, ...], services: Services
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    services.accounts.set_password(EMAILS[Role.OPERATOR], PASSWORD)
    page.goto(address)
    page.get_by_label("E-mail").fill(EMAILS[Role.OPERATOR])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Keys")).to_have_count(0)  # it could do nothing
    expect(page.get_by_role("dialog", include_hidden=True)).to_be_hidden()
    page.get_by_role("searchbox").fill("task")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("columnheader", name=re.compile("staging")).get_by_role("link").first.click()
    page.get_by_role("button", name="Apply 1 pending to staging").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Waiting to start on staging")
    page.get_by_role("button", name="Stop this run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Stopped before anything was applied")
    page.get_by_role("link", name="What staging needs now").click()
    page.get_by_role("button", name="Apply 1 pending to staging").click()
    page.wait_for_url(re.compile("/runs/"))
    services.runs.execute(page.url.rpartition("/")[2])
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Applied 1 file to staging")
    page.get_by_role("link", name="History").click()
    expect(page.locator("table.history tr", has_text="005_create_tasks.sql").first).to_contain_text("applied")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


@pytest.mark.parametrize("path", ["/migrations/006_add_name.sql", "/history"])
def test_who_did_it_can_be_read_on_a_telephone(
    lead: Page, address: str, services: Services, folder_path: Path, write: Write, path: str
) -> None:
    write(folder_path, "006_add_name.sql", "CREATE TABLE names (id int);")
    order = Order(Actor(ActorKind.PERSON, "somebody@example.com", Door.CLI), force=True, reason="nobody reads it")
    apply(services.settings.environment("local"), services.folder.read, order)
    services.compare.live()
    lead.set_viewport_size({"width": 390, "height": 800})
    lead.goto(address + path)
    expect(lead.locator(".of-who").first).to_be_visible()
    narrowest = lead.evaluate("Math.min(...[...document.querySelectorAll('.of-who')].map(cell => cell.offsetWidth))")
    assert narrowest > 100, "a column of single letters"


def overflow(page: Page) -> int:
    wide: int = page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
    return wide


@pytest.mark.parametrize("width", [360, 1280])
def test_twenty_environments_scroll_beside_each_other_and_the_page_does_not(
    page: Page, settings: Settings, three: tuple[str, ...], width: int
) -> None:
    added = tuple(
        Environment(f"preview-{number}{'-of-a-branch' * (number % 4)}", number, NOWHERE) for number in range(3, 20)
    )
    many = build(replace(settings, environments=(*settings.environments, *added)))
    many.accounts.add("lead@example.com", None, Role.VIEWER)
    page.set_viewport_size({"width": width, "height": 800})
    with serving(create_app(many)) as address:
        page.goto(f"{address}/sign-in/link/{many.accounts.make_link('lead@example.com')}")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{address}/")
        expect(page.locator("thead th")).to_have_count(21)
        assert overflow(page) <= 0
        assert page.locator(".pane").evaluate("pane => pane.scrollWidth - pane.clientWidth") > 0
        heights = "all => new Set(all.map(one => Math.round(one.getBoundingClientRect().top))).size"
        assert page.locator("thead .headline").evaluate_all(heights) == 1  # however long the names above them
    many.close()


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_no_page_is_wider_than_the_window(lead: Page, address: str, width: int) -> None:
    lead.set_viewport_size({"width": width, "height": 800})
    paths = ("/", "/environments/production", "/migrations/004_drop_is_admin.sql", "/history", "/audit", "/account")
    for path in paths:
        lead.goto(address + path)
        assert overflow(lead) <= 0, f"{path} at {width}"
    lead.goto(f"{address}/people")
    lead.get_by_label("E-mail").first.fill("a.very.long.address.of.somebody@engineering.example.com")
    lead.get_by_role("button", name="Invite").click()
    expect(lead.get_by_role("status")).to_contain_text("/sign-in/link/")
    assert overflow(lead) <= 0, f"an invitation at {width}"
    lead.goto(address)
    box = lead.locator(".rails").bounding_box()
    assert box
    assert box["x"] + box["width"] <= width, "three rails fit beside each other, on a telephone too"
