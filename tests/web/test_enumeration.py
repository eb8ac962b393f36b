"""No door tells a stranger who has an account: not by what it answers, and not by how long it takes."""

import re
import statistics
import time
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from flask import Flask
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.postgres.home.accounts import TRIES
from tests.cast import EMAILS, PASSWORD, Cast, Person

WRONG = "not the password of anybody"
KNOWN = {"with a password": "lead@example.com", "disabled": "gone@example.com", "by links": EMAILS[Role.VIEWER]}
UNKNOWN = "nobody@example.com"
DOORS = {**KNOWN, "unknown": UNKNOWN, "no address": "nonsense"}
CHANCE = re.compile(r'name="csrf" value="[^"]+"')


@pytest.fixture
def stranger(app: Flask, cast: Cast, services: Services) -> Person:
    for email in ("lead@example.com", "gone@example.com"):
        services.accounts.add(email, PASSWORD, Role.OPERATOR)
    services.accounts.set_enabled("gone@example.com", enabled=False)
    person = Person(app.test_client())
    person.get("/sign-in")  # so that none of the answers is the first one
    return person


def knock(stranger: Person, email: str, password: str = WRONG, address: str = "192.0.2.1") -> TestResponse:
    form = {"email": email, "password": password, "csrf": stranger.token("/sign-in")}
    return stranger.client.post("/sign-in", data=form, environ_base={"REMOTE_ADDR": address})


def seen(answer: TestResponse, *own: str) -> tuple[Any, ...]:
    """All that a stranger sees of an answer, but for chance and what they sent themselves."""
    body = CHANCE.sub("", answer.text)
    for text in own:
        body = body.replace(text, "…")
    changing = ("Content-Length", "Set-Cookie", "Rung-Request", "Retry-After", "Date")
    cookies = [re.sub("=[^;]*", "", line, count=1) for line in answer.headers.getlist("Set-Cookie")]
    return answer.status_code, body, cookies, {k: v for k, v in answer.headers.items() if k not in changing}


def test_every_address_gets_the_same_answer_also_when_tries_are_too_many(stranger: Person) -> None:
    refused = {door: seen(knock(stranger, email), email) for door, email in DOORS.items()}
    assert {answer[0] for answer in refused.values()} == {401}
    assert all(answer == refused["unknown"] for answer in refused.values())
    for _ in range(TRIES - 1):
        assert {knock(stranger, email).status_code for email in DOORS.values()} == {401}
    late = {door: seen(knock(stranger, email), email) for door, email in DOORS.items()}
    assert {answer[0] for answer in late.values()} == {429}
    assert all(answer == late["unknown"] for answer in late.values())


def test_the_right_password_of_who_is_not_let_in_reads_like_a_wrong_one(stranger: Person) -> None:
    right, wrong = (seen(knock(stranger, KNOWN["disabled"], one), KNOWN["disabled"]) for one in (PASSWORD, WRONG))
    assert right == wrong == seen(knock(stranger, UNKNOWN), UNKNOWN)


def test_every_address_costs_one_hash_of_todays_parameters(stranger: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    verify = PasswordHasher.verify

    def count(self: PasswordHasher, hashed: str, password: str) -> bool:
        verified.append(hashed.rpartition("$")[0].rpartition("$")[0])
        return verify(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", count)
    for door, email in DOORS.items():
        knock(stranger, email)
        assert verified == ["$argon2id$v=19$m=47104,t=1,p=1"], door
        verified.clear()


@pytest.mark.slow  # five addresses, fifty times each
def test_every_address_takes_the_same_time(stranger: Person, in_home: psycopg.Connection[Any]) -> None:
    took: dict[str, list[float]] = {door: [] for door in DOORS}
    knock(stranger, UNKNOWN)  # which loads what is loaded once
    for turn in range(50):
        in_home.execute("TRUNCATE home.sign_in_failure")
        doors = [*DOORS.items()]
        for door, email in doors[turn % 5 :] + doors[: turn % 5]:  # so that what else goes on here slows all of them
            form = {"email": email, "password": WRONG, "csrf": stranger.token("/sign-in")}
            begun = time.perf_counter()
            assert stranger.client.post("/sign-in", data=form).status_code == 401
            took[door].append(time.perf_counter() - begun)
    medians = {door: statistics.median(times) for door, times in took.items()}
    assert max(medians.values()) < 1.1 * min(medians.values()), medians


def test_a_link_that_opens_nothing_does_not_tell_why(
    stranger: Person, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    links = {
        "used": services.accounts.make_link("lead@example.com"),
        "disabled": services.accounts.make_link(EMAILS[Role.OPERATOR]),
        "too old": services.accounts.make_link(EMAILS[Role.ADMIN]),
        "made up": "x" * 43,
    }
    services.accounts.redeem(links["used"])
    services.accounts.set_enabled(EMAILS[Role.OPERATOR], enabled=False)
    in_home.execute("UPDATE home.link SET expires_at = pg_catalog.now() - interval '1 second'")

    def open_link(token: str) -> tuple[Any, ...]:
        csrf, path = stranger.token("/sign-in"), f"/sign-in/link/{token}"
        return seen(stranger.get(path), token), seen(stranger.client.post(path, data={"csrf": csrf}), token)

    answers = {why: open_link(token) for why, token in links.items()}
    assert answers["made up"][1][0] == 401
    for why, answer in answers.items():
        assert answer == answers["made up"], why


def test_who_manages_nobody_learns_of_nobody(stranger: Person, cast: Cast) -> None:
    for path in ("/people/reset", "/people/invite", "/people/role", "/people/admit"):
        answers = [
            seen(cast.operator.post(path, {"email": email, "role": "viewer"}), email)
            for email in ("lead@example.com", UNKNOWN)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 403
