"""OpenID Connect in a real Chromium with a real issuer: in, to a role, and past a protected environment."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dashboard.bootstrap import Services
from dashboard.cli.serve import free_port
from dashboard.core.access import Role
from dashboard.core.environment import Secret
from dashboard.core.oidc import Issuer
from dashboard.settings import Settings
from tests import issuer
from tests.cast import Cast
from tests.issuer import CLIENT_SECRET, LABEL, PASSWORD
from tests.web.test_browser_axe import OPTIONS
from tests.web.test_proof import Home

pytestmark = pytest.mark.browser

ANN = "ann@example.com"


@pytest.fixture
def port() -> int:
    return free_port("127.0.0.1")


@pytest.fixture
def settings(settings: Settings, port: int) -> Settings:
    there = Issuer(
        f"http://localhost:{port}", "rung", Secret(CLIENT_SECRET), LABEL, domains=("example.com",), trust_emails=True
    )
    return replace(settings, oidc=there)


@pytest.fixture
def acme(address: str, port: int) -> Iterator[Issuer]:
    with issuer.running(f"{address}/sign-in/oidc/callback", port) as there:
        yield there


def fault_free(page: Page) -> None:
    assert Axe().run(page, options=OPTIONS).response["violations"] == []


def show_who_one_is(page: Page, address: str) -> None:
    """The issuer's own forms."""
    if page.locator("input[name=login]").count():
        page.locator("input[name=login]").fill("ann")
        page.keyboard.press("Enter")
    page.locator("input[name=password]").fill(PASSWORD)
    with page.expect_navigation(url=re.compile(re.escape(address))):
        page.keyboard.press("Enter")


def test_somebody_comes_by_an_issuer_and_proves_there_who_they_are(
    page: Page, address: str, acme: Issuer, cast: Cast, services: Services, three: tuple[str, ...], in_home: Home
) -> None:
    page.goto(f"{address}/environments/production")
    fault_free(page)
    page.get_by_role("link", name="Sign in with Acme").click()
    show_who_one_is(page, address)
    expect(page.locator("main")).to_contain_text("There is no environment called 'production'")  # without a role
    services.accounts.set_role(ANN, Role.ADMIN)
    page.goto(f"{address}/account")
    expect(page.locator("main")).to_contain_text("With Acme. No password and no link opens this account")
    fault_free(page)

    in_home.execute("UPDATE home.session SET proved_at = proved_at - interval '11 minutes'")
    page.goto(f"{address}/environments/production")
    page.get_by_text("Apply past the gate").click()
    form = page.locator("form", has=page.get_by_label("Reason, for the history"))
    form.get_by_role("textbox", name="Reason, for the history").fill("the backup is taken")
    form.get_by_role("textbox", name="Type production to confirm").fill("production")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it still you?")
    fault_free(page)
    page.get_by_role("link", name="Prove it at Acme").click()
    show_who_one_is(page, address)
    expect(page.get_by_role("heading", level=1)).to_have_text("It is you")
    fault_free(page)
    page.get_by_role("button", name="Go on with production").click()
    page.wait_for_url(re.compile("/runs/"))


def test_an_account_is_connected_by_its_owner(
    page: Page, address: str, acme: Issuer, cast: Cast, services: Services
) -> None:
    link = services.accounts.make_link("viewer@example.com")
    page.goto(f"{address}/sign-in/link/{link}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")
    page.goto(f"{address}/account")
    page.get_by_role("button", name="Connect with Acme").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect with Acme")
    fault_free(page)
    page.get_by_role("link", name="Go on to Acme").click()
    show_who_one_is(page, address)
    expect(page.get_by_role("status")).to_contain_text("no password and no link opens this account")
