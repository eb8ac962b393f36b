"""Objects are told apart, and called, by their whole names, wherever the tree keeps those."""

import pytest

from dashboard.core.migration import Migration, Refusal, read_migration
from dashboard.core.safety.finding import Finding
from dashboard.core.safety.review import review
from dashboard.core.script import parse


def migration(sql: str) -> Migration:
    read = read_migration("001_f.sql", sql.encode())
    assert isinstance(read, Migration)
    return read


def findings(sql: str) -> tuple[Finding, ...]:
    (reviewed,) = review([migration(sql)])
    assert reviewed.refusal is None, reviewed.refusal
    return reviewed.findings


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ('DROP TABLE a, app.b, "C d"', ["table a", "table app.b", 'table "C d"']),
        ("DROP TYPE a, app.b", ["type a", "type app.b"]),
        ("DROP DOMAIN a, app.b", ["domain a", "domain app.b"]),
        ("DROP FUNCTION a(int), app.b(text, int)", ["function a", "function app.b"]),
        ("DROP AGGREGATE app.total(int)", ["aggregate app.total"]),
        ("DROP TRIGGER touch ON app.users", ["trigger touch of app.users"]),
        ("DROP POLICY own ON app.users", ["policy own of app.users"]),
        ("DROP RULE keep ON users", ["rule keep of users"]),
        ("DROP CAST (int AS app.money)", ["cast (int4 AS app.money)"]),
        ("DROP VIEW a, app.b", ["view a", "view app.b"]),
        ("DROP INDEX a, app.b", ["index a", "index app.b"]),
        ("DROP SCHEMA a, b", ["schema a", "schema b"]),
    ],
)
def test_every_object_of_a_drop_is_a_finding_under_its_own_name(sql: str, names: list[str]) -> None:
    said = [finding.what for finding in findings(sql)]
    assert len(said) == len(names)
    assert all(what.startswith(f"drops {name}") for what, name in zip(said, names, strict=True)), said


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("CREATE TABLE Users (a int); DROP TABLE uSERS", True),
        ('CREATE TABLE Users (a int); DROP TABLE "users"', True),
        ('CREATE TABLE "Users" (a int); DROP TABLE Users', False),
        ('CREATE TABLE App.Users (a int); DROP TABLE app."users"', True),
        ('CREATE TABLE "é" (a int); DROP TABLE é', True),
        ('CREATE TABLE "a.b" (a int); DROP TABLE a.b', False),
        ("CREATE TABLE db.app.users (a int); DROP TABLE app.users", True),
    ],
)
def test_names_are_folded_as_the_server_folds_them(sql: str, *, same: bool) -> None:
    assert (findings(sql) == ()) is same


@pytest.mark.parametrize(
    "sql", ["SELECT ${amount}", "SELECT 1;\nGO", "SELECT {{ amount }}", "SELECT %(amount)s", "selec 2"]
)
def test_what_another_tool_would_replace_refuses_the_file_with_its_line(sql: str) -> None:
    refused = parse(migration(f"SELECT 0;\n{sql}"))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.line) == ("syntax-error", 2 + sql.count("\n"))
