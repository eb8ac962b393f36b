import psycopg
import pytest

from dashboard.core.safety.functions import BUILTIN, CONTRIB, REACHING, RUNS_TEXT
from dashboard.postgres.embedded import EmbeddedServer

_EXTENSIONS = ("uuid-ossp", "pgcrypto", "citext", "pg_trgm", "unaccent", "hstore", "ltree", "intarray", "fuzzystrmatch")
_NOT_CALLED = """
    SELECT proname FROM pg_catalog.pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace
    AND (
        prorettype IN ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
        OR prorettype::regtype::text LIKE '%\\_handler'
        OR 'internal'::regtype = ANY (proargtypes) OR 'cstring'::regtype = ANY (proargtypes)
    )
"""


@pytest.fixture(params=["server", "debian_server"])
def any_server(request: pytest.FixtureRequest) -> EmbeddedServer:
    server: EmbeddedServer = request.getfixturevalue(request.param)
    return server


def names(server: EmbeddedServer, query: str) -> set[str]:
    with psycopg.connect(server.url("postgres").reveal(), autocommit=True) as connection:
        return {name for (name,) in connection.execute(query.encode())}


def test_whatever_cannot_write_is_known(any_server: EmbeddedServer) -> None:
    reading = names(
        any_server,
        "SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile <> 'v' "
        f"AND proname NOT IN ({_NOT_CALLED})",
    )
    assert reading - BUILTIN - RUNS_TEXT - REACHING.keys() == set()


def test_what_may_write_is_known_only_where_it_was_looked_at(any_server: EmbeddedServer) -> None:
    """A new volatile function of a new server shows up here: decide where it belongs, or leave it unknown."""
    writing = names(
        any_server,
        "SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' "
        f"AND proname NOT IN ({_NOT_CALLED}) AND proname NOT LIKE 'binary_upgrade_%'",
    )
    assert writing - BUILTIN - RUNS_TEXT - REACHING.keys() == {
        "pg_advisory_unlock_all",  # a rule of its own
        "plpgsql_validator",
        *(writing & {"pg_isolation_test_session_is_blocked", "pg_log_standby_snapshot", "pg_nextoid"}),
        *(writing & {"pg_read_file_old", "pg_rotate_logfile_old", "pg_stop_making_pinned_objects"}),
        *(
            name
            for name in writing
            if name.startswith("pg_replication_origin_") and name not in BUILTIN | REACHING.keys()
        ),
    }


def test_functions_of_the_usual_extensions_are_known_by_their_real_names(debian_server: EmbeddedServer) -> None:
    debian_server.create_database("extensions", "template0")
    try:
        with psycopg.connect(debian_server.url("extensions").reveal(), autocommit=True) as connection:
            for extension in _EXTENSIONS:
                connection.execute(f'CREATE EXTENSION "{extension}"'.encode())
            query = "SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace = 'public'::regnamespace"
            real = {name for (name,) in connection.execute(query)}
    finally:
        debian_server.drop_database("extensions")
    assert {
        "uuid_generate_v4",
        "gen_random_bytes",
        "crypt",
        "similarity",
        "unaccent",
        "hstore",
        "nlevel",
    } <= CONTRIB & real
    assert len(CONTRIB & real) > 70


def test_no_function_is_both_harmless_and_not() -> None:
    assert BUILTIN.isdisjoint(RUNS_TEXT | REACHING.keys())
    assert CONTRIB.isdisjoint(BUILTIN | RUNS_TEXT | REACHING.keys())
