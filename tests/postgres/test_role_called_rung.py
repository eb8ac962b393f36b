from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.folder import read_folder
from dashboard.postgres import embedded
from dashboard.services.apply import apply
from tests.conftest import MakeDatabase, Write

ORDER = Order(Actor(ActorKind.PERSON, "dev@example.com", Door.CLI))


@pytest.fixture
def owned_by_rung(server: embedded.EmbeddedServer, make_database: MakeDatabase) -> Iterator[Secret]:
    """A database whose role is called like the schema of the history."""
    url = make_database()
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("CREATE ROLE rung LOGIN SUPERUSER PASSWORD 'rung-rung'")
    yield Secret(f"postgresql://rung:rung-rung@127.0.0.1:{server.port}/{url.reveal().rsplit('/', 1)[1]}")
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("REASSIGN OWNED BY rung TO postgres")
        connection.execute("DROP ROLE rung")


def test_files_of_a_role_called_rung_do_not_land_in_the_schema_of_the_history(
    owned_by_rung: Secret, folder_path: Path, write: Write
) -> None:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    write(folder_path, "002_b.sql", "CREATE INDEX CONCURRENTLY a_id ON a (id);\nCREATE TABLE b (id int);")
    result = apply(Environment("local", 0, owned_by_rung), lambda: read_folder(folder_path), ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    with psycopg.connect(owned_by_rung.reveal()) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'rung'::regnamespace AND relkind = 'r'"
        )
        assert [row[0] for row in found] == ["history"]
        assert connection.execute("SELECT to_regclass('public.a'), to_regclass('public.b')").fetchone() != (None, None)
