"""What ends a session, seen from the browser; and that a broken cookie is only a sign-in page, never a fault."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.postgres.home.accounts import TRIES, TRIES_EVERYWHERE, WINDOW
from dashboard.services.accounts import Accounts
from tests.cast import EMAILS, PASSWORD, Cast, Person

Home = psycopg.Connection[Any]
LEAD = "lead@example.com"
FRAGMENT = "/fragments/ladder"


def cookie_of(person: Person) -> str:
    cookie = person.client.get_cookie("rung")
    assert cookie
    return str(cookie.value)


def is_out(app: Flask, header: str) -> bool:
    """Whether a page, a fragment and a form all take the bearer of this cookie header for a stranger."""
    client = app.test_client(use_cookies=False)
    page, fragment = (client.get(path, headers={"Cookie": header}) for path in ("/history", FRAGMENT))
    form = client.post("/environments/staging/apply", headers={"Cookie": header}, data={"mode": "all"})
    statuses = (page.status_code, fragment.status_code, form.status_code)
    assert statuses in ((302, 401, 401), (200, 200, 403)), statuses
    return statuses == (302, 401, 401)


@pytest.fixture
def token(cast: Cast) -> str:
    """A session of the operator, as somebody who copied the cookie has it."""
    return cookie_of(cast.operator)


def test_a_copied_cookie_opens_everything_while_the_session_lasts(app: Flask, token: str) -> None:
    assert not is_out(app, f"rung={token}")


# --- broken cookies ---

BROKEN: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "truncated": lambda token: token[:-1],
    "longer": lambda token: token + "A",
    "first letter changed": lambda token: ("A" if token[0] != "A" else "B") + token[1:],
    "last letter changed": lambda token: token[:-1] + ("A" if token[-1] != "A" else "8"),
    "other case": lambda token: token.swapcase(),
    "8 KB": lambda _: "x" * 8192,
    "not ASCII": lambda _: "\xe9\xff\xc3",
    "half a character": lambda _: "\xed\xa0\x80",
    "quoted control characters": lambda _: '"\\000\\015\\012"',
    "SQL": lambda _: "' OR true --",
    "another cookie in it": lambda token: f"x, rung={token}",
    "the hash that home keeps": lambda token: hashlib.sha256(token.encode()).hexdigest(),
}


def test_a_broken_cookie_is_a_stranger_and_never_a_fault(app: Flask, token: str) -> None:
    for kind, broken in BROKEN.items():
        assert is_out(app, f"rung={broken(token)}"), kind


@pytest.mark.parametrize("name", ["rung-guest", "rung-theme"])
def test_the_other_cookies_may_be_broken_too_and_are_not_sent_back(bare: Flask, name: str) -> None:
    client = bare.test_client(use_cookies=False)
    for kind, broken in BROKEN.items():
        answer = client.get("/sign-in", headers={"Cookie": f"{name}={broken('abc')}"})
        assert answer.status_code == 200, kind
        assert re.search(r"rung-guest=[\w-]{43};", answer.headers["Set-Cookie"]), kind


def test_the_cookie_under_another_name_is_no_session(app: Flask, token: str) -> None:
    assert is_out(app, f"__Host-rung={token}; session={token}")


# --- what ends a session ---


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE home.session SET seen_at = seen_at - interval '30 minutes 1 second'",
        "UPDATE home.session SET created_at = created_at - interval '8 hours'",
        "UPDATE home.session SET created_at = created_at - interval '8 hours', proved_at = now()",
        "UPDATE home.account SET disabled_at = now()",
    ],
    ids=["idle for too long", "too old", "too old, and proved again just now", "disabled past Rung"],
)
def test_home_alone_decides_when_it_ends(app: Flask, token: str, in_home: Home, change: str) -> None:
    in_home.execute(change)
    assert is_out(app, f"rung={token}")


def test_signing_out_ends_it_also_for_who_copied_the_cookie(app: Flask, cast: Cast, token: str) -> None:
    cast.operator.post("/sign-out")
    assert is_out(app, f"rung={token}")


def test_disabling_ends_it_at_once_and_enabling_brings_nothing_back(
    app: Flask, cast: Cast, services: Services, token: str
) -> None:
    form = {"email": EMAILS[Role.OPERATOR], "enabled": "no"}
    assert cast.admin.post("/people/admit", form, page="/people").status_code == 200
    assert is_out(app, f"rung={token}")
    services.accounts.set_enabled(EMAILS[Role.OPERATOR], enabled=True)
    assert is_out(app, f"rung={token}")


def test_a_reset_by_an_admin_ends_it(app: Flask, cast: Cast, token: str) -> None:
    assert cast.admin.post("/people/reset", {"email": EMAILS[Role.OPERATOR]}, page="/people").status_code == 200
    assert is_out(app, f"rung={token}")


def test_a_new_password_ends_all_others_at_once(app: Flask, cast: Cast, token: str) -> None:
    second = cast.sign_in(EMAILS[Role.OPERATOR])
    form = {"present": "", "new": PASSWORD, "again": PASSWORD}
    assert second.post("/account/password", form, page="/account").status_code == 303
    assert is_out(app, f"rung={token}")
    assert not is_out(app, f"rung={cookie_of(second)}")


def test_a_lowered_role_counts_at_the_next_request_without_a_new_sign_in(cast: Cast) -> None:
    form = {"email": EMAILS[Role.OPERATOR], "role": "viewer"}
    page = "/people"
    assert cast.operator.post("/environments/staging/apply").status_code != 403
    assert cast.admin.post("/people/role", form, page=page).status_code == 200
    assert cast.operator.post("/environments/staging/apply").status_code == 403
    assert cast.admin.post("/people/role", form | {"role": "none"}, page=page).status_code == 200
    assert cast.operator.get("/history").status_code == 403


def test_an_admin_who_is_none_any_more_manages_nobody(cast: Cast, services: Services) -> None:
    services.accounts.set_role(EMAILS[Role.ADMIN], Role.OPERATOR)
    assert cast.admin.get("/people").status_code == 403
    form = {"email": EMAILS[Role.VIEWER], "role": "admin"}
    assert cast.admin.post("/people/role", form).status_code == 403
    assert dict(next(one for one in services.accounts.everybody() if one.email == EMAILS[Role.VIEWER]).roles) == {
        "*": "viewer"
    }


# --- tries that failed ---


def tries(accounts: Accounts, number: int, address: Callable[[int], str]) -> list[float]:
    """How long one has to wait after each of so many wrong passwords."""
    waits = []
    for turn in range(number):
        assert accounts.sign_in(LEAD, "not the password", address=address(turn)) is None
        waits.append(accounts.wait(LEAD, address=address(turn)))
    return waits


@pytest.fixture
def accounts(services: Services) -> Accounts:
    services.accounts.add(LEAD, PASSWORD, Role.OPERATOR)
    services.accounts.add("other@example.com", PASSWORD, Role.OPERATOR)
    return services.accounts


def test_from_one_place_even_the_right_password_waits_and_others_do_not(accounts: Accounts) -> None:
    waits = tries(accounts, TRIES, lambda _: "192.0.2.1")
    assert [wait > 0 for wait in waits] == [False] * (TRIES - 1) + [True]
    assert accounts.sign_in(LEAD, PASSWORD, address="192.0.2.1") is None
    assert accounts.sign_in("other@example.com", PASSWORD, address="192.0.2.1")
    assert accounts.sign_in(LEAD, PASSWORD, address="192.0.2.2")


def test_from_many_places_one_account_waits_for_everybody(accounts: Accounts, in_home: Home) -> None:
    in_home.execute(
        "INSERT INTO home.sign_in_failure (who, address)"
        " SELECT pg_catalog.sha256(%s::text::bytea), '192.0.2.' || place"
        " FROM pg_catalog.generate_series(1, %s) AS place",
        (LEAD, TRIES_EVERYWHERE - 1),
    )
    assert accounts.wait(LEAD, address="198.51.100.1") == 0
    tries(accounts, 1, lambda _: "198.51.100.2")
    assert accounts.wait(LEAD, address="198.51.100.3") > 0
    assert accounts.sign_in(LEAD, PASSWORD, address="198.51.100.3") is None
    assert accounts.sign_in("other@example.com", PASSWORD, address="198.51.100.3")


def test_waiting_ends_and_is_no_lock_for_good(accounts: Accounts, in_home: Home) -> None:
    tries(accounts, TRIES, lambda _: "192.0.2.1")
    assert accounts.sign_in(LEAD, PASSWORD, address="192.0.2.1") is None
    in_home.execute("UPDATE home.sign_in_failure SET at = at - pg_catalog.make_interval(secs => %s)", (WINDOW + 1,))
    assert accounts.sign_in(LEAD, PASSWORD, address="192.0.2.1")


def test_who_is_kept_waiting_still_comes_in_by_a_link(cast: Cast, accounts: Accounts) -> None:
    tries(accounts, TRIES, lambda _: "127.0.0.1")
    assert cast.sign_in(LEAD).get("/history").status_code == 200


# --- the cookie itself ---


def test_no_page_shows_the_token(cast: Cast) -> None:
    token = cookie_of(cast.operator)
    for path in ("/", "/history", "/account", "/environments/staging"):
        assert token not in cast.operator.get(path).text
