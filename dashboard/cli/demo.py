"""`rung demo`: three sample databases and the dashboard, with nothing installed and nothing asked."""

import os
import shutil
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dashboard.bootstrap import build, prepare_home
from dashboard.cli.codes import DONE
from dashboard.cli.serve import Door, free_port, supervise
from dashboard.cli.shown import complain, say
from dashboard.core.access import Role
from dashboard.services import demo as recipe
from dashboard.settings import FILE, Settings, load

_HOST = "127.0.0.1"
_PORT = 8000
_MINUTES = 60
_NOT_OURS = ("RUNG_MIGRATIONS", "RUNG_PUBLIC_URL")  # of the shell; they mean another checkout


@click.command(help="Start the demo. Ctrl-C stops all of it and keeps what you did in it.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"Where the pages are; {_PORT} or any free one by default.",
)
@click.option("--reset", is_flag=True, help="Start over, as if for the first time.")
@click.option("--no-browser", is_flag=True, help="Print the link only.")
def demo(port: int | None, *, reset: bool, no_browser: bool) -> int:
    programs = os.environ.get("RUNG_POSTGRES_BIN")
    with _signals_wait() as told:
        say("Starting the demo …")
        with recipe.opened(_folder(), reset=reset, programs=Path(programs) if programs else None) as running:
            settings, shell = _configuration(running)
            link = _link(settings)
            door = Door(_HOST, _free(port))
            if told:
                return DONE
            with (running.folder / "log").open("w", encoding="utf-8") as log:
                code = supervise(door, shell, lambda: _ready(door, link, running, browser=not no_browser), log=log)
            if code != DONE:
                complain(f"Why it ended stands in {log.name}")
            return code


@contextmanager
def _signals_wait() -> Iterator[list[int]]:
    """While things start or stop, a signal waits: nothing is left half started, and nothing half stopped."""
    told: list[int] = []
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup means it
    for number in (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,))):
        signal.signal(number, lambda heard, _frame: told.append(heard))
    yield told


def _folder() -> Path:
    named = Path(os.environ.get("XDG_DATA_HOME") or "")
    return (named if named.is_absolute() else Path.home() / ".local" / "share") / "rung" / "demo"


def _configuration(running: recipe.Demo) -> tuple[Settings, dict[str, str]]:
    """The demo's settings, and the variables by which web and worker find the same ones."""
    config = running.folder / FILE
    shell = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    shell |= {**recipe.variables(running.server), "RUNG_CONFIG": str(config)}
    return load(shell, start=running.folder, config=config), shell


def _link(settings: Settings) -> str:
    """Make home and its admin ready, look at all environments once, and make a link that signs in."""
    prepare_home(settings)
    services = build(settings)
    try:
        services.compare.live()
        if not services.accounts.exists(recipe.ADMIN):
            services.accounts.add(recipe.ADMIN, None, Role.ADMIN)
        return services.accounts.make_link(recipe.ADMIN, minutes=_MINUTES)
    finally:
        services.close()


def _free(port: int | None) -> int:
    if port is not None:
        return port or free_port(_HOST)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, _PORT))
        except OSError:
            return free_port(_HOST)
    return _PORT


def _ready(door: Door, link: str, running: recipe.Demo, *, browser: bool) -> None:
    address = f"{door.address}/sign-in/link/{link}"
    how = "local is up to date, staging and production are behind" if running.made else "everything is as you left it"
    say(f"""
Rung's demo is ready: {how}.

  Open     {address}
           The link works once, within {_MINUTES} minutes, and signs you in as {recipe.ADMIN}.
  Shell    {_rung()} status --config {running.folder / FILE}
           The same --config goes with check, migrate, resolve, history and new.
  Log      {running.folder / "log"}

Ctrl-C stops everything and keeps what you did; `rung demo --reset` starts over.""")
    if browser and sys.stdout.isatty():
        webbrowser.open(address)


def _rung() -> str:
    """What a shell calls this program by."""
    ours = Path(sys.executable).with_name("rung")
    if not ours.exists():
        return f"{sys.executable} -m dashboard"
    found = shutil.which("rung")
    return "rung" if found and ours.samefile(found) else str(ours)
