"""Home's connections: shared, replaced when they broke, and never a secret in what they say."""

import threading
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Secret
from dashboard.core.errors import HomeNotReady, Unreachable
from dashboard.postgres.home.pool import Home


def pid(connection: psycopg.Connection[Any]) -> int:
    return connection.info.backend_pid


def test_a_connection_is_used_again(home: Home) -> None:
    with home.connection() as connection:
        first = pid(connection)
    with home.connection() as connection:
        assert pid(connection) == first


def test_a_connection_that_is_in_use_at_the_end_is_closed_when_it_comes_back(home_url: Secret) -> None:
    home = Home(home_url)
    with home.connection() as late, home.connection() as early:
        home.close()
        assert not late.closed
        assert not early.closed
    assert late.closed
    assert early.closed
    with home.connection() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    assert again.closed


def test_a_connection_that_the_server_ended_is_replaced_unnoticed(home: Home, in_home: psycopg.Connection[Any]) -> None:
    with home.connection() as connection:
        first = pid(connection)
    in_home.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    with home.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_breaks_in_the_middle_is_said_to_be_unreachable(
    home: Home, in_home: psycopg.Connection[Any]
) -> None:
    def ask() -> None:
        with home.connection() as connection:
            in_home.execute("SELECT pg_terminate_backend(%s, 5000)", (pid(connection),))
            connection.execute("SELECT 1")

    with pytest.raises(Unreachable, match="Rung's own database cannot be reached"):
        ask()
    with home.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_prepared_statement_whose_table_changed_fails_once_and_not_for_ever(
    home: Home, in_home: psycopg.Connection[Any]
) -> None:
    """A newer Rung brings home up to date while the pages of the older one are still served."""

    def ask() -> list[Any]:
        with home.connection() as connection:
            return connection.execute("SELECT * FROM home.link", prepare=True).fetchall()

    assert ask() == []
    in_home.execute("ALTER TABLE home.link ADD COLUMN newer text")
    with pytest.raises(Unreachable, match="its tables changed at this moment"):
        ask()
    assert ask() == []


def test_a_transaction_is_undone_when_its_block_fails(home: Home, in_home: psycopg.Connection[Any]) -> None:
    def fail() -> None:
        with home.transaction() as connection:
            connection.execute("INSERT INTO home.account (email) VALUES ('a@example.com')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert in_home.execute("SELECT count(*) FROM home.account").fetchone() == (0,)


def test_a_database_that_is_not_prepared_is_named_as_that(database: Secret) -> None:
    home = Home(database)
    with pytest.raises(HomeNotReady, match="not prepared for this version"), home.connection() as connection:
        connection.execute("SELECT * FROM home.run")
    home.close()


def test_a_home_that_is_away_is_said_at_once_and_without_its_password(home_url: Secret) -> None:
    away = Home(Secret("postgresql://rung:s3cr3t-password@127.0.0.1:1/home"))
    with pytest.raises(Unreachable, match=r"nothing listens at 127\.0\.0\.1:1") as said, away.connection():
        pass
    assert "s3cr3t" not in f"{said.value} {said.value.__cause__!r} {said.value.__context__!r}"


def test_more_threads_than_connections_take_turns(home_url: Secret) -> None:
    home = Home(home_url, size=2)
    pids: list[int] = []

    def ask() -> None:
        with home.connection() as connection:
            connection.execute("SELECT pg_sleep(0.01)")
            pids.append(pid(connection))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    home.close()
    assert len(pids) == 20
    assert len(set(pids)) <= 2


def test_names_of_the_queue_are_found_and_what_a_stranger_left_in_public_is_not(
    home: Home, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("CREATE TABLE public.procrastinate_jobs (stranger int)")
    with home.connection() as connection:
        row = connection.execute(
            "SELECT 'procrastinate_jobs'::regclass::oid = 'home.procrastinate_jobs'::regclass"
        ).fetchone()
    assert row == (True,)
