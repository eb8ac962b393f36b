"""A person at a real terminal: the bar moves, Ctrl-C is typed, and the terminal is left as it was."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PATIENCE, Checkout, a_run_that_holds_the_lock, until, wait_for_statement

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
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a piece may end in the middle of a character

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
        self.said += self._decoder.decode(os.read(self._ours, 65536))
        return True


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _catches(pid: int, number: signal.Signals) -> bool:
    caught = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught[0], 16) >> (number - 1) & 1)


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
    until(lambda: not _catches(terminal.process.pid, signal.SIGTERM))  # from then on every signal ends it
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
    server = "import os, time; print('up', [os.isatty(stream) for stream in range(3)], flush=True); time.sleep(600)"
    terminal = terminals("start", "--", sys.executable, "-c", server)
    terminal.read_until("up [True, True, True]\r\n")
    assert terminal.said.rindex(SHOWN) > terminal.said.rindex(HIDDEN)
    terminal.type(CTRL_C)
    assert terminal.end() == -signal.SIGINT


def test_the_narrowest_terminal_cuts_no_name(checkout: Checkout, terminals: Any) -> None:
    name = "001_a_name_that_is_longer_than_any_terminal_is_wide.sql"
    checkout.write(name, "CREATE TABLE a (id bigint);")
    for words in (("check",), ("migrate",), ("history",), ("status",)):
        terminal = terminals(*words, columns=30)
        assert terminal.end() == 0
        folded = words[0] in ("history", "status")
        assert ("…" not in terminal.said) if folded else (name in terminal.said.replace("\r\n", "")), terminal.said


def test_a_dumb_terminal_gets_plain_words(checkout: Checkout, terminals: Any) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    for words in (("migrate",), ("status",)):
        terminal = terminals(*words, TERM="dumb")
        assert terminal.end() == 0
        assert "\x1b" not in terminal.said
        assert "001_a.sql" in terminal.said
