import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Checkout, a_run_that_holds_the_lock, until, wait_for_statement

# A server that says what became of it, and waits.
SERVER = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("the server ends in order", flush=True), sys.exit(7)))
print("up", os.getpid(), sys.argv[1:], flush=True)
pathlib.Path("up").touch()
time.sleep(600)
"""


@pytest.fixture
def one(checkout: Checkout) -> Checkout:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    (checkout.folder / "server.py").write_text(SERVER)
    return checkout


def started(checkout: Checkout) -> bool:
    return (checkout.folder / "up").exists()


SERVE = ("--", sys.executable, "server.py")


# --- it must not start ---


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT 1/0;", 1), ("SELECT 1; SELECT FROM;", 3), ("DROP TABLE IF EXISTS other;", 3)],
)
def test_a_database_that_is_not_up_to_date_keeps_the_server_from_starting(one: Checkout, sql: str, code: int) -> None:
    one.write("002_b.sql", sql)
    said = one.rung("start", *SERVE, code=code)
    assert "002_b.sql" in said.err
    assert f"{sys.executable} was not started." in said.err
    assert not started(one)


def test_nothing_listening_keeps_it_from_starting(one: Checkout) -> None:
    one.rung("start", "--env", "gone", *SERVE, code=4)
    assert not started(one)


def test_a_lock_that_stays_taken_keeps_it_from_starting(one: Checkout) -> None:
    with a_run_that_holds_the_lock(one):
        one.rung("start", "--lock-wait", "0.2", *SERVE, code=5)
    assert not started(one)


def test_a_variable_that_is_not_set_keeps_it_from_starting(one: Checkout) -> None:
    one.rung("start", *SERVE, LOCAL_URL="", code=2)
    assert not started(one)


@pytest.mark.parametrize("words", [(), ("--",), ("--evn", "staging", *SERVE), ("--force", *SERVE)])
def test_a_wrong_word_is_not_taken_for_the_command(one: Checkout, words: tuple[str, ...]) -> None:
    one.rung("start", *words, code=2)
    assert not started(one)
    assert one.ledger() == []


def test_a_command_that_is_not_there_is_noticed_before_the_database_is_touched(one: Checkout) -> None:
    assert "there is no command 'no-such-server'" in one.rung("start", "--", "no-such-server", code=127).err
    assert "cannot be executed" in one.rung("start", "--", "./server.py", code=126).err
    assert one.ledger() == []


def test_a_signal_before_the_end_of_the_run_keeps_it_from_starting(one: Checkout) -> None:
    one.write("002_slow.sql", "SELECT pg_sleep(600);")
    process = one.begin("start", *SERVE)
    wait_for_statement(one, "pg_sleep(600)")
    process.send_signal(signal.SIGTERM)
    one.end(process, code=1)
    assert not started(one)


def test_a_signal_that_could_not_stop_the_run_still_means_the_server(one: Checkout) -> None:
    deaf = "DO $$ BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END $$;"
    one.write("002_deaf.sql", deaf)
    process = one.begin("start", *SERVE)
    wait_for_statement(one, "pg_sleep(600)")
    process.send_signal(signal.SIGTERM)
    said = one.end(process, code=128 + signal.SIGTERM)
    assert "was not started" in said.err
    assert not started(one)
    assert one.ledger() == ["001_a.sql", "002_deaf.sql"]


# --- it starts ---


def test_it_becomes_the_command_with_its_words_its_signals_and_its_exit_code(one: Checkout) -> None:
    process = one.begin("start", "--env", "staging", *SERVE, "--env", "x", "-p", "8000", "--", "--json")
    until(lambda: started(one))
    process.send_signal(signal.SIGTERM)
    said = one.end(process, code=7)
    assert f"up {process.pid} ['--env', 'x', '-p', '8000', '--', '--json']" in said.out
    assert said.out.endswith("the server ends in order\n")
    assert one.ledger("staging") == ["001_a.sql"]
    assert one.ask("SELECT concat_ws(' ', actor_kind, door) FROM rung.history", "staging") == "deploy deploy"


def test_a_second_start_finds_nothing_to_do(one: Checkout) -> None:
    one.rung("start", "--", "true", code=0)
    assert "Nothing to do" in one.rung("start", "true", code=0).out
    assert one.rung("start", "--", "false").code == 1


def test_a_command_killed_by_a_signal_is_seen_as_that(one: Checkout) -> None:
    one.rung("start", "--", "sh", "-c", "kill -KILL $$", code=-signal.SIGKILL)


def test_it_gets_the_shells_variables_and_the_signals_a_program_expects(one: Checkout) -> None:
    said = one.rung(
        "start", "--", "sh", "-c", "echo $MINE; grep -E 'Sig(Ign|Blk)' /proc/self/status", MINE="kept", code=0
    )
    assert "kept\n" in said.out
    expected = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD)
    for line in said.out.splitlines()[-2:]:
        assert not int(line.split()[1], 16) & sum(1 << (number - 1) for number in expected), line


def test_its_input_is_the_commands_input(one: Checkout) -> None:
    assert one.rung("start", "--", "cat", typed="for the server", code=0).out.endswith("for the server")


def test_several_instances_at_once_all_start_and_each_file_runs_once(one: Checkout) -> None:
    one.write("002_b.sql", "CREATE TABLE b (id bigint); INSERT INTO b VALUES (1); SELECT pg_sleep(0.5);")
    instances = [one.begin("start", "--", "echo", "the server") for _ in range(4)]
    for instance in instances:
        assert one.end(instance, code=0).out.endswith("the server\n")
    assert one.ask("SELECT count(*) FROM b") == 1
    assert one.ask("SELECT count(*) FROM rung.history WHERE event = 'applied'") == 2


@pytest.mark.parametrize(
    ("variables", "actor"),
    [
        ({"RENDER_SERVICE_NAME": "team-app"}, "team-app"),
        ({"RENDER_SERVICE_NAME": "team-app", "RUNG_ACTOR": "release 12"}, "release 12"),
    ],
)
def test_the_history_says_which_deploy_it_was(one: Checkout, variables: dict[str, str], actor: str) -> None:
    one.rung("start", "--", "true", **variables, code=0)
    assert one.ask("SELECT actor FROM rung.history") == actor


def test_json_comes_before_what_the_command_says(one: Checkout) -> None:
    said = one.rung("start", "--json", "--", "echo", "the server", code=0)
    assert '"outcome": "applied"' in said.out
    assert said.out.endswith("}\nthe server\n")


def test_it_works_as_the_start_line_of_a_package(one: Checkout, tmp_path: Path) -> None:
    """As npm runs a script: one line for sh, with `rung` on the path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rung").write_text(f'#!/bin/sh\nexec {sys.executable} -m dashboard "$@"\n')
    (tmp_path / "bin" / "rung").chmod(0o755)
    variables = one.variables | {"PATH": f"{tmp_path / 'bin'}:{one.variables['PATH']}"}
    for line in (
        'rung new "add_user_preferences" --table user_preferences',
        "rung migrate",
        "rung check",
        "rung start -- true",
    ):
        subprocess.run(["sh", "-c", line], cwd=one.folder, env=variables, check=True, capture_output=True)
    assert one.ledger() == ["001_a.sql", "002_add_user_preferences.sql"]
