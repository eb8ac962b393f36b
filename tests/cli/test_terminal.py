"""A person at a real terminal: the bar moves, Ctrl-C is typed, and the terminal is left as it was."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import PATIENCE, Checkout, a_run_that_holds_the_lock, wait_for_statement

CTRL_C = b"\x03"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"  # the cursor


class Terminal:
    """A terminal of this size, with one command in it."""

    def __init__(self, checkout: Checkout, *words: str, columns: int = 100, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        streams: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        variables = {"TERM": "xterm-256color"} | variables
        self.process: subprocess.Popen[str] = checkout.begin(
            *words, **streams, **variables, start_new_session=True, preexec_fn=_take_the_terminal
        )
        self._theirs = theirs
        self.said = ""

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def read_until(self, part: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while part not in self.said and time.monotonic() < deadline:
            self._read()
        assert part in self.said, self.said

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read()
        while self._read():
            pass
        return self.process.wait(1)

    @property
    def after(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.05)[0]:
            return False
        self.said += os.read(self._ours, 65536).decode()
        return True


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminals(checkout: Checkout) -> Iterator[Any]:
    opened: list[Terminal] = []

    def open_one(*words: str, **how: Any) -> Terminal:
        opened.append(Terminal(checkout, *words, **how))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def settled(said: str) -> str:
    """What stands there without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)


def test_ctrl_c_typed_into_a_long_statement_cancels_it_and_gives_the_cursor_back(
    checkout: Checkout, terminals: Any
) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    checkout.write("002_slow.sql", "CREATE TABLE b (id bigint); SELECT pg_sleep(600);")
    terminal = terminals("migrate")
    wait_for_statement(checkout, "pg_sleep(600)")
    terminal.read_until(HIDDEN)
    terminal.type(CTRL_C)
    assert terminal.end() == 1
    assert terminal.said.rindex(SHOWN) > terminal.said.rindex(HIDDEN)
    assert terminal.after == terminal.before
    assert "local: cancelled, after 1 file went through." in settled(terminal.said)
    assert checkout.ledger() == ["001_a.sql"]
    assert (
        checkout.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        == 0
    )
    assert "SIGINT" in checkout.ask("SELECT message FROM rung.history ORDER BY id DESC LIMIT 1")


def test_a_second_ctrl_c_gives_the_cursor_back_too(checkout: Checkout, terminals: Any) -> None:
    stubborn = "LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
    checkout.write("001_stubborn.sql", f"DO $$ BEGIN {stubborn} END $$;")
    terminal = terminals("migrate")
    backend = wait_for_statement(checkout, "pg_sleep(600)")
    terminal.read_until(HIDDEN)
    terminal.type(CTRL_C)
    terminal.read_until("^C")
    time.sleep(1)
    terminal.type(CTRL_C)
    assert terminal.end() == 130
    assert terminal.said.rindex(SHOWN) > terminal.said.rindex(HIDDEN)
    assert terminal.after == terminal.before
    checkout.ask(f"SELECT pg_terminate_backend({backend}, 5000)")


def test_waiting_for_the_lock_is_said_and_can_be_ended(checkout: Checkout, terminals: Any) -> None:
    with a_run_that_holds_the_lock(checkout):
        terminal = terminals("migrate")
        terminal.read_until("waiting for the lock")
        terminal.type(CTRL_C)
        assert terminal.end() == 1
    assert "held by pid" in terminal.said
    assert "cancelled by SIGINT at the command line before it began" in settled(terminal.said)


def test_the_server_finds_the_terminal_as_it_was(checkout: Checkout, terminals: Any) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint); SELECT pg_sleep(0.3);")
    terminal = terminals("start", "--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo up; sleep 600")
    terminal.read_until("up\r\n")
    assert terminal.said.rindex(SHOWN) > terminal.said.rindex(HIDDEN)
    terminal.type(CTRL_C)
    assert terminal.end() in (130, -2)


@pytest.mark.parametrize("words", [("migrate",), ("check",), ("status",), ("history",)])
def test_the_narrowest_terminal_cuts_no_name(checkout: Checkout, terminals: Any, words: tuple[str, ...]) -> None:
    name = "001_a_name_that_is_longer_than_any_terminal_is_wide.sql"
    checkout.write(name, "CREATE TABLE a (id bigint);")
    if words != ("migrate",):
        checkout.rung("migrate", "--env", "staging", code=0)
    if words == ("history",):
        words = ("history", "--env", "staging")
    terminal = terminals(*words, columns=30)
    assert terminal.end() == 0
    letters = re.sub(r"[^a-z0-9_.]", "", settled(terminal.said))
    assert all(part in letters for part in ("001_a", "wide.sql")), terminal.said


def test_a_dumb_terminal_gets_plain_words(checkout: Checkout, terminals: Any) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    for words in (("migrate",), ("status",)):
        terminal = terminals(*words, TERM="dumb")
        assert terminal.end() == 0
        assert "\x1b" not in terminal.said
        assert "001_a.sql" in terminal.said
