"""A test never gets a database in which another one has been."""

from collections.abc import Iterator

import psycopg
import pytest

from dashboard.postgres import embedded
from tests.databases import Database, Databases


@pytest.fixture
def own(server: embedded.EmbeddedServer) -> Iterator[Databases]:
    made = Databases(server)
    yield made
    made.close()


@pytest.fixture
def one(own: Databases, template: str) -> Iterator[Database]:
    given = own.give(template)
    yield given
    own.server.drop_database(given.name)


def names(own: Databases) -> frozenset[str]:
    return own.server.databases()


def test_what_nobody_visited_is_given_again(own: Databases, one: Database, template: str) -> None:
    own.take_back(one)
    assert own.give(template) == one


def test_what_somebody_visited_is_dropped(own: Databases, one: Database) -> None:
    psycopg.connect(own.server.url(one.name).reveal()).close()
    own.take_back(one)
    assert one.name not in names(own)


def test_what_somebody_is_in_is_dropped(own: Databases, one: Database) -> None:
    with psycopg.connect(own.server.url(one.name).reveal()) as inside:
        own.take_back(one)
        assert one.name not in names(own)
        with pytest.raises(psycopg.errors.AdminShutdown):
            inside.execute("SELECT")


def test_what_somebody_visits_once_it_is_back_is_not_given_again(own: Databases, one: Database, template: str) -> None:
    own.take_back(one)
    psycopg.connect(own.server.url(one.name).reveal()).close()
    another = own.give(template)
    own.server.drop_database(another.name)
    assert another.name != one.name


@pytest.mark.parametrize(
    "altered",
    [
        "ALTER DATABASE {} SET search_path = nowhere",
        "ALTER DATABASE {} CONNECTION LIMIT 3",
        "REVOKE CONNECT ON DATABASE {} FROM public",
        "DROP DATABASE {}; CREATE DATABASE {}",
    ],
)
def test_what_was_altered_from_outside_is_dropped(own: Databases, one: Database, altered: str) -> None:
    with psycopg.connect(own.server.url("postgres").reveal(), autocommit=True) as outside:
        for statement in altered.split("; "):
            outside.execute(statement.format(one.name).encode())
    own.take_back(one)
    assert one.name not in names(own)


def test_a_session_that_somebody_ended_is_opened_again(own: Databases, one: Database) -> None:
    assert own._connection is not None
    with psycopg.connect(own.server.url("postgres").reveal(), autocommit=True) as outside:
        ended = outside.execute("SELECT pg_terminate_backend(%s, 5000)", (own._connection.info.backend_pid,)).fetchone()
    assert ended == (True,)
    own.take_back(one)
    assert one.name in names(own)
