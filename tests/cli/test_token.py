import re

import pytest

from dashboard.core.environment import Secret
from tests.cli.conftest import Checkout


@pytest.fixture
def at_home(checkout: Checkout, home_url: Secret) -> Checkout:
    checkout.variables["RUNG_HOME_URL"] = home_url.reveal()
    return checkout


def test_without_a_home_it_says_what_to_set(checkout: Checkout) -> None:
    assert "RUNG_HOME_URL" in checkout.rung("token", "list", code=2).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "--name", "ci", "--scope", "write"), "'write' is no scope"),
        (("add", "--name", "ci", "--scope", "apply:prod"), "no environment called 'prod'"),
        (("add", "--name", "ci", "--scope", "read", "--days", "366"), "--days"),
        (("add", "--name", "ci"), "--scope"),
        (("revoke", "0a1b2c3d4e"), "no token called '0a1b2c3d4e'"),
    ],
)
def test_a_wrong_word_is_named(at_home: Checkout, words: tuple[str, ...], said: str) -> None:
    heard = at_home.rung("token", *words)
    assert heard.code in (1, 2)
    assert said in heard.err


def test_a_token_is_printed_once_listed_without_its_secret_and_ended(at_home: Checkout, in_home: object) -> None:
    assert "rung token add" in at_home.rung("token", "list", code=0).out
    made = at_home.rung("token", "add", "--name", "ci", "--scope", "read", "--scope", "apply:staging", code=0)
    found = re.fullmatch(r"rung_([0-9a-f]{10})_([\w-]{43})\n", made.out)
    assert found, made.out
    assert f"rung token revoke {found[1]}" in made.err
    listed = at_home.rung("token", "list", code=0).out
    assert re.search(rf"{found[1]} +ci +read apply:staging +good +20.+ UTC +never", listed)
    assert found[2] not in listed + at_home.rung("token", "list", "--json", code=0).out
    at_home.rung("token", "revoke", found[1], code=0)
    assert at_home.rung("token", "list", "--json", code=0).json[0]["state"] == "revoked"


def test_a_script_reads_the_token_from_a_document(at_home: Checkout) -> None:
    made = at_home.rung("token", "add", "--name", "ci", "--scope", "read", "--json", code=0)
    assert made.json["token"].startswith(f"rung_{made.json['id']}_")
