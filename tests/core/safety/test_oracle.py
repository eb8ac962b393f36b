"""What a rule claims of its bad example is what a real server did with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety.review import review
from dashboard.core.safety.rule import Claim, Rule
from dashboard.core.safety.rules import RULES
from dashboard.core.script import Script, parse
from dashboard.postgres.embedded import EmbeddedServer

EXAMPLES = Path(__file__).parents[2] / "examples"
CLAIMING = [rule for rule in RULES if rule.claim is not None]
STRENGTH = (
    "",
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
FILES = """
    SELECT oid::int, relfilenode::int FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v')"""
SCANS = "SELECT relid::int, coalesce(seq_scan, 0) FROM pg_stat_xact_all_tables"
LOCKS = "SELECT relation::int, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL AND granted"


def observe(connection: psycopg.Connection[tuple[object, ...]], script: Script) -> Claim:
    """Run a file as the runner would, look at what it did before it ends, and undo it."""
    before = dict(connection.execute(FILES).fetchall())
    counted = dict(connection.execute(SCANS).fetchall())  # of transactions before, which were not reported yet
    try:
        for statement in script.statements:
            connection.execute(statement.text.encode())
    except psycopg.Error as error:
        connection.rollback()
        return Claim(fails=error.sqlstate or "?")
    locks = [mode for relation, mode in connection.execute(LOCKS).fetchall() if relation in before]
    after = dict(connection.execute(FILES).fetchall())
    scans = dict(connection.execute(SCANS).fetchall())
    connection.rollback()
    return Claim(
        lock=max((str(mode) for mode in locks), key=STRENGTH.index, default=""),
        scans=any(scans.get(relation, 0) != counted.get(relation, 0) for relation in before),
        rewrites=any(file != after.get(relation, file) for relation, file in before.items()),
    )


def script_of(rule: Rule, name: str) -> Script:
    migration = read_migration("001_example.sql", (EXAMPLES / rule.name / f"{name}.sql").read_bytes())
    assert isinstance(migration, Migration)
    script = parse(migration)
    assert isinstance(script, Script)
    return script


def compare(connection: psycopg.Connection[tuple[object, ...]], rule: Rule) -> None:
    claim = rule.claim
    assert claim is not None
    if connection.info.server_version // 10_000 < claim.since:
        pytest.skip(f"the example needs PostgreSQL {claim.since}")
    seen = observe(connection, script_of(rule, "bad"))
    assert (seen.lock, seen.scans, seen.rewrites, seen.fails) == (
        ("" if claim.fails else claim.lock),
        claim.scans,
        claim.rewrites,
        claim.fails,
    )


def prepared(server: EmbeddedServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    server.create_database("oracle", "template0")
    with psycopg.connect(server.url("oracle").reveal()) as connection:
        connection.execute((EXAMPLES / "before.sql").read_bytes())
        if connection.info.server_version >= 180_000:
            connection.execute((EXAMPLES / "before-18.sql").read_bytes())
        connection.commit()
        yield connection
    server.drop_database("oracle")


@pytest.fixture(scope="module")
def embedded(server: EmbeddedServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    yield from prepared(server)


@pytest.fixture(scope="module")
def other(other_server: EmbeddedServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    yield from prepared(other_server)


by_rule: Callable[..., pytest.MarkDecorator] = pytest.mark.parametrize("rule", CLAIMING, ids=lambda rule: rule.name)


NEWER = {
    "ALTER TABLE lines ALTER double DROP EXPRESSION": 13,
    "ALTER TABLE users ALTER name SET COMPRESSION pglz": 14,
    "CREATE TABLE packed (a text COMPRESSION pglz)": 14,
    "ALTER TABLE events DETACH PARTITION events_2025 FINALIZE": 14,
    "CREATE OR REPLACE TRIGGER same BEFORE UPDATE ON users EXECUTE FUNCTION suppress_redundant_updates_trigger()": 14,
    "CREATE FUNCTION one() RETURNS int BEGIN ATOMIC SELECT 1; END": 14,
    "ALTER TABLE users SET ACCESS METHOD heap": 15,
    "CREATE UNIQUE INDEX ON users (email) NULLS NOT DISTINCT": 15,
    "CREATE TABLE once (a int UNIQUE NULLS NOT DISTINCT)": 15,
    "MERGE INTO users u USING teams t ON u.id = t.id WHEN MATCHED THEN DO NOTHING": 15,
    "MERGE INTO users u USING teams t ON u.id = t.id WHEN NOT MATCHED BY SOURCE THEN DO NOTHING": 17,
    "ALTER TABLE lines ALTER double SET EXPRESSION AS (id * 3)": 17,
    "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) AS j": 17,
    "ALTER TABLE users ADD half int GENERATED ALWAYS AS (age / 2) VIRTUAL": 18,
    "CREATE TABLE halves (a int, b int GENERATED ALWAYS AS (a / 2))": 18,
    "ALTER TABLE users ADD CHECK (age > 0) NOT ENFORCED": 18,
    "ALTER TABLE users ADD CONSTRAINT named NOT NULL age": 18,
    "CREATE TABLE spans (a int4range, b tsrange, PRIMARY KEY (a, b WITHOUT OVERLAPS))": 18,
}
"""Statements, and the first major version whose parser takes them."""


def knows(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> bool:
    try:
        connection.execute(sql.encode())
    except psycopg.errors.SyntaxError:
        return False
    except psycopg.Error:
        return True
    finally:
        connection.rollback()
    return True


def compare_version(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> None:
    version = str(connection.info.server_version // 10_000)
    migration = read_migration("001_example.sql", sql.encode())
    assert isinstance(migration, Migration)
    (reviewed,) = review([migration])
    needs = [finding.blocks for finding in reviewed.on_server(version) if finding.rule == "needs-newer-server"]
    assert any(needs) is not knows(connection, sql)


@pytest.mark.parametrize("sql", NEWER)
def test_the_newest_server_knows_all_that_older_ones_do_not(
    sql: str, embedded: psycopg.Connection[tuple[object, ...]]
) -> None:
    compare_version(embedded, sql)
    migration = read_migration("001_example.sql", sql.encode())
    assert isinstance(migration, Migration)
    (reviewed,) = review([migration])
    assert max(finding.since for finding in reviewed.newer) == NEWER[sql]
    assert reviewed.on_server(f"{NEWER[sql]}.1") == reviewed.on_server("") == reviewed.findings


@pytest.mark.slow
@pytest.mark.parametrize("sql", NEWER)
def test_an_older_server_refuses_what_the_rule_says_it_does(
    sql: str, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    compare_version(other, sql)


@by_rule
def test_the_server_does_what_a_rule_claims(rule: Rule, embedded: psycopg.Connection[tuple[object, ...]]) -> None:
    compare(embedded, rule)


@pytest.mark.slow
@by_rule
def test_every_other_major_does_too(rule: Rule, other: psycopg.Connection[tuple[object, ...]]) -> None:
    compare(other, rule)
