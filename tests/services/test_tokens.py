"""Tokens: made, found by their hash, over when they are over; on a real home."""

import re

import psycopg
import pytest

from dashboard.core.access import Act
from dashboard.core.audit import Source
from dashboard.core.environment import Secret
from dashboard.core.errors import BadToken, HomeNotReady, NotFound, UnknownEnvironment
from dashboard.postgres.home.pool import Home
from dashboard.services.audit import Audit
from dashboard.services.tokens import Tokens


@pytest.fixture
def tokens(home: Home) -> Tokens:
    return Tokens(home, ["local", "staging"])


def do(url: Secret, statement: str) -> list[tuple[object, ...]]:
    """Past Rung."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


WRONG: list[tuple[str, list[str], int, str]] = [
    ("", ["read"], 90, "its name needs"),
    ("a\nb", ["read"], 90, "its name needs"),
    ("x" * 81, ["read"], 90, "its name needs"),
    ("ci", [], 90, "no scope"),
    ("ci", ["write"], 90, "'write' is no scope"),
    ("ci", ["read"], 0, "1 to 365 days"),
    ("ci", ["read"], 366, "1 to 365 days"),
]


def test_a_token_that_makes_no_sense_is_not_made(tokens: Tokens) -> None:
    for name, scopes, days, why in WRONG:
        with pytest.raises(BadToken, match=why):
            tokens.add(name, scopes, "a test", days)
    assert tokens.everything() == ()


def test_an_environment_that_is_not_there_has_no_token(tokens: Tokens) -> None:
    with pytest.raises(UnknownEnvironment, match="prod"):
        tokens.add("ci", ["apply:prod"], "a test")


def test_nothing_but_the_whole_token_opens_anything(tokens: Tokens) -> None:
    made = tokens.add("ci", ["read"], "a test")
    near = (made.token[:-1], f"{made.token}x", made.token.upper(), f"rung_{made.id}_")
    for token in (*near, made.id, "rung_\udcff\0", ""):
        assert tokens.bearer(token) is None


def test_a_revoked_token_opens_nothing_and_stays_in_the_list(tokens: Tokens) -> None:
    made = tokens.add("ci", ["read"], "a test")
    assert tokens.bearer(made.token)
    tokens.revoke(made.id)
    tokens.revoke(made.id)
    assert tokens.bearer(made.token) is None
    assert [one.state for one in tokens.everything()] == ["revoked"]
    with pytest.raises(NotFound, match="no token called 'nothing'"):
        tokens.revoke("nothing")


def test_an_expired_token_opens_nothing(tokens: Tokens, home_url: Secret) -> None:
    made = tokens.add("ci", ["read"], "a test", 1)
    do(home_url, "UPDATE home.token SET created_at = now() - interval '2 days', expires_at = now()")
    assert tokens.bearer(made.token) is None
    assert [one.state for one in tokens.everything()] == ["expired"]


def test_only_a_hash_is_kept(tokens: Tokens, home_url: Secret) -> None:
    made = tokens.add("ci", ["read"], "a test")
    assert re.fullmatch(rf"rung_{made.id}_[\w-]{{43}}", made.token)
    secret = made.token.removeprefix(f"rung_{made.id}_")
    (row,) = do(home_url, "SELECT token::text FROM home.token")
    assert secret not in str(row)
    assert secret not in repr(made) + repr(tokens.everything()) + repr(tokens.bearer(made.token))
    assert do(home_url, "SELECT sha256(convert_to('" + made.token + "', 'UTF8')) = token_hash FROM home.token") == [
        (True,)
    ]


def test_a_token_says_when_it_was_used_to_the_minute(tokens: Tokens, home_url: Secret) -> None:
    made = tokens.add("ci", ["read"], "a test")
    assert tokens.everything()[0].used_at is None
    tokens.bearer(made.token)
    first = tokens.everything()[0].used_at
    assert first is not None
    tokens.bearer(made.token)
    assert tokens.everything()[0].used_at == first
    do(home_url, "UPDATE home.token SET used_at = used_at - interval '61 seconds'")
    tokens.bearer(made.token)
    used = tokens.everything()[0].used_at
    assert used is not None
    assert used >= first


def test_a_good_token_is_who_and_what_it_was_made_for(tokens: Tokens) -> None:
    made = tokens.add("ci", ["apply:staging", "apply:staging", "plan:*"], "lead@example.com")
    found = tokens.bearer(made.token)
    assert found is not None
    assert found.who == f"ci (token {made.id})"
    assert [str(scope) for scope in found.scopes] == ["apply:staging", "plan:*"]
    assert found.may(Act.APPLY, "staging")
    (listed,) = tokens.everything()
    assert (listed.made_by, (listed.expires_at - listed.created_at).days) == ("lead@example.com", 90)


# --- the audit ---


def told(home: Home) -> list[tuple[str, ...]]:
    """Oldest first."""
    rows = reversed(Audit(home).newest())
    return [(row.deed, row.who, row.address, row.subject, row.detail) for row in rows]


def test_each_act_leaves_one_row_and_polling_one_for_each_hour(tokens: Tokens, home: Home, home_url: Secret) -> None:
    made = tokens.add("ci", ["read", "plan:local"], "lead@example.com", 7, address="192.0.2.1")
    for _ in range(3):
        assert tokens.bearer(made.token, address="192.0.2.7")
    do(home_url, "UPDATE home.token SET used_at = date_trunc('hour', now()) - interval '2 minutes'")
    for _ in range(3):
        assert tokens.bearer(made.token, address="192.0.2.8")
    for _ in range(2):
        tokens.revoke(made.id, by=Source("admin@example.com", "192.0.2.9"))
    assert tokens.bearer(made.token, address="192.0.2.7") is None
    who = f"ci (token {made.id})"
    assert told(home) == [
        ("token made", "lead@example.com", "192.0.2.1", made.id, "ci, read plan:local, for 7 days"),
        ("token used", who, "192.0.2.7", made.id, ""),
        ("token used", who, "192.0.2.8", made.id, ""),
        ("token revoked", "admin@example.com", "192.0.2.9", made.id, ""),
    ]
    assert made.token not in str(told(home))


def test_where_the_audit_takes_no_rows_tokens_are_read_and_none_is_made_or_revoked(
    tokens: Tokens, home_url: Secret
) -> None:
    made = tokens.add("ci", ["read"], "a test")
    do(home_url, "CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    assert tokens.bearer(made.token)
    with pytest.raises(HomeNotReady, match="audit cannot be written"):
        tokens.add("more", ["read"], "a test")
    with pytest.raises(HomeNotReady, match="audit cannot be written"):
        tokens.revoke(made.id)
    assert [(one.name, one.state) for one in tokens.everything()] == [("ci", "good")]
