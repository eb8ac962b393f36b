"""Who may do what, as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.core.access import EVERYWHERE, Act, Role, Visitor, may, who_may

ALLOWED = {
    None: set(),
    Role.VIEWER: {Act.LOOK},
    Role.OPERATOR: {Act.LOOK, Act.APPLY, Act.STOP},
    Role.ADMIN: set(Act),
}


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("act", list(Act))
def test_each_role_may_what_the_table_says(role: Role | None, act: Act) -> None:
    assert may(role, act) == (act in ALLOWED[role])


def test_a_refusal_names_who_may() -> None:
    assert who_may(Act.APPLY) == "operators and admins"
    assert who_may(Act.FORCE) == "admins"


def visitor(**roles: Role) -> Visitor:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    named = {name.replace("everywhere", EVERYWHERE): role for name, role in roles.items()}
    return Visitor("lead@example.com", named, "secret-token", "ab" * 32, moment, moment)


def test_a_role_for_one_environment_wins_over_the_one_for_all_in_both_directions() -> None:
    who = visitor(everywhere=Role.OPERATOR, production=Role.VIEWER, local=Role.ADMIN)
    assert not who.may(Act.APPLY, "production")
    assert who.may(Act.FORCE, "local")
    assert who.may(Act.APPLY, "staging")
    assert not who.may(Act.FORCE)


def test_a_role_for_one_environment_is_none_elsewhere() -> None:
    who = visitor(staging=Role.OPERATOR)
    assert who.may(Act.APPLY, "staging")
    assert not who.may(Act.LOOK, "production")
    assert who.role is Role.OPERATOR


@pytest.mark.parametrize(("minutes", "fresh"), [(0, True), (10, True), (10.1, False), (480, False)])
def test_a_proof_counts_for_ten_minutes(minutes: float, fresh: bool) -> None:
    who = visitor(everywhere=Role.ADMIN)
    assert replace(who, now=who.proved_at + timedelta(minutes=minutes)).is_fresh is fresh


def test_a_visitor_never_shows_the_secret_of_its_forms() -> None:
    assert "secret-token" not in repr(visitor(everywhere=Role.VIEWER))
