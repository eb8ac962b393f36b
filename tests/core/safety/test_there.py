"""Rules that need the environment's catalog: judged with that of a real server, which has what the examples name."""

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.foresight import Foresight
from dashboard.core.safety.rule import Rule
from dashboard.core.safety.rules import RULES
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.compare import Compare
from dashboard.services.foresee import foresee
from tests.oracle import folder_of

EXAMPLES = Path(__file__).parents[2] / "examples"
BY_CATALOG = [rule for rule in RULES if rule.catalog]
OF_OLDER = ("drop-generated", "add-foreign-key-not-valid-partitioned")  # the newest server does not do it


def made(server: EmbeddedServer) -> Iterator[Environment]:
    server.create_database("there", "template0")
    url = server.url("there")
    with psycopg.connect(url.reveal()) as connection:
        connection.execute((EXAMPLES / "before.sql").read_bytes())
        connection.execute(MORE)
        if connection.info.server_version >= 140_000:
            connection.execute("CREATE FUNCTION one() RETURNS int BEGIN ATOMIC SELECT 1; END")
    yield Environment("production", 0, url)
    server.drop_database("there")


MORE = """
CREATE TYPE colour AS ENUM ('red');
CREATE TABLE things (id integer PRIMARY KEY, title varchar(20), price numeric(10, 2), code varchar(5), made timestamp(3),
  size real, mood mood, word text, CHECK (code <> ''));
CREATE INDEX things_title ON things (title);
CREATE TABLE parts (id integer PRIMARY KEY, thing integer REFERENCES things, CONSTRAINT positive CHECK (id > 0));
CREATE POLICY mine ON parts USING (id > 1);
CREATE TABLE noted (id integer, was integer);
CREATE TRIGGER noting BEFORE UPDATE OF was ON noted FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE SEQUENCE numbers;
CREATE VIEW cheap AS SELECT id FROM things WHERE price < 1;
CREATE VIEW cheapest AS SELECT min(id) FROM cheap;
CREATE FUNCTION dice() RETURNS integer LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 4; END';
CREATE FUNCTION four() RETURNS integer LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 4; END';
CREATE DOMAIN plain AS integer;
"""


@pytest.fixture(scope="module")
def production(server: EmbeddedServer) -> Iterator[Environment]:
    yield from made(server)


@pytest.fixture(scope="module")
def older(other_server: EmbeddedServer) -> Iterator[Environment]:
    yield from made(other_server)


def seen(environment: Environment, *files: str) -> Foresight:
    named = [(f"{number:03}_file.sql", text) for number, text in enumerate(files, 1)]
    look = Compare((environment,), lambda: folder_of(*named), None).look("production")
    foresight = foresee(look, 10**9, rows=False)
    assert not foresight.trouble
    return foresight


def rules(environment: Environment, *files: str, stopping: bool = False) -> set[str]:
    plan = seen(environment, *files).plan
    assert plan
    return {one.rule for step in plan.steps for one in step.findings if one.blocks or not stopping}


def happens(environment: Environment, *files: str) -> str:
    """The SQLSTATE that the files end with when they really run; nothing of it stays."""
    assert environment.url
    with psycopg.connect(environment.url.reveal()) as connection:
        try:
            for text in files:
                connection.execute(text.encode())
        except psycopg.Error as wrong:
            return wrong.sqlstate or "?"
        finally:
            connection.rollback()
    return ""


def example(rule: Rule, name: str) -> str:
    return (EXAMPLES / rule.name / f"{name}.sql").read_text()


@pytest.mark.parametrize("rule", [rule for rule in BY_CATALOG if rule.name not in OF_OLDER], ids=lambda rule: rule.name)
def test_the_bad_example_yields_its_rule_and_no_other_that_stops(rule: Rule, production: Environment) -> None:
    bad = example(rule, "bad")
    assert rule.name in rules(production, bad)
    assert rules(production, bad, stopping=True) <= {rule.name}
    assert bool(happens(production, bad)) is (rule.name in rules(production, bad, stopping=True))


@pytest.mark.parametrize("rule", BY_CATALOG, ids=lambda rule: rule.name)
def test_the_good_example_yields_nothing_of_its_kind_and_nothing_that_stops(
    rule: Rule, production: Environment
) -> None:
    good = example(rule, "good")
    assert rule.name not in rules(production, good)
    assert rules(production, good, stopping=True) == set()
    assert happens(production, good) == ""


@pytest.mark.slow
@pytest.mark.parametrize("rule", BY_CATALOG, ids=lambda rule: rule.name)
def test_every_other_major_does_what_is_said_of_it(rule: Rule, older: Environment) -> None:
    bad = example(rule, "bad")
    assert rule.name in rules(older, bad) or rule.name == "drop-generated"  # which is depended-on from 15 on
    assert bool(happens(older, bad)) is bool(rules(older, bad, stopping=True))
    assert happens(older, example(rule, "good")) == ""
    assert rules(older, example(rule, "good"), stopping=True) == set()


@pytest.mark.slow
def test_every_other_major_rules_out_the_same(older: Environment) -> None:
    for sql, says in FAILING:
        assert happens(older, sql) != "", sql
        assert [answer.what for answer in seen(older, sql).failing if says in answer.what], sql
    for sql in PASSING:
        assert happens(older, sql) == "", sql
        assert seen(older, sql).failing == (), sql
    for change in ALIKE:
        assert "alter-column-type" not in rules(older, f"ALTER TABLE things ALTER {change}"), change
        assert rewrites(older, f"ALTER TABLE things ALTER {change}") == (False, False), change


# --- what will fail, and what only looks like it ---

FAILING = [
    ("CREATE TABLE users (a int)", "makes users, which is here already"),
    ("CREATE TABLE public.numbers (a int)", "makes public.numbers, which is here already"),
    ("CREATE VIEW cheap AS SELECT 1 AS id", "makes cheap, which is here already"),
    ("CREATE TABLE users AS SELECT 1 AS id", "makes users, which is here already"),
    ("CREATE INDEX users_age ON users (id)", "makes index users_age, which users has here already"),
    ("ALTER TABLE users ADD COLUMN email text", "adds column email to users, which has it here already"),
    ("ALTER TABLE parts ADD CONSTRAINT positive CHECK (true)", "adds constraint positive to parts, which has it"),
    ("ALTER TABLE userz ADD COLUMN a int", "needs table userz, which does not exist here"),
    ("ALTER TABLE other.users ADD COLUMN a int", "needs table other.users, which does not exist here"),
    ("DROP VIEW cheaper", "needs view cheaper, which does not exist here"),
    ("CREATE INDEX ON users (mail)", "needs column mail of users, which does not exist here"),
    ("CREATE INDEX ON userz (mail)", "needs table userz, which does not exist here"),
    ("ALTER TABLE users RENAME COLUMN mail TO email", "needs column mail of users, which does not exist here"),
    ("ALTER TABLE userz RENAME TO people", "needs table userz, which does not exist here"),
    ("ALTER TABLE users DROP CONSTRAINT users_key", "needs constraint users_key of users, which does not exist here"),
    ("ALTER TABLE users ALTER mail DROP NOT NULL", "needs column mail of users, which does not exist here"),
    ("INSERT INTO userz VALUES (1)", "needs table userz, which does not exist here"),
    ("DROP VIEW cheap", "drops cheap, which view public.cheapest needs"),
    (
        "ALTER TABLE things ALTER price TYPE numeric",
        "changes the type of price of things, which view public.cheap needs",
    ),
    ("ALTER TABLE parts ALTER id TYPE bigint", "changes the type of id of parts, which policy mine on table"),
    ("ALTER TABLE noted ALTER was TYPE bigint", "changes the type of was of noted, which trigger noting on table"),
    (
        "ALTER TABLE lines ALTER id TYPE bigint",
        "changes the type of id of lines, which column double of table public.lines",
    ),
]


@pytest.mark.parametrize(("sql", "says"), FAILING)
def test_what_the_catalog_rules_out_is_said_before(sql: str, says: str, production: Environment) -> None:
    assert happens(production, sql) != ""
    (answer, *others) = seen(production, sql).failing
    assert says in answer.what
    assert not others
    assert answer.advice


DESTROYING = [
    ("DROP TABLE things", {"constraint parts_thing_fkey on table public.parts", "view public.cheap"}),
    ("ALTER TABLE things DROP COLUMN price", {"view public.cheap"}),
    ("ALTER TABLE things DROP COLUMN id", {"view public.cheap", "constraint parts_thing_fkey on table public.parts"}),
    ("ALTER TABLE noted DROP COLUMN was", {"trigger noting on table public.noted"}),
    ("ALTER TABLE lines DROP COLUMN id", {"column double of table public.lines"}),
]


@pytest.mark.parametrize(("sql", "needs"), DESTROYING)
def test_what_cannot_be_dropped_names_all_that_needs_it(sql: str, needs: set[str], production: Environment) -> None:
    assert happens(production, sql) == "2BP01"
    (answer,) = seen(production, sql).failing
    assert {need for need in needs if need in answer.what} == needs


PASSING = [
    "CREATE TEMP TABLE users (a int)",
    "CREATE SCHEMA apart CREATE TABLE users (a int)",
    "CREATE SCHEMA apart CREATE TABLE users (a int); ALTER SEQUENCE numbers RESTART",
    "DROP VIEW cheapest; DROP VIEW cheap; ALTER TABLE things ALTER price TYPE numeric",
    "DROP VIEW cheapest, cheap",
    "ALTER TABLE users RENAME TO people; CREATE TABLE users (a int)",
    "ALTER TABLE users DROP COLUMN email, ADD COLUMN email int",
    "ALTER TABLE parts DROP CONSTRAINT positive, ADD CONSTRAINT positive CHECK (id > 1)",
    "ALTER TABLE users ADD COLUMN mail text, ALTER COLUMN mail SET DEFAULT ''",
    "ALTER TABLE users ADD CHECK (age > 0); ALTER TABLE users DROP CONSTRAINT users_age_check",
    "ALTER TABLE users RENAME COLUMN email TO mail; ALTER TABLE users ALTER mail SET DEFAULT ''",
    "DO $$ BEGIN ALTER TABLE users ADD COLUMN later int; END $$; ALTER TABLE users ALTER later SET DEFAULT 1",
    "DO $$ BEGIN IF false THEN CREATE TABLE users (a int); END IF; END $$",
    "CREATE SCHEMA apart; SET LOCAL search_path = apart; CREATE TABLE users (a int)",
    "ALTER SEQUENCE numbers RESTART; ALTER TABLE numbers RENAME TO digits",
    "ALTER TABLE parts DROP CONSTRAINT parts_thing_fkey; DROP VIEW cheapest; DROP VIEW cheap; DROP TABLE things",
    "DROP VIEW cheapest; DROP VIEW cheap; DROP TABLE parts, things",
    "CREATE TABLE fresh (a int); ALTER TABLE fresh ADD COLUMN b int; CREATE INDEX ON fresh (b)",
    "SELECT 1 AS a INTO fresh; ALTER TABLE fresh ADD COLUMN b int",
    "EXPLAIN ANALYZE CREATE TABLE fresh AS SELECT 1 AS a; ALTER TABLE fresh ADD COLUMN b int",
    "ALTER TABLE IF EXISTS userz ADD COLUMN a int",
    "ALTER TABLE users DROP COLUMN IF EXISTS mail",
    "CREATE OR REPLACE VIEW cheap AS SELECT id FROM things WHERE price < 2",
]


SINCE_13 = ["ALTER TABLE lines ALTER double DROP EXPRESSION; ALTER TABLE lines ALTER id TYPE bigint"]


@pytest.mark.parametrize("sql", [*PASSING, *SINCE_13])
def test_what_goes_through_is_not_called_failing(sql: str, production: Environment) -> None:
    assert happens(production, sql) == ""
    assert seen(production, sql).failing == ()


# --- a value of an enumeration that the same transaction adds ---

ADDED = "ALTER TYPE mood ADD VALUE 'fine'; "


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE things SET mood = 'fine'",
        "DELETE FROM things WHERE mood = 'fine'",
        "UPDATE things SET word = 'x' WHERE mood IN ('sad', 'fine')",
        "INSERT INTO things (id, mood) VALUES (1, 'sad'), (2, 'fine')",
        "ALTER TABLE things ALTER mood SET DEFAULT 'fine'",
        "ALTER TABLE users ADD COLUMN mood mood DEFAULT 'fine'",
    ],
)
def test_a_new_value_in_a_column_of_its_type_is_certain_to_fail(sql: str, production: Environment) -> None:
    assert happens(production, ADDED + sql) == "55P04"
    assert "enum-add-then-use" in rules(production, ADDED + sql, stopping=True)
    assert "uses 'fine' in the transaction that adds it to mood" in seen(production, ADDED + sql).failing[0].what


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE things SET word = 'fine'",
        "INSERT INTO things (id, word) VALUES (1, 'fine')",
        "DELETE FROM things WHERE word = 'fine'",
        "ALTER TABLE things ALTER word SET DEFAULT 'fine'",
        "ALTER TABLE users ADD COLUMN word text DEFAULT 'fine'",
    ],
)
def test_the_same_word_in_a_column_of_another_type_is_no_finding(sql: str, production: Environment) -> None:
    assert happens(production, ADDED + sql) == ""
    assert "enum-add-then-use" not in rules(production, ADDED + sql)


def test_a_value_that_was_added_by_the_file_before_may_be_used(production: Environment) -> None:
    files = (ADDED, "UPDATE things SET mood = 'fine' WHERE id = 1")
    assert "enum-add-then-use" not in rules(production, *files)


# --- a new type: what the old one was decides ---


def rewrites(environment: Environment, sql: str) -> tuple[bool, bool]:
    """Whether the server writes the table anew, and whether it reads it; nothing of it stays."""
    assert environment.url
    file = "SELECT pg_relation_filenode('things'), (SELECT coalesce(seq_scan, 0) FROM pg_stat_xact_all_tables WHERE relid = 'things'::regclass)"
    with psycopg.connect(environment.url.reveal()) as connection:
        before = connection.execute(file.encode()).fetchone()
        connection.execute(sql.encode())
        after = connection.execute(file.encode()).fetchone()
        connection.rollback()
    assert before
    assert after
    return before[0] != after[0], before[1] != after[1]


ALIKE = ["title TYPE varchar(50)", "title TYPE varchar", "title TYPE text", "word TYPE varchar", "made TYPE timestamp"]
OTHERWISE = [
    "title TYPE varchar(10)",
    "title TYPE varchar(50) USING lower(title)",
    "title TYPE char(50)",
    "word TYPE varchar(50)",
    "size TYPE double precision",
    "made TYPE timestamp(2)",
    "made TYPE timestamptz",
    "code TYPE varchar(50)",  # a CHECK is looked at again
    "mood TYPE text",
]


@pytest.mark.parametrize("change", ALIKE)
def test_a_type_that_is_stored_alike_is_no_wait(change: str, production: Environment) -> None:
    sql = f"ALTER TABLE things ALTER {change}"
    assert rewrites(production, sql) == (False, False)
    assert "alter-column-type" not in rules(production, sql)


@pytest.mark.parametrize("change", OTHERWISE)
def test_any_other_type_is_a_wait(change: str, production: Environment) -> None:
    sql = f"ALTER TABLE things ALTER {change}"
    assert any(rewrites(production, sql)) or "timestamptz" in change  # which is free where the time zone is UTC
    assert "alter-column-type" in rules(production, sql)


def test_a_column_that_an_earlier_file_changed_is_not_judged_by_what_it_was(production: Environment) -> None:
    files = ("ALTER TABLE things ALTER title TYPE varchar(90)", "ALTER TABLE things ALTER title TYPE varchar(50)")
    assert "alter-column-type" in rules(production, *files)


@pytest.mark.parametrize(("call", "waits"), [("dice()", True), ("four()", False)])
def test_a_default_by_a_function_of_ones_own_is_judged_by_the_function(
    call: str, waits: bool, production: Environment
) -> None:
    sql = f"ALTER TABLE things ADD COLUMN rolled integer DEFAULT {call}"
    assert rewrites(production, sql)[0] is waits
    assert ("add-column-volatile-default" in rules(production, sql)) is waits


@pytest.mark.parametrize(("domain", "waits"), [("percent", True), ("plain", False)])
def test_a_column_of_a_domain_is_a_wait_where_the_domain_refuses_values(
    domain: str, waits: bool, production: Environment
) -> None:
    sql = f"ALTER TABLE things ADD COLUMN share {domain}"
    assert rewrites(production, sql)[0] is waits
    assert ("add-column-domain-checked" in rules(production, sql)) is waits


# --- at random: what is called failing fails, whatever came before it ---

MIXED = [
    "ALTER TABLE userz RENAME TO people",
    "CREATE TABLE userz (mail text, later int)",
    "ALTER TABLE users RENAME TO userz",
    "CREATE VIEW userz AS SELECT 1 AS mail",
    "DROP TABLE parts CASCADE",
    "DROP POLICY mine ON parts",
    "DROP TRIGGER noting ON noted",
    "ALTER TABLE lines DROP COLUMN double",
    "ALTER TABLE parts RENAME CONSTRAINT positive TO negative",
    "ALTER INDEX users_age RENAME TO users_old",
    "DROP INDEX users_age",
    "CREATE SEQUENCE userz",
    "ALTER VIEW cheap RENAME TO cheaper",
    "CREATE TYPE userz AS (a int)",
    "ALTER TABLE users ADD mail text",
    "SET LOCAL search_path = pg_temp, public",
    "CREATE TEMP TABLE userz (mail int)",
]


@pytest.mark.slow
def test_nothing_is_called_failing_that_goes_through_whatever_came_before(production: Environment) -> None:
    chance, predicted = random.Random(5), 0  # noqa: S311  # the same every time
    pool = [*(sql for sql, _ in (*FAILING, *DESTROYING)), *PASSING, *MIXED]
    for _ in range(400):
        sql = "; ".join(chance.sample(pool, chance.choice((2, 3, 4))))
        if seen(production, sql).failing:
            predicted += 1
            assert happens(production, sql) != "", sql
    assert predicted > 200
