"""`rung serve`: the pages and one worker under one supervisor."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from dashboard.cli.asked import options, settings_of, variables
from dashboard.cli.codes import DONE, FAILED
from dashboard.cli.shown import complain, say

_PAGES_END = 15.0  # seconds; gunicorn itself gives its requests 10
_WORKER_ENDS = 20.0  # seconds; Pace.grace of the worker, and a little more
_COMES_UP = 60.0
_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Door:
    """Where the pages are served."""

    host: str
    port: int
    threads: int = 8

    @property
    def address(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  # compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@click.command(help="Start the dashboard: the pages and one worker. SIGTERM or Ctrl-C ends both in order.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen at; 0.0.0.0 for all.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), envvar="PORT", default=8000, show_default="$PORT or 8000",
    metavar="N", help="The port to listen at; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1, 200), default=8, show_default=True, metavar="N", help="Requests at a time."
)
@click.option("--no-worker", is_flag=True, help="The pages alone; `rung worker` runs elsewhere.")
@options(json=False)
def serve(host: str, port: int, threads: int, config: Path | None, directory: Path | None, *, no_worker: bool) -> int:
    from dashboard.bootstrap import note_configuration, prepare_home, refuse_unsafe

    settings = settings_of(config, directory)
    refuse_unsafe(settings, pages=True)
    prepare_home(settings)
    note_configuration(settings)
    door = Door(host, port or free_port(host), threads)
    shell = child_variables(config, directory)
    return supervise(door, shell, lambda: say(f"Rung is at {door.address}"), worker=not no_worker)


def child_variables(config: Path | None, directory: Path | None) -> dict[str, str]:
    """The variables that bring web and worker to the same configuration."""
    shell = dict(variables(config))
    if config is not None:
        shell["RUNG_CONFIG"] = str(config.absolute())
    if directory is not None:
        shell["RUNG_MIGRATIONS"] = str(directory.absolute())
    return shell


def free_port(host: str) -> int:
    """A port nobody listens at, at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def supervise(
    door: Door,
    shell: Mapping[str, str],
    ready: Callable[[], None],
    *,
    worker: bool = True,
    log: IO[str] | None = None,
) -> int:
    """Run pages and worker until a signal comes or one of them ends by itself; then end both.

    `ready` is called once the pages answer. `log` takes what both print; without it, it goes where our own words go.
    The exit code: 0 after a signal, 1 otherwise.
    """
    with _signals() as told, ExitStack() as ends:
        children = {}
        if worker:
            children["the worker"] = _start(_worker_command(shell), shell, log)
            ends.callback(_end, children["the worker"], _WORKER_ENDS)
        pages = _start([*_GUNICORN, *_gunicorn_options(door), "dashboard.wsgi:app"], shell, log)
        children["the pages"] = pages
        ends.callback(_end, pages, _PAGES_END)
        ends.callback(_tell_to_end, children)
        _come_up(door, pages, told, ready)
        return _watch(children, told)


_GUNICORN = (sys.executable, "-m", "gunicorn")
_READER = "dashboard.web.reader.Reader"


def _gunicorn_options(door: Door) -> list[str]:
    bind = f"[{door.host}]:{door.port}" if ":" in door.host else f"{door.host}:{door.port}"
    return [
        *("--bind", bind, "--worker-class", _READER, "--workers", "1", "--threads", str(door.threads)),
        *("--graceful-timeout", "10", "--keep-alive", "5", "--log-level", "warning", "--worker-tmp-dir", _in_memory()),
        *("--limit-request-line", "4094", "--limit-request-fields", "60", "--limit-request-field_size", "8190"),
    ]


def _in_memory() -> str:
    """Gunicorn touches a file as a sign of life; on a slow disk that would stop the pages."""
    return next((folder for folder in ("/dev/shm", "/tmp") if os.access(folder, os.W_OK)), ".")  # noqa: S108  # see above


def _worker_command(shell: Mapping[str, str]) -> list[str]:
    config = ["--config", shell["RUNG_CONFIG"]] if shell.get("RUNG_CONFIG") else []
    return [sys.executable, "-m", "dashboard", "worker", *config]


def _start(command: list[str], shell: Mapping[str, str], log: IO[str] | None) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that Ctrl-C reaches the supervisor alone, and both end in order."""
    return subprocess.Popen(  # noqa: S603  # our own programs
        command, env=dict(shell), start_new_session=True, stdout=log, stderr=log
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    told: list[int] = []
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup means it
    numbers = (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))
    before = {number: signal.signal(number, lambda heard, _frame: told.append(heard)) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _come_up(door: Door, pages: "subprocess.Popen[bytes]", told: list[int], ready: Callable[[], None]) -> None:
    deadline = time.monotonic() + _COMES_UP
    while pages.poll() is None and not told and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{door.address}/healthz", timeout=2):  # noqa: S310  # our own address
                ready()
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_LOOK)


def _watch(children: "Mapping[str, subprocess.Popen[bytes]]", told: list[int]) -> int:
    while not told:
        for name, child in children.items():
            if child.poll() is not None:
                complain(f"rung: {name} ended by itself (exit code {child.returncode}); stopping")
                return FAILED
        time.sleep(_LOOK)
    return DONE


def _tell_to_end(children: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    """All at once: a platform gives 30 s in all, and a slow reader must not take them from a run."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()


def _end(child: "subprocess.Popen[bytes]", patience: float) -> None:
    """Ask, wait, and make an end in the end."""
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
