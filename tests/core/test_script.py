import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.body import read_body
from dashboard.core.migration import Migration, Refusal, read_migration
from dashboard.core.parser import SyntaxFault
from dashboard.core.script import Script, Statement, parse
from dashboard.core.statement import parse_fragment


def parsed(sql: str | bytes, committing: frozenset[str] = frozenset()) -> Script | Refusal:
    migration = read_migration("001_a.sql", sql if isinstance(sql, bytes) else sql.encode())
    assert isinstance(migration, Migration)
    return parse(migration, committing)


def script(sql: str | bytes, committing: frozenset[str] = frozenset()) -> Script:
    read = parsed(sql, committing)
    assert isinstance(read, Script), read
    return read


def refusal(sql: str | bytes) -> Refusal:
    read = parsed(sql)
    assert isinstance(read, Refusal), read
    return read


def kinds(sql: str) -> list[str]:
    return [statement.kind for statement in script(sql).statements]


def only(sql: str) -> Statement:
    (statement,) = script(sql).statements
    return statement


# --- cutting ---


def test_statements_are_cut_by_the_parser_not_at_semicolons() -> None:
    sql = """
        INSERT INTO t VALUES (';', $$;$$, E'\\';', $x$ ; $$ ; $x$, ";");  -- ; not here
        /* ; nor /* here ; */ ; */ SELECT 1;
        CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;
        CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2);
    """
    assert kinds(sql) == ["INSERT", "SELECT", "CREATE FUNCTION", "CREATE RULE"]


def test_text_starts_at_the_first_keyword_and_ends_at_the_last_word() -> None:
    sql = "-- first\n/* second */\n  SELECT 1 -- why\n  , 2 /* end */ -- end\n  ;\n-- last\nSELECT 3 -- no semicolon\n"
    first, last = script(sql).statements
    assert first.text == "SELECT 1 -- why\n  , 2"
    assert last.text == "SELECT 3"
    assert [(s.line, s.column) for s in (first, last)] == [(3, 3), (7, 1)]


def test_places_count_characters_whatever_their_bytes() -> None:
    sql = "/* ü😀 */ SELECT 'ñ';\nSELECT '漢字', '\U0001f600'; SELECT\n 2"
    statements = script(sql).statements
    assert [(s.line, s.column) for s in statements] == [(1, 10), (2, 1), (2, 19)]
    assert [sql[s.offset : s.offset + len(s.text)] for s in statements] == [s.text for s in statements]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_with_lf_crlf_or_cr(end: str) -> None:
    statements = script(end.join(["-- x", "SELECT 1;", "", "  SELECT 2"])).statements
    assert [(s.line, s.column) for s in statements] == [(2, 1), (4, 3)]


def test_statements_are_numbered_from_one_without_the_own_begin() -> None:
    assert [s.index for s in script("BEGIN; SELECT 1; SELECT 2; COMMIT").statements] == [1, 2]


def test_a_byte_order_mark_shifts_bytes_but_no_columns() -> None:
    found = refusal(b"\xef\xbb\xbfSELECT 1;\n oops")
    assert (found.line, found.column, found.byte) == (2, 2, 3 + 11)


@pytest.mark.fault(72)
@pytest.mark.parametrize("sql", ["", "   \n\t", "-- nothing\n", "/* nothing */", ";;;\n;"])
def test_a_file_without_a_statement_is_a_script_with_a_note(sql: str) -> None:
    assert script(sql).statements == ()
    assert script(sql).notes == ("it has no statement; it is recorded as applied",)


def test_a_statement_in_brief_is_one_short_line_without_what_a_comment_would_swallow() -> None:
    assert only("SELECT 1,\n   2").in_brief == "SELECT 1, 2"
    assert only("SELECT 1,\n 2, -- two\n 3").in_brief == "SELECT 1,"
    assert only("SELECT 1, -- one\n 2").in_brief == "SELECT 1, -- one"
    assert len(only(f"SELECT '{'x' * 500}'").in_brief) == 120


_PIECES = st.sampled_from(
    [
        "SELECT 1",
        "SELECT 'a;b'",
        "SELECT $$ ; -- no\n $$",
        "SELECT 'ü漢😀'",
        'SELECT "we;ird"\nFROM t',
        "INSERT INTO t\nVALUES (1),\n(2)",
        "CREATE TABLE t (\n  a int\n)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;\nSELECT 2; END",
        "DO $x$ BEGIN NULL; END $x$",
        "SELECT 1 /* inner; */ + 2",
    ]
)
_BETWEEN = st.sampled_from(
    [";", ";\n", ";\r\n\r\n", "; -- ü comment;\n", ";\n/* block;\n /* nested */ 漢 */\t", " ;;\n"]
)


@given(st.lists(st.tuples(_PIECES, _BETWEEN), max_size=12), st.sampled_from(["", "\n\n", "-- ö\n  ", "/* 😀\n*/ "]))
def test_what_was_put_together_is_cut_into_the_same_pieces(pieces: list[tuple[str, str]], start: str) -> None:
    sql, lines = start, []
    for piece, between in pieces:
        lines.append(sql.replace("\r\n", "\n").count("\n") + 1)
        sql += piece + between
    statements = script(sql).statements
    assert [s.text for s in statements] == [piece for piece, _ in pieces]
    assert [s.line for s in statements] == lines
    assert all(sql[s.offset :].startswith(s.text) for s in statements)


@given(st.text(max_size=60))
def test_every_text_is_a_script_or_a_refusal_never_a_crash(text: str) -> None:
    migration = read_migration("001_a.sql", text.encode(errors="replace"))
    if isinstance(migration, Migration):
        assert isinstance(parse(migration), Script | Refusal)


# --- what is refused ---


def test_a_syntax_error_names_line_column_byte_and_shows_the_place() -> None:
    found = refusal("SELECT 'é';\n\nCREATE TABEL t ();")
    assert (found.code, found.line, found.column, found.byte) == ("syntax-error", 3, 8, 21)
    assert found.message == 'syntax error at or near "TABEL"'
    assert found.excerpt == "CREATE TABEL t ();\n       ^"


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 'é\n\nx", 1),
        ("SELECT 1;\nSELECT $a$ é", 2),
        ('SELECT 1;\n/* é\n"', 2),
        ('SELECT 1;\n\nSELECT "é', 3),
        ("SELECT 1,\n\n", 3),
        ("é\u00a0SELECT 1", 1),
        ("SELECT U&'\\00é'", 1),
    ],
)
def test_every_kind_of_syntax_error_has_its_line(sql: str, line: int) -> None:
    assert (refusal(sql).code, refusal(sql).line) == ("syntax-error", line)


def test_one_error_refuses_the_whole_file() -> None:
    assert refusal("CREATE TABLE t (); selec 2; CREATE TABLE u ();").code == "syntax-error"


def test_a_byte_order_mark_in_the_middle_is_an_error() -> None:
    assert refusal("SELECT 1;\n\ufeffSELECT 2;").code == "syntax-error"


def test_a_long_line_is_cut_around_the_caret() -> None:
    found = refusal("SELECT " + "1, " * 400 + "FROM FROM t" + ", u" * 400)
    line, caret = found.excerpt.split("\n")
    assert len(line) <= 120
    assert line[caret.index("^") :].startswith("FROM")


def test_tabs_before_the_caret_stay_tabs() -> None:
    assert refusal("\tSELECT\tFROM FROM").excerpt == "\tSELECT\tFROM FROM\n\t      \t     ^"


@pytest.mark.fault(79)
@pytest.mark.parametrize(
    "sql",
    [
        "\\i other.sql",
        "SELECT 1;\n\\connect app\n",
        "SELECT 1 \\gexec",
        "\\restrict xyz\nSELECT 1;\n\\unrestrict xyz",
        "\\copy t FROM 'x.csv'",
        "\\set x 1\nSELECT 1",
        "\\set ON_ERROR_STOP_NOT on",
        "SELECT 1; \\set ON_ERROR_STOP on",
        "\\set ON_ERROR_STOP on \\\\ \\i x",
        "\\",
    ],
)
def test_a_psql_command_is_refused_by_name(sql: str) -> None:
    found = refusal(sql)
    assert found.code == "psql-command"
    assert found.byte is not None
    assert sql[found.byte] == "\\"
    assert found.line == sql[: found.byte].count("\n") + 1


def test_a_harmless_setting_of_psql_passes_and_moves_nothing() -> None:
    read = script("\\set ON_ERROR_STOP on\n  \\set ON_ERROR_STOP 1\nSELECT 'é';\n\\set ON_ERROR_STOP\nSELECT 2;")
    assert [(s.line, s.column, s.text) for s in read.statements] == [(3, 1, "SELECT 'é'"), (5, 1, "SELECT 2")]


def test_backslashes_in_quotes_bodies_and_comments_are_no_commands() -> None:
    sql = "-- \\i x\nSELECT '\\i', E'\\\\', \"\\i\", $$\n\\i x\n$$ /*\n\\i x */;"
    assert len(script(sql).statements) == 1


def test_very_many_harmless_settings_are_refused_rather_than_read_for_ever() -> None:
    assert refusal("\\set ON_ERROR_STOP on\n" * 5000).code == "psql-command"


@pytest.mark.parametrize("sql", ["SELECT :name", "SELECT :'name'", 'SELECT * FROM :"table"'])
def test_a_psql_variable_is_refused_as_one(sql: str) -> None:
    assert refusal(sql).code == "psql-variable"


def test_casts_and_slices_are_no_psql_variables() -> None:
    assert len(script("SELECT '1'::int, a[1:2], a[:b]").statements) == 1


@pytest.mark.fault(79)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;\nCOPY t (a, b) FROM stdin;\n1\t2\n\\.\n",
        "SELECT 1;\ncopy public.t from STDIN with (format csv);\nselect,2\n\\.\n",
        "SELECT 1;\nCOPY t FROM STDIN;\n\\.\n",
        "SELECT 1;\nCOPY t FROM STDIN",
        "SELECT 1;\nCOPY t FROM STDIN;\nSELECT 2;",
    ],
)
def test_rows_for_copy_are_refused_at_the_copy_with_what_to_do(sql: str) -> None:
    found = refusal(sql)
    assert (found.code, found.line) == ("copy-data", 2)
    assert "INSERT" in found.advice


def test_copy_to_the_client_is_refused() -> None:
    assert refusal("COPY (SELECT 1) TO STDOUT").code == "copy-data"


def test_copy_from_a_server_file_is_not_refused_here() -> None:
    assert kinds("COPY t FROM '/x'; COPY t TO PROGRAM 'cat'") == ["COPY", "COPY"]


def test_a_quoted_copy_is_not_mistaken_for_one() -> None:
    assert refusal("-- COPY t FROM stdin;\nSELECT 'COPY t FROM stdin;';\noops").code == "syntax-error"


# --- transactions ---


@pytest.mark.parametrize(
    "wrapped",
    [
        "BEGIN; {} COMMIT;",
        "begin work; {} commit work;",
        "BEGIN TRANSACTION; {} END TRANSACTION",
        "START TRANSACTION;\n{}\nEND;",
        "-- c\nBEGIN; -- c\n{} -- c\nCOMMIT AND NO CHAIN; -- c",
    ],
)
def test_one_outer_pair_is_recognised_and_left_out(wrapped: str) -> None:
    read = script(wrapped.format("SELECT 1; SELECT 2;"))
    assert [s.text for s in read.statements] == ["SELECT 1", "SELECT 2"]
    assert (read.transactional, read.begin) == (True, "BEGIN")


def test_an_empty_pair_is_an_empty_script() -> None:
    assert script("BEGIN; COMMIT;").notes == ("it has no statement; it is recorded as applied",)


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
        (
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE",
        ),
        ("BEGIN READ WRITE NOT DEFERRABLE", "BEGIN READ WRITE, NOT DEFERRABLE"),
        ("BEGIN DEFERRABLE", "BEGIN DEFERRABLE"),
    ],
)
def test_the_options_of_the_own_begin_are_kept(own: str, ours: str) -> None:
    read = script(f"{own}; SELECT 1; COMMIT")
    assert read.begin == ours
    assert len(parse_fragment(read.begin)) == 1


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 1;\nCOMMIT;", 2),
        ("BEGIN;\nSELECT 1;", 1),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 3),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;", 3),
        ("BEGIN;\nBEGIN;\nSELECT 1;\nCOMMIT;", 2),
        ("SELECT 1;\nBEGIN;\nSELECT 1;\nCOMMIT;", 2),
        ("BEGIN;\nSELECT 1;\nROLLBACK;", 1),
        ("BEGIN;\nROLLBACK;\nCOMMIT;", 2),
        ("SELECT 1;\nABORT;", 2),
        ("BEGIN;\nSAVEPOINT a;\nRELEASE a;\nCOMMIT;", 2),
        ("SELECT 1;\nROLLBACK TO a;", 2),
        ("BEGIN;\nSELECT 1;\nPREPARE TRANSACTION 'x';", 1),
        ("COMMIT PREPARED 'x'", 1),
        ("ROLLBACK PREPARED 'x'", 1),
        ("BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;", 3),
        ("BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCOMMIT;", 2),
        ("SELECT 1;\nSET TRANSACTION READ ONLY;", 2),
        ("BEGIN READ ONLY;\nSELECT 1;\nCOMMIT;", 1),
        ("BEGIN", 1),
        ("COMMIT", 1),
    ],
)
def test_any_other_transaction_control_is_refused_with_its_line(sql: str, line: int) -> None:
    assert (refusal(sql).code, refusal(sql).line) == ("transaction-control", line)


def test_set_for_the_session_is_no_transaction_control() -> None:
    assert kinds(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SET CONSTRAINTS ALL DEFERRED; SET LOCAL x.y = 1"
    )


def test_begin_in_a_body_is_no_transaction_control() -> None:
    assert kinds("DO $$ BEGIN BEGIN NULL; END; END $$") == ["DO"]


_ALONE = [
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
    "DROP INDEX CONCURRENTLY i",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX (CONCURRENTLY, VERBOSE) TABLE t",
    "REINDEX SCHEMA s",
    "REINDEX DATABASE d",
    "REINDEX SYSTEM d",
    "VACUUM",
    "VACUUM FULL t",
    "VACUUM (ANALYZE, FULL false) t",
    "CLUSTER",
    "CREATE DATABASE d",
    "DROP DATABASE d",
    "ALTER DATABASE d SET TABLESPACE s",
    "CREATE TABLESPACE s LOCATION '/x'",
    "DROP TABLESPACE s",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "DISCARD ALL",
    "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false, create_slot = true)",
    "DROP SUBSCRIPTION s",
    "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
    "ALTER SUBSCRIPTION s SET PUBLICATION p",
    "ALTER SUBSCRIPTION s SET (failover = true)",
    "DO $$ BEGIN COMMIT; END $$",
    "DO $$ BEGIN IF true THEN ROLLBACK AND CHAIN; END IF; END $$",
]
_TOGETHER = [
    "CREATE INDEX i ON t (a)",
    "DROP INDEX i",
    "REINDEX TABLE t",
    "REINDEX (CONCURRENTLY false) TABLE t",
    "ANALYZE t",
    "CLUSTER t USING i",
    "ALTER TYPE e ADD VALUE 'x'",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "ALTER TABLE t ATTACH PARTITION p DEFAULT",
    "ALTER TABLE t DETACH PARTITION p",
    "ALTER TABLE t DETACH PARTITION p FINALIZE",
    "TRUNCATE t",
    "CREATE EXTENSION hstore",
    "ALTER DATABASE d SET work_mem = '1MB'",
    "ALTER DATABASE d RENAME TO e",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = false)",
    "ALTER SUBSCRIPTION s DISABLE",
    "CREATE PUBLICATION p",
    "CHECKPOINT",
    "LOAD 'x'",
    "DISCARD TEMP",
    "LOCK TABLE t",
    "DO $$ BEGIN PERFORM 'commit'; END $$",
    "DO $$ BEGIN RAISE NOTICE 'rollback'; -- commit\n END $$",
    "CALL p()",
]


@pytest.mark.fault(80)
@pytest.mark.parametrize("sql", _ALONE)
def test_what_cannot_run_in_a_transaction_runs_alone(sql: str) -> None:
    read = script(sql)
    assert not read.transactional
    assert not read.statements[0].transactional
    assert len(read.notes) == 1


@pytest.mark.parametrize("sql", _TOGETHER)
def test_what_is_only_believed_not_to_run_in_a_transaction_runs_in_one(sql: str) -> None:
    assert script(sql).transactional


@pytest.mark.fault(80)
@pytest.mark.parametrize("sql", _ALONE)
def test_it_is_refused_between_begin_and_commit_with_what_to_do(sql: str) -> None:
    found = refusal(f"BEGIN;\nSELECT 1;\n{sql};\nCOMMIT;")
    assert (found.code, found.line) == ("cannot-run-in-transaction", 3)
    assert "Take BEGIN and COMMIT out" in found.advice


def test_a_mixed_file_runs_statement_by_statement_and_says_so() -> None:
    read = script("CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);")
    assert [s.transactional for s in read.statements] == [True, False]
    assert not read.transactional
    assert "CREATE INDEX CONCURRENTLY (line 2)" in read.notes[0]


def test_a_call_of_a_procedure_of_this_file_that_commits_runs_alone() -> None:
    read = script("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; CALL p(); CALL q();")
    assert [s.transactional for s in read.statements] == [True, False, True]


def test_a_call_of_a_procedure_of_an_earlier_file_that_commits_runs_alone() -> None:
    first = script("CREATE PROCEDURE app.p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;")
    assert first.transactional
    for sql in ("CALL app.p()", "DO $$ BEGIN CALL p(); END $$"):
        assert not script(sql, first.committing).transactional, sql
    assert script("CALL q()", first.committing).transactional


def test_a_procedure_that_calls_one_that_commits_commits_too() -> None:
    first = script("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;")
    second = script("CREATE PROCEDURE q() LANGUAGE plpgsql AS $$ BEGIN CALL p(); END $$;", first.committing)
    assert not script("CALL q()", second.committing).transactional


def test_a_procedure_that_was_replaced_by_one_that_does_not_commit_runs_in_a_transaction() -> None:
    first = script("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;")
    second = script("CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN END $$; CALL p();", first.committing)
    assert second.transactional


# --- what a file asks for ---


@pytest.mark.parametrize(
    "top",
    [
        "-- rung: no transaction\n",
        "--rung:no   transaction  \r\n",
        "-- what it is for\n\n  -- Rung: No Transaction\n",
    ],
)
def test_a_file_may_ask_to_run_outside_a_transaction(top: str) -> None:
    read = script(f"{top}CALL rebuild();\nSELECT 1;")
    assert not read.transactional
    assert read.notes == ("it asks for no transaction, so every statement runs alone and stays once done",)


@pytest.mark.parametrize(
    "sql",
    [
        "CALL rebuild();\n-- rung: no transaction\n",
        "/*\n-- rung: no transaction\n*/ CALL rebuild();",
        "SELECT '\n-- rung: no transaction\n';",
        "-- rung no transaction\nCALL rebuild();",
    ],
)
def test_only_the_comment_lines_on_top_can_ask_for_it(sql: str) -> None:
    assert script(sql).transactional


def test_a_line_for_rung_that_rung_does_not_know_is_refused_with_the_right_one() -> None:
    found = refusal("-- why\n-- rung: no transactoin\nCALL rebuild();")
    assert (found.code, found.line) == ("unknown-directive", 2)
    assert "'no transactoin'" in found.message
    assert "-- rung: no transaction" in found.advice


def test_a_file_that_asks_for_no_transaction_and_opens_one_is_refused() -> None:
    found = refusal("-- rung: no transaction\nBEGIN;\nCALL rebuild();\nCOMMIT;")
    assert (found.code, found.line) == ("transaction-control", 2)
    assert "asks for no transaction, and opens one" in found.message


# --- kinds ---


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("CREATE TABLE IF NOT EXISTS t ()", "CREATE TABLE"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE AS"),
        ("SELECT 1 INTO t", "SELECT INTO"),
        ("VALUES (1)", "VALUES"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT 1", "SELECT"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX INDEX CONCURRENTLY i", "REINDEX INDEX CONCURRENTLY"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION"),
        ("CREATE PROCEDURE p() LANGUAGE sql AS ''", "CREATE PROCEDURE"),
        ("ALTER TABLE t RENAME TO u", "ALTER TABLE"),
        ("ALTER TABLE t RENAME CONSTRAINT a TO b", "ALTER TABLE"),
        ("ALTER VIEW v RENAME COLUMN a TO b", "ALTER VIEW"),
        ("ALTER TYPE t RENAME ATTRIBUTE a TO b", "ALTER TYPE"),
        ("ALTER DOMAIN d RENAME CONSTRAINT a TO b", "ALTER DOMAIN"),
        ("ALTER TYPE e ADD VALUE 'x'", "ALTER TYPE"),
        ("ALTER SEQUENCE s RESTART", "ALTER SEQUENCE"),
        ("DROP MATERIALIZED VIEW m", "DROP MATERIALIZED VIEW"),
        ("DROP FOREIGN DATA WRAPPER f", "DROP FOREIGN DATA WRAPPER"),
        ("CREATE EXTENSION hstore", "CREATE EXTENSION"),
        ("CREATE TRIGGER g BEFORE INSERT ON t EXECUTE FUNCTION f()", "CREATE TRIGGER"),
        ("GRANT SELECT ON t TO r", "GRANT"),
        ("REVOKE r FROM s", "REVOKE"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r", "ALTER DEFAULT PRIVILEGES"),
        ("SET x.y = 1", "SET"),
        ("RESET ALL", "RESET"),
        ("ANALYZE", "ANALYZE"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT"),
        ("DO 'BEGIN END'", "DO"),
        ("LOCK t", "LOCK TABLE"),
        ("CREATE USER MAPPING FOR u SERVER s", "CREATE USER MAPPING"),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "MERGE"),
        ("IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b", "IMPORT FOREIGN SCHEMA"),
    ],
)
def test_kinds_are_postgresqls_own_command_words(sql: str, kind: str) -> None:
    assert only(sql).kind == kind


# --- too deep, too long ---


def test_a_long_chain_of_operators_still_has_a_tree() -> None:
    statement = only("SELECT " + " || ".join(["'x'"] * 200))
    assert statement.tree is not None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "+".join(["1"] * 100_000),
        "SELECT " + " union all select 1".join(["1"] * 50_000),
        "SELECT " + "||".join(["f(1, 2)"] * 60_000),
        "SELECT " + "||".join(["ARRAY[1, 2]"] * 60_000),
        "SELECT " + "(" * 40 + "+".join(["1"] * 1000) + ("+" + "+".join(["1"] * 1000) + ")") * 40,
        "SELECT " + "::int".join(["1"] + [""] * 60_000),
        "SELECT " + "not " * 4000 + "true",
        "SELECT " + "case when true then " * 2500 + "1" + " end" * 2500,
    ],
)
def test_what_would_overflow_the_parser_is_cut_without_a_tree_and_the_process_lives(sql: str) -> None:
    """In a process of its own, since the failure would be a crash."""
    program = (
        "import sys; from dashboard.core.migration import read_migration; from dashboard.core.script import parse;"
        "r = parse(read_migration('1_a.sql', sys.stdin.buffer.read()));"
        "print([(s.kind, s.tree is None) for s in getattr(r, 'statements', [])] or r.code)"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=sql.encode(), capture_output=True, check=True)
    assert ended.stdout.decode().strip() in ("[('SELECT', True)]", "syntax-error")


def test_a_long_insert_is_not_mistaken_for_a_deep_one() -> None:
    rows = ",\n".join(f"({i}, 'a-b=c+d/e || {i}', (1 + {i}) * 2 - 1, now() - interval '1 day')" for i in range(2000))
    assert only(f"INSERT INTO t VALUES {rows}").tree is not None


def test_importing_script_does_not_import_the_parser() -> None:
    program = "import sys, dashboard.core.script, dashboard.core.plan; print('postgast' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b"False\n"


# --- bodies ---


def test_a_body_gives_its_statements_with_lines_of_the_file() -> None:
    sql = """SELECT 1;

DO $$
DECLARE
    n int := f(1);
BEGIN
    -- ü
    DELETE FROM t
    WHERE id = n;
    IF n > 1 THEN
        PERFORM g(n);
    ELSE
        TRUNCATE u;
    END IF;
    FOR r IN
        SELECT * FROM v
    LOOP
        a[h(1)] := i(2);
    END LOOP;
    EXECUTE 'DROP TABLE x';
    RETURN;
EXCEPTION WHEN others THEN
    CALL p();
END $$;
""".replace("DECLARE", "DECLARE r record; a int[];")
    body = read_body(script(sql).statements[1])
    assert [(s.line, s.text) for s in body.statements] == [
        (5, "SELECT f(1)"),
        (8, "DELETE FROM t\n    WHERE id = n"),
        (10, "SELECT n > 1"),
        (11, "SELECT g(n)"),
        (13, "TRUNCATE u"),
        (16, "SELECT * FROM v"),
        (18, "SELECT a[h(1)] , i(2)"),
        (23, "CALL p()"),
    ]
    assert [(s.line, s.text) for s in body.dynamic] == [(20, "SELECT 'DROP TABLE x'")]


_MARKED = [
    "CASE n WHEN 1 THEN DELETE FROM m1; ELSE DELETE FROM m2; END CASE;",
    "CASE WHEN n = m0() THEN DELETE FROM m1; ELSE DELETE FROM m2; END CASE;",
    "IF m0() THEN DELETE FROM m1; ELSIF m2() THEN DELETE FROM m3; ELSE DELETE FROM m4; END IF;",
    "LOOP DELETE FROM m1; EXIT WHEN m0(); CONTINUE WHEN m2(); END LOOP;",
    "WHILE m0() LOOP DELETE FROM m1; END LOOP;",
    "FOR i IN m0()..m1() BY m2() LOOP DELETE FROM m3; END LOOP;",
    "FOR r IN DELETE FROM m0 RETURNING * LOOP DELETE FROM m1; END LOOP;",
    "FOR r IN c(m0()) LOOP DELETE FROM m1; END LOOP;",
    "FOREACH n IN ARRAY m0() LOOP DELETE FROM m1; END LOOP;",
    "FOR r IN EXECUTE m0() USING m1() LOOP DELETE FROM m2; END LOOP;",
    "RETURN NEXT m0();",
    "RETURN QUERY DELETE FROM m0 RETURNING 1;",
    "RETURN QUERY EXECUTE m0() USING m1();",
    "RAISE EXCEPTION '%', m0() USING HINT = m1();",
    "ASSERT m0(), m1();",
    "EXECUTE m0() INTO n USING m1();",
    "OPEN c(m0()); OPEN rc FOR SELECT m1();",
    "OPEN rc FOR EXECUTE m0() USING m1();",
    "FETCH RELATIVE m0() FROM rc INTO n;",
    "BEGIN DELETE FROM m0; EXCEPTION WHEN unique_violation THEN DELETE FROM m1; WHEN others THEN DELETE FROM m2; END;",
    "DECLARE q int := m0(); k CURSOR FOR DELETE FROM m1 RETURNING 1; BEGIN NULL; END;",
    "n := m0(); ar[m1()] := m2(); r.a := m3(); ar[1:m4()] = m5(); n := count(*) FROM m6;",
    "PERFORM m0() FROM m1 WHERE m2();",
    "CALL m0(m1());",
    "WITH x AS (DELETE FROM m0 RETURNING *) SELECT count(*) INTO n FROM x;",
    "DROP TABLE m0; ALTER TABLE m1 DROP COLUMN a; TRUNCATE m2;",
]


@pytest.mark.parametrize("body", _MARKED)
def test_nothing_that_a_body_runs_is_missed(body: str) -> None:
    definition = f"""CREATE FUNCTION f(int) RETURNS SETOF int LANGUAGE plpgsql AS $q$
        DECLARE n int; r record; ar int[]; rc refcursor; c CURSOR (a int) FOR SELECT 1; BEGIN {body} END $q$"""
    read = read_body(only(definition))
    seen = " ".join(statement.text for statement in (*read.statements, *read.dynamic))
    marks = {f"m{number}" for number in range(8) if f"m{number}" in body}
    assert {mark for mark in marks if mark in seen} == marks


def test_dynamic_sql_is_kept_apart() -> None:
    read = read_body(
        only("DO $$ DECLARE r record; BEGIN EXECUTE a() USING b(); FOR r IN EXECUTE c() LOOP END LOOP; END $$")
    )
    assert [s.text for s in read.dynamic] == ["SELECT a()", "SELECT c()"]
    assert [s.text for s in read.statements] == ["SELECT b()"]


def test_sql_functions_have_their_lines_too() -> None:
    string = only("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\nSELECT 1;\n\nDELETE FROM t $$")
    assert [(s.line, s.kind) for s in read_body(string).statements] == [(2, "SELECT"), (4, "DELETE")]
    atomic = only("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\nDELETE FROM t;\nSELECT a FROM t;\nEND")
    assert [(s.line, s.kind) for s in read_body(atomic).statements] == [(2, "DELETE"), (3, "SELECT")]
    single = only("CREATE FUNCTION f() RETURNS int\nRETURN g()")
    assert [s.line for s in read_body(single).statements] == [2]


def test_a_body_in_doubled_quotes_is_read_all_the_same() -> None:
    body = read_body(only("DO 'BEGIN DELETE FROM t WHERE a = ''x''; END'"))
    assert [s.text for s in body.statements] == ["DELETE FROM t WHERE a = 'x'"]


def test_a_body_that_cannot_be_read_is_a_fault() -> None:
    with pytest.raises(SyntaxFault):
        read_body(only("DO $$ BEGIN oops oops; END $$"))
