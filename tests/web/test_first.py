"""The first admin's account: only with the bootstrap secret, only while nobody has an account."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page, expect
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.environment import Secret
from dashboard.core.errors import NotFound, UnsafeConfiguration
from dashboard.settings import Settings, load
from dashboard.web import create_app
from tests.cast import PASSWORD, Person, words
from tests.web.conftest import serving
from tests.web.test_browser_axe import OPTIONS

SECRET = "canary-of-the-beginning"
EMAIL = "first@example.com"


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    built = build(replace(settings, bootstrap_secret=Secret(SECRET)))
    yield built
    built.close()


@pytest.fixture
def app(services: Services) -> Flask:
    made = create_app(services)
    made.testing = False
    return made


@pytest.fixture
def stranger(app: Flask) -> Person:
    return Person(app.test_client())


def begin(person: Person, secret: str = SECRET, email: str = EMAIL, password: str = PASSWORD) -> TestResponse:
    return person.post("/first-admin", {"secret": secret, "email": email, "password": password}, page="/first-admin")


# --- refused ---


def test_a_wrong_secret_makes_nothing(stranger: Person, services: Services) -> None:
    for secret in ("", SECRET + " ", SECRET.upper(), SECRET[:-1], "é" * 500):
        answer = begin(stranger, secret)
        assert answer.status_code == 403
        assert "Nothing was made" in words(answer)
        assert f'value="{EMAIL}"' in answer.text
    assert services.accounts.is_empty()
    row = services.audit.newest(1)[0]
    assert (row.deed, row.outcome, row.detail) == ("account added", "refused", "wrong bootstrap secret")
    assert stranger.get("/").status_code == 302


def test_after_many_wrong_ones_the_right_one_has_to_wait(stranger: Person, services: Services) -> None:
    assert [begin(stranger, f"wrong {number}").status_code for number in range(6)] == [403] * 5 + [429]
    answer = begin(stranger)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert services.accounts.is_empty()


def test_wrong_secrets_keep_nobody_from_signing_in(stranger: Person, services: Services) -> None:
    for number in range(6):
        begin(stranger, f"wrong {number}")
    assert services.accounts.wait("bootstrap", address="127.0.0.1") == 0
    assert services.accounts.wait("\0bootstrap", address="127.0.0.1") == 0


@pytest.mark.parametrize(
    ("email", "password", "why"),
    [
        (EMAIL, "admin", "fewer than 8 characters"),
        (EMAIL, "password", "tried first"),
        (EMAIL, "first@example.com", "tried first"),
        ("nobody", PASSWORD, "is not an e-mail address"),
    ],
)
def test_what_is_no_account_is_refused_and_may_be_tried_again(
    stranger: Person, services: Services, email: str, password: str, why: str
) -> None:
    answer = begin(stranger, email=email, password=password)
    assert answer.status_code == 409
    assert why in words(answer)
    assert services.accounts.is_empty()
    assert begin(stranger).status_code == 303


def test_once_anybody_has_an_account_the_page_is_gone(stranger: Person, services: Services) -> None:
    token = stranger.token("/first-admin")
    services.accounts.add("other@example.com", None, Role.VIEWER)
    services.accounts.set_enabled("other@example.com", enabled=False)
    assert stranger.get("/first-admin").status_code == 404
    form = {"csrf": token, "secret": SECRET, "email": EMAIL, "password": PASSWORD}
    assert stranger.client.post("/first-admin", data=form).status_code == 404
    assert not services.accounts.exists(EMAIL)
    assert "first admin" not in stranger.read("/sign-in").lower()


def test_without_a_configured_secret_nothing_is_made_and_the_page_says_how(settings: Settings) -> None:
    built = build(settings)
    person = Person(create_app(built).test_client())
    for answer in (person.get("/first-admin"), person.client.post("/first-admin", data={"secret": ""})):
        assert answer.status_code == 403
        assert "rung user add" in words(answer)
    assert "Nobody has an account yet" not in person.read("/sign-in")
    built.close()


def test_a_form_from_elsewhere_makes_nothing(stranger: Person, services: Services) -> None:
    form = {"secret": SECRET, "email": EMAIL, "password": PASSWORD}
    assert stranger.client.post("/first-admin", data=form).status_code == 403
    answer = stranger.post("/first-admin", form, page="/first-admin", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert services.accounts.is_empty()


def test_longer_than_any_is_refused_before_it_is_compared(stranger: Person) -> None:
    assert begin(stranger, "x" * 1025).status_code == 400
    assert begin(stranger, password="x" * 1025).status_code == 400


@pytest.mark.parametrize("value", ["x", "x" * 15])
def test_a_short_secret_stops_the_start_and_names_the_variable(tmp_path: Path, value: str) -> None:
    shell = {"DATABASE_URL": "postgresql://h/d", "RUNG_BOOTSTRAP_SECRET": value}
    with pytest.raises(UnsafeConfiguration, match="RUNG_BOOTSTRAP_SECRET has fewer than 16 characters") as refused:
        load(shell, start=tmp_path)
    assert value * 2 not in str(refused.value)
    found = load(shell | {"RUNG_BOOTSTRAP_SECRET": "x" * 16}, start=tmp_path)
    assert found.bootstrap_secret
    assert "x" * 16 not in repr(found)


def test_who_comes_while_another_first_account_is_being_made_waits_and_is_refused(
    services: Services, home_url: Secret, in_home: psycopg.Connection[Any]
) -> None:
    ended: list[object] = []

    def come_second() -> None:
        try:
            services.accounts.add_first(EMAIL, PASSWORD)
        except NotFound as refused:
            ended.append(refused)

    with psycopg.connect(home_url.reveal()) as first:
        first.execute("INSERT INTO home.account (email) VALUES ('other@example.com')")
        second = threading.Thread(target=come_second)
        second.start()
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'home.account'::regclass)"
        while second.is_alive() and in_home.execute(waits).fetchone() == (False,):
            pass
    second.join()
    assert [one.email for one in services.accounts.everybody()] == ["other@example.com"]
    assert len(ended) == 1


# --- made ---


def test_the_right_secret_makes_an_admin_and_signs_in(stranger: Person, services: Services) -> None:
    assert "Make the first admin's" in stranger.read("/sign-in")
    assert begin(stranger, email=" First@Example.com ").location == "/"
    assert "People" in stranger.read("/")
    (one,) = services.accounts.everybody()
    assert (one.email, dict(one.roles)) == (EMAIL, {"*": "admin"})
    deeds = [(row.deed, row.outcome, row.detail) for row in services.audit.newest(2)]
    assert deeds == [
        ("sign-in", "done", ""),
        ("account added", "done", "as admin, the first, by the bootstrap secret"),
    ]


@pytest.mark.browser
def test_the_page_is_found_filled_in_and_axe_finds_nothing(page: Page, app: Flask) -> None:
    with serving(app) as address:
        page.goto(f"{address}/sign-in")
        page.get_by_role("link", name="Make the first admin's").click()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            assert Axe().run(page, options=OPTIONS).response["violations"] == []
        page.keyboard.type(SECRET)
        page.get_by_label("Your e-mail").fill(EMAIL)
        page.get_by_label("A password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_text(EMAIL)).to_be_visible()
