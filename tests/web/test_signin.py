"""Signing in and out."""

import re
from urllib.parse import quote

import pytest
from flask import Flask, request

from dashboard.bootstrap import Services
from dashboard.core.access import LinkPurpose, Role
from dashboard.web.security import safe_next
from tests.cast import EMAILS, PASSWORD, Cast, Person, words

AWAY = [
    "//e", "/\\e", "/%09/e", "/%0a/e", "/%0d%0aX:1", "https:e", "https:/e", "https://e", "////e", "/;//e",
    "javascript:alert(1)", "%2f%2fe", "/../..//e", "/\t/e", "\\\\e", "e.example", "/nowhere", "/static/x",
    "/fragments/ladder", "/sign-in", "/healthz", " /", "/\u202e", "", "/environments", "//localhost@e/history",
]  # fmt: skip


@pytest.fixture
def browser(cast: Cast) -> Person:
    """A browser that nobody is signed in with, and an account with a password."""
    cast.services.accounts.add("lead@example.com", PASSWORD, Role.OPERATOR)
    return Person(cast.app.test_client())


def sign_in(
    browser: Person, password: str = PASSWORD, email: str = "lead@example.com", path: str = "/sign-in"
):  # a response
    return browser.post(path, {"email": email, "password": password}, page="/sign-in")


# --- what does not let anybody in ---


def test_a_wrong_password_and_an_unknown_address_read_the_same(browser: Person) -> None:
    wrong, unknown = sign_in(browser, "not the password"), sign_in(browser, email="nobody@example.com")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "That did not work" in words(wrong)
    assert words(wrong) == words(unknown)


def test_a_form_without_its_token_signs_nobody_in(browser: Person) -> None:
    answer = browser.client.post("/sign-in", data={"email": "lead@example.com", "password": PASSWORD})
    assert answer.status_code == 403
    assert browser.get("/").status_code == 302


def test_the_token_of_another_browser_signs_nobody_in(browser: Person, cast: Cast) -> None:
    token = Person(cast.app.test_client()).token("/sign-in")
    data = {"email": "lead@example.com", "password": PASSWORD, "csrf": token}
    assert browser.client.post("/sign-in", data=data).status_code == 403


def test_a_form_sent_from_elsewhere_signs_nobody_in(browser: Person) -> None:
    answer = browser.post(
        "/sign-in",
        {"email": "lead@example.com", "password": PASSWORD},
        page="/sign-in",
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403


def test_a_password_longer_than_any_is_refused_before_it_is_hashed(browser: Person) -> None:
    assert sign_in(browser, "x" * 1025).status_code == 400
    assert sign_in(browser, "é" * 600).status_code == 400
    assert sign_in(browser, email="x" * 250 + "@example.com").status_code == 400


def test_after_many_wrong_tries_the_right_password_has_to_wait(browser: Person) -> None:
    statuses = [sign_in(browser, f"wrong {number}").status_code for number in range(12)]
    assert 429 in statuses
    blocked = sign_in(browser)
    assert blocked.status_code == 429
    assert int(blocked.headers["Retry-After"]) > 0
    assert "one-time link still works" in words(blocked)


def test_a_link_that_was_used_says_so(browser: Person, services: Services) -> None:
    link = f"/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER])}"
    assert browser.post(link, page=link).status_code == 303
    again = Person(browser.client.application.test_client())
    answer = again.post(link, page=link)
    assert answer.status_code == 401
    assert "used already, or is too old" in words(answer)


def test_a_made_up_link_reads_like_a_used_one(browser: Person) -> None:
    assert browser.post("/sign-in/link/nonsense", page="/sign-in/link/nonsense").status_code == 401


# --- what does ---


def test_address_and_password_let_in(browser: Person) -> None:
    assert sign_in(browser).location == "/"
    assert "operator" in browser.read("/history")


@pytest.mark.parametrize("purpose", [LinkPurpose.INVITE, LinkPurpose.RESET])
def test_a_link_of_an_invitation_or_a_reset_leads_to_where_a_password_is_set(
    browser: Person, services: Services, purpose: LinkPurpose
) -> None:
    link = f"/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER], purpose)}"
    assert "After that, set a password." in browser.read(link)
    answer = browser.post(link, page=link)
    assert answer.location == "/account#password"
    assert "Set a password" in browser.read("/account")


def test_looking_at_a_link_does_not_use_it_up(browser: Person, services: Services) -> None:
    link = f"/sign-in/link/{services.accounts.make_link(EMAILS[Role.VIEWER])}"
    for _ in range(3):
        assert browser.get(link).status_code == 200
        browser.client.head(link)
    assert browser.post(link, page=link).location == "/"


def test_signing_in_begins_a_new_session_and_ends_the_old_one(browser: Person) -> None:
    sign_in(browser)
    first = browser.client.get_cookie("rung")
    sign_in_again = browser.client.post(
        "/sign-in", data={"email": "lead@example.com", "password": PASSWORD, "csrf": guest_token(browser)}
    )
    second = browser.client.get_cookie("rung")
    assert sign_in_again.status_code == 303
    assert first
    assert second
    assert first.value != second.value
    browser.client.set_cookie("rung", first.value)
    assert browser.get("/").status_code == 302


def guest_token(browser: Person) -> str:
    """The token of the sign-in page, which a signed-in browser gets, too."""
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/sign-in").text)
    assert found
    return found[1]


def test_signing_out_ends_the_session_at_the_server(cast: Cast) -> None:
    cookie = cast.viewer.client.get_cookie("rung")
    assert cookie
    assert cast.viewer.post("/sign-out").location == "/sign-in"
    cast.viewer.client.set_cookie("rung", cookie.value)
    assert cast.viewer.get("/").status_code == 302


def test_signing_in_leads_back_to_where_one_wanted_to_go(browser: Person) -> None:
    away = browser.get("/history?environment=staging&actor=a%20b")
    answer = sign_in(browser, path=away.location)
    assert answer.location == "/history?environment=staging&actor=a%20b"


def test_signing_in_never_leads_off_the_site(browser: Person, bare: Flask) -> None:
    for wanted in (*AWAY, *map(quote, AWAY)):
        with bare.test_request_context(f"/sign-in?next={quote(wanted)}"):
            assert safe_next(request.args.get("next")) == "/", wanted
    assert sign_in(browser, path="/sign-in?next=//evil.example").location == "/"


def test_the_page_teaches_how_to_get_a_link(browser: Person) -> None:
    assert "rung user link" in browser.read("/sign-in")
