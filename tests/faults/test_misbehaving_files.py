"""Files that misbehave while they run: what the database has afterwards, and what the user is told."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.events import Notice, StatementDone
from dashboard.core.migration import Folder
from dashboard.core.run import Outcome, Problem, Result
from dashboard.postgres import session
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.conftest import MakeDatabase
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, ledger, noted

ALL = ["001_log.sql", "002_middle.sql", "003_end.sql"]
ON_PURPOSE = replace(ORDER, force=True, reason="a test")  # past the gate, which refuses half of these by name

# Made by nobody's file: no plan can know that they end transactions.
PROCEDURES = """
CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE PROCEDURE rolls_back() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; END';
"""
LOOK = """
INSERT INTO public.found SELECT 'after', current_setting('search_path') AS path, current_setting('lock_timeout') AS locks,
  current_setting('statement_timeout') AS statements, current_setting('TimeZone') AS zone,
  current_setting('DateStyle') AS dates, current_setting('client_encoding') AS encoding,
  current_setting('standard_conforming_strings') AS strings, current_setting('event_triggers', true) AS triggers,
  current_setting('session_replication_role') AS replication, current_setting('transaction_read_only') AS reading,
  current_setting('default_transaction_read_only') AS always_reading, current_setting('row_security') AS policies,
  current_setting('idle_in_transaction_session_timeout') AS idling, current_setting('synchronous_commit') AS durable,
  current_setting('transaction_isolation') AS isolation, current_user AS who, session_user AS login,
  (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)) AS temporary,
  (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
  (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'rung%') AS prepared,
  (SELECT count(*) FROM pg_listening_channels()) AS channels,
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS advisory;
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six attempts would take eight seconds of pauses."""
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)


def folder(deed: str, end: str = "") -> Folder:
    """A file that makes the log, one that misbehaves, and one after it."""
    return folder_of(
        ("001_log.sql", LOG + noted("001_log.sql")),
        ("002_middle.sql", noted("002_middle.sql") + deed),
        ("003_end.sql", end + noted("003_end.sql")),
    )


def run(environment: Environment, files: Folder, seen: Seen | None = None) -> Result:
    return apply(environment, lambda: files, ON_PURPOSE, seen if seen is not None else Seen())


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def revealed(environment: Environment) -> str:
    assert environment.url
    return environment.url.reveal()


def name_of(environment: Environment) -> str:
    return revealed(environment).rpartition("/")[2]


def in_place(environment: Environment, statement: str) -> str:
    """Names this very database and the role of `limited`, which a list of files cannot know."""
    name = name_of(environment)
    named = statement.replace("DATABASE here", f"DATABASE {name}")
    return named.replace("ROLE limited", f"ROLE limited_{name}").replace("FROM limited", f"FROM limited_{name}")


# --- what goes through, and does not reach the next file ---

HARMLESS = [
    "DISCARD ALL;",
    "DISCARD TEMP;",
    "DISCARD PLANS;",
    "RESET ALL;",
    "RESET SESSION AUTHORIZATION;",
    "CREATE ROLE stranger; SET ROLE stranger;",
    "CREATE ROLE stranger; SET SESSION AUTHORIZATION stranger;",
    "CREATE ROLE stranger; SET LOCAL SESSION AUTHORIZATION stranger;",
    "SET search_path = '';",
    "SET LOCAL search_path = '';",
    "SELECT pg_catalog.set_config('search_path', '', false);",
    (
        "CREATE SCHEMA trojan; CREATE FUNCTION trojan.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz "
        "'1999-01-01'$$; CREATE FUNCTION trojan.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'; "
        "SET search_path = trojan, pg_catalog;"
    ),
    (
        "CREATE FUNCTION public.concat(text, double precision) RETURNS text LANGUAGE sql AS $$SELECT '0'$$; "
        "CREATE FUNCTION public.date_part(text, timestamptz) RETURNS float8 LANGUAGE sql AS 'SELECT 0::float8';"
    ),
    "SELECT pg_advisory_unlock_all();",
    "SELECT pg_advisory_lock(8390876205174217000);",  # the number by which writers of the history queue
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
    "SET CONSTRAINTS ALL DEFERRED;",
    "PREPARE mine AS SELECT 1;",
    "DEALLOCATE ALL;",
    "LISTEN mine; NOTIFY mine, 'something';",
    "DECLARE mine CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 10);",
    "CREATE TEMPORARY TABLE _migrations_applied (filename text PRIMARY KEY, applied_at timestamptz);",
    (
        "CREATE TEMPORARY TABLE _migrations_applied (filename text PRIMARY KEY, applied_at timestamptz); "
        "SET search_path = pg_temp, public;"
    ),
    "CREATE TEMPORARY TABLE pg_locks (pid int); CREATE TEMPORARY TABLE pg_stat_activity (pid int);",
    "CREATE TEMPORARY TABLE history (id int); SET search_path = pg_temp, rung;",
    "SET client_encoding = 'LATIN1';",
    "SET client_encoding = 'SQL_ASCII';",
    "SET standard_conforming_strings = off;",
    "SET session_replication_role = replica;",
    "SET lock_timeout = 0; SET statement_timeout = '1s';",
    "SET idle_in_transaction_session_timeout = '1s';",
    "SET idle_session_timeout = '1min';",
    "SET row_security = off; SET synchronous_commit = off; SET extra_float_digits = -15;",
    "SET client_min_messages = debug5; SET debug_print_plan = on;",
    "SET event_triggers = off;",
    (
        "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN IF tg_tag LIKE 'DROP%' THEN RAISE "
        "EXCEPTION 'no'; END IF; END$$; CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION no_ddl();"
    ),
    "SELECT pg_reload_conf();",
    (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'rung control' "
        "AND datname = current_database();"
    ),
    "CREATE FUNCTION pg_catalog.helpful() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    "DO $$BEGIN COMMIT; END$$;",
    "DO $$BEGIN ROLLBACK; END$$;",
    "CREATE PROCEDURE ends() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'; CALL ends();",
    "REVOKE ALL ON _migrations_applied FROM CURRENT_USER;",  # of a superuser, who needs no right
]


def look(after: str) -> str:
    """SQL by which a file writes down what it finds in its session."""
    return LOOK.replace("'after'", f"'{after}'")


@pytest.mark.fault(78)
def test_what_files_do_to_their_session_reaches_neither_our_rows_nor_the_next_file(environment: Environment) -> None:
    create = "CREATE TABLE public.found AS " + LOOK.partition("INSERT INTO public.found ")[2]
    files = [("000_log.sql", LOG + noted("000_log.sql")), ("001_untouched.sql", create + noted("001_untouched.sql"))]
    for number, deed in enumerate(HARMLESS, start=1):
        names = f"{2 * number:03}_deed.sql", f"{2 * number + 1:03}_look.sql"
        texts = deed.replace("stranger", f"stranger_{name_of(environment)}_{number}"), look(str(number))
        files += [(name, noted(name) + text) for name, text in zip(names, texts, strict=True)]
    result = run(environment, folder_of(*files))
    ask(environment, DROP_STRANGERS.format(name_of(environment)))
    assert result.outcome is Outcome.APPLIED, result.problem
    (first,) = ask(environment, "SELECT * FROM public.found WHERE \"?column?\" = 'after'")
    others = ask(environment, "SELECT * FROM public.found WHERE \"?column?\" <> 'after'")
    changed = {HARMLESS[int(row[0]) - 1]: row for row in others if row[1:] != first[1:]}
    assert changed == {}
    assert len(others) == len(HARMLESS)
    recent = "SELECT count(*) FROM public._migrations_applied WHERE applied_at > now() - interval '1 h'"
    assert ask(environment, recent) == [(len(files),)]
    assert_consistent(environment, [name for name, _ in files])
    assert run(environment, folder_of(*files)).outcome is Outcome.NOTHING


DROP_STRANGERS = """
DO $$DECLARE role text; BEGIN
  FOR role IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'stranger\\_{}\\_%' LOOP EXECUTE 'DROP ROLE ' || role; END LOOP;
END$$"""


# --- what fails, and keeps nothing ---

KEEPS_NOTHING = [
    # the deed, what the message says, what the advice says
    (
        "SET transaction_read_only = on;",
        "read-only transaction",
        "The file makes its transaction read-only: take that out.",
    ),
    ("SELECT set_config('transaction_read_only', 'on', true);", "read-only transaction", "take that out"),
    ("CALL commits();", "invalid transaction termination", "a procedure that commits or rolls back"),
    ("CALL rolls_back();", "invalid transaction termination", "a procedure that commits or rolls back"),
    ("DO $$BEGIN CALL commits(); END$$;", "invalid transaction termination", "a procedure that commits or rolls back"),
    ("DO $$BEGIN EXECUTE 'COMMIT'; END$$;", "EXECUTE of transaction commands", "Nothing of this file was kept."),
    ("DO $$BEGIN EXECUTE 'SAVEPOINT a'; END$$;", "EXECUTE of transaction commands", "Nothing of this file was kept."),
    ("DO $$BEGIN EXECUTE 'PREPARE TRANSACTION ''a'''; END$$;", "EXECUTE of transaction", "Nothing of this file"),
    ("DROP TABLE _migrations_applied;", "the ledger cannot be read any more", "Take out what drops, renames"),
    ("ALTER TABLE _migrations_applied RENAME TO old;", "the ledger cannot be read any more", "Take out what drops"),
    ("ALTER TABLE _migrations_applied SET SCHEMA rung;", "the ledger cannot be read any more", "Take out what drops"),
    ("ALTER TABLE _migrations_applied RENAME filename TO file;", "the ledger cannot be read any more", "Take out what"),
    ("DELETE FROM _migrations_applied WHERE filename = '002_middle.sql';", "removed its row", "take out what changes"),
    (
        "DELETE FROM _migrations_applied;",
        "the file removed its row from the ledger",
        "take out what changes the ledger",
    ),
    ("TRUNCATE _migrations_applied;", "the file removed its row from the ledger", "take out what changes the ledger"),
    ("UPDATE _migrations_applied SET filename = '9.sql' WHERE filename = '002_middle.sql';", "removed its row", "take"),
    ("INSERT INTO _migrations_applied VALUES ('002_middle.sql', now());", "duplicate key", "take the INSERT into the"),
    ("DROP SCHEMA rung CASCADE;", "the history could not be written", "The file drops or renames it: take that out."),
    ("DROP TABLE rung.history;", "the history could not be written", "The file drops or renames it: take that out."),
    (
        "DELETE FROM rung.history;",
        "rung.history is append-only: DELETE is not allowed",
        "Nothing of this file was kept.",
    ),
    (
        "TRUNCATE rung.history;",
        "rung.history is append-only: TRUNCATE is not allowed",
        "Nothing of this file was kept.",
    ),
    ("SELECT pg_cancel_backend(pg_backend_pid());", "canceling statement", "Somebody cancelled the statement at the"),
    ("SELECT pg_terminate_backend(pg_backend_pid());", "terminating connection", "An administrator, or a restart"),
    (
        (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rung control' "
            "AND datname = current_database(); SELECT pg_sleep(0.1);"
        ),
        "the runner's lock was lost while the file ran",
        "Nothing of this file was kept. Run again.",
    ),
    ("SET statement_timeout = '1ms'; SELECT pg_sleep(1);", "statement timeout", "has a statement_timeout"),
    ("SET transaction_timeout = '20ms'; SELECT pg_sleep(1);", "transaction timeout", "has a transaction_timeout"),
    ("ALTER DATABASE here ALLOW_CONNECTIONS false;", "cannot disallow connections", "Nothing of this file was kept."),
    (
        "ALTER DATABASE here RENAME TO elsewhere;",
        "current database cannot be renamed",
        "Nothing of this file was kept.",
    ),
    ("CREATE SCHEMA pg_trojan;", "unacceptable schema name", "Nothing of this file was kept."),
]


@pytest.mark.fault(77)
@pytest.mark.fault(78)
@pytest.mark.parametrize(("deed", "message", "advice"), KEEPS_NOTHING, ids=[deed for deed, _, _ in KEEPS_NOTHING])
def test_a_file_that_breaks_its_frame_leaves_nothing_and_is_told_what_it_did(
    environment: Environment, deed: str, message: str, advice: str
) -> None:
    ask(environment, PROCEDURES)
    result = run(environment, folder(in_place(environment, deed)))
    told = problem_of(result)
    assert (result.outcome, result.applied) == (Outcome.FAILED, ("001_log.sql",))
    assert (told.environment, told.filename) == ("local", "002_middle.sql")
    assert message in told.message
    assert "Nothing of this file was kept." in told.advice
    assert advice in told.advice
    assert ask(environment, "SELECT event, filename FROM rung.history ORDER BY id DESC LIMIT 1") == [
        ("failed", "002_middle.sql")
    ]
    assert_consistent(environment, ["001_log.sql"])
    assert run(environment, folder("SELECT 1;")).applied == ("002_middle.sql", "003_end.sql")


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    "control",
    [
        "COMMIT;",
        "COMMIT; BEGIN;",
        "ROLLBACK;",
        "ROLLBACK AND CHAIN;",
        "SAVEPOINT a; SELECT 1; ROLLBACK TO SAVEPOINT a;",
        "PREPARE TRANSACTION 'a';",
        "SET TRANSACTION READ ONLY;",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "BEGIN READ ONLY; SELECT 1; COMMIT;",
    ],
)
def test_transaction_control_is_refused_with_its_line_before_anything_runs(
    environment: Environment, control: str
) -> None:
    result = run(environment, folder(f"\n{control}"))
    told = problem_of(result)
    assert (result.outcome, result.applied) == (Outcome.REFUSED, ())
    assert (told.filename, told.line) == ("002_middle.sql", 3)
    assert told.advice
    assert ask(environment, "SELECT to_regclass('public.log'), to_regclass('public._migrations_applied')") == [
        (None, None)
    ]


# --- what the file may do, and the next one meets ---


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    ("deed", "message", "advice"),
    [
        (
            (
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no more'; END$$; "
                "CREATE TRIGGER t BEFORE INSERT ON _migrations_applied FOR EACH ROW EXECUTE FUNCTION no();"
            ),
            "the ledger could not be written: no more",
            "Look at the table and its triggers.",
        ),
        (
            (
                "CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
                "CREATE TRIGGER t BEFORE INSERT ON _migrations_applied FOR EACH ROW EXECUTE FUNCTION drops();"
            ),
            "did not keep the row that records the file",
            "one of them drops new rows",
        ),
        (
            "CREATE RULE r AS ON INSERT TO _migrations_applied DO INSTEAD NOTHING;",
            "the ledger could not be written",
            "Look at the table and its triggers.",
        ),
        (
            "ALTER DATABASE here SET default_transaction_read_only = on;",
            "the ledger could not be written",
            "default_transaction_read_only is on",
        ),
    ],
)
def test_a_file_that_spoils_the_ledger_for_others_is_applied_and_the_next_one_says_why_it_is_not(
    environment: Environment, deed: str, message: str, advice: str
) -> None:
    result = run(environment, folder(in_place(environment, deed)))
    told = problem_of(result)
    assert (result.outcome, result.applied) == (Outcome.FAILED, ("001_log.sql", "002_middle.sql"))
    assert told.filename == "003_end.sql"
    assert message in told.message
    assert "Nothing of this file was kept." in told.advice
    assert advice in told.advice
    assert_consistent(environment, ["001_log.sql", "002_middle.sql"])


@pytest.mark.fault(78)
def test_a_row_that_a_file_wrote_for_the_next_one_keeps_that_from_running_and_says_so(environment: Environment) -> None:
    result = run(environment, folder("INSERT INTO _migrations_applied VALUES ('003_end.sql', now());"))
    assert (result.outcome, result.applied) == (Outcome.APPLIED, ("001_log.sql", "002_middle.sql"))
    assert any(
        "003_end.sql: it was recorded meanwhile, by another session or by a file" in note for note in result.notes
    )
    assert sorted(ledger(environment)) == ALL
    assert ask(environment, "SELECT entry FROM log ORDER BY 1") == [("001_log.sql",), ("002_middle.sql",)]


@pytest.mark.fault(78)
def test_a_ledger_whose_key_a_file_took_away_is_written_without_it(environment: Environment) -> None:
    result = run(environment, folder("ALTER TABLE _migrations_applied DROP CONSTRAINT _migrations_applied_pkey;"))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ALL)
    four = (*folder("").migrations, *folder_of(("004_more.sql", noted("004_more.sql"))).migrations)
    assert run(environment, Folder(four[:1] + four[2:])).applied == ("004_more.sql",)
    assert [row for row in ledger(environment) if row == "004_more.sql"] == ["004_more.sql"]


@pytest.fixture
def limited(environment: Environment) -> Iterator[Environment]:
    """The same database, owned by and seen through a role that is no superuser."""
    name, role = name_of(environment), f"limited_{name_of(environment)}"
    ask(environment, f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD 'limited'")
    ask(environment, f"ALTER DATABASE {name} OWNER TO {role}")
    yield replace(environment, url=Secret(f"postgresql://{role}:limited@{revealed(environment).partition('@')[2]}"))
    ask(environment, f"REASSIGN OWNED BY {role} TO CURRENT_USER")
    ask(environment, f"DROP OWNED BY {role}")
    ask(environment, f"DROP ROLE {role}")


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("ALTER DATABASE here SET search_path = 'nowhere';", None),
        ("ALTER ROLE limited SET search_path = '';", None),
        ("ALTER ROLE limited PASSWORD 'another';", "does not accept the password of user limited"),
        ("ALTER ROLE limited SET default_transaction_read_only = on;", "default_transaction_read_only is on"),
    ],
)
def test_a_file_that_changes_its_own_role_meets_the_change_at_once_and_is_recorded(
    environment: Environment, limited: Environment, deed: str, said: str | None
) -> None:
    result = run(limited, folder(in_place(environment, deed)))
    kept = [name for (name,) in ask(environment, "SELECT filename FROM public._migrations_applied ORDER BY 1")]
    assert kept == [name for (name,) in ask(environment, "SELECT entry FROM public.log ORDER BY 1")]
    if said is None:
        assert result.outcome is Outcome.APPLIED, result.problem
        assert kept == ALL
    else:
        told = problem_of(result)
        assert said in told.message + told.advice
        assert "another" not in told.message
        assert kept == list(result.applied) == ALL[:2]


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (
            "REVOKE ALL ON _migrations_applied FROM limited;",
            "the ledger cannot be read any more at the end of the file",
        ),
        ("REVOKE ALL ON rung.history FROM limited;", "the history could not be written: permission denied"),
        ("REVOKE USAGE ON SCHEMA rung FROM limited;", "the history could not be written: permission denied"),
        (
            (
                "ALTER TABLE _migrations_applied ENABLE ROW LEVEL SECURITY; "
                "ALTER TABLE _migrations_applied FORCE ROW LEVEL SECURITY;"
            ),
            "the file removed its row from the ledger",
        ),
        ("ALTER ROLE limited CONNECTION LIMIT 0;", "permission denied to alter role"),
        ("ALTER ROLE limited NOLOGIN;", "permission denied to alter role"),
    ],
)
def test_a_file_that_takes_its_own_rights_away_is_rolled_back_and_told_so(
    environment: Environment, limited: Environment, deed: str, message: str
) -> None:
    result, again = run(limited, folder(in_place(environment, deed))), run(limited, folder("SELECT 1;"))
    told = problem_of(result)
    assert (result.outcome, result.applied) == (Outcome.FAILED, ("001_log.sql",))
    assert message in told.message
    assert "Nothing of this file was kept." in told.advice
    assert again.applied == ("002_middle.sql", "003_end.sql")
    assert_consistent(environment, ALL)


@pytest.mark.fault(81)
def test_a_new_enum_value_used_in_the_same_file_is_explained(environment: Environment) -> None:
    files = folder(
        "ALTER TYPE mood ADD VALUE 'calm';\nINSERT INTO moods VALUES (('ca' || 'lm')::mood);"
    )  # past the review
    ask(environment, "CREATE TYPE mood AS ENUM ('glad')")
    ask(environment, "CREATE TABLE moods (mood mood)")
    told = problem_of(run(environment, files))
    assert (told.sqlstate, told.line) == ("55P04", 3)
    assert "put what uses it into the next file" in told.advice
    assert_consistent(environment, ["001_log.sql"])


# --- what comes out of pg_dump ---

SAMPLE = """
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, note text);
INSERT INTO customers (name, note) VALUES ('Ä; ''quoted''', E'tab\\there'), ('--', NULL);
CREATE VIEW shouting AS SELECT upper(name) AS name FROM customers;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql AS $f$BEGIN RETURN $1 * 2; END$f$;
"""


@pytest.fixture(scope="module")
def dump(server: EmbeddedServer, template: str) -> Callable[..., str]:
    """What pg_dump itself makes of a small database."""
    if not (server.programs / "pg_dump").exists():
        pytest.skip("this server came without pg_dump")
    server.create_database("dumped", template)
    source = Environment("local", 0, server.url("dumped"))
    ask(source, SAMPLE)
    address = server.url("dumped").reveal()

    def make(*words: str) -> str:
        command = [server.programs / "pg_dump", *words, f"--dbname={address}"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return make


def without_psql(text: str) -> str:
    """A dump of a version that wrote no psql commands."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("\\"))


@pytest.mark.fault(79)
def test_a_dump_as_it_comes_is_refused_at_its_first_psql_command(
    environment: Environment, dump: Callable[..., str]
) -> None:
    text = dump("--inserts")
    place = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("\\restrict"))
    told = problem_of(run(environment, folder_of(("001_dump.sql", text))))
    assert (told.filename, told.line) == ("001_dump.sql", place)
    assert "it holds a psql command, \\restrict, and only psql knows those" in told.message
    assert "Leave only SQL in the file" in told.advice
    assert ledger(environment) == []


@pytest.mark.fault(79)
def test_a_dump_with_rows_for_copy_is_refused_at_the_copy(environment: Environment, dump: Callable[..., str]) -> None:
    text = without_psql(dump())
    place = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("COPY "))
    told = problem_of(run(environment, folder_of(("001_dump.sql", text))))
    assert (told.filename, told.line) == ("001_dump.sql", place)
    assert "reads rows from the client with COPY" in told.message
    assert "INSERT … VALUES" in told.advice
    assert ledger(environment) == []


@pytest.mark.fault(78)
@pytest.mark.fault(79)
def test_a_dump_of_plain_sql_is_applied_and_its_header_ends_with_it(
    environment: Environment, dump: Callable[..., str]
) -> None:
    text = without_psql(dump("--inserts"))
    assert "set_config('search_path', '', false)" in text
    assert "SET lock_timeout = 0" in text
    create = "CREATE TABLE public.found AS " + LOOK.partition("INSERT INTO public.found ")[2]
    ask(environment, create.rstrip("; \n") + " LIMIT 0")
    files = (
        ("000_before.sql", LOG + look("before") + noted("000_before.sql")),
        ("001_dump.sql", text + noted("001_dump.sql")),
    )
    names = [name for name, _ in files] + ["002_after.sql"]
    result = run(environment, folder_of(*files, ("002_after.sql", look("after") + noted("002_after.sql"))))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT name, note FROM customers ORDER BY id") == [
        ("Ä; 'quoted'", "tab\there"),
        ("--", None),
    ]
    before, after = ask(environment, "SELECT * FROM public.found ORDER BY 1 DESC")
    assert before[1:] == after[1:]
    assert_consistent(environment, names)


# --- what a file makes the server say ---


def peak(environment: Environment, files: Folder) -> tuple[Outcome, int]:
    """How the run ended, and the most memory that a process of its own had while it ran it, in megabytes."""
    code = """
import resource, sys, pickle
from dashboard.core.environment import Environment, Secret
from dashboard.services.apply import apply
from tests.oracle import ORDER
url, files = pickle.load(sys.stdin.buffer)
outcome = apply(Environment("local", 0, Secret(url)), lambda: files, ORDER).outcome
print(outcome.value, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((revealed(environment), files)),
        capture_output=True,
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    ).stdout.decode()
    outcome, megabytes = done.split()
    return Outcome(outcome), int(megabytes)


def test_queries_for_hundreds_of_megabytes_do_not_make_the_runner_larger(environment: Environment) -> None:
    """Its rows are counted and forgotten as they come."""
    _, small = peak(environment, folder("SELECT 1;"))
    ask(environment, "DROP TABLE _migrations_applied, log; DROP SCHEMA rung CASCADE")
    text = "SELECT repeat('x', 100000) FROM generate_series(1, 1000);\n" + "SELECT repeat('x', 100000);\n" * 1000
    outcome, large = peak(environment, folder(text))
    assert outcome is Outcome.APPLIED
    assert large - small < 50, f"{small} MB without rows, {large} MB with 200 MB of them"


@pytest.mark.slow
def test_ten_million_rows_or_a_gigabyte_do_not_make_the_runner_larger(make_database: MakeDatabase) -> None:
    nothing, rows, bulk = (Environment("local", 0, make_database()) for _ in range(3))
    _, small = peak(nothing, folder("SELECT 1;"))
    for environment, text in (
        (rows, "SELECT * FROM generate_series(1, 10000000);"),
        (bulk, "SELECT repeat('x', 1000000) FROM generate_series(1, 1000);"),
    ):
        outcome, large = peak(environment, folder(text))
        assert outcome is Outcome.APPLIED
        assert large - small < 100, f"{small} MB without rows, {large} MB with them"


def test_rows_are_still_counted_when_they_come_in_pieces(environment: Environment) -> None:
    seen = Seen()
    text = "SELECT generate_series(1, 19);\nSELECT generate_series(1, 20);\nSELECT generate_series(1, 47);\nSELECT 1 WHERE false;"
    assert run(environment, folder_of(("001_rows.sql", text)), seen).outcome is Outcome.APPLIED
    assert [done.rows for done in seen.of(StatementDone)] == [19, 20, 47, 0]


def test_an_error_after_many_rows_is_the_error_of_that_statement(environment: Environment) -> None:
    text = "SELECT generate_series(1, 100);\nSELECT 1 / (50 - i) FROM generate_series(1, 100) AS i;\nSELECT 2;"
    seen = Seen()
    told = problem_of(run(environment, folder_of(("001_rows.sql", text)), seen))
    assert (told.sqlstate, told.statement, told.line) == ("22012", 2, 2)
    assert [done.rows for done in seen.of(StatementDone)] == [100]


def test_a_hundred_thousand_notices_are_cut_to_some_and_the_rest_is_said_to_be_left_out(
    environment: Environment,
) -> None:
    seen = Seen()
    text = "DO $$BEGIN FOR i IN 1..100000 LOOP RAISE NOTICE 'row %', i; END LOOP; END$$;"
    result = run(environment, folder(text), seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    said = [notice.message for notice in seen.of(Notice) if notice.filename == "002_middle.sql"]
    assert said[0] == "NOTICE: row 1"
    assert len(said) == 201
    assert said[-1] == "the server remarks on more than 200 things in this file; the rest is left out"
    assert_consistent(environment, ALL)


def test_an_error_of_megabytes_is_told_and_remembered_by_its_beginning(environment: Environment) -> None:
    large = "repeat('m', 1000000)"
    text = f"DO $$BEGIN RAISE EXCEPTION '%', {large} USING DETAIL = {large}, HINT = {large}; END$$;"
    told = problem_of(run(environment, folder(text)))
    for part in (told.message, told.detail, told.hint):
        assert part
        assert part.startswith("mmmm")
        assert len(part) < 9000
    assert "(1,000,000 characters in all)" in told.message
    assert ask(environment, "SELECT length(message) < 5000 FROM rung.history WHERE event = 'failed'") == [(True,)]
    assert_consistent(environment, ["001_log.sql"])


# --- encodings ---


@pytest.fixture
def encoded(server: EmbeddedServer) -> Iterator[Callable[[str], Environment]]:
    """Makes an environment whose database has that encoding."""
    made: list[str] = []

    def make(encoding: str) -> Environment:
        name = f"encoded_{encoding.lower()}"
        with psycopg.connect(server.url("postgres").reveal(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'".encode())
        made.append(name)
        return Environment("local", 0, server.url(name))

    yield make
    for name in made:
        server.drop_database(name)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_of_another_encoding_takes_what_its_encoding_can_say(
    encoded: Callable[[str], Environment], encoding: str
) -> None:
    environment = encoded(encoding)
    seen = Seen()
    text = "CREATE TABLE \"größe\" (t text); INSERT INTO \"größe\" VALUES ('ä'); DO $$BEGIN RAISE NOTICE 'ä'; END$$;"
    result = run(environment, folder(text), seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert "NOTICE: ä" in [notice.message for notice in seen.of(Notice)]
    told = problem_of(
        run(environment, Folder((*folder(text).migrations, *folder_of(("004_more.sql", "SELECT ä;")).migrations)))
    )
    assert told.message == 'column "ä" does not exist'
    in_utf8 = replace(environment, url=Secret(f"{revealed(environment)}?client_encoding=UTF8"))
    assert_consistent(in_utf8, ALL)


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
def test_a_character_that_the_encoding_lacks_is_named_and_the_failure_is_remembered_with_an_escape(
    encoded: Callable[[str], Environment], encoding: str
) -> None:
    environment = encoded(encoding)
    seen = Seen()
    result = run(environment, folder("-- 🙂 in a remark\nSELECT 1;"), seen)
    told = problem_of(result)
    assert (result.outcome, told.sqlstate) == (Outcome.FAILED, "22P05")
    assert "the history keeps the whole text of the file: leave it out" in told.advice
    assert not [notice for notice in seen.of(Notice) if "history could not be written" in notice.message]
    remembered = ask(environment, "SELECT sql_text FROM rung.history WHERE event = 'failed'")
    assert "\\U0001f642 in a remark" in remembered[0][0]
    assert_consistent(environment, ["001_log.sql"])


def test_bytes_that_are_no_text_in_a_servers_message_are_the_servers_own_error(
    encoded: Callable[[str], Environment],
) -> None:
    """A SQL_ASCII database stores any bytes, and the server refuses to send those that are no UTF-8."""
    environment = encoded("SQL_ASCII")
    told = problem_of(run(environment, folder("DO $$BEGIN RAISE EXCEPTION '%', chr(233); END$$;")))
    assert (told.sqlstate, told.filename) == ("22021", "002_middle.sql")
    in_utf8 = replace(environment, url=Secret(f"{revealed(environment)}?client_encoding=UTF8"))
    assert_consistent(in_utf8, ["001_log.sql"])


# --- files that run statement by statement, and keep what they did ---


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "deed",
    [
        "SET default_transaction_read_only = on; SELECT 1;",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SELECT 1;",
        "SET search_path = ''; SET ROLE pg_monitor; SELECT 1;",
        "SET idle_session_timeout = '1min'; SET statement_timeout = '5s'; SELECT 1;",
        "SET client_encoding = LATIN1; SET standard_conforming_strings = off; SELECT 'ä';",
        "SELECT pg_advisory_unlock_all(); DISCARD ALL; SELECT 1;",
        "CREATE TEMPORARY TABLE pg_class (i int); CREATE TEMPORARY TABLE pg_index (i int); SELECT 1;",
    ],
)
def test_what_such_a_file_does_to_its_session_reaches_neither_our_rows_nor_the_next_file(
    environment: Environment, deed: str
) -> None:
    result = run(environment, folder(f"VACUUM; {deed}"))
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(environment, ALL)


@pytest.mark.fault(78)
def test_such_a_file_that_drops_the_ledger_is_told_what_is_done_and_to_put_it_back(environment: Environment) -> None:
    before = "CREATE TABLE kept AS TABLE _migrations_applied;"
    told = problem_of(run(environment, folder(f"VACUUM; {before} DROP TABLE _migrations_applied;")))
    assert "the ledger could not be written" in told.message
    assert "Its first 4 statements are done and stay" in told.advice
    assert "put it back as it was" in told.advice
    ask(environment, "CREATE TABLE _migrations_applied (filename text PRIMARY KEY, applied_at timestamptz NOT NULL)")
    ask(environment, "INSERT INTO _migrations_applied TABLE kept")
    again = run(environment, folder(f"VACUUM; {before} DROP TABLE _migrations_applied;"))
    assert again.applied == ("002_middle.sql", "003_end.sql"), again.problem
    assert_consistent(environment, ALL)


@pytest.mark.fault(78)
def test_such_a_file_that_drops_the_history_is_told_that_nothing_is_known_any_more(environment: Environment) -> None:
    told = problem_of(run(environment, folder("VACUUM; DROP SCHEMA rung CASCADE; SELECT 1;")))
    assert "the history could not be written" in told.message
    assert "the next run would begin with the first" in told.advice
    assert "goes on after" not in told.advice
    assert ledger(environment) == ["001_log.sql"]


@pytest.mark.fault(78)
def test_such_a_file_that_records_itself_is_done_and_said_to_be(environment: Environment) -> None:
    result = run(environment, folder("VACUUM; INSERT INTO _migrations_applied VALUES ('002_middle.sql', now());"))
    assert (result.outcome, result.applied) == (Outcome.APPLIED, ("001_log.sql", "003_end.sql"))
    assert any("its statements are done" in note for note in result.notes)
    assert not any("nothing of it was kept" in note for note in result.notes)
    done = "SELECT statement FROM rung.history WHERE event = 'statement done' ORDER BY id"
    assert ask(environment, done) == [(1,), (2,), (3,)]
    assert sorted(ledger(environment)) == ALL
