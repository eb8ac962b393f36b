"""`rung resolve` in a real shell: what it shows, what it refuses, and the way from a killed runner to a valid index."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dashboard.postgres.lock import key_of
from tests.cli.conftest import Checkout, until, wait_for_statement

TABLE = "001_twice.sql"
NAME = "002_once.sql"
TWICE = "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2);"
ONCE = "CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id);\nVACUUM twice;\n"
DECISIONS = ("--retry", "--drop-and-retry", "--mark-applied", "--accept-edit")


@pytest.fixture
def stopped(checkout: Checkout) -> Checkout:
    """A unique index was to be built on local, and ended INVALID."""
    checkout.write(TABLE, TWICE)
    checkout.write(NAME, ONCE)
    checkout.rung("migrate", code=1)
    return checkout


def resolved(checkout: Checkout) -> int:
    return int(checkout.ask("SELECT count(*) FROM rung.history WHERE event = 'resolved'"))


# --- refused ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((NAME, "--retry"), '--retry needs --reason "…"'),
        ((NAME, "--retry", "--reason", " "), '--retry needs --reason "…"'),
        ((NAME, "--retry", "--mark-applied", "--reason", "x"), "--retry and --mark-applied: only one"),
        (("--mark-applied", "--reason", "x"), "--mark-applied needs the name of the file"),
        ((NAME, "--reason", "x"), "--reason belongs to a decision"),
    ],
)
def test_bad_usage_is_named_and_asks_no_database(checkout: Checkout, words: tuple[str, ...], said: str) -> None:
    answer = checkout.rung("resolve", "--env", "gone", *words, code=2)
    assert said in answer.err


@pytest.mark.parametrize("words", [(), ("--retry", "--reason", "x")])
def test_a_file_that_nobody_knows_is_named(stopped: Checkout, words: tuple[str, ...]) -> None:
    assert "999_x.sql" in stopped.rung("resolve", "999_x.sql", *words, code=2).err


@pytest.mark.parametrize("words", [(), ("--retry", "--reason", "x")])
def test_an_environment_that_does_not_answer_is_said_to_be_away(checkout: Checkout, words: tuple[str, ...]) -> None:
    checkout.write(NAME, ONCE)
    assert "gone" in checkout.rung("resolve", NAME, "--env", "gone", *words, code=4).err


@pytest.mark.parametrize(
    "decision",
    [
        "--retry",
        pytest.param("--mark-applied", marks=pytest.mark.slow),
        pytest.param("--accept-edit", marks=pytest.mark.slow),
    ],
)
def test_what_does_not_fit_is_refused_and_says_what_would(stopped: Checkout, decision: str) -> None:
    answer = stopped.rung("resolve", NAME, decision, "--reason", "x", code=3)
    assert "does not fit" in answer.err
    assert "What to do:" in answer.err
    document = stopped.rung("resolve", NAME, decision, "--reason", "x", "--json", code=3).json
    assert (document["ending"], document["exit_code"]) == ("refused", 3)
    assert resolved(stopped) == 0


def test_a_run_that_goes_on_holds_the_lock(stopped: Checkout) -> None:
    with held(stopped):
        answer = stopped.rung("resolve", NAME, "--drop-and-retry", "--reason", "x", "--lock-wait", "0.2", code=5)
    assert "holds the lock of local" in answer.err
    assert resolved(stopped) == 0


@contextmanager
def held(checkout: Checkout) -> Iterator[None]:
    """Somebody else has the runner's lock."""
    with checkout.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (key_of("public"),))
        yield


# --- looking ---


def test_it_shows_what_is_there_and_the_commands_that_fit_and_changes_nothing(stopped: Checkout) -> None:
    answer = stopped.rung("resolve", f"migrations/{NAME}", code=0)
    assert f"local: {NAME} is unfinished" in answer.out
    assert "Statement 1 did not go through. Index public.once is INVALID." in answer.out
    assert "line 1: CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id)" in answer.out
    assert f'  rung resolve {NAME} --env local --drop-and-retry --reason "…"' in answer.out
    assert not any(f"{other} --reason" in answer.out for other in ("--retry", "--mark-applied"))
    assert answer.out == stopped.rung("resolve", code=0).out
    document = stopped.rung("resolve", NAME, "--json", code=0).json
    (file,) = document["files"]
    assert [one["decision"] for one in file["decisions"]] == ["drop and retry"]
    assert file["unfinished"]["left"] == ["public.once"]
    assert resolved(stopped) == 0


def test_a_file_in_order_needs_no_decision(stopped: Checkout) -> None:
    assert stopped.rung("resolve", TABLE, code=0).out == f"local: {TABLE} is applied\nNothing has to be decided.\n"
    assert stopped.rung("resolve", "--env", "staging", code=0).out == "staging: nothing has to be decided.\n"


def test_migrate_names_the_same_command(stopped: Checkout) -> None:
    answer = stopped.rung("migrate", code=3)
    assert f'\n  rung resolve {NAME} --env local --drop-and-retry --reason "…"\n' in answer.err


# --- deciding ---


def test_a_decision_is_in_the_history_with_who_and_why(stopped: Checkout) -> None:
    words = ("resolve", NAME, "--drop-and-retry", "--reason", "rows merged")
    answer = stopped.rung(*words, code=0, RUNG_ACTOR="lead@example.com")
    assert "The next run drops the INVALID index public.once" in answer.out
    assert "Now run: rung migrate --env local" in answer.out
    next_run = "The next run drops the INVALID index public.once, then executes the file from its start."
    assert next_run in stopped.rung("resolve", NAME, code=0).out
    history = stopped.rung("history", code=0).out
    assert "resolved: drop and retry, because: rows merged" in history
    assert "lead@example.com (person, cli)" in history
    stopped.do("DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")
    assert "dropped the INVALID index public.once" in stopped.rung("migrate", code=0).out
    assert stopped.ask("SELECT bool_and(indisvalid) FROM pg_index") is True
    assert stopped.ledger() == [TABLE, NAME]


def test_an_edited_file_is_accepted(checkout: Checkout) -> None:
    checkout.write(TABLE, TWICE)
    checkout.rung("migrate", code=0)
    checkout.write(TABLE, f"-- what it is for\n{TWICE}")
    assert f"{TABLE} is edited" in checkout.rung("resolve", code=0).out
    answer = checkout.rung("resolve", TABLE, "--accept-edit", "--reason", "only a remark", code=0)
    assert "counts as what was applied" in answer.out
    assert "edited" not in checkout.rung("status", "--all", code=0).out
    assert checkout.rung("history", "--verify", code=0)


def test_a_runner_that_is_killed_in_a_build_is_resolved_to_a_valid_index(checkout: Checkout) -> None:
    checkout.write(TABLE, "CREATE TABLE many AS SELECT generate_series(1, 9) AS id;")
    checkout.rung("migrate", code=0)
    checkout.write(NAME, "CREATE INDEX CONCURRENTLY ix ON many (id);\nVACUUM many;\n")
    with checkout.connect() as other, other.transaction(force_rollback=True):
        other.execute("INSERT INTO many VALUES (10)")  # the build waits for this transaction
        process = checkout.begin("migrate")
        server_process = wait_for_statement(checkout, "CREATE INDEX CONCURRENTLY ix")
        os.kill(server_process, signal.SIGSTOP)  # it does not notice yet that nobody listens
        process.kill()
        process.communicate()
        until(lambda: not checkout.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
        try:
            answer = checkout.rung("resolve", NAME, "--retry", "--reason", "x", code=3)
            assert f"the server process {server_process} that ran statement 1 is still there" in answer.err
            assert f"pg_terminate_backend({server_process})" in answer.err
            assert "is still there" in checkout.rung("migrate", code=3).err
        finally:
            os.kill(server_process, signal.SIGCONT)
        until(lambda: not checkout.ask(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {server_process}"))
    checkout.rung("resolve", NAME, "--mark-applied", "--reason", "x", code=3)
    checkout.rung("resolve", NAME, "--drop-and-retry", "--reason", "the runner was killed", code=0)
    checkout.rung("migrate", code=0)
    assert checkout.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") is True
    assert checkout.ask("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    checkout.rung("history", "--verify", code=0)
