"""What every request has to pass, and what every answer carries."""

import itertools
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.environment import Secret
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import EMAILS, Cast, Person

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
APPLY = "/environments/staging/apply"


@pytest.fixture
def public(settings: Settings) -> Services:
    """The same services behind a public https address."""
    return build(replace(settings, public_url="https://rung.example.com", secret_key=Secret("k" * 40)))


def cookies_of(answer: TestResponse) -> dict[str, str]:
    return {line.split("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}


# --- headers ---


def test_every_answer_carries_our_headers(three: tuple[str, ...], cast: Cast) -> None:
    for path in [
        "/",
        "/sign-in",
        "/history",
        "/nowhere",
        "/environments/staging",
        "/fragments/ladder",
        "/healthz",
        "/static/x",
    ]:
        headers = cast.viewer.get(path).headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Cookie" in headers["Vary"]


def test_strict_transport_only_where_there_is_transport_security(app: Flask, public: Services) -> None:
    assert "Strict-Transport-Security" not in app.test_client().get("/healthz").headers
    answer = create_app(public).test_client().get("/healthz", base_url="https://rung.example.com")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")


def test_no_page_holds_a_style_or_script_of_its_own(three: tuple[str, ...], cast: Cast) -> None:
    for path in ("/", "/environments/production", "/migrations/004_drop_is_admin.sql", "/history", "/sign-in"):
        page = cast.admin.get(path).text
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick" not in page
        assert page.count("<script") == 1


# --- cookies ---


def test_the_session_cookie_is_locked_to_this_host_where_it_can_be(public: Services) -> None:
    public.accounts.add("lead@example.com", None, Role.VIEWER)
    browser = create_app(public).test_client()
    base = "https://rung.example.com"
    link = f"/sign-in/link/{public.accounts.make_link('lead@example.com')}"
    person = Person(browser)
    browser.get(link, base_url=base)
    from tests.cast import TOKEN

    token = TOKEN.search(browser.get(link, base_url=base).text)
    assert token
    answer = person.client.post(link, base_url=base, data={"csrf": token[1]})
    cookie = cookies_of(answer)["__Host-rung"]
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    public.close()


def test_on_this_machine_the_cookie_has_a_plain_name(cast: Cast) -> None:
    browser = Person(cast.app.test_client())
    link = f"/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.VIEWER])}"
    cookie = cookies_of(browser.post(link, page=link))["rung"]
    assert "HttpOnly" in cookie
    assert "Secure" not in cookie


def test_a_broken_cookie_is_no_cookie(app: Flask) -> None:
    for cookie in ("", "x", "x" * 8000, "é€", "\x01", "%00", "a=b=c"):
        answer = app.test_client(use_cookies=False).get("/", headers={"Cookie": f"rung={cookie}"})
        assert answer.status_code == 302, cookie


# --- forms from elsewhere ---


def test_a_form_without_a_token_starts_nothing(three: tuple[str, ...], cast: Cast) -> None:
    answer = cast.admin.client.post(APPLY, data={"mode": "all"})
    assert answer.status_code == 403
    assert "Nothing was done" in answer.text
    assert not cast.services.runs.running()


def test_a_made_up_token_starts_nothing(three: tuple[str, ...], cast: Cast) -> None:
    for token in ["x", ".", "a.b", "é.é", "x" * 5000]:
        assert cast.admin.client.post(APPLY, data={"csrf": token}).status_code == 403


def test_the_token_of_another_session_starts_nothing(three: tuple[str, ...], cast: Cast) -> None:
    answer = cast.admin.client.post(APPLY, data={"csrf": cast.operator.token()})
    assert answer.status_code == 403


def test_a_form_sent_from_elsewhere_starts_nothing_even_with_the_token(three: tuple[str, ...], cast: Cast) -> None:
    for headers in [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    ]:
        assert cast.admin.post(APPLY, headers=headers).status_code == 403


def test_a_form_of_our_own_gets_through(three: tuple[str, ...], cast: Cast) -> None:
    for headers in [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ]:
        assert cast.admin.post(APPLY, headers=headers).status_code == 409  # an empty form, told so


def test_every_page_has_a_token_that_looks_different(cast: Cast) -> None:
    assert cast.viewer.token() != cast.viewer.token()


def test_nothing_turns_a_get_into_a_post(three: tuple[str, ...], cast: Cast) -> None:
    for how in [{"headers": {"X-HTTP-Method-Override": "POST"}}, {"query_string": {"_method": "POST"}}]:
        assert cast.admin.get(APPLY, **how).status_code == 405


def test_what_changes_something_takes_post_only(three: tuple[str, ...], cast: Cast) -> None:
    token = cast.admin.token()
    for path, method in itertools.product(
        (APPLY, "/runs/x/stop", "/sign-out"), ("GET", "HEAD", "PUT", "DELETE", "PATCH")
    ):
        answer = cast.admin.client.open(path, method=method, data={"csrf": token})
        assert answer.status_code == 405, (method, path)
    assert cast.admin.get("/").status_code == 200  # still signed in


# --- hosts ---


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_another_host_name_is_refused(bare: Flask, host: str) -> None:
    answer = bare.test_client().get("/sign-in", headers={"Host": host})
    assert answer.status_code == 400
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_this_machine_is_always_ours(bare: Flask, host: str) -> None:
    assert bare.test_client().get("/sign-in", headers={"Host": host}).status_code == 200


def test_the_public_address_is_ours(public: Services) -> None:
    client = create_app(public).test_client()
    assert client.get("/sign-in", base_url="https://rung.example.com").status_code == 200
    assert client.get("/sign-in", base_url="https://other.example.com").status_code == 400
    public.close()


def test_forwarded_headers_change_nothing(app: Flask) -> None:
    answer = app.test_client().get(
        "/", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"}
    )
    assert answer.location == "/sign-in"


def test_health_needs_no_sign_in_no_host_and_no_database(settings: Settings) -> None:
    lost = build(replace(settings, home=Secret("postgresql://rung@127.0.0.1:1/nowhere")))
    answer = create_app(lost).test_client().get("/healthz", headers={"Host": "10.0.0.7"})
    assert (answer.status_code, answer.text) == (200, "ok\n")


# --- sizes and shapes ---


def test_a_nul_byte_is_a_bad_request(three: tuple[str, ...], cast: Cast) -> None:
    for path in ["/history?actor=%00", "/history?before=%00", "/?q=%00", "/migrations/a%00", "/runs/%00"]:
        assert cast.viewer.get(path).status_code == 400


def test_a_nul_byte_in_a_form_is_a_bad_request(three: tuple[str, ...], cast: Cast) -> None:
    assert cast.admin.post(APPLY, {"reason": "a\0b"}).status_code == 400


def test_a_form_of_a_megabyte_is_refused_at_once(cast: Cast) -> None:
    assert cast.admin.client.post(APPLY, data={"reason": "x" * 1_000_000}).status_code == 413
