"""The ledger: two columns that other tools know, whatever the table looked like before."""

import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dashboard.core.environment import Environment
from dashboard.core.picture import Picture
from dashboard.core.plan import make_plan
from dashboard.core.run import Outcome, Result
from dashboard.core.safety.review import review
from dashboard.postgres.ledger import Ledger
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, ledger, noted, three_files


def run(environment: Environment, files: object = None) -> Result:
    return apply(environment, lambda: files or three_files(), ORDER)  # type: ignore[return-value,arg-type]  # a folder


def adopted(environment: Environment, definition: str, *names: str) -> None:
    """A database that another runner kept: the table, the first file's table, and rows."""
    ask(environment, f"CREATE TABLE public._migrations_applied ({definition})")
    ask(environment, LOG)
    for name in names:
        ask(environment, "INSERT INTO _migrations_applied (filename) VALUES (%s)", name)
        ask(environment, noted(name))


def test_the_query_that_everybody_knows_works(environment: Environment) -> None:
    run(environment)
    assert ledger(environment) == ["001_log.sql", "002_middle.sql", "003_end.sql"]
    rows = ask(environment, "SELECT filename, applied_at FROM _migrations_applied ORDER BY applied_at;")
    assert all(at is not None and at.tzinfo is not None for _, at in rows)
    columns = ask(
        environment,
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_name = '_migrations_applied' ORDER BY ordinal_position",
    )
    assert columns == [("filename", "text", "NO"), ("applied_at", "timestamp with time zone", "NO")]


@pytest.mark.fault(85)
@pytest.mark.fault(86)
@pytest.mark.parametrize(
    "definition",
    [
        "filename text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()",
        "id serial PRIMARY KEY, filename varchar(255) NOT NULL UNIQUE, applied_at timestamp DEFAULT now()",
        "filename text, applied_at timestamptz",
        "filename varchar(255), applied_at timestamp, checksum text, took integer DEFAULT 0",
        "filename text UNIQUE, applied_at date",
        "filename text PRIMARY KEY, applied_at text DEFAULT now()::text",
    ],
)
def test_a_database_that_another_runner_kept_is_adopted_and_only_missing_files_run(
    environment: Environment, definition: str
) -> None:
    adopted(environment, definition, "001_log.sql", "002_middle.sql")
    result = run(environment)
    assert (result.outcome, result.applied) == (Outcome.APPLIED, ("003_end.sql",)), result.problem
    names = ask(environment, "SELECT filename FROM _migrations_applied ORDER BY filename")
    assert names == [("001_log.sql",), ("002_middle.sql",), ("003_end.sql",)]
    assert ask(environment, "SELECT entry FROM log ORDER BY 1") == names
    assert run(environment).outcome is Outcome.NOTHING


@pytest.mark.fault(84)
def test_rows_without_a_name_or_a_moment_do_no_harm(environment: Environment) -> None:
    adopted(environment, "filename text, applied_at timestamptz", "001_log.sql")
    ask(environment, "INSERT INTO _migrations_applied VALUES (NULL, now()), ('002_middle.sql', 'infinity')")
    assert run(environment).applied == ("003_end.sql",)


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    ("definition", "columns"),
    [
        ("version bigint, dirty boolean", "version bigint, dirty boolean"),
        ("filename text, checksum text", "filename text, checksum text"),
        ("filename text, applied_at bigint", "filename text, applied_at bigint"),
    ],
)
def test_somebody_elses_table_is_refused_by_its_columns(
    environment: Environment, definition: str, columns: str
) -> None:
    ask(environment, f"CREATE TABLE public._migrations_applied ({definition})")
    result = run(environment)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert f"public._migrations_applied that is not a ledger: its columns are {columns}" in result.problem.message
    assert "ledger_schema" in result.problem.advice
    assert ask(environment, "SELECT to_regclass('rung.history')") == [(None,)]


@pytest.mark.fault(86)
@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("VIEW public._migrations_applied AS SELECT 'x' AS filename, now() AS applied_at", "a view"),
        (
            "MATERIALIZED VIEW public._migrations_applied AS SELECT 'x' AS filename, now() AS applied_at",
            "a materialized view",
        ),
        ("SEQUENCE public._migrations_applied", "a sequence"),
    ],
)
def test_what_is_not_a_table_is_refused_by_name(environment: Environment, definition: str, kind: str) -> None:
    ask(environment, f"CREATE {definition}")
    result = run(environment)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert f"is {kind}, and the ledger has to be a table" in result.problem.message


@pytest.mark.fault(86)
def test_a_trigger_that_swallows_rows_is_noticed_before_the_commit(environment: Environment) -> None:
    adopted(environment, "filename text PRIMARY KEY, applied_at timestamptz", "001_log.sql")
    ask(environment, "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    ask(environment, "CREATE TRIGGER t BEFORE INSERT ON _migrations_applied FOR EACH ROW EXECUTE FUNCTION swallow()")
    result = run(environment)
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert "did not keep the row that records the file" in result.problem.message
    assert ask(environment, "SELECT entry FROM log") == [("001_log.sql",)]


@pytest.mark.fault(86)
def test_a_trigger_that_raises_is_passed_on(environment: Environment) -> None:
    adopted(environment, "filename text PRIMARY KEY, applied_at timestamptz", "001_log.sql")
    raises = "BEGIN RAISE EXCEPTION 'not on a Friday'; END"
    ask(environment, f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $${raises}$$")
    ask(environment, "CREATE TRIGGER t BEFORE INSERT ON _migrations_applied FOR EACH ROW EXECUTE FUNCTION no()")
    result = run(environment)
    assert result.problem
    assert result.problem.message == "the ledger could not be written: not on a Friday"
    assert ask(environment, "SELECT entry FROM log") == [("001_log.sql",)]


@pytest.mark.fault(88)
def test_a_role_that_may_not_create_is_told_which_grant_helps(environment: Environment) -> None:
    assert environment.url
    ask(environment, "DROP ROLE IF EXISTS humble")
    ask(environment, "CREATE ROLE humble LOGIN PASSWORD 'humble'")
    url = environment.url.reveal().partition("@")[2]
    humble = replace(environment, url=type(environment.url)(f"postgresql://humble:humble@{url}"))
    result = run(humble)
    ask(environment, "DROP ROLE humble")
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert result.problem.message == "local cannot take migrations: role humble may not write there"
    assert 'GRANT CREATE ON DATABASE "test_' in result.problem.advice
    assert 'GRANT USAGE, CREATE ON SCHEMA "public" TO "humble";' in result.problem.advice


@pytest.mark.fault(91)
def test_another_schema_has_a_ledger_of_its_own(environment: Environment) -> None:
    billing = replace(environment, ledger_schema="Billing Dept")
    result = run(billing)
    assert result.outcome is Outcome.APPLIED, result.problem
    rows = ask(environment, 'SELECT filename FROM "Billing Dept"._migrations_applied ORDER BY applied_at')
    assert len(rows) == 3
    assert ledger(environment) == []


@pytest.mark.parametrize(
    "definition", ["filename text PRIMARY KEY, applied_at timestamptz", "filename text, applied_at timestamptz"]
)
def test_a_row_that_another_session_wrote_meanwhile_keeps_the_file_from_running_twice(
    environment: Environment, definition: str
) -> None:
    """The lock is a courtesy; the row is the fence, with a unique key or without."""
    adopted(environment, definition, "001_log.sql")
    seen = Seen()

    def interfere(event: object) -> None:
        seen(event)  # type: ignore[arg-type]  # an event
        if getattr(event, "name", "") == "file_started" and getattr(event, "filename", "") == "002_middle.sql":
            ask(environment, "INSERT INTO _migrations_applied VALUES ('002_middle.sql', now())")
            ask(environment, noted("002_middle.sql"))

    result = apply(environment, three_files, ORDER, interfere)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert result.applied == ("003_end.sql",)
    assert any("it was recorded meanwhile, by another session" in note for note in result.notes)
    assert len(ask(environment, "SELECT entry FROM log")) == 3


def test_twenty_first_runs_at_once_make_one_ledger(environment: Environment) -> None:
    barrier, results = threading.Barrier(20), []

    def first_run() -> None:
        barrier.wait()
        results.append(run(environment))

    threads = [threading.Thread(target=first_run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = sorted(result.outcome for result in results)
    assert outcomes == [Outcome.APPLIED] + [Outcome.NOTHING] * 19
    assert_consistent(environment, ["001_log.sql", "002_middle.sql", "003_end.sql"])


def test_names_are_quoted() -> None:
    assert Ledger('a"; drop table x; --').name == '"a""; drop table x; --"."_migrations_applied"'


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15)
INJECTION = 'x"; DROP TABLE victim; --'


@given(NAMES)
@example(INJECTION)
@example("x'; DROP TABLE victim; --")
@example('"')
@example("\\")
@example("%s{}$1")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_server_reads_any_name_as_the_one_name_that_it_is(environment: Environment, name: str) -> None:
    quoted = Ledger(name).name
    assert ask(environment, "SELECT parse_ident(%s)", quoted) == [([name, "_migrations_applied"],)]


@pytest.mark.parametrize("schema", [INJECTION, "x'; DROP TABLE victim; --", '%s{}$1 "quoted" \\'])
def test_a_schema_whose_name_is_sql_is_only_a_name(environment: Environment, schema: str) -> None:
    ask(environment, "CREATE TABLE victim AS SELECT 1 AS id")
    hostile = replace(environment, ledger_schema=schema)
    assert run(hostile).outcome is Outcome.APPLIED
    assert run(hostile).outcome is Outcome.NOTHING
    taken = take_picture(hostile)
    assert isinstance(taken, Picture)
    assert [row.filename for row in taken.ledger] == ["001_log.sql", "002_middle.sql", "003_end.sql"]
    assert make_plan(hostile, three_files(), taken, review).steps == ()
    where = "SELECT schemaname FROM pg_tables WHERE tablename = '_migrations_applied'"
    assert ask(environment, where) == [(schema,)]
    assert ask(environment, "SELECT id FROM victim") == [(1,)]


def test_a_file_that_records_itself_is_told_to_leave_that_out(environment: Environment) -> None:
    files = folder_of(("001_a.sql", "INSERT INTO _migrations_applied (filename) VALUES ('001_a.sql');"))
    result = run(environment, files)
    assert result.problem
    assert "take the INSERT into the ledger out" in result.problem.advice
