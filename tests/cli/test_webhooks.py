"""Webhooks from the command line: a run there is told of too, and what goes wrong with that changes nothing."""

import json
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Secret
from tests.cli.conftest import Checkout

ADDRESS = "https://hooks.example.com/services/c4n4ry-p4ssw0rd"


@pytest.fixture
def hooked(checkout: Checkout) -> Checkout:
    with (checkout.folder / "rung.toml").open("a") as file:
        file.write('\n[[webhooks]]\nurl = "$SLACK_URL"\noutcomes = ["applied", "failed"]\n')
    checkout.variables["SLACK_URL"] = ADDRESS
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    return checkout


def test_a_run_goes_on_where_home_is_missing_or_away(hooked: Checkout, closed_port: int) -> None:
    said = hooked.rung("migrate", code=0)
    assert "No webhook is told how this run ended. Rung's own database is not configured" in said.err
    away = f"postgresql://x@127.0.0.1:{closed_port}/home"
    said = hooked.rung("migrate", "--env", "staging", "--json", code=0, RUNG_HOME_URL=away)
    assert "No webhook is told how this run ended. Rung's own database cannot be reached" in said.err
    assert said.json["outcome"] == "applied"
    assert hooked.ledger("staging") == ["001_a.sql"]


def test_a_run_of_a_command_or_a_deploy_is_queued_for_the_worker(
    hooked: Checkout, home_url: Secret, in_home: psycopg.Connection[Any]
) -> None:
    hooked.variables |= {"RUNG_HOME_URL": home_url.reveal(), "RUNG_PUBLIC_URL": "https://rung.example.com"}
    hooked.rung("migrate", code=0)
    hooked.rung("migrate", code=0)
    hooked.rung("start", "--env", "staging", "--", "true", code=0, RUNG_ACTOR="release-7")
    said = [json.loads(one) for (one,) in in_home.execute("SELECT body FROM home.delivery ORDER BY made_at")]
    assert [one["run"]["who"]["door"] for one in said] == ["cli", "deploy"], "a run that found nothing is not told of"
    assert said[1]["text"].splitlines()[-2:] == [
        "Asked for by `release-7` by a deploy.",
        "<https://rung.example.com/environments/staging|See it in Rung>",
    ]
    assert in_home.execute("SELECT count(*) FROM home.procrastinate_jobs WHERE queue_name = 'messages'").fetchone() == (
        2,
    )
    shown = hooked.rung("webhooks", code=0).out
    assert "$SLACK_URL: not signed; local, staging, production, gone; applied, failed" in shown
    assert shown.count("waiting") == 2
    in_home.execute("UPDATE home.delivery SET standing = 'given up', attempts = 8, trouble = 'it answered 410'")
    document = hooked.rung("webhooks", "--json", code=1).json
    assert [one["trouble"] for one in document["messages"]] == ["it answered 410"] * 2
    assert document["webhooks"][0]["lacks"] is None


def test_without_webhooks_it_says_where_to_read_about_them(checkout: Checkout, home_url: Secret) -> None:
    assert "docs/webhooks.md" in checkout.rung("webhooks", code=0, RUNG_HOME_URL=home_url.reveal()).out
