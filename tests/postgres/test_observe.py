"""Pictures: what a database says of itself, without touching it, and why it cannot be asked."""

from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from dashboard.core.environment import Environment, Secret
from dashboard.core.picture import NotReachable, Picture, picture_from_json, picture_to_json
from dashboard.core.plan import State, make_plan
from dashboard.core.run import Outcome
from dashboard.core.safety.review import review
from dashboard.postgres.connect import connect
from dashboard.postgres.observe import _ask, picture_from, take_picture
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, ask, folder_of, noted, three_files, wait_until
from tests.wire import wire_to


def picture(environment: Environment) -> Picture:
    taken = take_picture(environment)
    assert isinstance(taken, Picture), taken
    return taken


def test_a_dead_environment_is_a_value_with_a_reason() -> None:
    taken = take_picture(Environment("staging", 1, Secret("postgresql://app:s3cret@127.0.0.1:1/shop")))
    assert isinstance(taken, NotReachable)
    assert taken.reason == "nothing listens at 127.0.0.1:1 (database shop, user app)"
    assert taken.advice


def test_an_environment_without_an_address_is_a_value_too() -> None:
    taken = take_picture(Environment("staging", 1, None, variable="STAGING_URL"))
    assert isinstance(taken, NotReachable)
    assert "STAGING_URL" in taken.reason


def test_a_database_that_nobody_migrated_is_empty(environment: Environment) -> None:
    taken = picture(environment)
    assert (taken.ledger_exists, taken.ledger, taken.applied, taken.history_id) == (False, (), {}, 0)
    assert taken.taken_at.tzinfo is not None
    assert taken.server_version[0].isdigit()
    assert " " not in taken.server_version


def test_looking_changes_nothing(environment: Environment) -> None:
    picture(environment)
    made = "SELECT to_regclass('public._migrations_applied'), to_regnamespace('rung')"
    assert ask(environment, made) == [(None, None)]
    with connect(environment, purpose="test") as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        _ask(connection, environment, [sql.SQL("CREATE TABLE public.x (id int)")])


def test_after_a_run_it_knows_what_was_applied_and_by_whom(environment: Environment) -> None:
    folder = three_files()
    apply(environment, lambda: folder, ORDER)
    taken = picture(environment)
    assert [row.filename for row in taken.ledger] == [file.filename for file in folder.migrations]
    assert {name: file.raw_hash for name, file in taken.applied.items()} == {
        file.filename: file.raw_hash for file in folder.migrations
    }
    assert all(file.actor == "somebody" and file.seconds is not None for file in taken.applied.values())
    assert taken.history_id == 4  # which database it is, and three files
    assert picture_from_json(picture_to_json(taken)) == taken


def test_a_picture_costs_one_round_trip_once_there_is_a_ledger(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    assert environment.url
    with wire_to(environment.url) as wire:
        pieces: list[bytes] = []
        wire.before = lambda chunk: pieces.append(chunk.data[:1])
        picture(replace(environment, url=wire.url))
        wait_until(lambda: pieces[-1] == b"X")  # the farewell is on its way when the call returns
    assert pieces.count(b"Q") == 1


def test_a_failed_file_is_remembered_until_it_is_applied(environment: Environment) -> None:
    apply(environment, lambda: folder_of(("001_a.sql", "SELECT 1;\nSELECT nonsense;")), ORDER)
    (failed,) = picture(environment).failed
    assert (failed.filename, failed.sqlstate) == ("001_a.sql", "42703")
    assert "nonsense" in failed.message
    apply(environment, lambda: folder_of(("001_a.sql", "SELECT 1;")), ORDER)
    assert picture(environment).failed == ()


def test_a_non_transactional_file_that_failed_half_way_is_unfinished(environment: Environment) -> None:
    text = LOG + "CREATE INDEX CONCURRENTLY ix ON public.log (entry);\nSELECT nonsense;\n" + noted("001_a.sql")
    folder = folder_of(("001_a.sql", text))
    apply(environment, lambda: folder, ORDER)
    taken = picture(environment)
    (unfinished,) = taken.unfinished
    assert (unfinished.statements_done, unfinished.interrupted, unfinished.evidence) == (2, None, ())
    assert unfinished.normalised_hash == folder.migrations[0].normalised_hash
    (entry,) = make_plan(environment, folder, taken, review).entries
    assert entry.state is State.UNFINISHED


def test_a_statement_whose_end_nobody_knows_is_shown_with_evidence(environment: Environment) -> None:
    text = LOG + "CREATE INDEX CONCURRENTLY ix ON public.log (entry);\n"
    apply(environment, lambda: folder_of(("001_a.sql", text)), ORDER)
    ask(environment, "ALTER TABLE rung.history DISABLE TRIGGER ALL; DELETE FROM rung.history WHERE id > 4")
    ask(environment, "DELETE FROM _migrations_applied")
    for invalid, sentence in (("true", "exists and is valid"), ("false", "is INVALID")):
        ask(environment, f"UPDATE pg_index SET indisvalid = {invalid} WHERE indexrelid = 'ix'::regclass")
        (unfinished,) = picture(environment).unfinished
        assert (unfinished.statements_done, unfinished.interrupted) == (1, 2)
        assert unfinished.evidence == (f"Index public.ix {sentence}.",)
    ask(environment, "DROP INDEX ix")
    assert picture(environment).unfinished[0].evidence == ("There is no index public.ix.",)


@pytest.mark.fault(88)
def test_a_ledger_that_the_role_may_not_read_is_a_reason_with_a_grant(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    assert environment.url
    ask(environment, "DROP ROLE IF EXISTS blind")
    ask(environment, "CREATE ROLE blind LOGIN PASSWORD 'blind'")
    blind = Secret(f"postgresql://blind:blind@{environment.url.reveal().partition('@')[2]}")
    taken = take_picture(replace(environment, url=blind))
    ask(environment, "DROP ROLE blind")
    assert isinstance(taken, NotReachable)
    assert "role blind may not read" in taken.reason
    assert taken.word == "not usable"
    assert "GRANT USAGE ON SCHEMA" in taken.advice


@pytest.mark.fault(87)
def test_a_ledger_that_somebody_keeps_locked_does_not_hang_the_look(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    with connect(environment, purpose="test", autocommit=False) as other:
        other.execute("LOCK TABLE public._migrations_applied IN ACCESS EXCLUSIVE MODE")
        taken = take_picture(environment)
    assert isinstance(taken, NotReachable)
    assert "locked" in taken.reason


def test_somebody_elses_rung_history_is_named(environment: Environment) -> None:
    ask(environment, "CREATE SCHEMA rung")
    ask(environment, "CREATE TABLE rung.history (id int)")
    taken = take_picture(environment)
    assert isinstance(taken, NotReachable)
    assert "rung.history is not the one" in taken.reason


def test_a_history_without_a_ledger_is_still_read(environment: Environment) -> None:
    text = LOG + "CREATE INDEX CONCURRENTLY ix ON public.log (entry);\nSELECT nonsense;\n"
    apply(environment, lambda: folder_of(("001_a.sql", text)), ORDER)
    ask(environment, "DROP TABLE _migrations_applied")
    taken = picture(environment)
    assert not taken.ledger_exists
    assert taken.unfinished[0].statements_done == 2


def test_a_session_of_ours_can_take_pictures_again_and_again(environment: Environment) -> None:
    with connect(environment, purpose="test") as connection:
        assert picture_from(connection, environment).ledger == ()
        assert apply(environment, three_files, ORDER).outcome is Outcome.APPLIED
        assert len(picture_from(connection, environment).ledger) == 3
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
