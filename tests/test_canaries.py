"""Whoever watches over the secrets of all tests has to notice one."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask, Response

from dashboard.core.environment import Secret
from tests.canaries import Canaries

log = logging.getLogger("rung.tests")
CANARY = "quite/a secret~of these tests"
FORMS = (CANARY, "quite%2Fa%20secret~of%20these%20tests", CANARY.encode().hex())


@pytest.fixture
def told(no_secret_comes_out: Canaries) -> Iterator[list[str]]:
    """What is found in this test, which does not count at the end."""
    begun = len(no_secret_comes_out.found)
    no_secret_comes_out.learn(CANARY)
    yield no_secret_comes_out.found
    del no_secret_comes_out.found[begun:]


@pytest.mark.parametrize("said", FORMS)
def test_a_secret_in_an_answer_is_noticed(told: list[str], said: str) -> None:
    app = Flask(__name__)
    app.add_url_rule("/body", "body", view_func=lambda: f"<p>{said}</p>")
    app.add_url_rule("/head", "head", view_func=lambda: Response("", headers={"Location": said}))
    for path in ("/body", "/head"):
        app.test_client().get(path)
        assert f"answer: GET {path}" in told[-1]


def test_a_session_in_a_later_answer_is_noticed(told: list[str]) -> None:
    app = Flask(__name__)
    app.add_url_rule("/in", "in", view_func=lambda: Response("", headers={"Set-Cookie": f"rung={'t' * 43}; HttpOnly"}))
    app.add_url_rule("/out", "out", view_func=lambda: "t" * 43)
    app.test_client().get("/in")
    assert not [line for line in told if "/in" in line]
    app.test_client().get("/out")
    assert "answer: GET /out" in told[-1]


def test_a_secret_in_the_log_is_noticed_wherever_it_stands(told: list[str]) -> None:
    before = len(told)
    log.warning("it is %s", CANARY)
    log.warning("it", extra={"reason": CANARY})
    try:
        raise ValueError(CANARY)  # noqa: TRY301  # it is the trace that is looked for
    except ValueError:
        log.exception("it")
    assert len(told) >= before + 3


def test_a_secret_that_a_database_is_to_keep_is_noticed(told: list[str], database: Secret) -> None:
    with psycopg.connect(database.reveal()) as connection:
        connection.execute("SELECT %s::text", (CANARY,))
    assert "database" in told[-1]


def test_the_password_of_an_address_is_learnt(told: list[str]) -> None:
    Secret("postgresql://rung:a-p4ssword-of-tests@127.0.0.1:1/nowhere")
    log.warning("a-p4ssword-of-tests")
    assert "log" in told[-1]
