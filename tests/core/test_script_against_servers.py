"""What the text says about transactions, compared with what real servers say."""

import psycopg
import pytest

from dashboard.core.migration import Migration, read_migration
from dashboard.core.script import Script, parse
from dashboard.postgres.embedded import EmbeddedServer

_SETTING = """
    CREATE TABLE t (a int);
    CREATE INDEX i ON t (a);
    CREATE TABLE parent (a int) PARTITION BY RANGE (a);
    CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (9);
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
    CREATE UNIQUE INDEX ON m (a);
    CREATE TYPE mood AS ENUM ('ok');
    CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
"""
_STATEMENTS = [
    "CREATE INDEX CONCURRENTLY j ON t (a)",
    "DROP INDEX CONCURRENTLY i",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX (CONCURRENTLY) TABLE t",
    "REINDEX SCHEMA public",
    "REINDEX (CONCURRENTLY false) TABLE t",
    "REINDEX TABLE t",
    "VACUUM t",
    "VACUUM (FULL false) t",
    "VACUUM FULL t",
    "ANALYZE t",
    "CLUSTER",
    "CLUSTER t USING i",
    "CREATE DATABASE no_such",
    "DROP DATABASE IF EXISTS no_such",
    "CREATE TABLESPACE no_such LOCATION '/no/such'",
    "DROP TABLESPACE IF EXISTS no_such",
    "ALTER SYSTEM RESET work_mem",
    "DISCARD ALL",
    "DISCARD TEMP",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
    "CREATE PUBLICATION p",
    "ALTER TYPE mood ADD VALUE 'fine'",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "ALTER TABLE parent DETACH PARTITION part",
    "ALTER TABLE parent DETACH PARTITION part CONCURRENTLY",
    "TRUNCATE t",
    "LOCK TABLE t",
    "CHECKPOINT",
    "CALL p()",
    "DO $$ BEGIN COMMIT; END $$",
    "DO $$ BEGIN PERFORM 'commit'; END $$",
]
_REFUSALS = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination)


@pytest.fixture(params=["server", "debian_server"])
def any_server(request: pytest.FixtureRequest) -> EmbeddedServer:
    server: EmbeddedServer = request.getfixturevalue(request.param)
    return server


def test_the_servers_refuse_in_a_transaction_exactly_what_is_read_so(any_server: EmbeddedServer) -> None:
    any_server.create_database("transactions", "template0")
    try:
        with psycopg.connect(any_server.url("transactions").reveal(), autocommit=True) as connection:
            connection.execute(_SETTING)
            said = {sql: _runs_in_transaction(connection, sql) for sql in _STATEMENTS}
    finally:
        any_server.drop_database("transactions")
    assert said == {sql: _read(sql).transactional for sql in _STATEMENTS}


def _runs_in_transaction(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql)
    except _REFUSALS:
        return False
    except psycopg.Error:
        pass  # it went past the check
    return True


def _read(sql: str) -> Script:
    migration = read_migration("001_a.sql", sql.encode())
    assert isinstance(migration, Migration)
    script = parse(migration)
    assert isinstance(script, Script)
    return script
