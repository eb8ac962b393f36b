"""`rung audit`: what was done, and whether the record of it holds."""

from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Secret
from tests.cli.conftest import Checkout


@pytest.fixture
def at_home(checkout: Checkout, home_url: Secret) -> Checkout:
    checkout.variables["RUNG_HOME_URL"] = home_url.reveal()
    return checkout


def test_without_a_home_it_says_what_to_set(checkout: Checkout) -> None:
    for verb in ("list", "verify"):
        assert "RUNG_HOME_URL" in checkout.rung("audit", verb, code=2).err


def test_a_row_that_was_changed_is_named_and_ends_with_1(at_home: Checkout, in_home: psycopg.Connection[Any]) -> None:
    at_home.rung("user", "add", "lead@example.com", code=0)
    assert "1 rows, each sealed" in at_home.rung("audit", "verify", code=0).out
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("UPDATE home.audit SET detail = 'as admin'")
    assert "row 1 was changed" in at_home.rung("audit", "verify", code=1).err
    document = at_home.rung("audit", "verify", "--json", code=1).json
    assert (document["ok"], document["first_bad_id"]) == (False, 1)


def test_rows_cut_off_the_end_are_found_with_a_hash_that_was_kept(
    at_home: Checkout, in_home: psycopg.Connection[Any]
) -> None:
    for name in ("lead", "second"):
        at_home.rung("user", "add", f"{name}@example.com", code=0)
    kept = at_home.rung("audit", "verify", "--json", code=0).json["head"]
    at_home.rung("audit", "verify", "--head", kept.upper(), code=0)
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("DELETE FROM home.audit WHERE id = 2")
    assert "rows from 2 on were cut off" in at_home.rung("audit", "verify", "--head", kept, code=1).err
    assert "64 digits" in at_home.rung("audit", "verify", "--head", kept[:-1], code=2).err


def test_the_newest_comes_first(at_home: Checkout) -> None:
    assert "Nothing was done yet" in at_home.rung("audit", "list", code=0).out
    at_home.rung("user", "add", "lead@example.com", code=0)
    at_home.rung("user", "role", "lead@example.com", "admin", code=0)
    said = at_home.rung("audit", "list", code=0).out
    assert said.index("role changed") < said.index("account added")
    rows = at_home.rung("audit", "list", "--limit", "1", "--json", code=0).json["rows"]
    assert [(row["deed"], row["subject"], row["detail"]) for row in rows] == [
        ("role changed", "lead@example.com", "admin on all")
    ]
