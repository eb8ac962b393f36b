import re
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Secret
from tests.cli.conftest import CANARY, Checkout


@pytest.fixture
def at_home(checkout: Checkout, home_url: Secret) -> Checkout:
    checkout.variables["RUNG_HOME_URL"] = home_url.reveal()
    return checkout


def test_without_a_home_it_says_what_to_set(checkout: Checkout) -> None:
    for words in (("add", "a@example.com"), ("link", "a@example.com"), ("list",), ("role", "a@example.com", "admin")):
        said = checkout.rung("user", *words, code=2)
        assert "RUNG_HOME_URL" in said.err


def test_a_home_that_does_not_answer_ends_with_4_or_1_and_names_no_password(checkout: Checkout) -> None:
    said = checkout.rung("user", "list", RUNG_HOME_URL=checkout.variables["GONE_URL"])
    assert said.code in (1, 4)
    assert "nothing listens" in said.err


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (("add", "nobody"), None, "'nobody' is not an e-mail address"),
        (("add", "a@example.com", "--password-stdin"), "short\n", "fewer than 8 characters"),
        (("add", "a@example.com", "--role", "king"), None, "'king' is not one of"),
        (("link", "stranger@example.com"), None, "no account called 'stranger@example.com'"),
        (("role", "stranger@example.com", "admin"), None, "no account called 'stranger@example.com'"),
        (("link", "a@example.com", "--minutes", "0"), None, "--minutes"),
    ],
)
def test_a_wrong_word_is_named(at_home: Checkout, words: tuple[str, ...], typed: str | None, said: str) -> None:
    heard = at_home.rung("user", *words, typed=typed)
    assert heard.code in (1, 2)
    assert said in heard.err


def test_somebody_is_let_in_listed_and_given_another_role(at_home: Checkout, in_home: object) -> None:
    assert "rung user add" in at_home.rung("user", "list", code=0).out
    said = at_home.rung(
        "user", "add", "Lead@Example.com", "--role", "operator", "--password-stdin", typed=CANARY, code=0
    )
    assert "rung user link" in said.out
    at_home.rung("user", "add", "admin@example.com", "--role", "admin", code=0)
    assert at_home.rung("user", "add", "lead@example.com").code == 1
    at_home.rung("user", "role", "lead@example.com", "viewer", code=0)
    lines = at_home.rung("user", "list", code=0).out.splitlines()
    assert re.match(r"admin@example.com +admin +one-time links +20.+ UTC", lines[1])
    assert re.match(r"lead@example.com +viewer +password or one-time link +20.+ UTC", lines[2])
    document = at_home.rung("user", "list", "--json", code=0).json
    assert document[1]["roles"] == {"*": "viewer"}


def test_a_link_is_an_address_of_the_dashboard(at_home: Checkout) -> None:
    at_home.rung("user", "add", "lead@example.com", code=0)
    said = at_home.rung("user", "link", "lead@example.com", "--minutes", "5", code=0)
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/sign-in/link/[\w-]{43}\n", said.out)
    assert "RUNG_PUBLIC_URL" in said.err
    elsewhere = 'public_url = "https://rung.example.com"\n' + (at_home.folder / "rung.toml").read_text()
    (at_home.folder / "rung.toml").write_text(elsewhere)
    told = at_home.rung("user", "link", "lead@example.com", code=0)
    assert told.out.startswith("https://rung.example.com/sign-in/")
    assert told.err == ""


def test_an_invitation_a_reset_and_the_end_of_an_account(at_home: Checkout, in_home: psycopg.Connection[Any]) -> None:
    invited = at_home.rung("user", "invite", "lead@example.com", "--role", "operator", code=0)
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/sign-in/link/[\w-]{43}\n", invited.out)
    in_home.execute("UPDATE home.account SET password_hash = 'x'")
    at_home.rung("user", "reset", "lead@example.com", code=0)
    assert in_home.execute("SELECT password_hash FROM home.account").fetchall() == [(None,)]
    links = "SELECT purpose, used_at IS NULL FROM home.link ORDER BY created_at"
    assert in_home.execute(links).fetchall() == [("invite", False), ("reset", True)]
    at_home.rung("user", "disable", "lead@example.com", code=0)
    assert in_home.execute(links).fetchall() == [("invite", False), ("reset", False)]
    assert "nothing: disabled" in at_home.rung("user", "list", code=0).out
    assert at_home.rung("user", "link", "lead@example.com").code == 2
    at_home.rung("user", "enable", "lead@example.com", code=0)
    assert "0 sessions" in at_home.rung("user", "sign-out", "lead@example.com", code=0).out
    deeds = in_home.execute("SELECT deed FROM home.audit ORDER BY id").fetchall()
    assert [deed for (deed,) in deeds] == [
        "account added", "link made", "password changed", "link made", "account disabled", "account enabled",
        "sessions ended",
    ]  # fmt: skip


def test_one_session_is_found_and_ended_and_the_others_go_on(
    at_home: Checkout, in_home: psycopg.Connection[Any]
) -> None:
    at_home.rung("user", "add", "lead@example.com", code=0)
    assert "signed in nowhere" in at_home.rung("user", "sessions", "lead@example.com", code=0).out
    in_home.execute(
        "INSERT INTO home.session (token_hash, account_id, address, agent)"
        " SELECT pg_catalog.sha256(name::bytea), id, '192.0.2.7', 'Mozilla/5.0 (X11; Linux) Firefox/140.0'"
        " FROM home.account, pg_catalog.unnest(ARRAY['one', 'two']) AS name"
    )
    listed = at_home.rung("user", "sessions", "lead@example.com", code=0).out
    assert listed.count("Firefox on Linux") == 2
    assert listed.count("192.0.2.7") == 2
    first, second = (row["name"] for row in at_home.rung("user", "sessions", "lead@example.com", "--json", code=0).json)
    for wrong in ("", first[:3], "f" * 12, "../x"):
        said = at_home.rung("user", "sign-out", "lead@example.com", "--session", wrong)
        assert said.code == 2, wrong
        assert "no session called" in said.err
    assert first[:12] in listed
    at_home.rung("user", "sign-out", "lead@example.com", "--session", first[:12], code=0)
    left = at_home.rung("user", "sessions", "lead@example.com", "--json", code=0).json
    assert [row["name"] for row in left] == [second]
    assert at_home.rung("user", "sessions", "stranger@example.com").code == 2


def test_a_role_for_one_environment_is_given_and_taken(at_home: Checkout) -> None:
    at_home.rung("user", "add", "lead@example.com", code=0)
    assert at_home.rung("user", "role", "lead@example.com", "admin", "--env", "nowhere").code == 2
    at_home.rung("user", "role", "lead@example.com", "admin", "--env", "local", code=0)
    assert at_home.rung("user", "list", "--json", code=0).json[0]["roles"] == {"*": "viewer", "local": "admin"}
    at_home.rung("user", "role", "lead@example.com", "none", "--env", "local", code=0)
    at_home.rung("user", "role", "lead@example.com", "none", code=0)
    assert at_home.rung("user", "list", "--json", code=0).json[0]["roles"] == {}
