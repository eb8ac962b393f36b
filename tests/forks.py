"""`rung` without the wait for its imports: every command is a fork of one process that has made them already."""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "postgres", "postgres.home", "services", "cli")
LAZY = ("argon2", "dotenv", "postgast", "psycopg", "psycopg_pool", "rich.console", "rich.progress", "rich.table")
FOR_INTERPRETERS = ("PYTHON", "LANG", "LC_", "LD_")  # read as one starts, and a fork's has started long ago
LONGEST = 1 << 18


class Forks:
    """Runs commands in what `variables` make of an interpreter."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._fixed = _for_interpreters(variables)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env={**variables}, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def fits(self, variables: Mapping[str, str]) -> bool:
        """Whether a fork would behave as a process of its own does."""
        return sys.platform == "linux" and _for_interpreters(variables) == self._fixed

    def run(
        self, words: Sequence[str], typed: str, variables: Mapping[str, str], folder: Path, patience: float
    ) -> tuple[int, str, str]:
        """The exit code, and what it said on both streams."""
        order = json.dumps({"words": words, "variables": dict(variables), "folder": str(folder)}).encode()
        assert len(order) < LONGEST
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(typed.encode())
            given.seek(0)
            code = self._send(order, [given, out, err], patience)
            return code, _text(out), _text(err)

    def close(self) -> None:
        self._ours.close()
        self._process.wait()

    def _send(self, order: bytes, streams: Sequence[BinaryIO], patience: float) -> int:
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answers:
            with theirs:
                socket.send_fds(self._ours, [order], [*(stream.fileno() for stream in streams), theirs.fileno()])
            answers.settimeout(patience)
            pid = int(answers.recv(64))
            try:
                return int(answers.recv(64))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise


def _for_interpreters(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(FOR_INTERPRETERS)}


def _text(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode()


def serve(orders: socket.socket) -> None:
    """Until nobody gives orders any more."""
    for package in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(f"dashboard.{package}").__path__):
            importlib.import_module(f"dashboard.{package}.{module.name}")
    for module in LAZY:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    while (received := socket.recv_fds(orders, LONGEST, 4))[0]:
        order, fds, *_ = received
        if os.fork() == 0:
            orders.close()
            _watch(json.loads(order), fds)
        for fd in fds:
            os.close(fd)


def _watch(order: dict[str, Any], fds: list[int]) -> None:
    """Fork the command itself, and tell its number and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, answers = fds
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        _become(order, streams)
    with socket.socket(fileno=answers) as there:
        there.send(str(pid).encode())
        there.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _become(order: dict[str, Any], streams: list[int]) -> None:
    from dashboard.__main__ import main

    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["variables"])
    sys.argv = ["rung", *order["words"]]
    try:
        main()
    except BaseException:  # noqa: BLE001  # an interpreter shows everything as well
        sys.excepthook(*sys.exc_info())
    os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
