"""PgBouncer for tests: a real one in front of the tests' own server, in a folder of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from dashboard.core.environment import Secret
from tests.oracle import wait_until

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


class Bouncer:
    """A running PgBouncer."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port, self.process = port, process

    def url(self, database: Secret) -> Secret:
        """The address of the same database through it."""
        return Secret(f"postgresql://postgres:bouncer-s3cret@127.0.0.1:{self.port}{urlsplit(database.reveal()).path}")

    def tell(self, command: str) -> None:
        """One command for its console."""
        url = f"postgresql://postgres@127.0.0.1:{self.port}/pgbouncer"
        with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as console:
            console.execute(command.encode())


@contextmanager
def pgbouncer(server: Secret, mode: str, size: int = 20, also: str = "") -> Iterator[Bouncer]:
    """In front of that server, with all its databases."""
    assert PROGRAM, "look for it first"
    at = urlsplit(server.reveal())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="rung-pgbouncer-"))
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={at.hostname} port={at.port} user=postgres password={at.password}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nadmin_users = postgres\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\nlogfile = {folder}/log\nserver_idle_timeout = 60\n{also}\n"
    )
    owner = _somebody() if os.geteuid() == 0 else None
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        os.chown(config, owner.pw_uid, owner.pw_gid)
    who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    process = subprocess.Popen([PROGRAM, "-q", str(config)], stderr=subprocess.DEVNULL, cwd=folder, **who)  # type: ignore[call-overload]  # who
    try:
        wait_until(lambda: _listens(port))
        yield Bouncer(port, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder)


def _somebody() -> pwd.struct_passwd:
    """It refuses to run as root."""
    return pwd.getpwnam("nobody")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
