import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import (
    RUNG,
    Checkout,
    a_run_that_holds_the_lock,
    a_run_that_waits_for_us,
    until,
    wait_for_statement,
)

DROPS = "ALTER TABLE a DROP COLUMN id;"


@pytest.fixture
def two(checkout: Checkout) -> Checkout:
    checkout.write("001_a.sql", "BEGIN;\nCREATE TABLE IF NOT EXISTS a (id bigint);\nCOMMIT;\n")
    checkout.write("002_b.sql", "CREATE TABLE b (id bigint);")
    return checkout


# --- what goes wrong ---


def test_a_file_that_fails_is_shown_with_its_place_and_leaves_nothing_behind(two: Checkout) -> None:
    two.write("003_c.sql", "CREATE TABLE c (id bigint);\n\nALTER TABLE c\n  ADD COLUMN x no_such_type;\n")
    two.write("004_d.sql", "CREATE TABLE d (id bigint);")
    said = two.rung("migrate", code=1)
    assert "local: failed, after 2 files went through." in said.err
    assert "local: 003_c.sql:4:16\n      ADD COLUMN x no_such_type;\n                   ^" in said.err
    assert 'ERROR 42704: type "no_such_type" does not exist' in said.err
    assert "What to do: " in said.err
    assert "failed   003_c.sql" in said.out
    assert two.ledger() == ["001_a.sql", "002_b.sql"]
    assert two.ask("SELECT to_regclass('c') IS NULL AND to_regclass('d') IS NULL")


def test_detail_and_hint_of_the_server_are_shown(two: Checkout) -> None:
    two.write("003_c.sql", "INSERT INTO a VALUES (1), (1);\nCREATE UNIQUE INDEX a_once ON a (id);")
    assert "Detail: Key (id)=(1) is duplicated." in two.rung("migrate", code=1).err
    two.write("003_c.sql", "SELECT idd FROM a;")
    assert 'Hint: Perhaps you meant to reference the column "a.id".' in two.rung("migrate", code=1).err


def test_a_syntax_error_runs_nothing_and_shows_the_place(two: Checkout) -> None:
    two.write("003_c.sql", "CREATE TABLE c (id bigint);\nCREATE TABEL d (id bigint);")
    said = two.rung("migrate", code=3)
    assert "003_c.sql:2:8" in said.err
    assert "CREATE TABEL d (id bigint);\n           ^" in said.err
    assert two.ledger() == []


def test_a_file_that_destroys_data_stops_the_run_before_anything_ran(two: Checkout) -> None:
    two.rung("migrate", code=0)
    two.write("003_fine.sql", "CREATE TABLE c (id bigint);")
    two.write("004_drops.sql", f"-- old\n\n{DROPS}")
    said = two.rung("migrate", code=3)
    assert "local: 004_drops.sql:3" in said.err
    assert DROPS.rstrip(";") in said.err
    assert "drops column id" in said.err
    assert '--force --reason "…"' in said.err
    assert two.ledger() == ["001_a.sql", "002_b.sql"]


def test_until_blocked_runs_what_comes_before(two: Checkout) -> None:
    two.rung("migrate", code=0)
    two.write("003_fine.sql", "CREATE TABLE c (id bigint);")
    two.write("004_drops.sql", DROPS)
    said = two.rung("migrate", "--until-blocked", code=3)
    assert "after 1 file went through" in said.err
    assert two.ledger() == ["001_a.sql", "002_b.sql", "003_fine.sql"]


@pytest.mark.parametrize("words", [("--force",), ("--force", "--reason", "  "), ("--reason", "why")])
def test_force_and_reason_belong_together(two: Checkout, words: tuple[str, ...]) -> None:
    assert "--reason" in two.rung("migrate", *words, code=2).err
    assert two.ledger() == []


def test_force_with_a_reason_runs_it_and_the_reason_is_remembered(two: Checkout) -> None:
    two.rung("migrate", code=0)
    two.write("003_drops.sql", DROPS)
    two.rung("migrate", "--force", "--reason", "nobody reads it", code=0)
    assert two.ask("SELECT reason FROM rung.history ORDER BY id DESC LIMIT 1") == "nobody reads it"
    assert "nobody reads it" in two.rung("history", code=0).out


def test_force_does_not_lift_what_no_reason_helps(two: Checkout) -> None:
    two.write("002_c.sql", "SELECT 1;")
    said = two.rung("migrate", "--force", "--reason", "hurry", code=3)
    assert "002_b.sql and 002_c.sql have the same number" in said.err


def test_nothing_listens_there(two: Checkout, closed_port: int) -> None:
    began = time.monotonic()
    said = two.rung("migrate", "--env", "gone", code=4)
    assert f"nothing listens at 127.0.0.1:{closed_port}" in said.err
    assert "What to do: " in said.err
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (
            ("--env", "prod"),
            {},
            "no environment called 'prod'; this configuration has local, staging, production, gone",
        ),
        (("--env", "staging"), {"STAGING_URL": ""}, "$STAGING_URL, and STAGING_URL is not set"),
        (("--dir", "nowhere"), {}, "no migrations folder at "),
        (("--config", "other.toml"), {}, "there is no file other.toml"),
        (("--lock-wait", "nan"), {}, "number of seconds"),
        (("--lock-wait", "-1"), {}, "--lock-wait"),
        ((), {"RUNG_ACTOR_KIND": "robot"}, "person, deploy, schedule or agent"),
        ((), {"LOCAL_URL": "postgres:/c4n4ry-p4ssw0rd@db"}, "cannot be read"),
        ((), {"LOCAL_URL": "postgresql://app:c4n4ry-p4ssw0rd@db:port/app"}, "cannot be read"),
    ],
)
def test_a_wrong_word_or_setting_is_named(
    two: Checkout, words: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    assert said in two.rung("migrate", *words, **variables, code=2).err
    assert two.ledger() == []


def test_an_unknown_key_in_the_configuration_is_named(two: Checkout) -> None:
    with (two.folder / "rung.toml").open("a") as file:
        file.write('leger_schema = "x"\n')
    assert "does not know (did you mean 'ledger_schema'?).\n" in two.rung("migrate", code=2).err


def test_with_nothing_configured_it_says_what_to_do(two: Checkout) -> None:
    (two.folder / "rung.toml").unlink()
    assert "rung demo" in two.rung("migrate", code=2).err


def test_who_waits_in_vain_is_told_who_holds_the_lock(two: Checkout) -> None:
    with a_run_that_holds_the_lock(two):
        said = two.rung("migrate", "--lock-wait", "0.3", code=5)
        assert re.search(r"held by pid \d+ \(rung .+, connected since 20", said.out)
        assert re.search(r"local: busy\.\npid \d+ \(rung .+holds the lock of local", said.err)
        assert "--lock-wait" in said.err
        assert two.rung("migrate", "--lock-wait", "0", "--json", code=5).json["holder"]["pid"]


@pytest.mark.fault(5)
def test_ctrl_c_stops_a_long_statement_and_the_next_run_goes_on(two: Checkout) -> None:
    slow = two.write("003_slow.sql", "CREATE TABLE c (id bigint);\nSELECT pg_sleep(600);")
    process = two.begin("migrate")
    wait_for_statement(two, "pg_sleep(600)")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = two.end(process, code=1)
    assert time.monotonic() - began < 10
    assert "local: cancelled, after 2 files went through." in said.err
    assert "SIGINT at the command line" in said.err
    assert two.ask("SELECT to_regclass('c') IS NULL")
    slow.write_text("CREATE TABLE c (id bigint);")
    two.rung("migrate", code=0)
    assert two.ledger() == ["001_a.sql", "002_b.sql", "003_slow.sql"]


@pytest.mark.fault(4)
@pytest.mark.fault(5)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_other_signals_stop_it_as_well(two: Checkout, number: signal.Signals) -> None:
    two.write("003_slow.sql", "SELECT pg_sleep(600);")
    process = two.begin("migrate")
    wait_for_statement(two, "pg_sleep(600)")
    process.send_signal(number)
    assert number.name in two.end(process, code=1).err


@pytest.mark.fault(4)
def test_a_run_that_waits_for_the_lock_stops_when_it_is_told_to(two: Checkout) -> None:
    with a_run_that_holds_the_lock(two):
        process = two.begin("migrate", "--lock-wait", "600", stdout=subprocess.PIPE)
        assert process.stdout
        assert "waiting for the lock" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        said = two.end(process, code=1)
        assert time.monotonic() - began < 10
        assert "cancelled by SIGTERM at the command line" in said.err


@pytest.mark.fault(5)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_a_table_says_for_whom_and_a_second_signal_leaves_nothing(
    two: Checkout, number: signal.Signals
) -> None:
    two.rung("migrate", code=0)
    two.write("003_c.sql", "SET LOCAL lock_timeout = '60s';\nALTER TABLE b ADD COLUMN c int;")
    with two.connect() as other:
        other.execute("BEGIN; SELECT * FROM b")
        process = two.begin("migrate")
        assert process.stdout
        found = until(lambda: re.search("  waiting  .*", process.stdout.readline()))  # type: ignore[union-attr]
        assert re.search(
            r"003_c.sql: for .+ so far, for pid \d+ \(.*idle in transaction, in a transaction for", found[0]
        )
        for _ in range(2):
            process.send_signal(number)
        two.end(process)
        until(lambda: not two.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rung %'"))
    two.rung("migrate", code=0)
    assert two.ledger() == ["001_a.sql", "002_b.sql", "003_c.sql"]


def test_a_long_statement_says_how_far_it_is(two: Checkout) -> None:
    two.do(
        "CREATE TABLE wide (it text STORAGE PLAIN)",
        "INSERT INTO wide SELECT repeat('x', 5000) FROM generate_series(1, 60)",
        "CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_sleep(0.03); SELECT $1'",
    )
    two.write("003_c.sql", "CREATE INDEX ON wide (left(slow(it), 9));")
    said = two.rung("migrate", code=0)
    assert re.search(
        r"  working  003_c.sql: CREATE INDEX, building index.*: \d+ % \([\d,]+ of [\d,]+ blocks\)", said.out
    )


def test_nohup_is_respected(two: Checkout) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as from nohup
    try:
        with a_run_that_waits_for_us(two) as process:
            process.send_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.fault(5)
def test_a_second_ctrl_c_ends_it_at_once(two: Checkout) -> None:
    stubborn = "LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
    two.write("003_stubborn.sql", f"DO $$ BEGIN {stubborn} END $$;")
    process = two.begin("migrate")
    backend = wait_for_statement(two, "pg_sleep(600)")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGINT)
    two.end(process, code=130)
    two.ask(f"SELECT pg_terminate_backend({backend}, 5000)")


# --- what goes well ---


def test_pending_files_run_in_order_and_a_second_time_there_is_nothing_to_do(two: Checkout) -> None:
    said = two.rung("migrate", code=0)
    assert re.search(r"local: 2 files to run\n  applied  001_a.sql .*\n  applied  002_b.sql .*\n", said.out)
    assert "local: up to date, 2 files in " in said.out
    assert said.err == ""
    assert two.rung("migrate", code=0).out == "local: up to date. Nothing to do.\n"
    assert two.ledger() == ["001_a.sql", "002_b.sql"]


def test_an_edit_of_an_applied_file_is_told_although_nothing_is_to_do(two: Checkout) -> None:
    two.rung("migrate", code=0)
    two.write("002_b.sql", "CREATE TABLE b (id int, more int);")
    said = two.rung("migrate", code=0).out
    assert said.startswith("  note     002_b.sql was edited after it was applied")
    assert said.endswith("Put that back, or accept the edit.\nlocal: up to date. Nothing to do.\n")


def test_the_environment_that_was_named_is_the_one(two: Checkout) -> None:
    two.rung("migrate", "--env", "staging", code=0)
    assert (two.ledger("local"), len(two.ledger("staging")), two.ledger("production")) == ([], 2, [])


def test_a_database_of_another_runner_is_taken_over(two: Checkout) -> None:
    two.do(
        "CREATE TABLE _migrations_applied (id serial, filename text UNIQUE, applied_at timestamptz DEFAULT now())",
        "INSERT INTO _migrations_applied (filename) VALUES ('001_a.sql')",
    )
    assert "applied  002_b.sql" in two.rung("migrate", code=0).out
    assert two.ask("SELECT to_regclass('a') IS NULL")
    two.ask("SELECT filename, applied_at FROM _migrations_applied ORDER BY applied_at")


def test_one_variable_and_a_folder_are_enough(two: Checkout) -> None:
    (two.folder / "rung.toml").unlink()
    assert two.rung("migrate", DATABASE_URL=two.variables["LOCAL_URL"], code=0).out.startswith("local: 2 files")
    two.write("../sql/001_z.sql", "CREATE TABLE z ();")
    two.rung("migrate", DATABASE_URL=two.variables["STAGING_URL"], RUNG_MIGRATIONS="sql", code=0)
    two.rung("migrate", "--dir", "sql", DATABASE_URL=two.variables["PRODUCTION_URL"], code=0)
    assert two.ledger("staging") == two.ledger("production") == ["001_z.sql"]


def test_the_shell_wins_over_the_env_file(two: Checkout) -> None:
    local, staging = (two.variables.pop(name) for name in ("LOCAL_URL", "STAGING_URL"))
    (two.folder / ".env").write_text(
        f"# addresses\nLOCAL_URL='{local}'\nexport STAGING_URL=postgresql://nobody@127.0.0.1:1/x\n"
    )
    below = two.folder / "src"
    below.mkdir()
    two.end(two.begin("migrate", cwd=below), code=0)
    two.rung("migrate", "--env", "staging", STAGING_URL=staging, code=0)
    assert len(two.ledger("local")) == len(two.ledger("staging")) == 2


def test_an_env_file_that_cannot_be_read_is_said(two: Checkout) -> None:
    (two.folder / ".env").write_bytes(b"LOCAL_URL=\xff")
    assert ".env cannot be used: it is not UTF-8" in two.rung("migrate", code=2).err


def test_who_asked_is_remembered(two: Checkout) -> None:
    two.rung("migrate", RUNG_ACTOR="nightly", RUNG_ACTOR_KIND="schedule", code=0)
    row = "SELECT concat_ws(' ', actor_kind, actor, door) FROM rung.history ORDER BY id DESC LIMIT 1"
    assert two.ask(row) == "schedule nightly cli"
    two.write("003_c.sql", "SELECT 1;")
    two.rung("migrate", LOGNAME="ada", USER="ada", code=0)
    assert two.ask(row) == "person ada cli"


@pytest.mark.fault(43)
def test_several_at_once_run_each_file_once_and_all_end_well(two: Checkout) -> None:
    two.write("003_c.sql", "CREATE TABLE c (id bigint); INSERT INTO c VALUES (1); SELECT pg_sleep(0.5);")
    started = [two.begin("migrate") for _ in range(4)]
    assert {two.end(process).code for process in started} == {0}
    assert two.ask("SELECT count(*) FROM c") == 1


def test_waiting_is_said_once_and_not_every_second(two: Checkout) -> None:
    with a_run_that_waits_for_us(two):
        second = two.begin("migrate")
        assert second.stdout is not None
        until(lambda: "waiting for the lock" in (second.stdout.readline() if second.stdout else ""))
        time.sleep(2.5)  # it tells its reporter every second
    assert "waiting for the lock" not in two.end(second, code=0).out


# --- JSON, terminals, closed doors ---


def test_json_is_one_document_for_every_outcome(two: Checkout) -> None:
    applied = two.rung("migrate", "--json", code=0).json
    assert set(applied) == {
        "run_id", "environment", "outcome", "exit_code", "applied", "notes", "problem", "holder", "plan", "seconds",
    }  # fmt: skip
    assert (applied["outcome"], applied["exit_code"], applied["applied"]) == ("applied", 0, ["001_a.sql", "002_b.sql"])
    assert two.rung("migrate", "--json", code=0).json["outcome"] == "nothing to do"

    two.write("003_drops.sql", DROPS)
    refused = two.rung("migrate", "--json", code=3)
    assert refused.err == ""
    assert refused.json["problem"]["filename"] == "003_drops.sql"
    assert refused.json["problem"]["line"] == 1
    (pending,) = refused.json["plan"]["pending"]
    assert pending["blocked"]
    assert pending["findings"][0]["risk"] == "destructive"

    two.write("003_drops.sql", "SELECT 1/0;")
    problem = two.rung("migrate", "--json", code=1).json["problem"]
    assert (problem["sqlstate"], problem["line"], problem["column"]) == ("22012", 1, None)
    assert two.rung("migrate", "--env", "gone", "--json", code=4).json["outcome"] == "unreachable"
    wrong = two.rung("migrate", "--env", "nope", "--json", code=2).json
    assert (wrong["error"], wrong["exit_code"]) == ("UnknownEnvironment", 2)


def on_a_terminal(checkout: Checkout, *words: str, **variables: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = checkout.begin(*words, stdin=theirs, stdout=theirs, stderr=theirs, TERM="xterm-256color", **variables)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(), said.decode()


def test_on_a_terminal_there_is_a_bar_and_the_same_words(two: Checkout) -> None:
    code, said = on_a_terminal(two, "migrate")
    assert code == 0
    assert "\x1b[" in said
    assert "applied  001_a.sql" in said
    assert "local: up to date, 2 files in " in said


def test_what_a_file_says_cannot_steer_the_terminal(two: Checkout) -> None:
    two.write("003_c.sql", "DO $$ BEGIN RAISE EXCEPTION E'red \\x1b[31m'; END $$;")
    said = two.rung("migrate", code=1)
    assert "red ⟨U+001B⟩[31m" in said.err
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("as_json", [True, False])
def test_a_full_disk_below_the_output_does_not_hide_that_it_went_well(two: Checkout, as_json: bool) -> None:
    with Path("/dev/full").open("w") as full:
        two.end(two.begin("migrate", *(["--json"] if as_json else []), stdout=full), code=0)
    assert len(two.ledger()) == 2


def test_a_reader_who_leaves_does_not_stop_it(two: Checkout) -> None:
    process = two.begin("migrate")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    two.end(process, code=0)
    assert len(two.ledger()) == 2


def test_it_can_run_with_every_stream_closed(two: Checkout) -> None:
    line = 'exec "$@" <&- >&- 2>&-'
    command = ["sh", "-c", line, "sh", *RUNG, "migrate"]
    assert subprocess.run(command, cwd=two.folder, env=two.variables, check=False).returncode == 0
    assert len(two.ledger()) == 2


def test_output_that_cannot_show_a_letter_shows_its_number(two: Checkout) -> None:
    two.rung("migrate", code=0)
    two.write("003_drops.sql", "DROP TABLE b;")
    said = two.rung("migrate", code=3, PYTHONIOENCODING="ascii:strict")
    assert json.loads(f'"{re.findall("(.u2026)", said.err)[0]}"') == "…"
