"""The history: append-only, chained, and checkable whatever the settings of the session are."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.migration import Migration, read_migration
from dashboard.core.record import ChainReport, Happening
from dashboard.core.run import Actor, ActorKind, Door, Problem
from dashboard.postgres import history
from dashboard.postgres.connect import Connection, connect
from dashboard.postgres.flight import fly
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.session import transaction
from tests.oracle import ask

AUTHOR = Author(
    "0d5c0f5e-93a1-4b7c-8a4b-3f3c7b1f6f10", "local", Actor(ActorKind.PERSON, "lead@example.com", Door.WEB), "host", "1"
)
PROBLEM = Problem("local", "it failed", "advice", "001_a.sql", 2, 3, 4, "x\n^", "42601", "detail", "hint")


def migration(text: str = "SELECT 'ä';\r\n") -> Migration:
    made = read_migration("001_a.sql", text.encode())
    assert isinstance(made, Migration)
    return made


def write(connection: Connection, *entries: Entry) -> None:
    rows = [history.append(AUTHOR, entry) for entry in entries]
    landing = fly(connection, transaction([history.QUEUE, *rows]))
    assert landing.lost is None
    if landing.broken:
        raise landing.broken.error


@pytest.fixture
def connection(environment: Environment) -> Iterator[Connection]:
    with connect(environment, purpose="test") as made:
        landing = fly(made, transaction(history.creation()))
        assert landing.broken is None
        yield made


@pytest.fixture
def five(connection: Connection) -> Connection:
    write(connection, *(Entry(Happening.NOTE, remark=f"row {number}") for number in range(1, 6)))
    return connection


def tamper(environment: Environment, statement: str) -> None:
    ask(
        environment,
        f"ALTER TABLE rung.history DISABLE TRIGGER ALL; {statement}; ALTER TABLE rung.history ENABLE TRIGGER ALL",
    )


@pytest.mark.parametrize(
    "attempt", ["UPDATE rung.history SET actor = 'x'", "DELETE FROM rung.history", "TRUNCATE rung.history"]
)
def test_nothing_that_was_written_can_be_taken_back(environment: Environment, five: Connection, attempt: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        ask(environment, attempt)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        ask(environment, f"SET session_replication_role = replica; {attempt}")
    assert history.verify(five).rows == 5


@pytest.mark.parametrize(
    ("statement", "bad", "what"),
    [
        ("UPDATE rung.history SET message = 'row x' WHERE id = 3", 3, "row 3 was changed"),
        ("UPDATE rung.history SET actor = 'somebody else' WHERE id = 1", 1, "row 1 was changed"),
        (
            "UPDATE rung.history SET finished_at = finished_at + interval '1 microsecond' WHERE id = 5",
            5,
            "row 5 was changed",
        ),
        ("UPDATE rung.history SET detail = '' WHERE id = 2", 2, "row 2 was changed"),
        ("UPDATE rung.history SET own_hash = repeat('0', 64) WHERE id = 4", 4, "row 4 was changed"),
        ("DELETE FROM rung.history WHERE id = 2", 3, "row 3 stands where row 2 should"),
        ("DELETE FROM rung.history WHERE id = 1", 2, "row 2 stands where row 1 should"),
        ("UPDATE rung.history SET chain_version = 7 WHERE id = 2", 2, "form 7"),
        (
            """CREATE TEMP TABLE forged AS SELECT * FROM rung.history WHERE id = 5;
            UPDATE forged SET id = 0, own_hash = 'x', previous_hash = 'y';
            INSERT INTO rung.history SELECT * FROM forged""",
            0,
            "row 0 was changed",
        ),
        (
            "UPDATE rung.history SET id = -id WHERE id IN (2, 3); UPDATE rung.history SET id = 5 + id WHERE id < 0",
            2,
            "row 2 was changed",
        ),
    ],
)
def test_tampering_is_found_and_the_first_bad_row_named(
    environment: Environment, five: Connection, statement: str, bad: int, what: str
) -> None:
    tamper(environment, statement)
    report = history.verify(five)
    assert not report.ok
    assert report.first_bad_id == bad
    assert what in report.what


def test_a_row_sealed_anew_no_longer_fits_the_next_one(environment: Environment, five: Connection) -> None:
    tamper(environment, "DELETE FROM rung.history WHERE id > 2")
    write(five, Entry(Happening.NOTE, remark="another row 3"))
    assert history.verify(five).ok  # cut off the end: only a head that was kept elsewhere tells
    head = history.verify(five).head
    tamper(environment, "DELETE FROM rung.history WHERE id = 3")
    assert history.verify(five).head != head


def test_rows_cannot_read_the_same_by_shifting_their_parts(connection: Connection) -> None:
    first, second = replace(PROBLEM, detail="ab", hint=""), replace(PROBLEM, detail="a", hint="b")
    write(connection, Entry(Happening.FAILED, problem=first), Entry(Happening.FAILED, problem=second))
    assert history.verify(connection).ok


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German, DMY'",
        "IntervalStyle = iso_8601",
        "extra_float_digits = -15",
    ],
)
def test_the_check_does_not_depend_on_how_the_session_prints_things(five: Connection, setting: str) -> None:
    five.execute(f"SET {setting}".encode())
    assert history.verify(five).ok
    write(five, Entry(Happening.NOTE, remark="written under that setting"))
    five.execute("RESET ALL; SET search_path = pg_catalog")
    assert history.verify(five).ok


def test_thirty_writers_at_once_make_one_chain(environment: Environment, connection: Connection) -> None:
    barrier, faults = threading.Barrier(30), []

    def write_some() -> None:
        try:
            with connect(environment, purpose="test") as mine:
                barrier.wait()
                for _ in range(3):
                    write(mine, Entry(Happening.NOTE, remark="from a thread"))
        except psycopg.Error as wrong:
            faults.append(wrong)

    threads = [threading.Thread(target=write_some) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert history.verify(connection) == replace(history.verify(connection), ok=True, rows=90)


def test_a_writer_with_an_old_snapshot_is_refused_rather_than_forking_the_chain(
    environment: Environment, five: Connection
) -> None:
    with connect(environment, purpose="test") as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM rung.history")
        write(five, Entry(Happening.NOTE, remark="meanwhile"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            write_inside(other)
    assert history.verify(five).rows == 6


def write_inside(connection: Connection) -> None:
    message = history.append(AUTHOR, Entry(Happening.NOTE))
    cursor = psycopg.RawCursor(connection)
    cursor.execute(message.sql.encode(), message.values)


def test_an_empty_or_missing_history_holds(environment: Environment) -> None:
    with connect(environment, purpose="test") as connection:
        assert history.verify(connection) == ChainReport(True, 0, None, "there is no history yet", None)
        assert history.rows_since(connection, 0, 10) == ()
        fly(connection, transaction(history.creation()))
        assert history.verify(connection).ok


def test_every_value_comes_back_as_it_was_given(connection: Connection) -> None:
    write(
        connection,
        Entry(
            Happening.APPLIED, migration(), with_text=True, reason="because", renamed_from="000_a.sql", remark="note"
        ),
        Entry(Happening.FAILED, migration(), statement=2, problem=PROBLEM, subject="public.ix"),
    )
    applied, failed = history.rows_since(connection, 0, 10)
    file = migration()
    assert (applied.id, applied.event, applied.filename, applied.sql) == (1, "applied", "001_a.sql", file.text)
    assert (applied.raw_hash, applied.normalised_hash, applied.hash_version) == (file.raw_hash, file.normalised_hash, 1)
    assert (applied.actor_kind, applied.actor, applied.door) == ("person", "lead@example.com", "web")
    assert (applied.reason, applied.renamed_from, applied.message) == ("because", "000_a.sql", "note")
    assert applied.started_at.tzinfo is not None
    assert applied.seconds >= 0
    assert applied.previous_hash == history.GENESIS
    assert (failed.statement, failed.line, failed.column, failed.sqlstate) == (2, 3, 4, "42601")
    assert (failed.message, failed.detail, failed.hint, failed.excerpt) == ("it failed", "detail", "hint", "x\n^")
    assert failed.previous_hash == applied.own_hash
    assert history.rows_since(connection, 1, 10) == (failed,)
    assert history.rows_since(connection, 0, 1) == (applied,)


def test_every_column_is_explained(environment: Environment, connection: Connection) -> None:
    undocumented = ask(
        environment,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'rung.history'::regclass AND attnum > 0 "
        "AND col_description(attrelid, attnum) IS NULL",
    )
    assert undocumented == []


def test_the_oldest_server_we_have_keeps_the_same_history(debian: Callable[[], Environment]) -> None:
    with connect(debian(), purpose="test") as connection:
        assert fly(connection, transaction(history.creation())).broken is None
        write(connection, Entry(Happening.APPLIED, migration(), with_text=True), Entry(Happening.NOTE))
        assert history.verify(connection).rows == 2
