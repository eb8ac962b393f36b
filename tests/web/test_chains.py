"""The chain check on the history page: on request, remembered, and loud where the record is broken."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.environment import Environment
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.postgres.home import chains
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write
from tests.web.conftest import NOWHERE

DEPLOY = Actor(ActorKind.DEPLOY, "srv-42", Door.DEPLOY)
CHECK = "/environments/staging/history/check"


@pytest.fixture
def staging(settings: Settings, services: Services, folder_path: Path, write: Write) -> Environment:
    """Three files on staging, all in home's copy."""
    for number in (1, 2, 3):
        write(folder_path, f"00{number}_t.sql", f"CREATE TABLE t{number} (id int);")
    environment = settings.environment("staging")
    apply(environment, services.folder.read, Order(DEPLOY))
    services.compare.live()
    return environment


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PAUSE", 0)


def tamper(environment: Environment, text: str) -> None:
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        connection.execute("ALTER TABLE rung.history DISABLE TRIGGER history_append_only")
        connection.execute(text.encode())


def check(cast: Cast) -> str:
    answer = cast.viewer.post(CHECK)
    assert (answer.status_code, answer.location) == (303, "/history?environment=staging#chain-staging")
    return cast.viewer.read("/history")


def test_nothing_is_claimed_before_somebody_checked(staging: Environment, cast: Cast) -> None:
    page = cast.viewer.read("/history")
    assert "staging not checked yet" in page
    assert "whole" not in page.replace("Is the record whole?", "")


def test_a_whole_chain_names_its_last_row_its_head_and_who_asked(
    staging: Environment, cast: Cast, services: Services
) -> None:
    page = check(cast)
    assert "staging whole up to row 4 checked just now by viewer@example.com" in page
    assert "Its own rows: 4 rows, each sealed and following the one before." in page
    assert "Home's copy: 4 rows, in the same chain" in page
    assert f"Head {services.history.verify('staging').head}" in page
    assert "broken" not in page


def test_a_changed_row_is_told_loudly_with_what_to_do(staging: Environment, cast: Cast) -> None:
    tamper(staging, "UPDATE rung.history SET actor = 'somebody else' WHERE id = 3")
    page = check(cast)
    assert "The record of staging is broken." in page
    assert "staging broken at row 3" in page
    assert "row 3 was changed: its content does not give its hash" in page
    assert "Trust no row from 3 on until this is explained." in page
    assert 'role="alert"' in cast.viewer.get("/history").text


def test_rows_cut_off_the_end_are_missed(staging: Environment, cast: Cast) -> None:
    check(cast)
    tamper(staging, "DELETE FROM rung.history WHERE id = 4")
    page = check(cast)
    assert "staging whole up to row 3, and rows are gone" in page
    assert "1 row that home copied earlier is not in the environment any more." in page


def test_a_changed_copy_is_told_apart_from_the_record_itself(
    staging: Environment, cast: Cast, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("UPDATE home.history SET own_hash = repeat('f', 64) WHERE id = 2")
    page = check(cast)
    assert "home's copy is broken at row 3" in page
    assert "The environment's own rows hold; home's copy was changed." in page


def test_an_environment_that_is_away_keeps_what_was_found_before(
    staging: Environment, cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(cast)
    away = Environment("staging", 1, NOWHERE)
    monkeypatch.setitem(services.history._environments, "staging", away)  # it cannot be moved
    page = check(cast)
    assert "The last try could not check it:" in page
    assert "whole up to row 4" in page


def test_a_check_that_takes_too_long_is_given_up(
    staging: Environment, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.services.history.LONGEST_CHECK", 0.2)
    monkeypatch.setattr("dashboard.postgres.history._VERIFY", "SELECT 1, NULL, NULL FROM pg_catalog.pg_sleep(2)")
    page = check(cast)
    assert "The last try could not check it:" in page
    assert "staging not checked yet" in page


def test_two_clicks_check_once(staging: Environment, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PAUSE", 10)
    check(cast)
    tamper(staging, "UPDATE rung.history SET actor = 'somebody else' WHERE id = 3")
    assert "broken" not in check(cast)


def test_a_page_checks_nothing(staging: Environment, cast: Cast) -> None:
    check(cast)
    tamper(staging, "UPDATE rung.history SET actor = 'somebody else' WHERE id = 3")
    assert "broken" not in cast.viewer.read("/history")


def test_an_environment_one_may_not_look_at_is_not_checked(
    staging: Environment, cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    assert cast.viewer.post(CHECK).status_code == 404
    assert services.history.checks() == {}
    assert "staging" not in words(cast.viewer.get("/history"))
