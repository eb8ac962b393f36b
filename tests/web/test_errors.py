"""Error pages: what happened, what to do, a way on; never a trace, an address or a version."""

import html
import logging
import re
from dataclasses import replace

import pytest
from flask import Flask

from dashboard.bootstrap import build
from dashboard.core.environment import Secret
from dashboard.core.errors import ConnectionLost, HomeNotReady, HomeUnreachable, RungError, Unreachable, Unusable
from dashboard.settings import Settings
from dashboard.web import create_app, security
from tests.cast import Cast, words

SECRET = "kept-out-of-sight"
LOST = Secret(f"postgresql://rung:{SECRET}@127.0.0.1:1/home?application_name={SECRET}")


def break_a_page(app: Flask) -> None:
    def fault() -> str:
        raise ZeroDivisionError(SECRET)

    app.add_url_rule("/broken", view_func=security.open_to_all(fault))


def test_a_mistake_of_ours_is_a_page_with_a_reference_and_a_trace_in_the_log(
    bare: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    break_a_page(bare)
    with caplog.at_level(logging.ERROR):
        answer = bare.test_client().get("/broken")
    assert answer.status_code == 500
    assert "Something went wrong" in words(answer)
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    reference = words(answer).partition("say ")[2].split(".")[0].strip()
    assert reference in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_without_home_the_page_says_what_to_set(bare: Flask, settings: Settings) -> None:
    app = create_app(build(replace(settings, home=None)))
    answer = app.test_client(use_cookies=False).get("/", headers={"Cookie": "rung=x"})
    assert answer.status_code == 503
    assert "RUNG_HOME_URL" in words(answer)


def test_a_lost_home_says_so_without_its_password(settings: Settings) -> None:
    services = build(replace(settings, home=LOST))
    answer = create_app(services).test_client(use_cookies=False).get("/", headers={"Cookie": "rung=x"})
    assert answer.status_code == 503
    assert "Rung's own database does not answer" in words(answer)
    assert SECRET not in answer.text
    services.close()


@pytest.mark.parametrize(
    ("fault", "heading"),
    [
        (Unreachable("staging", "nobody listens", "Start it."), "staging does not answer"),
        (ConnectionLost("staging", "at COMMIT", "it is gone"), "staging does not answer"),
        (Unusable("staging", "it is a standby", "Ask the primary."), "staging cannot be used"),
        (Unreachable("home", "nobody listens", "Start it."), "home does not answer"),  # an environment of that name
        (HomeUnreachable("home", "nobody listens", "Start it."), "Rung's own database does not answer"),
        (HomeNotReady("it is not prepared"), "Rung's own database cannot be used"),
    ],
)
def test_a_database_at_fault_is_called_by_its_name(bare: Flask, fault: RungError, heading: str) -> None:
    def fail() -> str:
        raise fault

    bare.add_url_rule("/broken", view_func=security.open_to_all(fail))
    answer = bare.test_client().get("/broken")
    assert answer.status_code == 503
    assert re.findall(r"<h1[^>]*>([^<]+)</h1>", html.unescape(answer.text)) == [heading]


def test_a_page_that_is_not_there_has_a_way_back(cast: Cast) -> None:
    answer = cast.viewer.get("/no/such/page")
    assert answer.status_code == 404
    assert "There is nothing here" in words(answer)
    assert 'href="/"' in answer.text


def test_a_stranger_reads_an_error_page_without_a_menu(bare: Flask) -> None:
    answer = bare.test_client().get("/no/such/page")
    assert answer.status_code == 404
    assert "Sign out" not in words(answer)
    assert 'href="/sign-in"' in answer.text


def test_who_sends_too_much_is_not_taken_for_signed_out(cast: Cast) -> None:
    answer = cast.viewer.client.post("/sign-out", data={"csrf": "x" * 1_000_000})
    assert answer.status_code == 413
    assert "To the ladder" in words(answer)
    assert "Sign in" not in words(answer)


def test_an_address_with_markup_is_not_repeated(bare: Flask) -> None:
    assert "<img" not in bare.test_client().get("/<img src=x>").text


def test_a_piece_that_fails_is_a_short_text(cast: Cast) -> None:
    answer = cast.viewer.get("/fragments/environments/nowhere")
    assert (answer.status_code, answer.mimetype) == (404, "text/plain")


def test_what_is_not_allowed_says_which_way_is(cast: Cast) -> None:
    answer = cast.viewer.get("/sign-out")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_answers_do_not_name_the_software(bare: Flask) -> None:
    answer = bare.test_client().get("/sign-in")
    assert "Server" not in answer.headers
    assert "X-Powered-By" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/environments/staging", "/migrations/001_a.sql", "/history", "/runs/x"])
def test_no_secret_of_the_configuration_stands_on_a_page(settings: Settings, cast: Cast, path: str) -> None:
    urls = [environment.url.reveal() for environment in settings.environments if environment.url]
    page = cast.admin.get(path).text
    assert not [url for url in urls if url in page]
