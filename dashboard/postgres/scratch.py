"""A throwaway server with a copy of an environment's schema: no rows, no superuser, gone afterwards."""

import contextlib
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import CannotRehearse
from dashboard.core.parser import split
from dashboard.postgres import embedded
from dashboard.postgres.connect import Connection, dial, one_line, parameters

_NAME = "rung-rehearsal"
_DUMP_TIME = 120  # seconds
_BOUNDS = {"statement_timeout": "60s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "300s"}
# The copy of a schema is nobody's business but its own: what these bring reaches other servers, files or programs.
_REACHING = frozenset({"dblink", "postgres_fdw", "file_fdw", "adminpack", "http", "pg_net", "pg_cron", "plsh"})
_UNTRUSTED = re.compile(r"u$|^pl(perlu|pythonu|python3u|tclu)")
_DUMP = (
    "--schema-only",
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--exclude-schema=rung",
    "--lock-wait-timeout=3000",
)

# Roles: those that the role may act as, and those that own something or are named by a policy.
_ASK = """
SELECT current_user::text, current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('search_path'),
       (SELECT coalesce(array_agg(r.rolname::text), '{}') FROM pg_catalog.pg_roles AS r
         WHERE r.rolname !~ '^pg_'
           AND (pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
                OR r.oid IN (SELECT c.relowner FROM pg_catalog.pg_class AS c)
                OR r.oid IN (SELECT pg_catalog.unnest(p.polroles) FROM pg_catalog.pg_policy AS p))),
       (SELECT coalesce(array_agg(ARRAY[e.extname::text, n.nspname::text]), '{}') FROM pg_catalog.pg_extension AS e
          JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql')
"""


@dataclass(frozen=True, slots=True)
class Original:
    """What has to be known of the environment's database before it can be copied."""

    user: str
    version: int
    version_shown: str
    search_path: str
    roles: Sequence[str]
    extensions: Sequence[Sequence[str]]

    @property
    def major(self) -> int:
        return self.version // 10000


@dataclass(frozen=True, slots=True)
class Scratch:
    """A database of a throwaway server.

    Attributes
    ----------
    url: as the role that runs migrations there; it owns everything and is no superuser.
    watching: the superuser's address, to look from outside.
    notes: sentences: what could not be copied.

    """

    url: Secret
    watching: Secret
    original: Original
    version: str
    search_path: str
    notes: list[str] = field(default_factory=list)

    def connect(self) -> Connection:
        """A session as a migration would find it."""
        options = " ".join(f"-c {name}={value}" for name, value in _BOUNDS.items())
        connection = psycopg.connect(
            self.url.reveal(), autocommit=True, options=options, application_name="rung rehearsal"
        )
        connection.execute("SELECT pg_catalog.set_config('search_path', %s, false)", (self.search_path,))
        return connection


@contextlib.contextmanager
def copy_of(environment: Environment) -> Iterator[Scratch]:
    """A copy of the environment's schema on a server of its own, removed with everything on it at the end.

    Takes ACCESS SHARE locks on the environment's tables while it is read. Raises EnvironmentFault, CannotRehearse,
    EmbeddedServerFault.
    """
    original = _ask(environment)
    programs = _programs_for(environment, original.major)
    place = embedded.place(f"{_NAME}-{os.getpid()}-{secrets.token_hex(4)}", Path(tempfile.gettempdir()))
    _away_with_the_dead(place.parent)
    try:
        settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
        server = embedded.start(place, settings=settings, programs=programs)
        scratch = _prepare(server, original)
        _fill(scratch, _dump(environment, server.programs))
        yield scratch
    finally:
        embedded.remove(place)


def _ask(environment: Environment) -> Original:
    with contextlib.closing(dial(environment, purpose="rehearsal")) as connection:
        try:
            row = connection.execute(_ASK.encode()).fetchone()
        except psycopg.Error as wrong:
            raise CannotRehearse(environment.name, one_line(wrong)) from None
    assert row is not None  # noqa: S101  # a SELECT of values answers one row
    return Original(*row)


def _programs_for(environment: Environment, major: int) -> Path | None:
    """Those of the same major version where they are here, else newer ones; None: what is started by default."""
    for folder in embedded.debian_programs():
        if folder.parent.name == str(major):
            return folder
    newest = embedded.find_programs()
    said = subprocess.run([newest / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # a program of ours
    found = re.search(r"(\d+)", said.stdout)
    if found is None or int(found[1]) < major:
        here = f"PostgreSQL {found[1]}" if found else "no server that runs"
        raise CannotRehearse(environment.name, f"it runs PostgreSQL {major}, and the newest that is here is {here}")
    return None


def _away_with_the_dead(folder: Path) -> None:
    """Remove what rehearsals left behind whose processes were killed."""
    for left in folder.glob(f"{_NAME}-*-*"):
        pid = left.name.removeprefix(f"{_NAME}-").split("-")[0]
        if pid.isdigit() and not _runs(int(pid)):
            embedded.remove(left)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _prepare(server: embedded.EmbeddedServer, original: Original) -> Scratch:
    """Roles, a database, and the extensions that only a superuser can make."""
    role = original.user if original.user != embedded.SUPERUSER else _NAME
    password, notes = secrets.token_urlsafe(24), list[str]()
    with psycopg.connect(server.url("postgres").reveal(), autocommit=True) as connection:
        for name in {*original.roles, role} - {embedded.SUPERUSER}:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        may = sql.SQL("ALTER ROLE {} LOGIN CREATEROLE PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        connection.execute(may)
        for name in {*original.roles} - {role, embedded.SUPERUSER}:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(name), sql.Identifier(role)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                sql.Identifier(_NAME), sql.Identifier(role)
            )
        )
    with psycopg.connect(server.url(_NAME).reveal(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(role)))
        for name, schema in original.extensions:
            notes += _add_extension(connection, name, schema, role)
        version = connection.info.parameter_status("server_version") or ""
    parts = conninfo.conninfo_to_dict(server.url(_NAME).reveal()) | {"user": role, "password": password}
    url = Secret(conninfo.make_conninfo("", **parts))
    return Scratch(url, server.url(_NAME), original, version.split()[0], original.search_path, notes)


def _add_extension(connection: Connection, name: str, schema: str, role: str) -> list[str]:
    if name in _REACHING or _UNTRUSTED.search(name):
        return [f"extension {name} is left out: it reaches outside of the database"]
    try:
        into, owner = sql.Identifier(schema), sql.Identifier(role)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(into, owner))
        connection.execute(sql.SQL("CREATE EXTENSION {} SCHEMA {} CASCADE").format(sql.Identifier(name), into))
    except psycopg.Error as wrong:
        return [f"extension {name} is left out: {one_line(wrong)}"]
    return []


# --- the schema ---


def _dump(environment: Environment, programs: Path) -> str:
    """What pg_dump writes of the schema, without the lines that only psql understands."""
    address = {name: str(value) for name, value in parameters(environment, purpose="rehearsal").items()}
    password = address.pop("password", "")
    command = [str(programs / "pg_dump"), *_DUMP, "--dbname", conninfo.make_conninfo("", **address)]
    variables = {"PGPASSWORD": password, "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    try:
        done = subprocess.run(  # noqa: S603  # a program of ours; the address comes from the configuration
            command, env=variables, capture_output=True, text=True, encoding="utf-8", timeout=_DUMP_TIME, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotRehearse(environment.name, f"reading its schema took more than {_DUMP_TIME} s") from None
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        raise CannotRehearse(environment.name, said.replace("pg_dump: ", "", 1).strip())
    return "\n".join(line for line in done.stdout.splitlines() if not re.match(r"\\(un)?restrict ", line))


def _fill(scratch: Scratch, text: str) -> None:
    """Run the dump; where not all of it can be made here, statement by statement, and say what is missing."""
    with contextlib.closing(scratch.connect()) as connection:
        whole = connection.pgconn.exec_(text.encode())
        if whole.status not in (psycopg.pq.ExecStatus.FATAL_ERROR, psycopg.pq.ExecStatus.BAD_RESPONSE):
            return
        connection.pgconn.exec_(b"ROLLBACK")
        for start, end in split(text):
            result = connection.pgconn.exec_(text[start:end].encode())
            if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                said = (result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
                scratch.notes.append(f"could not be copied: {' '.join(text[start:end].split())[:80]} ({said})")
