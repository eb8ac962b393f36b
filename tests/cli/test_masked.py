"""A password in a migration is in nothing that a command prints."""

import pytest

from tests.cli.conftest import Checkout

SECRET = "c4nary-p4ssw0rd"
SQL = f"ALTER ROLE rung_nobody PASSWORD '{SECRET}'"
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT nothing FROM a; {SQL};",
        pytest.param(f"DO $$ BEGIN EXECUTE 'ALTER ROLE rung_nobody PASSWORD ''{SECRET}'''; END $$;", marks=SLOW),
        pytest.param(f"{SQL};", marks=SLOW),
        pytest.param(f"CREATE SUBSCRIPTION s CONNECTION 'host=\"password={SECRET}' PUBLICATION p;", marks=SLOW),
        pytest.param(f"CREATE INDEX CONCURRENTLY a_id ON a (id); {SQL};", marks=SLOW),
        pytest.param(f"CREATE USER MAPPING FOR x SERVER nowhere OPTIONS (password '{SECRET}');", marks=SLOW),
    ],
)
def test_no_command_prints_what_a_failing_file_hands_over(checkout: Checkout, text: str) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    checkout.write("002_role.sql", text)
    silent(checkout)
    assert checkout.ask("SELECT count(*) FROM rung.history WHERE event = 'failed'") == 1
    assert checkout.ask(f"SELECT count(*) FROM rung.history AS h WHERE h::text LIKE '%{SECRET}%'") == 0


@pytest.mark.parametrize("text", [f"{SQL} AND;", pytest.param(SQL[:-1] + ";", marks=SLOW)])
def test_nor_what_stands_in_a_file_that_is_no_sql(checkout: Checkout, text: str) -> None:
    checkout.write("001_role.sql", text)
    silent(checkout)


def silent(checkout: Checkout) -> None:
    why = ("--force", "--reason", "a test")
    for words in (("check",), ("check", "--json"), ("migrate", *why), ("history", "--json")):
        ran = checkout.rung(*words)
        assert ran.out + ran.err, words
        assert SECRET not in ran.out + ran.err, words
