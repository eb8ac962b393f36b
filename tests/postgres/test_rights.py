"""Rights and traps: what a role may not do is named with its GRANT, and no owner of a database reaches our statements."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.core.migration import Folder
from dashboard.core.picture import NotReachable, Picture
from dashboard.core.plan import State, make_plan
from dashboard.core.run import Outcome, Result
from dashboard.core.safety.review import review
from dashboard.postgres import embedded, facts, history
from dashboard.postgres.connect import connect
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import LOG, ORDER, ask, assert_consistent, folder_of, noted, three_files, wait_until

ROLE = 'odd "role"'
FILES = ("001_log.sql", "002_middle.sql", "003_end.sql")


@pytest.fixture
def narrow(environment: Environment) -> Iterator[Environment]:
    """The environment, by a role that owns nothing and may log in."""
    assert environment.url
    role = sql.Identifier(ROLE).as_string()
    ask(environment, f"DROP ROLE IF EXISTS {role}")
    ask(environment, f"CREATE ROLE {role} LOGIN PASSWORD 'narrow'")
    url = f"postgresql://{quote(ROLE)}:narrow@{environment.url.reveal().partition('@')[2]}"
    yield replace(environment, url=Secret(url))
    ask(environment, f"DROP OWNED BY {role} CASCADE")
    ask(environment, f"DROP ROLE {role}")


@pytest.mark.fault(88)
def test_a_role_that_may_not_ask_for_the_lock_hears_so_when_it_needs_it(
    environment: Environment, narrow: Environment
) -> None:
    apply(environment, three_files, ORDER)
    ask(environment, "REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) FROM PUBLIC")
    ask(
        environment,
        "GRANT USAGE ON SCHEMA rung TO PUBLIC; GRANT SELECT, INSERT ON _migrations_applied, rung.history TO PUBLIC",
    )
    assert apply(narrow, three_files, ORDER).outcome is Outcome.NOTHING
    one_more = Folder((*three_files().migrations, *folder_of(("004_more.sql", "CREATE TABLE more ();")).migrations))
    result = apply(narrow, lambda: one_more, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert "permission denied for function pg_try_advisory_lock" in result.problem.message


@pytest.mark.parametrize("narrower", [False, True])
def test_a_superuser_is_told_of_and_refused_where_the_configuration_says_so(
    environment: Environment, narrow: Environment, *, narrower: bool
) -> None:
    ask(
        environment,
        f"GRANT CREATE ON DATABASE {name_of(environment)} TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC",
    )
    used = replace(narrow if narrower else environment, policies=Policies(protected=True))
    picture = take_picture(used)
    assert isinstance(picture, Picture)
    assert any("is a superuser" in remark for remark in picture.remarks) is not narrower
    refusing = replace(used, policies=Policies(superuser=Policy.REFUSE))
    result = apply(refusing, three_files, ORDER)
    assert result.outcome is (Outcome.APPLIED if narrower else Outcome.UNREACHABLE)
    if not narrower:
        assert ask(environment, "SELECT to_regclass('public.log')") == [(None,)]
        assert result.problem
        assert "is a superuser, which rung.toml refuses" in result.problem.message + result.problem.advice


@pytest.mark.parametrize(
    ("host", "protected", "told"),
    [
        ("127.0.0.1", False, False),
        ("/run/postgresql", False, False),
        ("127.0.0.1", True, True),
        ("db", False, True),
    ],
)
def test_on_this_machine_a_superuser_is_usual_unless_it_is_protected(
    environment: Environment, host: str, *, protected: bool, told: bool
) -> None:
    used = replace(environment, policies=Policies(protected=protected))
    with connect(used, purpose="test") as connection:
        row = connection.execute(facts.query(used)).fetchone()
    assert row
    remark = facts.remark_on_superuser(used, facts.Facts(*row), host)
    assert (remark is not None) is told


def name_of(environment: Environment) -> str:
    return urlsplit(environment.url.reveal() if environment.url else "").path[1:]


def pasted(environment: Environment, advice: str) -> None:
    """What the advice says, run by the owner as it stands."""
    _, _, statements = advice.partition("As the owner: ")
    assert statements, advice
    ask(environment, statements)


def usable(environment: Environment) -> None:
    """So that only what a test takes away is missing."""
    role = sql.Identifier(ROLE).as_string()
    ask(environment, f"GRANT USAGE ON SCHEMA rung TO {role}; GRANT SELECT, INSERT ON rung.history TO {role}")
    ask(environment, f"GRANT SELECT, INSERT, UPDATE ON public._migrations_applied TO {role}")
    ask(environment, f"GRANT SELECT, INSERT ON public.log TO {role}")


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    "missing",
    [
        "SELECT ON public._migrations_applied",
        "INSERT ON public._migrations_applied",
        "SELECT ON rung.history",
        "INSERT ON rung.history",
        "USAGE ON SCHEMA rung",
    ],
)
def test_a_missing_right_is_named_with_a_grant_that_helps_as_it_stands(
    environment: Environment, narrow: Environment, missing: str
) -> None:
    apply(environment, lambda: folder_of((FILES[0], LOG + noted(FILES[0]))), ORDER)
    usable(environment)
    ask(environment, f"REVOKE {missing} FROM {sql.Identifier(ROLE).as_string()}")
    refused = apply(narrow, three_files, ORDER)
    assert refused.outcome is Outcome.UNREACHABLE
    assert refused.problem
    assert f"role {ROLE} may not" in refused.problem.message
    pasted(environment, refused.problem.advice)
    result = apply(narrow, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, FILES)


def test_a_role_that_may_only_read_is_no_trouble_while_nothing_is_pending(
    environment: Environment, narrow: Environment
) -> None:
    apply(environment, three_files, ORDER)
    usable(environment)
    ask(environment, f"REVOKE INSERT ON rung.history FROM {sql.Identifier(ROLE).as_string()}")
    assert apply(narrow, three_files, ORDER).outcome is Outcome.NOTHING


def test_a_table_without_a_key_needs_one_right_more(environment: Environment, narrow: Environment) -> None:
    ask(environment, "CREATE TABLE public._migrations_applied (filename text, applied_at timestamptz)")
    apply(environment, lambda: folder_of((FILES[0], LOG + noted(FILES[0]))), ORDER)
    usable(environment)
    ask(environment, f"REVOKE UPDATE ON public._migrations_applied FROM {sql.Identifier(ROLE).as_string()}")
    refused = apply(narrow, three_files, ORDER)
    assert refused.problem
    pasted(environment, refused.problem.advice)
    assert apply(narrow, three_files, ORDER).outcome is Outcome.APPLIED


@pytest.mark.fault(88)
def test_schemas_that_somebody_made_for_a_role_are_enough(environment: Environment, narrow: Environment) -> None:
    refused = apply(narrow, three_files, ORDER)
    assert refused.problem
    assert f'GRANT CREATE ON DATABASE "{name_of(environment)}" TO "odd ""role"""' in refused.problem.advice
    role = sql.Identifier(ROLE).as_string()
    ask(environment, f"CREATE SCHEMA rung; GRANT USAGE, CREATE ON SCHEMA rung, public TO {role}")
    result = apply(narrow, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, FILES)


@pytest.mark.fault(86)
@pytest.mark.parametrize("table", ["public._migrations_applied", "rung.history"])
def test_row_level_security_that_may_hide_rows_is_refused_by_name(
    environment: Environment, narrow: Environment, table: str
) -> None:
    apply(environment, three_files, ORDER)
    usable(environment)
    ask(environment, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    taken = take_picture(narrow)
    assert isinstance(taken, NotReachable)
    assert taken.word == "not usable"
    assert "row-level security of" in taken.reason
    assert table.partition(".")[2] in taken.reason
    assert apply(environment, three_files, ORDER).outcome is Outcome.NOTHING  # its owner sees everything
    said = taken.advice.removeprefix("As its owner: ").partition(";")[0]
    ask(environment, said)
    assert isinstance(take_picture(narrow), Picture)


@pytest.mark.fault(86)
def test_a_partitioned_ledger_works(environment: Environment) -> None:
    ask(
        environment,
        "CREATE TABLE public._migrations_applied (filename text PRIMARY KEY, applied_at timestamptz)"
        " PARTITION BY HASH (filename)",
    )
    for part in (0, 1):
        ask(
            environment,
            f"CREATE TABLE public.part_{part} PARTITION OF public._migrations_applied"
            f" FOR VALUES WITH (MODULUS 2, REMAINDER {part})",
        )
    result = apply(environment, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, FILES)


@pytest.mark.fault(86)
def test_a_rule_that_swallows_the_row_is_noticed(environment: Environment) -> None:
    ask(environment, "CREATE TABLE public._migrations_applied (filename text PRIMARY KEY, applied_at timestamptz)")
    ask(environment, "CREATE RULE swallow AS ON INSERT TO public._migrations_applied DO INSTEAD NOTHING")
    result = apply(environment, three_files, ORDER)
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert "the ledger could not be written" in result.problem.message
    assert ask(environment, "SELECT to_regclass('public.log')") == [(None,)]


@pytest.mark.fault(84)
def test_a_row_that_somebody_took_out_is_said_with_the_way_back(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    ask(environment, "DELETE FROM _migrations_applied WHERE filename = '003_end.sql'")
    taken = take_picture(environment)
    assert isinstance(taken, Picture)
    plan = make_plan(environment, three_files(), taken, review)
    (notice,) = plan.notices
    assert "003_end.sql is recorded as applied in the history (by somebody)" in notice
    assert plan.entries[-1].state is State.PENDING
    ask(environment, notice.partition("put the row back: ")[2])
    assert apply(environment, three_files, ORDER).outcome is Outcome.NOTHING


@pytest.mark.fault(84)
def test_rows_that_make_no_sense_are_each_said(environment: Environment) -> None:
    ask(environment, "CREATE TABLE public._migrations_applied (filename text, applied_at timestamptz)")
    ask(
        environment,
        "INSERT INTO _migrations_applied VALUES (NULL, now()), ('001_log.sql', NULL), ('001_log.sql', now())",
    )
    ask(environment, "INSERT INTO _migrations_applied VALUES ('-7', now()), ('999_future.sql', now())")
    taken = take_picture(environment)
    assert isinstance(taken, Picture)
    notices = make_plan(environment, three_files(), taken, review).notices
    assert "1 row of the ledger without a file name counts as nothing." in notices
    assert "001_log.sql stands 2 times in the ledger; once is enough." in notices
    assert "999_future.sql is applied here and missing from the folder: pull, or find its branch." in notices
    assert "-7 is applied here and missing from the folder: pull, or find its branch." in notices


@pytest.mark.fault(90)
def test_an_event_trigger_that_blocks_is_passed_on_and_nothing_is_kept(environment: Environment) -> None:
    apply(environment, lambda: folder_of((FILES[0], LOG + noted(FILES[0]))), ORDER)
    freeze(environment)
    result = apply(environment, lambda: three_files("CREATE TABLE public.more (id int);"), ORDER)
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert "no changes before Christmas" in result.problem.message
    assert_consistent(environment, [FILES[0]])


@pytest.mark.fault(90)
def test_an_event_trigger_that_blocks_our_own_tables_is_named(environment: Environment) -> None:
    freeze(environment)
    result = apply(environment, three_files, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert "its ledger and history cannot be made: no changes before Christmas" in result.problem.message


def freeze(environment: Environment) -> None:
    raises = "BEGIN RAISE EXCEPTION 'no changes before Christmas'; END"
    ask(environment, f"CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql AS $${raises}$$")
    ask(environment, "CREATE EVENT TRIGGER hold ON ddl_command_end EXECUTE FUNCTION public.hold()")


@pytest.mark.fault(87)
def test_whoever_keeps_the_ledger_locked_is_named(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    with connect(environment, purpose="test", autocommit=False) as other:
        other.execute("LOCK TABLE public._migrations_applied IN ACCESS EXCLUSIVE MODE")
        result = apply(environment, three_files, ORDER)
        pid = other.info.backend_pid
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert f"pid {pid} (rung test, user postgres, in a transaction since " in result.problem.message
    assert "keeps its ledger or its history locked" in result.problem.message


@pytest.mark.fault(91)
def test_two_projects_in_one_database_run_at_the_same_time(environment: Environment) -> None:
    """Each waits in its second file until the other has begun its own: one lock for both would never end."""
    barrier = "DO $$ BEGIN PERFORM pg_sleep(0.02); END $$;"
    projects = [replace(environment, ledger_schema=schema) for schema in ("shop", "billing")]
    meeting, results = threading.Barrier(2), dict[str, Result]()

    def run(project: Environment) -> None:
        def meet(event: object) -> None:
            if getattr(event, "name", "") == "statement_done" and getattr(event, "filename", "") == "001_a.sql":
                meeting.wait(timeout=20)

        files = folder_of(
            ("001_a.sql", f"{barrier} CREATE TABLE {project.ledger_schema}.a (id int);"),
            *(
                (f"{number:03}_b.sql", f"CREATE TABLE {project.ledger_schema}.b{number} (id int);")
                for number in range(2, 9)
            ),
        )
        results[project.ledger_schema] = apply(project, lambda: files, ORDER, meet)

    threads = [threading.Thread(target=run, args=(project,)) for project in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: result.outcome for name, result in results.items()} == dict.fromkeys(
        ("shop", "billing"), Outcome.APPLIED
    ), results
    for project in projects:
        rows = ask(environment, f"SELECT filename FROM {project.ledger_schema}._migrations_applied ORDER BY 1")
        assert [name for (name,) in rows] == ["001_a.sql", *(f"{number:03}_b.sql" for number in range(2, 9))]
    with connect(environment, purpose="test") as connection:
        assert history.verify(connection).ok


# --- traps ---

FUNCTIONS = (
    "now()",
    "transaction_timestamp()",
    "statement_timestamp()",
    "clock_timestamp()",
    "concat(VARIADIC text[])",
    "concat(text, bigint)",
    "concat(text, text)",
    "date_part(text, timestamptz)",
    "to_timestamp(double precision)",
    "sha256(bytea)",
    "encode(bytea, text)",
    "array_send(text[])",
    "pg_backend_pid()",
    "txid_current()",
    "current_setting(text)",
    "set_config(text, text, boolean)",
    "pg_try_advisory_lock(bigint)",
    "pg_advisory_xact_lock(bigint)",
    "pg_is_in_recovery()",
    "pg_control_system()",
    "to_regclass(text)",
    "has_table_privilege(oid, text)",
    "row_security_active(oid)",
    "pg_blocking_pids(integer)",
    "current_database()",
    "extract(text, timestamptz)",
    "format_type(oid, integer)",
    "max(bigint)",
    "host(inet)",
)
OPERATORS = (
    ("=", "text", "text"),
    ("=", "name", "text"),
    ("=", "name", "name"),
    ("=", "integer", "integer"),
    ("=", "bigint", "bigint"),
    ("=", "oid", "oid"),
    (">", "bigint", "bigint"),
    (">", "bigint", "integer"),
    ("+", "bigint", "integer"),
    ("||", "text", "text"),
    ("%", "bigint", "bigint"),
    ("*", "numeric", "integer"),
    ("-", "timestamptz", "timestamptz"),
    ("<=", "timestamptz", "timestamptz"),
)


def lay_traps(environment: Environment) -> None:
    """Whatever of these is called, raises; and they come before everything of PostgreSQL's own."""
    ask(environment, "CREATE SCHEMA trojan")
    raises = "LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'caught in a trap'; END$$"
    for function in FUNCTIONS:
        ask(environment, f"CREATE FUNCTION trojan.{function} RETURNS text {raises}")
    for number, (sign, left, right) in enumerate(OPERATORS):
        ask(environment, f"CREATE FUNCTION trojan.op{number}({left}, {right}) RETURNS boolean {raises}")
        made = f"(FUNCTION = trojan.op{number}, LEFTARG = {left}, RIGHTARG = {right})"
        ask(environment, f"CREATE OPERATOR trojan.{sign} {made}")
    for kind in ("text", "uuid", "int4", "int8", "float8", "timestamptz", "bool", "oid"):
        ask(environment, f"CREATE DOMAIN trojan.{kind} AS pg_catalog.int2 CHECK (VALUE IS NULL)")
    for relation in ("pg_locks", "pg_class", "pg_stat_activity", "pg_settings", "history"):
        ask(environment, f"CREATE VIEW trojan.{relation} AS SELECT 1 / (random() * 0)::int AS pid")
    name = name_of(environment)
    ask(environment, f"ALTER DATABASE {name} SET search_path = trojan, pg_catalog, public")


@pytest.mark.fault(89)
@pytest.mark.parametrize("prepared", [False, True], ids=["first run", "later run"])
def test_no_function_or_operator_of_the_owner_reaches_our_statements(environment: Environment, prepared: bool) -> None:
    first = (FILES[0], LOG.replace("text", "pg_catalog.text") + noted(FILES[0]))
    if prepared:
        apply(environment, lambda: folder_of(first), ORDER)
    lay_traps(environment)
    files = folder_of(first, *((name, noted(name)) for name in FILES[1:]))
    result = apply(environment, lambda: files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert isinstance(take_picture(environment), Picture)
    with connect(environment, purpose="history") as connection:
        assert history.verify(connection).ok
        assert len(history.rows_since(connection, 0, 10)) == 4


@pytest.mark.fault(89)
def test_nor_where_a_file_fails_or_runs_outside_a_transaction(environment: Environment) -> None:
    lay_traps(environment)
    files = folder_of(
        ("001_a.sql", "CREATE TABLE public.a (id pg_catalog.int4);"),
        ("002_b.sql", "CREATE INDEX CONCURRENTLY ix ON public.a (id);\nVACUUM public.a;\n"),
        ("003_c.sql", "CREATE TABLE public.c (id pg_catalog.int4);\nSELECT nonsense;"),
    )
    result = apply(environment, lambda: files, ORDER)
    assert result.applied == ("001_a.sql", "002_b.sql"), result.problem
    assert result.problem
    assert "nonsense" in result.problem.message
    with psycopg.connect(environment.url.reveal() if environment.url else "", autocommit=True) as plain:
        plain.execute("SET search_path = pg_catalog, public")
        events = plain.execute("SELECT event FROM rung.history ORDER BY id").fetchall()
    assert [event for (event,) in events][-1] == "failed"


@pytest.mark.fault(89)
def test_without_our_own_path_the_traps_would_spring(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_traps(environment)
    from dashboard.postgres import connect as module

    monkeypatch.setitem(module._OWN_SESSION, "search_path", "trojan, pg_catalog")
    assert not isinstance(take_picture(environment), Picture)


TEMPORARY = (
    "CREATE TEMP TABLE text (a pg_catalog.int4);",
    "CREATE TEMP TABLE int4 (a pg_catalog.int4); CREATE TEMP TABLE uuid (a pg_catalog.int4);",
    "CREATE TEMP TABLE pg_locks (a pg_catalog.int4); CREATE TEMP TABLE history (a pg_catalog.int4);",
    "CREATE TEMP TABLE float8 (a pg_catalog.int4); CREATE TEMP TABLE timestamptz (a pg_catalog.int4);",
    "CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'epoch'::timestamptz$$;",
)


@pytest.mark.fault(89)
@pytest.mark.parametrize("text", TEMPORARY)
def test_nothing_temporary_shadows_what_our_statements_name(environment: Environment, text: str) -> None:
    result = apply(environment, lambda: three_files(text), ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, FILES)
    [(late,)] = ask(environment, "SELECT min(finished_at) > now() - interval '1 hour' FROM rung.history")
    assert late


# --- read-only ---

READ_ONLY = {
    "ALTER DATABASE {database} SET default_transaction_read_only = on": "ALTER DATABASE {database} RESET",
    "ALTER ROLE {role} SET default_transaction_read_only = on": "ALTER ROLE {role} RESET",
    "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on": (
        "ALTER ROLE {role} IN DATABASE {database} RESET"
    ),
}


@pytest.mark.fault(31)
@pytest.mark.parametrize("statement", READ_ONLY)
def test_where_a_read_only_default_comes_from_is_said_with_the_way_out(
    environment: Environment, narrow: Environment, statement: str
) -> None:
    known = {"database": f'"{name_of(environment)}"', "role": sql.Identifier(ROLE).as_string()}
    ask(environment, f"CREATE SCHEMA rung; GRANT USAGE, CREATE ON SCHEMA rung, public TO {known['role']}")
    ask(environment, statement.format(**known))
    result = apply(narrow, three_files, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert result.problem.message == "local cannot take migrations: default_transaction_read_only is on"
    way_out = READ_ONLY[statement].format(**known)
    assert f": {way_out} default_transaction_read_only;" in result.problem.advice
    with psycopg.connect(environment.url.reveal() if environment.url else "", autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(f"{way_out} default_transaction_read_only".encode())
    assert apply(narrow, three_files, ORDER).outcome is Outcome.APPLIED


@pytest.mark.fault(31)
def test_a_read_only_default_in_the_address_itself_is_said(environment: Environment) -> None:
    assert environment.url
    options = "?options=-cdefault_transaction_read_only%3Don"
    result = apply(replace(environment, url=Secret(environment.url.reveal() + options)), three_files, ORDER)
    assert result.problem
    assert "set by the address itself" in result.problem.advice


@pytest.mark.fault(31)
@pytest.mark.slow
def test_a_read_only_default_of_the_whole_server_is_said(cluster_place: Callable[[str], Path]) -> None:
    folder = cluster_place("read-only")
    whole = embedded.start(folder, settings=FAST)
    try:
        target = Environment("local", 0, whole.url("postgres"))
        ask(target, "ALTER SYSTEM SET default_transaction_read_only = on")
        ask(target, "SELECT pg_reload_conf()")
        wait_until(lambda: ask(target, "SHOW default_transaction_read_only") == [("on",)])
        result = apply(target, three_files, ORDER)
    finally:
        embedded.remove(folder)
    assert result.problem
    assert "set in the server's configuration" in result.problem.advice
