import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety import review as review_module
from dashboard.core.safety.finding import Finding, Reviewed, RiskClass
from dashboard.core.safety.review import review
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.safety.there import Fact, Facts


def files(*texts: str) -> list[Migration]:
    read = [read_migration(f"{number:03}_f.sql", text.encode()) for number, text in enumerate(texts, start=1)]
    return [migration for migration in read if isinstance(migration, Migration)]


def found(*texts: str) -> list[tuple[str, int]]:
    """(rule, line) of everything that stops the last of these files."""
    *_, last = review(files(*texts))
    assert last.refusal is None, last.refusal
    return [(finding.rule, finding.line) for finding in last.findings if finding.blocks]


def rules(*texts: str) -> list[str]:
    return [rule for rule, _ in found(*texts)]


def one(sql: str) -> Finding:
    """The one finding that stops it."""
    (reviewed,) = review(files(sql))
    (finding,) = (finding for finding in reviewed.findings if finding.blocks)
    return finding


# --- what a finding says ---


def test_a_finding_names_what_is_lost_where_and_what_is_safer() -> None:
    finding = one("BEGIN;\n\nALTER TABLE app.users\n    DROP COLUMN legacy_role;\nCOMMIT;")
    assert finding.rule == "drop-column"
    assert finding.risk is RiskClass.DESTRUCTIVE
    assert finding.line == 3
    assert finding.statement == "ALTER TABLE app.users DROP COLUMN legacy_role"
    assert finding.what == "drops column legacy_role of table app.users with all its values"
    assert "one release later" in finding.safer
    assert finding.blocks


def test_the_safer_way_names_the_table() -> None:
    assert 'ALTER TABLE "Old"."Users" RENAME TO "Users_trash";' in one('DROP TABLE "Old"."Users"').safer


def test_every_object_of_a_statement_is_its_own_finding() -> None:
    (reviewed,) = review(files("DROP TABLE a, b.c CASCADE; TRUNCATE x,\n y"))
    assert [(f.line, f.what) for f in reviewed.findings] == [
        (1, "drops table a with all its rows, and with CASCADE everything that depends on it"),
        (1, "drops table b.c with all its rows, and with CASCADE everything that depends on it"),
        (1, "removes every row of x"),
        (2, "removes every row of y"),
    ]


def test_findings_are_in_the_order_of_their_lines_and_said_once() -> None:
    sql = "DROP TABLE b;\nSELECT f(1), f(2), f(3);\nDROP TABLE a;\nDROP TABLE b;"
    assert found(sql) == [("drop-table", 1), ("unknown-function", 2), ("drop-table", 3), ("drop-table", 4)]


def test_what_cannot_be_read_is_a_refusal_and_the_others_are_still_judged() -> None:
    first, second, third = review(files("DROP TABLE a", "oops", "DROP TABLE b"))
    assert [f.rule for f in first.findings] == ["drop-table"]
    assert (second.script, second.findings) == (None, ())
    assert second.refusal is not None
    assert [f.rule for f in third.findings] == ["drop-table"]


def test_the_order_of_the_batch_is_kept_and_nothing_is_nothing() -> None:
    assert [r.migration.filename for r in review(files("SELECT 1", "", "SELECT 2"))] == [
        "001_f.sql",
        "002_f.sql",
        "003_f.sql",
    ]
    assert review([]) == ()


# --- destructive ---


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("DROP TABLE IF EXISTS t", "drop-table"),
        ("ALTER TABLE IF EXISTS t DROP COLUMN IF EXISTS a", "drop-column"),
        ("ALTER TABLE t DROP a CASCADE", "drop-column"),
        ("DROP SCHEMA IF EXISTS s", "drop-schema"),
        ("DROP TYPE t", "drop-type"),
        ("DROP DOMAIN d", "drop-domain"),
        ("DROP MATERIALIZED VIEW m", "drop-matview"),
        ("DROP SEQUENCE q", "drop-sequence"),
        ("DROP EXTENSION e", "drop-extension"),
        ("DROP OWNED BY CURRENT_USER", "drop-owned"),
        ("DROP DATABASE IF EXISTS d WITH (FORCE)", "drop-database"),
        ("DROP FOREIGN TABLE f", "drop-foreign-table"),
        ("ALTER TYPE t DROP ATTRIBUTE a", "drop-attribute"),
        ("DROP VIEW v CASCADE", "drop-cascade"),
        ("DROP FUNCTION f(int) CASCADE", "drop-cascade"),
        ("DROP COLLATION c CASCADE", "drop-cascade"),
        ("DROP INDEX i CASCADE", "drop-cascade"),
        ("DROP SERVER s CASCADE", "drop-cascade"),
        ("DROP OPERATOR + (int, int) CASCADE", "drop-cascade"),
        ("DROP CAST (int AS text) CASCADE", "drop-cascade"),
        ("DROP LANGUAGE l CASCADE", "drop-cascade"),
        ("DROP ACCESS METHOD m CASCADE", "drop-cascade"),
        ("ALTER TABLE t DROP CONSTRAINT c CASCADE", "drop-cascade"),
        ("ALTER DOMAIN d DROP CONSTRAINT c CASCADE", "drop-cascade"),
        ("ALTER FOREIGN TABLE t DROP COLUMN a CASCADE", "drop-cascade"),
        ("TRUNCATE ONLY t", "truncate"),
        ("TRUNCATE t CASCADE", "truncate-cascade"),
        ("DELETE FROM t", "delete-without-where"),
        ("DELETE FROM ONLY t AS x USING u", "delete-without-where"),
        ("DELETE FROM t WHERE a OR true RETURNING *", "delete-without-where"),
        ("UPDATE t SET a = 1 FROM u", "update-without-where"),
        ("UPDATE t SET (a, b) = (SELECT 1, 2) WHERE 't'", "update-without-where"),
        ("WITH x AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM x", "delete-without-where"),
        ("WITH x AS (SELECT 1), y AS (WITH z AS (UPDATE t SET a = 1 RETURNING 1) TABLE z) TABLE y", "update-without-where"),
        ("EXPLAIN ANALYZE DELETE FROM t", "delete-without-where"),
        ("EXPLAIN (COSTS off, ANALYZE on) UPDATE t SET a = 1", "update-without-where"),
        ("EXPLAIN ANALYZE CREATE TABLE u AS SELECT pg_drop_replication_slot('x')", "reaching-function"),
        ("PREPARE x AS DELETE FROM t", "delete-without-where"),
        ("COPY (DELETE FROM t RETURNING *) TO '/dev/null'", "delete-without-where"),
        ("MERGE INTO t USING u ON 1 = 1 WHEN MATCHED THEN DELETE", "merge-delete"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = 1", "merge-update"),
        ("WITH x AS (MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING 1) TABLE x", "merge-delete"),
        ("ALTER TABLE t SET UNLOGGED", "set-unlogged"),
        ("SELECT lo_unlink(1)", "reaching-function"),
        ("SELECT lo_unlink(o.oid) FROM pg_largeobject_metadata o", "reaching-function"),
        ("CREATE SCHEMA s CREATE TABLE u (a int) CREATE VIEW v AS SELECT 1; DROP TABLE u", "drop-table"),
    ],
)  # fmt: skip
def test_what_destroys_data_is_destructive(sql: str, rule: str) -> None:
    assert rule in rules(sql)
    (reviewed,) = review(files(sql))
    assert {f.rule for f in reviewed.findings if f.blocks} <= {rule, "copy-server-file"}


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW v",
        "DROP INDEX i",
        "DROP FUNCTION f",
        "DROP TRIGGER g ON t",
        "DROP POLICY p ON t",
        "DROP ROLE r",
        "ALTER TABLE t DROP CONSTRAINT c",
        "ALTER FOREIGN TABLE t DROP COLUMN a",
        "ALTER TABLE t ALTER a DROP NOT NULL, ALTER b DROP DEFAULT",
        "REVOKE SELECT ON t FROM r CASCADE",
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = 1 WHERE a IS NULL",
        "EXPLAIN DELETE FROM t",
        "EXPLAIN (ANALYZE off) DELETE FROM t",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (u.a)",
        "MERGE INTO t USING u ON true WHEN MATCHED AND t.a = u.a THEN UPDATE SET b = 1",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
        "CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t'",
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; RETURN new; END $$;"
            "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f(); INSERT INTO t VALUES (1)"
        ),
        "SELECT 'DROP TABLE t', $$ DELETE FROM t $$ -- TRUNCATE t",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t DETACH PARTITION p",
    ],
)
def test_what_destroys_nothing_passes(sql: str) -> None:
    assert rules(sql) == []


# --- inside bodies ---


def test_a_do_block_is_looked_into_with_the_lines_of_the_file() -> None:
    sql = """SELECT 1;
DO $$
BEGIN
    IF false THEN
        DELETE FROM a;
    END IF;
    EXECUTE 'DROP TABLE '
         || 'b';
EXCEPTION WHEN others THEN
    TRUNCATE
        c;
END $$;"""
    assert found(sql) == [("delete-without-where", 5), ("drop-table", 7), ("truncate", 11)]


def test_a_called_function_is_looked_into_at_the_line_of_the_call() -> None:
    (reviewed,) = review(
        files(
            """CREATE FUNCTION purge() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM sessions;
END $$;

SELECT
    purge();"""
        )
    )
    assert [(f.rule, f.line, f.what) for f in reviewed.findings] == [
        ("delete-without-where", 7, "calls purge(), which deletes every row of sessions")
    ]


@pytest.mark.parametrize(
    "body",
    [
        "LANGUAGE sql AS 'TRUNCATE t'",
        "BEGIN ATOMIC DELETE FROM t; END",
        "LANGUAGE plpgsql AS $$ BEGIN PERFORM g(); END $$",
    ],
)
@pytest.mark.parametrize(
    "call", ["SELECT f()", "SELECT * FROM f()", "INSERT INTO u SELECT f()", "DO 'BEGIN PERFORM f(); END'"]
)
def test_functions_in_sql_and_plpgsql_are_looked_into_however_they_are_called(body: str, call: str) -> None:
    inner = "CREATE FUNCTION g() RETURNS void LANGUAGE sql AS 'DELETE FROM t'"
    (rule,) = rules(f"{inner}; CREATE FUNCTION f() RETURNS void {body}; {call}")
    assert rule in ("truncate", "delete-without-where")


def test_a_called_procedure_is_looked_into() -> None:
    assert rules("CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM t'; CALL p()") == ["delete-without-where"]


def test_a_function_of_an_earlier_pending_file_is_known_and_looked_into() -> None:
    definition = "CREATE FUNCTION {}() RETURNS void LANGUAGE sql AS '{}'"
    assert rules(definition.format("f", "DELETE FROM t"), "SELECT f()") == ["delete-without-where"]
    assert rules(definition.format("f", "SELECT 1"), "SELECT f(), public.f()") == []
    assert rules(definition.format("app.f", "SELECT 1"), "SELECT app.f()") == []
    assert rules(definition.format("app.f", "SELECT 1"), "SELECT f()") == ["unknown-function"]


def test_a_function_that_is_defined_only_later_is_unknown() -> None:
    assert rules("SELECT f(); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'") == ["unknown-function"]


def test_functions_that_call_each_other_end() -> None:
    sql = """
        CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM g(); END $$;
        CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM f(); DELETE FROM t; END $$;
        SELECT f();
    """
    assert rules(sql) == ["delete-without-where"]


def test_many_functions_that_call_many_are_looked_into_once_each() -> None:
    names = [f"f{number}" for number in range(60)]
    chain = "".join(
        f"CREATE FUNCTION {name}() RETURNS void LANGUAGE sql AS 'SELECT {after}(), {after}(), {after}()';"
        for name, after in pairwise(names)
    )
    last = "CREATE FUNCTION f59() RETURNS void LANGUAGE sql AS 'TRUNCATE t';"
    assert rules(chain + last + "SELECT f0()") == ["truncate"]


def test_a_block_inside_a_block_inside_a_text_is_looked_into() -> None:
    sql = "DO $a$ BEGIN EXECUTE $b$ DO $c$ BEGIN EXECUTE 'TRUNCATE t'; END $c$ $b$; END $a$"
    assert rules(sql) == ["truncate"]


# --- opaque ---


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT f()", "unknown-function"),
        ("CALL p()", "unknown-function"),
        ("SELECT app.lower('x')", "unknown-function"),
        ("SELECT dblink_exec('x', 'DROP TABLE t')", "unknown-function"),
        ("UPDATE t SET a = f(a) WHERE b", "unknown-function"),
        ("ALTER TABLE t ADD COLUMN a int DEFAULT f()", "unknown-function"),
        ("ALTER TABLE t ADD CHECK (f(a))", "unknown-function"),
        ("CREATE TABLE t AS SELECT f()", "unknown-function"),
        ("CREATE MATERIALIZED VIEW m AS SELECT f()", "unknown-function"),
        ("DO $$ BEGIN EXECUTE f(); END $$", "unknown-function"),
        ("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'a'); END $$", "dynamic-sql"),
        ("DO $$ DECLARE x text := 'a'; BEGIN EXECUTE x; END $$", "dynamic-sql"),
        ("DO $$ BEGIN EXECUTE 'oops'; END $$", "dynamic-sql"),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", "dynamic-sql"),
        ("EXECUTE x", "unknown-prepared"),
        ("PREPARE x AS SELECT 1; DEALLOCATE x; EXECUTE x", "unknown-prepared"),
        ("PREPARE x AS SELECT 1; DEALLOCATE ALL; EXECUTE x", "unknown-prepared"),
        ("DO LANGUAGE plperl 'x'", "foreign-language"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'; SELECT f()", "foreign-language"),
        ("COPY t TO PROGRAM 'rm -rf /'", "copy-program"),
        ("COPY t FROM '/etc/passwd'", "copy-server-file"),
        ("LOAD 'x'", "load-library"),
        ("SELECT " + "||".join(["'x'"] * 3000), "unreadable"),
        ("DO $$ BEGIN oops; END $$", "unreadable"),
    ],
)
def test_what_cannot_be_known_is_opaque(sql: str, rule: str) -> None:
    (reviewed,) = review(files(sql))
    assert rule in [finding.rule for finding in reviewed.findings]
    assert all(finding.risk is RiskClass.OPAQUE for finding in reviewed.findings if finding.blocks)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT now(), lower('x'), count(*), row_number() OVER (), pg_catalog.int4('1'), text 'x', date '2024-01-01'",
        "SELECT extract(year FROM now()), substring('x' FROM 1), trim('x'), 'x' LIKE 'y', position('a' IN 'b'), overlay('a' PLACING 'b' FROM 1)",
        "SELECT coalesce(a, b), greatest(1, 2), nullif(1, 2), current_timestamp, localtime, current_user, row(1), array[1]",
        "SELECT string_agg(a, ',' ORDER BY b) FILTER (WHERE c), percentile_cont(0.5) WITHIN GROUP (ORDER BY a), grouping(a)",
        "SELECT json_object('a': 1), jsonb_build_object('a', 1), xmlelement(name a), int4range(1, 2), '1'::numeric(5, 2)",
        "SELECT nextval('q'), setval('q', 1), currval('q'), set_config('a.b', 'c', true), random(), pg_sleep(0)",
        "SELECT gen_random_uuid(), uuid_generate_v4(), public.uuid_generate_v4(), extensions.gen_random_bytes(1), crypt('a', gen_salt('bf'))",
        "SELECT similarity('a', 'b'), unaccent('a'), hstore('a', 'b'), pg_catalog.set_config('search_path', '', false)",
        "SELECT * FROM generate_series(1, 2), unnest(array[1]), jsonb_to_recordset('[]') AS x(a int)",
        "CREATE TABLE t (a int DEFAULT f(), CHECK (g(a)), b int GENERATED ALWAYS AS (h(a)) STORED)",
        "ALTER TABLE t ALTER a SET DEFAULT f()",
        "ALTER DOMAIN d SET DEFAULT f()",
        "CREATE TABLE t (a int) PARTITION BY RANGE (f(a))",
        "ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING gist (f(a) WITH =) WHERE (g(a))",
        "ALTER TABLE t ADD CHECK (f(a)) NOT VALID",
        "ALTER TABLE t ADD COLUMN b int GENERATED ALWAYS AS (f(a)) STORED",
        "CREATE INDEX i ON t (f(a)) WHERE g(a)",
        "CREATE VIEW v AS SELECT f()",
        "CREATE MATERIALIZED VIEW m AS SELECT f() WITH NO DATA",
        "CREATE POLICY p ON t USING (f(a)) WITH CHECK (g(a))",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW WHEN (f(new.a)) EXECUTE FUNCTION h()",
        "CREATE FUNCTION f(a int DEFAULT g()) RETURNS int BEGIN ATOMIC SELECT h(); END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'",
        "EXPLAIN SELECT f()",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE ' || 't (a int)'; END $$",
        "CREATE EXTENSION IF NOT EXISTS pgcrypto",
    ],
)
def test_what_is_known_or_not_executed_is_not_opaque(sql: str) -> None:
    assert rules(sql) == []


def test_a_cast_is_named_by_its_two_sides() -> None:
    assert one("DROP CAST (int AS app.money) CASCADE").what.startswith("drops cast (int4 AS app.money)")


def test_dynamic_sql_shows_its_fragments() -> None:
    finding = one("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'a b c'); END $$")
    assert (
        finding.what == "runs a statement that is put together only when it runs (it contains: DROP TABLE %I … a b c)"
    )


# --- will fail ---


@pytest.mark.parametrize(
    "sql", ["DISCARD ALL", "SELECT pg_advisory_unlock_all()", "SELECT pg_catalog.pg_advisory_unlock_all()"]
)
def test_what_gives_up_the_runs_lock_will_fail(sql: str) -> None:
    finding = one(sql)
    assert (finding.rule, finding.risk, finding.blocks) == ("drops-runner-lock", RiskClass.OPAQUE, True)


ADDED = "ALTER TYPE app.mood ADD VALUE 'calm';\n"
EMPTIED = "SELECT pg_catalog.set_config('search_path', '', false);\n"
ALONE = "-- rung: no transaction\n"


@pytest.mark.parametrize(
    ("sql", "rule", "line"),
    [
        (ADDED + "SELECT 1;\nSELECT 'calm'::app.mood", "enum-add-then-use", 3),
        (ADDED + "CREATE VIEW v AS\nSELECT CAST('calm' AS app.mood)", "enum-add-then-use", 3),
        (ADDED + "DO $$ BEGIN\nPERFORM 'calm'::app.mood; END $$", "enum-add-then-use", 3),
        (EMPTIED + "INSERT INTO t VALUES (1)", "search-path-blanked", 2),
        (EMPTIED + "CREATE TABLE t (a int)", "search-path-blanked", 2),
        ("SET search_path = '';\nALTER TABLE t ADD a int", "search-path-blanked", 2),
        (ALONE + "SET LOCAL lock_timeout = '1s'", "set-local-outside-tx", 2),
        (ALONE + "SELECT set_config('lock_timeout', '1s', true)", "set-local-outside-tx", 2),
        (ALONE + "LOCK TABLE t IN ROW SHARE MODE", "lock-table-outside-tx", 2),
    ],
)
def test_what_is_certain_to_fail_stops_the_file(sql: str, rule: str, line: int) -> None:
    assert found(sql) == [(rule, line)]


@pytest.mark.parametrize(
    "sql",
    [
        ADDED + "UPDATE t SET a = 'calm' WHERE b",
        ADDED + "SELECT 'calm'::text, 'glad'::app.mood",
        "CREATE TYPE app.mood AS ENUM ('sad');" + ADDED + "SELECT 'calm'::app.mood",
        ALONE + ADDED + "SELECT 'calm'::app.mood",
        EMPTIED + "INSERT INTO public.t VALUES (1)",
        EMPTIED + "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1)",
        EMPTIED + "ALTER TABLE IF EXISTS t ADD a int",
        EMPTIED + "RESET search_path; CREATE TABLE t (a int)",
        EMPTIED + "SET search_path = app; CREATE TABLE t (a int)",
        "SELECT set_config('search_path', '', false) WHERE false; CREATE TABLE t (a int)",
        "DO $$ BEGIN SET search_path = ''; END $$; CREATE TABLE t (a int)",
        ALONE + "DO $$ BEGIN SET LOCAL lock_timeout = '1s'; LOCK TABLE t IN ROW SHARE MODE; END $$",
        "SET LOCAL lock_timeout = '1s'; LOCK TABLE t IN ROW SHARE MODE",
    ],
)
def test_what_may_well_work_does_not_stop_as_what_is_certain_to_fail(sql: str) -> None:
    assert rules(sql) == []


def test_an_emptied_path_does_not_reach_into_the_next_file() -> None:
    assert rules(EMPTIED, "CREATE TABLE t (a int)") == []


# --- Rung's own records ---


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE rung.history DISABLE TRIGGER ALL",
        "ALTER TABLE rung.history RENAME TO old",
        "ALTER TABLE rung.history RENAME COLUMN actor TO who",
        "ALTER TABLE public._migrations_applied SET SCHEMA attic",
        "UPDATE rung.history SET actor = 'nobody' WHERE id = 1",
        "DELETE FROM _migrations_applied WHERE filename = '001_a.sql'",
        "CREATE TRIGGER t BEFORE INSERT ON rung.history FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO _migrations_applied DO INSTEAD NOTHING",
        "MERGE INTO rung.history h USING (SELECT 1) s ON false WHEN MATCHED THEN UPDATE SET actor = 'x'",
        "WITH gone AS (DELETE FROM rung.history WHERE id = 1 RETURNING 1) SELECT 1 FROM gone",
    ],
)
def test_a_file_that_changes_what_rung_remembers_is_stopped(sql: str) -> None:
    (reviewed,) = review(files(sql))
    said = [(finding.blocks, finding.what) for finding in reviewed.findings if finding.rule == "changes-records"]
    assert len(said) == 1
    assert said[0][0]
    assert "from which Rung tells what this database has" in said[0][1]


# --- what is new may go ---


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a int); DROP TABLE t",
        "CREATE TABLE t (a int); DROP TABLE public.t CASCADE",
        "CREATE TABLE public.t (a int); TRUNCATE t; DELETE FROM t; UPDATE t SET a = 1",
        "CREATE TABLE t (a int); ALTER TABLE t DROP COLUMN a, ALTER b TYPE int, SET UNLOGGED",
        "CREATE TABLE s.t AS SELECT 1; DROP TABLE s.t",
        "SELECT 1 AS a INTO t; DROP TABLE t",
        "CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; DROP TABLE u",
        "CREATE TABLE t (a int); ALTER TABLE t SET SCHEMA s; DROP TABLE s.t",
        "CREATE SCHEMA s CREATE TABLE t (a int); DROP TABLE s.t",
        "CREATE SCHEMA s; DROP SCHEMA s CASCADE",
        "SET search_path = app, public; CREATE TABLE t (a int); DROP TABLE app.t",
        "SET search_path = app; CREATE TABLE t (a int); DROP TABLE t",
        "CREATE TEMP TABLE t (a int); TRUNCATE t; DROP TABLE t",
        "CREATE TEMPORARY TABLE IF NOT EXISTS t (a int) ON COMMIT DROP; DELETE FROM t",
        "DELETE FROM pg_temp.t",
        "CREATE SEQUENCE q; DROP SEQUENCE q",
        "CREATE TYPE e AS ENUM ('a'); DROP TYPE e CASCADE",
        "CREATE DOMAIN d AS int; DROP DOMAIN d",
        "CREATE VIEW v AS SELECT 1; DROP VIEW v CASCADE",
        "CREATE MATERIALIZED VIEW m AS SELECT 1; DROP MATERIALIZED VIEW m",
        "CREATE EXTENSION hstore; DROP EXTENSION hstore",
        "ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1; ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME a TO b; UPDATE t SET b = 1",
        "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME TO u; UPDATE u SET a = 1",
        "ALTER TABLE t ADD COLUMN a int; MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1",
        "CREATE TABLE t (a int) PARTITION BY LIST (a); CREATE TABLE p PARTITION OF t DEFAULT; DROP TABLE t",
    ],
)
def test_what_the_batch_made_itself_may_be_destroyed(sql: str) -> None:
    assert rules(sql) == []


def test_what_an_earlier_pending_file_made_may_be_destroyed() -> None:
    assert rules("CREATE TABLE t (a int)", "SELECT 1", "DROP TABLE t") == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE IF NOT EXISTS t (a int); DROP TABLE t",
        "CREATE TABLE IF NOT EXISTS t AS SELECT 1; DROP TABLE t",
        "CREATE TABLE a.t (a int); DROP TABLE b.t",
        "CREATE TABLE a.t (a int); DROP TABLE t",
        "DROP TABLE t; CREATE TABLE t (a int)",
        "CREATE TABLE t (a int); DROP TABLE t; DROP TABLE t",
        "CREATE TABLE u (a int); ALTER TABLE u RENAME TO v; ALTER TABLE t RENAME TO u; DROP TABLE u",
        "CREATE TABLE n (a int); ALTER TABLE t RENAME TO o; ALTER TABLE n RENAME TO t; DROP TABLE o",
        "CREATE TABLE n (a int); ALTER TABLE s.n SET SCHEMA public; DROP TABLE n",
        "CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s; DROP SCHEMA s CASCADE",
        "CREATE SCHEMA IF NOT EXISTS s; DROP SCHEMA s",
        "CREATE TABLE s.t (a int); ALTER SCHEMA s RENAME TO x; ALTER SCHEMA y RENAME TO s; DROP TABLE s.t",
        "CREATE TABLE n (a int) PARTITION BY LIST (a); ALTER TABLE n ATTACH PARTITION t DEFAULT; DROP TABLE n",
        "CREATE TABLE n (a int); ALTER TABLE t INHERIT n; DROP TABLE n",
        "CREATE TABLE t (a int); SET search_path = app; DROP TABLE t",
        "SET search_path = app; CREATE TABLE t (a int); RESET search_path; DROP TABLE t",
        "CREATE TABLE t (a int); SELECT set_config('search_path', 'app', false); DROP TABLE t",
        "DO $$ BEGIN IF false THEN CREATE TABLE t (a int); END IF; END $$; DROP TABLE t",
        "CREATE TABLE t (a int); DO $$ BEGIN DROP TABLE t; ALTER TABLE old RENAME TO t; END $$; DROP TABLE t",
        "CREATE TEMP TABLE t (a int); DROP TABLE t; DROP TABLE t",
        "CREATE TEMP TABLE t (a int); DROP TABLE public.t",
        "CREATE TEMP TABLE t (a int); DISCARD TEMP; DROP TABLE t",
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP; VACUUM; DROP TABLE t",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int; UPDATE t SET a = 1",
        "ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1, b = 2",
        "ALTER TABLE t ADD COLUMN a int; UPDATE u SET a = 1",
        "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t DROP COLUMN a; UPDATE t SET a = 1",
        "CREATE TABLE t (a int); TRUNCATE t CASCADE",
        "CREATE OR REPLACE VIEW v AS SELECT 1; DROP VIEW v CASCADE",
    ],
)
def test_newness_is_proved_not_guessed(sql: str) -> None:
    assert len([rule for rule in rules(sql) if rule != "drops-runner-lock"]) >= 1


LIKELY = "CREATE TABLE IF NOT EXISTS t (a int)"
WAITS = ("CREATE INDEX ON t (a)", "ALTER TABLE t ADD CHECK (a > 0)", "ALTER TABLE t ALTER a TYPE text")


def waits(*texts: str, there: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """The rules about waiting that speak of the last of these files."""
    facts = Facts({key: Fact(*key) for key in there}, asked=frozenset(there))
    *_, last = review(files(*texts), facts)
    return [finding.rule for finding in last.findings if finding.risk is RiskClass.BLOCKING]


@pytest.mark.parametrize("sql", WAITS)
def test_a_table_made_if_not_exists_is_new_where_only_a_wait_is_at_stake(sql: str) -> None:
    assert waits(sql) != []
    assert waits(LIKELY, sql) == []
    assert waits(LIKELY, "ALTER TABLE t RENAME TO u", sql.replace(" t ", " u ")) == []


@pytest.mark.parametrize("sql", WAITS)
def test_a_table_that_the_catalog_has_is_not_new_to_an_if_not_exists(sql: str) -> None:
    assert waits(LIKELY, sql, there=(("public", "t"),)) == waits(sql)
    assert waits(LIKELY, sql, there=(("app", "t"), ("public", "u"))) == []


@pytest.mark.parametrize(
    "between", ["DROP TABLE t", "SET search_path = app", "ALTER TABLE t ATTACH PARTITION old DEFAULT"]
)
def test_what_was_made_if_not_exists_is_forgotten_like_anything_else(between: str) -> None:
    assert "create-index" in waits(f"{LIKELY}; {between}; CREATE INDEX ON t (a)")


def test_a_schema_that_the_text_does_not_tell_makes_nothing_likely() -> None:
    unknown = "SELECT set_config('search_path', 'app', false)"
    assert "create-index" in waits(f"{unknown}; {LIKELY}; CREATE INDEX ON t (a)")


def test_a_temporary_table_of_an_earlier_file_is_not_there_any_more() -> None:
    assert rules("CREATE TEMP TABLE t (a int)", "DROP TABLE t") == ["drop-table"]


def test_a_search_path_does_not_reach_into_the_next_file() -> None:
    assert rules("SET search_path = app; CREATE TABLE t (a int)", "DROP TABLE t") == ["drop-table"]


def test_the_other_side_of_a_swap_is_still_destroyed() -> None:
    sql = """
        CREATE TABLE users_new (id int);
        INSERT INTO users_new SELECT id FROM users;
        DROP TABLE users;
        ALTER TABLE users_new RENAME TO users;
    """
    assert found(sql) == [("drop-table", 4)]


# --- type changes ---


@pytest.mark.parametrize(
    "change",
    [
        "smallint",
        "integer",
        "int4[]",
        "real",
        "double precision",
        "numeric(8, 2)",
        "decimal(4)",
        "money",
        "date",
        "time",
        "timestamp(0)",
        "timestamptz(3)",
        "interval(0)",
        "cidr",
        "name",
        '"char"',
        "varchar(10) USING a::varchar(10)",
        "char(2) USING a::char(2)",
        "boolean USING a::boolean",
        "text USING left(a, 3)",
        "text USING a || b",
        "text USING NULL",
        "text USING b",
        "text USING a::date::text",
        "bigint USING round(a)",
        "jsonb USING '{}'::jsonb",
        "timestamptz USING date_trunc('day', a) AT TIME ZONE 'UTC'",
    ],
)
def test_a_type_that_may_change_values_is_lossy(change: str) -> None:
    assert rules(f"ALTER TABLE t ALTER COLUMN a SET DATA TYPE {change}") == ["alter-column-type-lossy"]


@pytest.mark.parametrize(
    "change",
    [
        "bigint",
        "bigint USING a::bigint",
        "text",
        'text COLLATE "C"',
        "varchar",
        "varchar(50)",
        "char(10)",
        "numeric",
        "timestamp",
        "timestamptz",
        "timestamptz USING a AT TIME ZONE 'UTC'",
        "timestamptz USING to_timestamp(a)",
        "uuid USING a::uuid",
        "uuid USING t.a::text::uuid",
        "jsonb",
        "jsonb USING to_jsonb(a)",
        "text[] USING ARRAY[a]",
        "text[] USING string_to_array(a, ',')",
        "mood USING a::mood",
        "bytea",
        "interval",
    ],
)
def test_a_type_that_widens_or_fails_loudly_passes(change: str) -> None:
    assert rules(f"ALTER TABLE t ALTER COLUMN a TYPE {change}") == []


def test_a_lossy_change_names_column_table_type_and_loss() -> None:
    finding = one("ALTER TABLE shop.orders ALTER total TYPE numeric(8, 2)")
    assert (
        finding.what == "changes column total of shop.orders to numeric(8,2): digits that do not fit are rounded away"
    )


def test_types_are_called_what_people_call_them() -> None:
    assert "changes column a of t to smallint[]" in one("ALTER TABLE t ALTER a TYPE int2[]").what


# --- trouble ---


def _broken(*_: object) -> Iterator[Remark]:
    raise ZeroDivisionError
    yield


def test_a_rule_that_fails_blocks_and_the_others_still_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Rule("broken", RiskClass.DESTRUCTIVE, ("DropStmt",), _broken, "", "")
    monkeypatch.setattr(review_module, "RULES", (broken, *review_module.RULES))
    monkeypatch.setattr(review_module, "_rules_for", review_module._rules_for.__wrapped__)
    (reviewed,) = review(files("DROP TABLE t;\nSELECT 1"))
    assert [(f.rule, f.risk, f.blocks) for f in reviewed.findings] == [
        ("analyser-failed", RiskClass.OPAQUE, True),
        ("drop-table", RiskClass.DESTRUCTIVE, True),
    ]
    assert "rule broken failed with ZeroDivisionError" in reviewed.findings[0].what


@pytest.mark.parametrize("place", ["walk", "parse"])
def test_a_review_that_fails_blocks_and_never_crashes(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise RecursionError

    monkeypatch.setattr(review_module, place, fail)
    (reviewed,) = review(files("SELECT 1"))
    assert reviewed.refusal is not None or [f.rule for f in reviewed.findings] == ["analyser-failed"]


_STATEMENTS = st.sampled_from(
    [
        "CREATE TABLE t (a int)",
        "DROP TABLE t",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u RENAME TO t",
        "ALTER TABLE t ADD COLUMN a int",
        "UPDATE t SET a = 1",
        "CREATE TEMP TABLE t (a int)",
        "SET search_path = app",
        "ALTER TABLE t SET SCHEMA app",
        "DO $$ BEGIN DROP TABLE t; END $$",
        "SELECT f()",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t'",
        "CREATE SCHEMA app",
        "DROP SCHEMA app CASCADE",
    ]
)


@given(st.lists(st.lists(_STATEMENTS, max_size=6), max_size=4))
def test_every_batch_has_one_answer_per_file_and_none_is_analyser_trouble(batch: list[list[str]]) -> None:
    reviewed = review(files(*(";\n".join(statements) for statements in batch)))
    assert len(reviewed) == len(batch)
    assert not any(f.rule == "analyser-failed" for r in reviewed for f in r.findings)
    assert all(_lines_are_right(r) for r in reviewed)


def _lines_are_right(reviewed: Reviewed) -> bool:
    lines = [finding.line for finding in reviewed.findings]
    return lines == sorted(lines) and all(1 <= line <= len(reviewed.migration.text.split("\n")) for line in lines)


@given(st.lists(_STATEMENTS, max_size=8))
def test_a_table_is_never_dropped_silently_unless_the_batch_made_one(statements: list[str]) -> None:
    made = any(statement.startswith(("CREATE TABLE", "CREATE TEMP")) for statement in statements)
    (reviewed,) = review(files(";\n".join(statements)))
    drops = statements.count("DROP TABLE t")
    told = sum(finding.rule == "drop-table" and "calls" not in finding.what for finding in reviewed.findings)
    blocks = sum(statement.startswith("DO") for statement in statements)
    assert made or told == drops + blocks


# --- speed ---


def _file(number: int) -> str:
    return f"""BEGIN;
CREATE TABLE IF NOT EXISTS t{number} (id serial PRIMARY KEY, a text NOT NULL DEFAULT 'x', b timestamptz DEFAULT now());
CREATE INDEX IF NOT EXISTS i{number} ON t{number} (a, b DESC) WHERE a IS NOT NULL;
UPDATE t{number} SET a = lower(x.a) FROM t0 x WHERE x.id = t{number}.id AND x.b > now() - interval '1 day';
COMMIT;"""


def within(seconds: float, work: Callable[[], object]) -> bool:
    begun = time.process_time()
    work()
    return time.process_time() - begun < seconds


def test_four_hundred_files_are_reviewed_well_within_the_time_of_issue_five() -> None:
    batch = files(*(_file(number) for number in range(400)))
    assert within(1.5, lambda: review(batch))


def test_a_long_insert_is_reviewed_in_linear_time() -> None:
    rows = ",\n".join(f"({number}, 'text {number} é', now(), f({number}))" for number in range(20_000))
    assert within(5, lambda: review(files(f"INSERT INTO t VALUES {rows}")))
