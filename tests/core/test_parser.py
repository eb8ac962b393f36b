"""What is known of the parser's library. Where one of these fails after an upgrade, something in here can be simpler."""

import json

import postgast
import pytest
from google.protobuf.message import DecodeError


def test_a_nul_byte_silently_ends_the_text() -> None:
    assert len(postgast.parse("SELECT 1;\0 DROP TABLE t").stmts) == 1


def test_the_scanner_loses_statements_without_a_keyword_and_cuts_atomic_bodies() -> None:
    assert len(postgast.split("SELECT 1; foo bar; SELECT 2", method="scanner")) == 2
    atomic = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"
    assert len(postgast.split(atomic, method="parser")) == 1


def test_positions_are_bytes_but_those_of_errors_are_characters() -> None:
    (statement,) = postgast.parse("/* ü */ SELECT 1").stmts
    assert statement.stmt_location == len("/* ü */ ".encode())
    with pytest.raises(postgast.PgQueryError) as error:
        postgast.parse("/* ü */ oops")
    assert error.value.cursorpos == len("/* ü */ ") + 1


def test_the_last_statement_has_no_length() -> None:
    assert [statement.stmt_len for statement in postgast.parse("SELECT 1; SELECT 2").stmts] == [8, 0]


def test_a_tree_of_fifty_terms_is_too_deep_for_protobuf() -> None:
    with pytest.raises(DecodeError):
        postgast.parse("SELECT " + "||".join(["'x'"] * 50))


def test_trigger_functions_are_answered_with_broken_json() -> None:
    body = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$"
    with pytest.raises(json.JSONDecodeError):
        postgast.parse_plpgsql(body)


def test_the_plpgsql_parser_knows_no_schema_but_public() -> None:
    assert postgast.parse_plpgsql("DO $$ DECLARE x public.t; BEGIN x.a := 1; END $$")
    with pytest.raises(postgast.PgQueryError, match="LookupExplicitNamespace"):
        postgast.parse_plpgsql("DO $$ DECLARE x app.t; BEGIN x.a := 1; END $$")


def test_comments_are_not_in_the_tree_and_empty_files_have_no_statement() -> None:
    assert len(postgast.parse("-- x").stmts) == len(postgast.parse(";;").stmts) == 0


def test_a_call_parameter_parses_where_no_value_can_come_from() -> None:
    """So does $1 in a migration: the server says it, not the parser."""
    assert len(postgast.parse("SELECT $1").stmts) == 1


def test_the_grammar_is_that_of_postgresql_18() -> None:
    assert postgast.parse("ALTER TABLE t ADD CHECK (a > 0) NOT ENFORCED")
    for gone_or_to_come in ("CREATE TABLE t (a int) WITH OIDS", "SELECT 5!", "REPACK TABLE t"):
        with pytest.raises(postgast.PgQueryError):
            postgast.parse(gone_or_to_come)
