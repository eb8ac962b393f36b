"""What the commands say of a database that answers, and is not the one to write to."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import Checkout
from tests.oracle import ask


def name_of(checkout: Checkout, environment: str) -> str:
    url = checkout.environments[environment].url
    assert url
    return urlsplit(url.reveal()).path[1:]


@pytest.mark.fault(31)
def test_check_ends_as_a_run_would_on_a_read_only_database(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id int);")
    name = name_of(checkout, "local")
    ask(checkout.environments["local"], f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ran, checked, looked = checkout.rung("migrate"), checkout.rung("check"), checkout.rung("status")
    assert (ran.code, checked.code) == (4, 4)
    for said in (ran.err, checked.out, looked.out):
        assert "default_transaction_read_only is on" in " ".join(said.split())
        assert f'ALTER DATABASE "{name}" RESET default_transaction_read_only' in " ".join(said.split())
    assert checkout.rung("check", "--json").json["exit_code"] == 4


@pytest.mark.fault(92)
def test_a_copy_is_refused_until_somebody_says_that_it_is_meant(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id int);")
    checkout.rung("migrate", code=0)
    name = name_of(checkout, "local")
    staging = replace(checkout.environments["staging"])
    ask(staging, f"ALTER DATABASE {name} RENAME TO {name}_old; ")
    ask(staging, f"CREATE DATABASE {name} TEMPLATE {name}_old")
    checkout.write("002_b.sql", "CREATE TABLE b (id int);")
    try:
        assert "is not the database that it was at the last run" in checkout.rung("migrate", code=3).err
        assert "nothing may run: local is not the database" in " ".join(checkout.rung("status").out.split())
        assert "--same-database" in checkout.rung("check", code=3).out
        looked = checkout.rung("resolve", code=0).out
        assert "nothing may run: local is not the database" in looked
        assert "nothing has to be decided" not in looked
        assert len(checkout.rung("resolve", "--json", code=0).json["stops"]) == 1
        assert "needs --reason" in checkout.rung("resolve", "--same-database", code=2).err
        assert "about the database" in checkout.rung("resolve", "001_a.sql", "--same-database", code=2).err
        accepted = checkout.rung("resolve", "--same-database", "--reason", "moved house", code=0)
        assert "local: From now on it is this one: system identifier" in accepted.out
        again = checkout.rung("resolve", "--same-database", "--reason", "again", "--json", code=3).json
        assert again["ending"] == "refused"
        checkout.rung("migrate", code=0)
    finally:
        ask(staging, f"DROP DATABASE {name}_old")
