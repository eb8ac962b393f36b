"""What a team lead asks, each answered within two clicks of the ladder, in a real browser."""

import re
import threading
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.settings import Settings
from tests.cast import EMAILS
from tests.conftest import Write
from tests.web.test_browser import lead as lead  # noqa: PLC0414  # a fixture

pytestmark = pytest.mark.browser

LEAD = Actor(ActorKind.PERSON, EMAILS[Role.ADMIN], Door.WEB)


def test_are_we_in_step(lead: Page) -> None:
    """No click."""
    for environment, said in (("local", "up to date"), ("staging", "1 behind"), ("production", "3 behind")):
        expect(lead.get_by_role("columnheader", name=re.compile(environment))).to_contain_text(said)


def test_what_exactly_differs(lead: Page) -> None:
    """One click."""
    lead.get_by_text("Only differences").click()
    rows = lead.locator("tbody tr[data-key]")
    expect(rows).to_have_count(3)
    expect(lead.locator("tbody")).to_contain_text("003_add_email.sql")
    expect(lead.locator("tbody")).not_to_contain_text("001_create_users.sql")
    cell = lead.locator('a[href="/migrations/003_add_email.sql#in-production"]')
    expect(cell).to_contain_text("pending")


def test_what_would_the_button_do(lead: Page) -> None:
    """One click."""
    lead.get_by_role("columnheader", name=re.compile("staging")).get_by_role("link").first.click()
    expect(lead.get_by_role("status").first).to_contain_text("Safe to apply: 1 file, brief locks only")
    expect(lead.get_by_role("heading", name="What would run, in this order")).to_be_visible()
    expect(lead.locator(".steps")).to_contain_text("005_create_tasks.sql")
    expect(lead.get_by_role("button", name="Apply 1 pending to staging")).to_be_visible()


def test_what_is_happening_now(
    lead: Page, address: str, services: Services, settings: Settings, write: Write, folder_path: Path
) -> None:
    """Two clicks."""
    write(folder_path, "006_slow.sql", "SELECT pg_advisory_lock_shared(77); SELECT 1;")
    url = settings.environment("staging").url
    assert url
    with psycopg.connect(url.reveal(), autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(77)")
        run_id = services.runs.ask("staging", Order(LEAD, force=True, reason="the gate of this test")).run_id
        worker = threading.Thread(target=services.runs.execute, args=(run_id,))
        worker.start()
        try:
            lead.goto(address)
            expect(lead.get_by_role("columnheader", name=re.compile("staging"))).to_contain_text("running")
            lead.get_by_role("columnheader", name=re.compile("staging")).get_by_role("link").first.click()
            lead.get_by_role("link", name="A run is going on").click()
            expect(lead.get_by_role("heading", level=1)).to_contain_text("to staging")
            expect(lead.locator(".run-files")).to_contain_text("006_slow.sql")
            expect(lead.get_by_role("button", name="Stop this run")).to_be_visible()
        finally:
            gate.execute("SELECT pg_advisory_unlock(77)")
            worker.join()
    expect(lead.get_by_role("heading", level=1)).to_contain_text("Applied 2 files to staging")


def test_what_happened_who_did_it_and_why(lead: Page, services: Services, settings: Settings) -> None:
    """Two clicks, and the day."""
    url = settings.environment("production").url
    assert url
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("DROP TABLE users")  # so that the run fails
    order = Order(LEAD, force=True, reason="014 moved what it held, ticket 4711")
    services.runs.execute(services.runs.ask("production", order).run_id)
    lead.reload()
    expect(lead.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon-failed"))
    lead.get_by_role("link", name="History").click()
    today = lead.evaluate("new Date().toLocaleDateString('sv')")
    for day, rows in (("2001-01-02", 0), (today, 1)):
        lead.get_by_label("From", exact=True).fill(day)
        lead.get_by_label("To, that day included").fill(day)
        lead.get_by_role("button", name="Filter").click()
        lead.wait_for_url(re.compile(f"from={day}&to={day}"))
        expect(lead.locator("table.history tr", has_text="failed")).to_have_count(rows)
    row = lead.locator("table.history tr", has_text="003_add_email.sql").first
    for said in ("failed", EMAILS[Role.ADMIN], "production", "forced, because: 014 moved what it held, ticket 4711"):
        expect(row).to_contain_text(said)
    expect(row.locator("time").first).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT"))
    row.get_by_role("link", name=re.compile("^The run of")).first.click()
    expect(lead.get_by_role("heading", level=1)).to_contain_text("Failed at 003_add_email.sql")
    expect(lead.locator("main")).to_contain_text("Forced, because: 014 moved what it held, ticket 4711")
    expect(lead.locator("main")).to_contain_text(f"asked for by {EMAILS[Role.ADMIN]}")
