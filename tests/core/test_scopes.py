"""What a token may: scopes, from their text to a decision."""

from datetime import UTC, datetime

import pytest

from dashboard.core.access import EVERYWHERE, Act, Bearer, read_scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bearer(*scopes: str) -> Bearer:
    read = [read_scope(text) for text in scopes]
    return Bearer("ci", "0a1b2c3d4e", tuple(scope for scope in read if scope), NOW)


@pytest.mark.parametrize(
    "text", ["", "read:", "read:staging", "read:*", "plan", "plan:", "apply", "admin:*", "manage", "*", "READ", " read"]
)
def test_what_is_no_scope_is_none(text: str) -> None:
    assert read_scope(text) is None


@pytest.mark.parametrize("text", ["read", "plan:staging", "apply:*", "force:eu:west"])
def test_a_scope_is_written_as_it_was_read(text: str) -> None:
    assert str(read_scope(text)) == text


@pytest.mark.parametrize(
    ("scope", "there", "elsewhere"),
    [
        ("read", {Act.LOOK}, {Act.LOOK}),
        ("plan:staging", {Act.LOOK}, set()),
        ("plan:*", {Act.LOOK}, {Act.LOOK}),
        ("apply:staging", {Act.LOOK, Act.APPLY, Act.STOP}, set()),
        ("apply:*", {Act.LOOK, Act.APPLY, Act.STOP}, {Act.LOOK, Act.APPLY, Act.STOP}),
        ("force:staging", {Act.LOOK, Act.APPLY, Act.STOP, Act.FORCE}, set()),
    ],
)
def test_a_scope_is_enough_for_its_acts_and_its_environment(scope: str, there: set[Act], elsewhere: set[Act]) -> None:
    who = bearer(scope)
    assert {act for act in Act if who.may(act, "staging")} == there
    assert {act for act in Act if who.may(act, "production")} == elsewhere


def test_one_environment_is_not_everywhere() -> None:
    assert not bearer("force:staging").may(Act.APPLY, EVERYWHERE)


def test_scopes_add_up_and_none_allows_nothing() -> None:
    both = bearer("apply:staging", "plan:production")
    assert both.may(Act.APPLY, "staging")
    assert both.may(Act.LOOK, "production")
    assert not both.may(Act.APPLY, "production")
    assert not any(bearer().may(act, "staging") for act in Act)
    assert not bearer().sees_anything
