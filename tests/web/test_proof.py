"""Protected environments: whoever has not proved lately who they are is asked again, and loses nothing typed."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.services.accounts import Accounts
from tests.cast import EMAILS, PASSWORD, Cast, Person, words
from tests.web.test_browser_axe import OPTIONS
from tests.web.test_environment import digest_on, nothing_runs, press
from tests.web.test_resolve import ask, decide, decisions, stopped  # noqa: F401  # fixtures

Home = psycopg.Connection[Any]
REASON = 'backup "taken" <today>'


@pytest.fixture
def old(in_home: Home) -> Callable[[], None]:
    """All sessions were proved too long ago."""

    def age() -> None:
        in_home.execute(
            "UPDATE home.session SET created_at = created_at - interval '11 minutes',"
            " proved_at = proved_at - interval '11 minutes'"
        )

    return age


@pytest.fixture
def admin(cast: Cast, three: tuple[str, ...], old: Callable[[], None]) -> Person:
    """An admin with a password, who signed in 11 minutes ago."""
    cast.services.accounts.set_password(EMAILS[Role.ADMIN], PASSWORD)
    person = cast.sign_in(EMAILS[Role.ADMIN])
    old()
    return person


def force(person: Person, **fields: str) -> TestResponse:
    return press(person, "production", "force", **{"confirm": "production", "reason": REASON} | fields)


def hidden(answer: TestResponse) -> dict[str, str]:
    """What the page sends again, as a browser reads it."""
    form = answer.text.partition("<h1>")[2]
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}


def go_on(person: Person, asked: TestResponse, proof: str = PASSWORD, path: str = "apply") -> TestResponse:
    """Answer the page that asks."""
    return person.client.post(f"/environments/production/{path}", data=hidden(asked) | {"proof": proof})


# --- what asks, and what does not ---


def test_an_old_sign_in_starts_nothing_on_a_protected_environment(admin: Person, services: Services) -> None:
    answer = force(admin)
    assert answer.status_code == 401
    assert "Is it still you?" in words(answer)
    assert nothing_runs(services)


def test_who_signed_in_just_now_is_not_asked(three: tuple[str, ...], cast: Cast) -> None:
    assert force(cast.admin).location.startswith("/runs/")


def test_environments_that_are_not_protected_never_ask(admin: Person) -> None:
    assert press(admin, "staging").location.startswith("/runs/")


def test_a_decision_about_a_file_asks_too(
    stopped: Callable[[str], None],  # noqa: F811  # the fixture
    ask: Callable[..., list[tuple[Any, ...]]],  # noqa: F811  # the fixture
    cast: Cast,
    old: Callable[[], None],
) -> None:
    stopped("production")
    cast.services.accounts.set_password(EMAILS[Role.ADMIN], PASSWORD)
    person = cast.sign_in(EMAILS[Role.ADMIN])
    old()
    asked = decide(person, "production", confirm="production")
    assert asked.status_code == 401
    assert decisions(ask, "production") == []
    assert go_on(person, asked, path="resolve").status_code == 303
    assert [row[2] for row in decisions(ask, "production")] == ["seen to"]


def test_a_rehearsal_asks_too(admin: Person) -> None:
    form = {"digest": digest_on(admin, "production")}
    asked = admin.post("/environments/production/rehearse", form)
    assert asked.status_code == 401
    assert go_on(admin, asked, path="rehearse").location.startswith("/rehearsals/")


def test_a_form_that_would_be_refused_is_refused_before_anybody_is_asked(admin: Person) -> None:
    answer = force(admin, confirm="prod")
    assert answer.status_code == 409
    assert "type its name" in words(answer)


# --- what the answer does ---


def test_the_password_does_what_was_asked_for_with_all_that_was_typed(admin: Person, services: Services) -> None:
    asked = force(admin)
    assert REASON in words(asked)
    answer = go_on(admin, asked)
    assert answer.location.startswith("/runs/")
    run = services.runs.newest()[0]
    assert (run.environment, run.order.reason, run.order.force) == ("production", REASON, True)
    assert [(row.deed, row.environment, row.outcome) for row in services.audit.newest(2)] == [
        ("run asked for", "production", "done"),
        ("identity proved", "production", "done"),
    ]


def test_a_wrong_password_starts_nothing_keeps_everything_and_is_in_the_audit(
    admin: Person, services: Services
) -> None:
    asked = force(admin)
    answer = go_on(admin, asked, "not the password")
    assert answer.status_code == 401
    assert "That did not fit" in words(answer)
    assert hidden(answer).items() >= {"reason": REASON, "confirm": "production", "mode": "force"}.items()
    assert "not the password" not in answer.text
    assert nothing_runs(services)
    row = services.audit.newest(1)[0]
    assert (row.deed, row.who, row.outcome) == ("identity proved", EMAILS[Role.ADMIN], "refused")
    assert go_on(admin, answer).status_code == 303


def test_what_is_no_proof_starts_nothing(admin: Person, services: Services) -> None:
    asked = force(admin)
    for proof in ("", "x" * 2000, "é" * 600, PASSWORD + " ", PASSWORD.upper()):
        assert go_on(admin, asked, proof).status_code == 401
    assert nothing_runs(services)


def test_after_many_wrong_tries_the_right_one_waits_and_still_nothing_is_lost(
    admin: Person, services: Services
) -> None:
    asked = force(admin)
    statuses = [go_on(admin, asked, f"wrong {number}").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = go_on(admin, asked)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert hidden(answer)["reason"] == REASON
    assert nothing_runs(services)


def test_a_proof_counts_for_the_next_acts_and_then_is_too_old(admin: Person, old: Callable[[], None]) -> None:
    go_on(admin, force(admin))
    rehearse = {"digest": digest_on(admin, "production")}
    assert admin.post("/environments/production/rehearse", rehearse).status_code == 303
    old()
    assert admin.post("/environments/production/rehearse", rehearse).status_code == 401


def test_the_session_goes_on_under_another_token_and_the_old_one_is_dead(admin: Person) -> None:
    before = admin.client.get_cookie("rung")
    go_on(admin, force(admin))
    after = admin.client.get_cookie("rung")
    assert before
    assert after
    assert before.value != after.value
    assert admin.get("/").status_code == 200
    admin.client.set_cookie("rung", before.value)
    assert admin.get("/").status_code == 302


def test_a_proof_makes_no_session_live_longer(admin: Person, in_home: Home) -> None:
    go_on(admin, force(admin))
    in_home.execute("UPDATE home.session SET created_at = created_at - interval '7 hours 50 minutes'")
    assert admin.get("/").status_code == 302


def test_the_proof_in_one_browser_counts_in_no_other(admin: Person, cast: Cast, old: Callable[[], None]) -> None:
    other = cast.sign_in(EMAILS[Role.ADMIN])
    old()
    go_on(admin, force(admin))
    form = {"digest": digest_on(other, "production")}
    assert other.post("/environments/production/rehearse", form).status_code == 401


# --- accounts that only links open ---


def test_without_a_password_a_new_link_is_the_proof_once(
    three: tuple[str, ...], cast: Cast, old: Callable[[], None], services: Services
) -> None:
    person = cast.admin
    old()
    asked = force(person)
    assert f"rung user link {EMAILS[Role.ADMIN]}" in words(asked)
    link = f"https://rung.example.com/sign-in/link/{services.accounts.make_link(EMAILS[Role.ADMIN])} "
    assert go_on(person, asked, link).location.startswith("/runs/")
    old()
    form = {"digest": digest_on(person, "production")}
    asked = person.post("/environments/production/rehearse", form)
    assert go_on(person, asked, link, "rehearse").status_code == 401


@pytest.mark.usefixtures("signed_in")
def test_the_link_of_somebody_else_is_no_proof_and_is_not_used_up(
    three: tuple[str, ...], cast: Cast, old: Callable[[], None], services: Services
) -> None:
    old()
    link = services.accounts.make_link(EMAILS[Role.OPERATOR])
    assert go_on(cast.admin, force(cast.admin), link).status_code == 401
    assert nothing_runs(services)
    assert services.accounts.redeem(link) is not None


def test_a_session_that_ended_meanwhile_is_not_renewed(cast: Cast) -> None:
    accounts: Accounts = cast.services.accounts
    accounts.set_password(EMAILS[Role.ADMIN], PASSWORD)
    token = accounts.sign_in(EMAILS[Role.ADMIN], PASSWORD)
    assert token
    visitor = accounts.visitor(token)
    assert visitor
    accounts.sign_out(token)
    assert accounts.prove(visitor, PASSWORD, "production") is None


# --- in a browser ---


def asked_in(page: Page, address: str, cast: Cast, old: Callable[[], None]) -> None:
    """Sign in, let ten minutes pass, and force."""
    cast.services.accounts.set_password(EMAILS[Role.ADMIN], PASSWORD)
    page.goto(f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.ADMIN])}")
    page.get_by_role("button", name="Sign in").click()
    old()
    page.goto(f"{address}/environments/production")
    page.get_by_text("Apply past the gate").click()
    form = page.locator("form", has=page.get_by_label("Reason, for the history"))
    form.get_by_label("Reason, for the history").fill(REASON)
    form.get_by_role("textbox", name="Type production to confirm").fill("production")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading", name="Is it still you?")).to_be_visible()
    expect(page.get_by_label("Password of admin@example.com")).to_be_focused()


@pytest.mark.browser
def test_the_page_works_without_scripts_and_by_keyboard(
    browser: Browser, address: str, three: tuple[str, ...], cast: Cast, old: Callable[[], None]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked_in(page, address, cast, old)
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text(REASON)).to_be_visible()
    context.close()


@pytest.mark.browser
def test_axe_finds_nothing_where_somebody_is_asked_again(
    page: Page, address: str, three: tuple[str, ...], cast: Cast, old: Callable[[], None]
) -> None:
    asked_in(page, address, cast, old)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        assert Axe().run(page, options=OPTIONS).response["violations"] == []
