"""A dangerous statement is found wherever a migration executes it, at its own line."""

import pytest

from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety.review import review


def found(sql: str) -> list[tuple[str, int]]:
    """(rule, line) of what stops the file."""
    migration = read_migration("001_f.sql", sql.encode())
    assert isinstance(migration, Migration)
    (reviewed,) = review([migration])
    assert reviewed.refusal is None, reviewed.refusal
    return [(finding.rule, finding.line) for finding in reviewed.findings if finding.blocks]


DEFINED = "CREATE {} f() {} LANGUAGE {} AS $$\n{}\n$$;\n"
PLPGSQL = "BEGIN\nDELETE FROM t;\nEND"
WHERE_DELETE_STANDS = {
    "alone": ("\n\nDELETE FROM t", 3),
    "after letters of several bytes": ("SELECT 'é', '🐘';\n-- ü\nDELETE FROM t", 3),
    "common table expression": ("WITH a AS (\nDELETE FROM t RETURNING *)\nSELECT * FROM a", 2),
    "common table expression of a write": ("WITH a AS (\nDELETE FROM t RETURNING *)\nINSERT INTO u TABLE a", 2),
    "explain analyze": ("EXPLAIN (ANALYZE)\nDELETE FROM t", 2),
    "prepare": ("PREPARE p AS\nDELETE FROM t", 2),
    "copy": ("COPY (\nDELETE FROM t RETURNING *) TO '/dev/null'", 2),
    "do": (f"SELECT 1;\nDO $$\n{PLPGSQL} $$", 4),
    "do in several quotes": ("DO\n'\nBEGIN\nDELETE FROM t; END'", 4),
    "branch that may not run": ("DO $$ BEGIN\nIF false THEN\nDELETE FROM t;\nEND IF; END $$", 3),
    "branch of a case": ("DO $$ BEGIN CASE 1 WHEN 1 THEN\nDELETE FROM t;\nELSE NULL; END CASE; END $$", 2),
    "loop": ("DO $$ BEGIN\nFOR i IN 1..3 LOOP\nDELETE FROM t;\nEND LOOP; END $$", 3),
    "loop over rows": ("DO $$ DECLARE r record; BEGIN FOR r IN\nDELETE FROM t RETURNING * LOOP END LOOP; END $$", 2),
    "exception handler": ("DO $$ BEGIN NULL;\nEXCEPTION WHEN others THEN\nDELETE FROM t; END $$", 3),
    "block in a block": ("DO $$ BEGIN\nBEGIN\nDELETE FROM t; END; END $$", 3),
    "dynamic text": ("DO $$ BEGIN\nEXECUTE 'DELETE FROM t'; END $$", 2),
    "dynamic text put together": ("DO $$ BEGIN\nEXECUTE 'DELETE ' || 'FROM t'; END $$", 2),
    "dynamic text of a block": ("DO $a$ BEGIN\nEXECUTE 'DO $b$ BEGIN DELETE FROM t; END $b$'; END $a$", 2),
    "called function": (DEFINED.format("FUNCTION", "RETURNS void", "plpgsql", PLPGSQL) + "SELECT f()", 6),
    "called SQL function": (DEFINED.format("FUNCTION", "RETURNS void", "sql", "DELETE FROM t") + "SELECT\nf()", 5),
    "called procedure": (DEFINED.format("PROCEDURE", "", "plpgsql", PLPGSQL) + "CALL f()", 6),
    "function called in a body": (
        DEFINED.format("FUNCTION", "RETURNS void", "sql", "DELETE FROM t") + "DO $$ BEGIN\nPERFORM f(); END $$",
        5,
    ),
    "function called in a default": (
        DEFINED.format("FUNCTION", "RETURNS int", "plpgsql", PLPGSQL) + "ALTER TABLE u ADD a int\nDEFAULT f()",
        7,
    ),
    "function in ATOMIC form": ("CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM t; END;\nSELECT f()", 2),
}


@pytest.mark.parametrize(("sql", "line"), WHERE_DELETE_STANDS.values(), ids=WHERE_DELETE_STANDS.keys())
def test_a_delete_of_all_rows_is_found_wherever_it_is_executed(sql: str, line: int) -> None:
    assert ("delete-without-where", line) in found(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN DELETE FROM t",
        "CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM t",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t'",
        "CREATE VIEW v AS SELECT 'DELETE FROM t'",
        "SELECT 1 /* DELETE FROM t; */ -- DELETE FROM t;",
        "DO $$ BEGIN\n-- DELETE FROM t;\nRAISE NOTICE 'DELETE FROM t'; END $$",
    ],
)
def test_what_is_not_executed_is_not_taken_for_it(sql: str) -> None:
    assert found(sql) == []


def test_elements_of_a_schema_are_judged_as_they_stand() -> None:
    said = "CREATE SCHEMA s\nCREATE TABLE a (x int)\nCREATE INDEX ON a (x)\nGRANT SELECT ON a TO PUBLIC"
    assert found(said) == []
    assert found(said + ";\nDROP TABLE a") == [("drop-table", 5)]


def test_a_text_that_is_put_together_at_run_time_is_opaque_at_its_line() -> None:
    assert found("DO $$ BEGIN\n\nEXECUTE format('DELETE FROM %I', 't'); END $$") == [("dynamic-sql", 3)]
