"""Accounts: passwords, one-time links, sessions, roles, on a real home."""

import re
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher

from dashboard.core.access import Act, LinkPurpose, Role
from dashboard.core.errors import BadAccount, ByIssuer, NotFound
from dashboard.postgres.home import accounts as rows
from dashboard.postgres.home import identities
from dashboard.postgres.home.pool import Home
from dashboard.services import accounts as module
from dashboard.services.accounts import Accounts

EMAIL, PASSWORD = "lead@example.com", "correct horse battery"


@pytest.fixture
def accounts(home: Home) -> Accounts:
    made = Accounts(home)
    made.add(EMAIL, PASSWORD, Role.OPERATOR)
    return made


def signed_in(accounts: Accounts) -> str:
    token = accounts.sign_in(EMAIL, PASSWORD)
    assert token is not None
    return token


# --- making accounts ---


def test_an_address_is_taken_once_whatever_its_letters(accounts: Accounts) -> None:
    with pytest.raises(BadAccount, match=r"lead@example\.com has one already"):
        accounts.add(" Lead@Example.COM ", PASSWORD, Role.VIEWER)


@pytest.mark.parametrize(
    "email", ["", "nobody", "@example.com", "a@", "a b@example.com", "a\n@example.com", "a@" + "b" * 260]
)
def test_what_is_no_address_makes_no_account(accounts: Accounts, email: str) -> None:
    with pytest.raises(BadAccount, match="is not an e-mail address"):
        accounts.add(email, PASSWORD, Role.VIEWER)


@pytest.mark.parametrize(("password", "why"), [("1234567", "fewer than 8"), ("x" * 1025, "more than 1,024 bytes")])
def test_a_password_too_short_or_too_long_is_refused(accounts: Accounts, password: str, why: str) -> None:
    with pytest.raises(BadAccount, match=why):
        accounts.add("new@example.com", password, Role.VIEWER)
    assert not accounts.exists("new@example.com")


# --- signing in ---


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong horse battery"),
        (EMAIL, ""),
        (EMAIL, PASSWORD + " "),
        (EMAIL, PASSWORD * 100),
        ("who@example.com", PASSWORD),
    ],
)
def test_every_wrong_sign_in_gets_the_same_answer(accounts: Accounts, email: str, password: str) -> None:
    assert accounts.sign_in(email, password) is None


def test_a_long_passphrase_with_spaces_and_signs_must_match_to_its_last_character(accounts: Accounts) -> None:
    phrase = "ein Esel 🐴 lässt sich nicht drängen, und das ist auch gut so 6"
    accounts.add("long@example.com", phrase, Role.VIEWER)
    assert accounts.sign_in("long@example.com", phrase[:-1] + "7") is None
    assert accounts.sign_in("Long@Example.com ", phrase) is not None


def test_an_account_without_password_cannot_sign_in_with_any(accounts: Accounts) -> None:
    accounts.add("link@example.com", None, Role.VIEWER)
    assert accounts.sign_in("link@example.com", "") is None
    assert accounts.sign_in("link@example.com", "None") is None


def test_an_unknown_address_takes_as_long_as_a_wrong_password(accounts: Accounts) -> None:
    import statistics
    import time

    def seconds(email: str) -> float:
        took = []
        for number in range(5):
            begun = time.perf_counter()
            accounts.sign_in(email, "wrong horse battery", address=f"10.0.0.{number}")
            took.append(time.perf_counter() - begun)
        return statistics.median(took)

    accounts.sign_in("nobody@example.com", "warm up")
    known, unknown = seconds(EMAIL), seconds("nobody2@example.com")
    assert unknown == pytest.approx(known, rel=0.5)


def test_six_wrong_tries_close_that_door_for_a_while_and_no_other(accounts: Accounts) -> None:
    accounts.add("other@example.com", PASSWORD, Role.VIEWER)
    for _ in range(5):
        assert accounts.sign_in(EMAIL, "wrong horse battery", address="192.0.2.1") is None
    assert accounts.sign_in(EMAIL, PASSWORD, address="192.0.2.1") is None
    assert 0 < accounts.wait(EMAIL, address="192.0.2.1") <= rows.WINDOW
    assert accounts.wait(EMAIL, address="192.0.2.2") == 0
    assert accounts.sign_in(EMAIL, PASSWORD, address="192.0.2.2") is not None
    assert accounts.sign_in("other@example.com", PASSWORD, address="192.0.2.1") is not None


def test_a_closed_door_opens_again_by_itself(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    for _ in range(5):
        accounts.sign_in(EMAIL, "wrong horse battery")
    in_home.execute("UPDATE home.sign_in_failure SET at = at - interval '6 minutes'")
    assert accounts.wait(EMAIL) == 0
    assert accounts.sign_in(EMAIL, PASSWORD) is not None


def test_many_places_at_once_are_slowed_down_too(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    in_home.execute(
        "INSERT INTO home.sign_in_failure (who, address) SELECT sha256(%s), n::text FROM generate_series(1, %s) AS n",
        (EMAIL.encode(), rows.TRIES_EVERYWHERE),
    )
    assert accounts.sign_in(EMAIL, PASSWORD, address="198.51.100.7") is None


def test_tries_at_the_same_moment_do_not_get_more_than_their_share(accounts: Accounts, home: Home) -> None:
    allowed: list[bool] = []

    def guess() -> None:
        with home.transaction() as connection:
            allowed.append(rows.begin_try(connection, b"x" * 32, "192.0.2.9"))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == rows.TRIES


def test_a_sign_in_that_works_forgets_the_failures_before_it(accounts: Accounts) -> None:
    for _ in range(3):
        for _ in range(4):
            accounts.sign_in(EMAIL, "wrong horse battery")
        assert accounts.sign_in(EMAIL, PASSWORD) is not None


def test_a_hash_of_other_parameters_is_renewed_at_sign_in(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    in_home.execute("UPDATE home.account SET password_hash = %s", (old,))
    signed_in(accounts)
    assert kept(in_home).startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert accounts.sign_in(EMAIL, PASSWORD) is not None


def kept(in_home: psycopg.Connection[Any]) -> str:
    row = in_home.execute("SELECT password_hash FROM home.account").fetchone()
    assert row is not None
    return str(row[0])


# --- what is kept ---


def test_neither_passwords_nor_tokens_are_kept_in_clear(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    session, link = signed_in(accounts), accounts.make_link(EMAIL)
    redeemed = accounts.redeem(accounts.make_link(EMAIL))
    accounts.sign_in(PASSWORD, PASSWORD)  # typed into the wrong field
    visitor = accounts.visitor(session)
    assert redeemed is not None
    assert visitor is not None
    tables = in_home.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'home'").fetchall()
    everything = "".join(
        str(
            in_home.execute(
                psycopg.sql.SQL("SELECT coalesce(string_agg(t::text, ''), '') FROM home.{} AS t").format(
                    psycopg.sql.Identifier(name)
                )
            ).fetchone()
        )
        for (name,) in tables
    )
    assert EMAIL in everything
    for secret in (PASSWORD, session, link, redeemed, visitor.csrf):
        assert secret not in everything
        assert secret.encode().hex() not in everything
    assert re.search(r"\$argon2id\$v=19\$m=47104,t=1,p=1\$", everything)


def test_what_is_kept_of_a_session_does_not_open_it(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    signed_in(accounts)
    row = in_home.execute("SELECT token_hash FROM home.session").fetchone()
    assert row is not None
    assert accounts.visitor(bytes(row[0]).hex()) is None


# --- sessions ---


def test_a_session_says_who_and_what_they_may(accounts: Accounts) -> None:
    visitor = accounts.visitor(signed_in(accounts))
    assert visitor is not None
    assert (visitor.email, visitor.role) == (EMAIL, Role.OPERATOR)
    assert visitor.may(Act.APPLY, "staging")
    assert not visitor.may(Act.FORCE, "staging")


def test_every_sign_in_is_a_session_of_its_own(accounts: Accounts) -> None:
    first, second = signed_in(accounts), signed_in(accounts)
    one, other = accounts.visitor(first), accounts.visitor(second)
    assert one is not None
    assert other is not None
    assert first != second
    assert one.csrf != other.csrf
    assert one.session != other.session


@pytest.mark.parametrize("token", ["", "x", "é" * 50, "\udcff", "0" * 8192, "' OR true --", "\0"])
def test_a_token_that_is_none_of_ours_is_nobody(accounts: Accounts, token: str) -> None:
    assert accounts.visitor(token) is None
    assert accounts.redeem(token) is None
    accounts.sign_out(token)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE home.session SET seen_at = seen_at - interval '31 minutes'",
        "UPDATE home.session SET created_at = created_at - interval '8 hours 1 minute'",
        "UPDATE home.account SET disabled_at = now()",
        "DELETE FROM home.account",
    ],
    ids=["idle for too long", "too old", "disabled", "gone"],
)
def test_a_session_ends_by_the_clock_of_home_or_with_its_account(
    accounts: Accounts, in_home: psycopg.Connection[Any], change: str
) -> None:
    token = signed_in(accounts)
    assert accounts.visitor(token) is not None
    in_home.execute(change)
    assert accounts.visitor(token) is None


def test_who_clicks_stays_in_and_who_only_leaves_a_page_open_does_not(
    accounts: Accounts, in_home: psycopg.Connection[Any]
) -> None:
    token = signed_in(accounts)
    back = "UPDATE home.session SET seen_at = seen_at - interval '20 minutes'"
    in_home.execute(back)
    assert accounts.visitor(token) is not None  # a click: seen now
    in_home.execute(back)
    assert accounts.visitor(token, active=False) is not None
    in_home.execute(back)
    assert accounts.visitor(token, active=False) is None


def test_a_copied_cookie_is_worth_nothing_after_signing_out(accounts: Accounts) -> None:
    token, other = signed_in(accounts), signed_in(accounts)
    accounts.sign_out(token)
    accounts.sign_out(token)
    assert accounts.visitor(token) is None
    assert accounts.visitor(other) is not None


def test_a_new_password_ends_all_sessions(accounts: Accounts) -> None:
    tokens = [signed_in(accounts), signed_in(accounts)]
    accounts.set_password(EMAIL, "another horse battery")
    assert [accounts.visitor(token) for token in tokens] == [None, None]
    assert accounts.sign_in(EMAIL, PASSWORD) is None
    assert accounts.sign_in(EMAIL, "another horse battery") is not None


def test_signing_out_everywhere_says_how_many_sessions_there_were(accounts: Accounts) -> None:
    token = signed_in(accounts)
    signed_in(accounts)
    assert accounts.sign_out_everywhere(EMAIL) == 2
    assert accounts.visitor(token) is None


# --- roles ---


def test_a_changed_role_counts_from_the_next_request_on(accounts: Accounts) -> None:
    token = signed_in(accounts)
    accounts.set_role(EMAIL, Role.VIEWER)
    visitor = accounts.visitor(token)
    assert visitor is not None
    assert not visitor.may(Act.APPLY, "staging")


def test_what_is_said_of_one_environment_wins(accounts: Accounts) -> None:
    accounts.set_role(EMAIL, Role.VIEWER, "production")
    accounts.set_role(EMAIL, Role.ADMIN, "local")
    visitor = accounts.visitor(signed_in(accounts))
    assert visitor is not None
    assert [visitor.role_for(name) for name in ("local", "staging", "production")] == [
        Role.ADMIN,
        Role.OPERATOR,
        Role.VIEWER,
    ]


def test_without_any_role_nothing_is_allowed(accounts: Accounts) -> None:
    accounts.set_role(EMAIL, None)
    visitor = accounts.visitor(signed_in(accounts))
    assert visitor is not None
    assert visitor.role is None
    assert not any(visitor.may(act, "staging") for act in Act)


def test_nobody_is_given_a_role_or_a_link(accounts: Accounts) -> None:
    for ask in (
        lambda: accounts.set_role("nobody@example.com", Role.ADMIN),
        lambda: accounts.make_link("nobody@example.com"),
        lambda: accounts.set_password("nobody@example.com", PASSWORD),
        lambda: accounts.sign_out_everywhere("nobody@example.com"),
    ):
        with pytest.raises(NotFound, match=r"nobody@example\.com"):
            ask()


# --- one-time links ---


def test_a_link_works_once(accounts: Accounts) -> None:
    link = accounts.make_link(EMAIL, LinkPurpose.INVITE)
    token = accounts.redeem(link)
    assert token is not None
    assert accounts.visitor(token) is not None
    assert accounts.redeem(link) is None


def test_a_link_works_once_also_for_many_at_the_same_moment(accounts: Accounts) -> None:
    link = accounts.make_link(EMAIL)
    answers: list[str | None] = []
    threads = [threading.Thread(target=lambda: answers.append(accounts.redeem(link))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer is not None for answer in answers) == 1


def test_a_link_does_not_open_pages_by_itself(accounts: Accounts) -> None:
    assert accounts.visitor(accounts.make_link(EMAIL)) is None


def test_an_old_link_or_one_of_a_disabled_account_opens_nothing(
    accounts: Accounts, in_home: psycopg.Connection[Any]
) -> None:
    old, disabled = accounts.make_link(EMAIL, minutes=1), accounts.make_link(EMAIL, minutes=60)
    in_home.execute("UPDATE home.link SET expires_at = expires_at - interval '2 minutes'")
    assert accounts.redeem(old) is None
    in_home.execute("UPDATE home.account SET disabled_at = now()")
    assert accounts.redeem(disabled) is None


# --- two things at the same moment ---


def reset_while_hashing(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody resets the account while a new password of it is on its way."""
    hashing = module._hash

    def slowly(password: str, email: str) -> str:
        accounts.take_password(EMAIL)
        return hashing(password, email)

    monkeypatch.setattr(module, "_hash", slowly)


def wait_until_it_waits(thread: threading.Thread, in_home: psycopg.Connection[Any]) -> None:
    while not in_home.execute("SELECT 1 FROM pg_catalog.pg_locks WHERE NOT granted").fetchone():
        assert thread.is_alive(), "it waits for a lock"


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda accounts: accounts.take_password(EMAIL),
        lambda accounts: accounts.set_password(EMAIL, "another long password"),
        lambda accounts: accounts.set_enabled(EMAIL, enabled=False),
    ],
    ids=["reset", "a new password", "disabled"],
)
def test_a_sign_in_that_was_on_its_way_does_not_outlive_what_ends_sessions(
    accounts: Accounts, meanwhile: Callable[[Accounts], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = module._fits

    def slowly(password: str, hashed: str | None) -> bool:
        fitted = fits(password, hashed)
        monkeypatch.setattr(module, "_fits", fits)
        meanwhile(accounts)
        return fitted

    monkeypatch.setattr(module, "_fits", slowly)
    token = accounts.sign_in(EMAIL, PASSWORD)
    assert token is None


def test_a_change_of_the_password_that_was_on_its_way_does_not_undo_a_reset(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = accounts.visitor(signed_in(accounts))
    assert visitor
    reset_while_hashing(accounts, monkeypatch)
    assert accounts.change_password(visitor, PASSWORD, "another long password") == module.NOT_PROVED
    monkeypatch.undo()
    assert accounts.sign_in(EMAIL, "another long password") is None


@pytest.mark.parametrize(
    "ends",
    [
        lambda accounts: accounts.take_password(EMAIL),
        lambda accounts: [accounts.set_enabled(EMAIL, enabled=on) for on in (False, True)],
    ],
    ids=["reset", "disabled for a moment"],
)
def test_a_link_used_at_this_moment_does_not_outlive_what_ends_sessions(
    accounts: Accounts, home: Home, in_home: psycopg.Connection[Any], ends: Callable[[Accounts], object]
) -> None:
    link, token = (module.hash_token(accounts.make_link(EMAIL)), "of the one who uses it")
    other = threading.Thread(target=ends, args=(accounts,))
    with home.transaction() as connection:
        account = rows.use_link(connection, link)
        assert account
        rows.open_session(connection, account[0], module.hash_token(token), "", "")
        other.start()
        wait_until_it_waits(other, in_home)
    other.join()
    assert accounts.visitor(token) is None


def test_a_first_password_that_was_on_its_way_is_not_set_after_its_session_ended(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.take_password(EMAIL)
    token = accounts.redeem(accounts.make_link(EMAIL))
    visitor = accounts.visitor(token or "")
    assert visitor
    reset_while_hashing(accounts, monkeypatch)
    assert accounts.change_password(visitor, "", "another long password") == module.NOT_PROVED
    assert accounts.sign_in(EMAIL, "another long password") is None


def test_a_link_made_while_the_account_is_being_connected_is_refused(
    accounts: Accounts, home: Home, in_home: psycopg.Connection[Any]
) -> None:
    ended: list[object] = []

    def make() -> None:
        try:
            ended.append(accounts.make_link(EMAIL))
        except ByIssuer as refused:
            ended.append(refused)

    other = threading.Thread(target=make)
    with home.transaction() as connection:
        account = rows.find(connection, EMAIL)
        assert account
        identities.connect(connection, account.id, "https://issuer.example", "lead")
        rows.set_password(connection, account.id, None)
        other.start()
        wait_until_it_waits(other, in_home)
    other.join()
    assert isinstance(ended[0], ByIssuer)


def test_no_password_opens_what_an_issuer_signs_in_for(accounts: Accounts, in_home: psycopg.Connection[Any]) -> None:
    """As one is left where it was being set while the account was connected."""
    in_home.execute("INSERT INTO home.identity SELECT 'https://issuer.example', 'lead', id FROM home.account")
    assert accounts.sign_in(EMAIL, PASSWORD) is None
    assert accounts.disconnect(EMAIL)
    assert accounts.sign_in(EMAIL, PASSWORD) is None, "it does not come back"
