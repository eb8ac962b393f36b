"""The way to a server: timeouts, our name, and the driver's errors in our own words."""

import re
import time
from functools import partial
from typing import Any

import psycopg
from psycopg import conninfo

from dashboard.core.environment import Environment
from dashboard.core.errors import BadDatabaseUrl, MissingVariable, Unreachable, Unusable
from dashboard.postgres import pooler
from dashboard.postgres.patience import Patient
from dashboard.postgres.pooler import Pooling

Connection = psycopg.Connection[Any]

CONNECT_TIMEOUT = 3  # seconds, for each address of the host
_START_UP = 3.0  # seconds that a starting server gets before we say so
_STARTING = r"starting up|not yet accepting|consistent recovery state"

# What our own sessions start with. A database's owner can set a search_path, a date style, a time zone or a timeout
# for everybody; none of them may reach our statements. Temporary tables and types would come before everything else
# if they were not named last.
_OWN_SESSION = {
    "search_path": "pg_catalog, pg_temp",
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "lock_timeout": "3s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",  # keepalives say nothing while an answer waits to be acknowledged
}
_SINCE_14 = {"idle_session_timeout": "0"}

_TRANSPORT = {
    "connect_timeout": str(CONNECT_TIMEOUT),
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # milliseconds
}


def connect(
    environment: Environment, *, purpose: str, autocommit: bool = True, beside: Connection | None = None
) -> Connection:
    """A session of our own: only `pg_catalog` on its path, ISO dates, UTC. One round trip more than `dial`.

    Raises
    ------
    MissingVariable, BadDatabaseUrl: nothing was asked of any server.
    Unreachable: with one sentence that names host, port, database and user, and never a secret.
    Unusable: a pooler lends every transaction another session.

    """
    connection = dial(environment, purpose=purpose, beside=beside)
    try:
        if connection.execute(own_session(connection).encode()).fetchone() is None:
            _settle(environment, connection)
    except BaseException:
        connection.close()
        raise
    connection.autocommit = autocommit
    return connection


def _settle(environment: Environment, connection: Connection) -> None:
    """Make a session of our own of a pooled one, where it stays one."""
    why = pooler.why_not(pooling_of(environment, connection, pooler.pid_of(connection)))
    if why is not None:
        raise Unusable(environment.name, why.reason, why.advice)
    connection.execute(own_session(connection, pooled=True).encode())


def pooling_of(environment: Environment, connection: Connection, seen: int) -> Pooling:
    """What is between us and the server; see `pooler.judge`."""
    return pooler.judge(connection, seen, partial(dial, environment, purpose="pooler check"))


def dial(environment: Environment, *, purpose: str, beside: Connection | None = None) -> Connection:
    """A session as its role and database set it up, in autocommit; `own_session` was not sent. Raises as `connect`.

    A server that is starting up gets a few seconds; whatever else it says is believed at once.
    """
    settings = parameters(environment, purpose=purpose)
    if beside is not None and not beside.closed:
        settings |= _same_server(beside)
    patience = time.monotonic() + _START_UP
    while True:
        try:
            return Patient.connect(conninfo.make_conninfo("", **settings), autocommit=True, prepare_threshold=None)
        except psycopg.Error as wrong:
            if time.monotonic() >= patience or not re.search(_STARTING, str(wrong)):
                # its text and chain may hold the address
                raise unreachable(environment.name, settings, _said(wrong, settings)) from None
        time.sleep(0.2)


def _same_server(beside: Connection) -> dict[str, Any]:
    """Of several hosts or addresses, the one that another connection has: an advisory lock holds on one server only."""
    info = beside.info
    return {"host": info.host, "port": str(info.port)} | ({"hostaddr": info.hostaddr} if info.hostaddr else {})


def _said(wrong: psycopg.Error, settings: dict[str, Any]) -> str:
    """What libpq says, and more where it says less than there is to know."""
    said = str(wrong)
    if "certificate verify failed" in said:
        from dashboard.postgres.certificate import has_expired  # rarely needed, and brings the ssl module

        if has_expired(settings, CONNECT_TIMEOUT):
            return "certificate has expired"
    return said


def parameters(environment: Environment, *, purpose: str) -> dict[str, Any]:
    """What libpq is to be told, the password too. Raises MissingVariable, BadDatabaseUrl."""
    given = _address(environment)
    return _TRANSPORT | given | {"application_name": f"rung {purpose}", "client_encoding": "UTF8"}


def own_session(connection: Connection, *, pooled: bool = False) -> str:
    """The settings of our own sessions, as one statement for the simple protocol, whatever path is in force.

    It answers one row; none, and does nothing, behind a pooler: there the server process is not the one that the
    protocol named, and what we set may be left to somebody else. `pooled`: set it all the same.
    """
    own = "" if pooled else f" WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {connection.info.backend_pid}"
    return _own_settings(connection, local=False) + own


def own_transaction(connection: Connection) -> str:
    """The same until the end of the transaction."""
    return _own_settings(connection, local=True)


def _own_settings(connection: Connection, *, local: bool) -> str:
    known = _OWN_SESSION | (_SINCE_14 if connection.info.server_version >= 140000 else {})
    calls = (f"pg_catalog.set_config('{name}', '{value}', {str(local).lower()})" for name, value in known.items())
    return f"SELECT {', '.join(calls)}"


def _address(environment: Environment) -> dict[str, Any]:
    if environment.url is None:
        raise MissingVariable(environment.name, environment.variable or "?")
    url = environment.url.reveal().strip()
    try:
        address = conninfo.conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):
        # libpq repeats the part it stumbled over, which may be half of a password.
        raise BadDatabaseUrl(environment.name, _complaint(url)) from None
    if _misread(address):
        raise BadDatabaseUrl(environment.name, "its password has a character in it that must be percent-encoded")
    if "=" in str(address.get("dbname")):
        raise BadDatabaseUrl(environment.name, "the name of its database looks like an address of its own")
    return address


def _misread(address: dict[str, Any]) -> bool:
    """Whether a @ or / inside of a password has made the rest of it a host, a port or a database."""
    ports = str(address.get("port") or "").replace(",", "")
    return "@" in f"{address.get('host')}{address.get('dbname')}" or (ports != "" and not ports.isdigit())


def _complaint(url: str) -> str:
    if not url:
        return "it is empty"
    if "://" not in url:
        return "it does not begin with postgresql://"
    if not url.startswith(("postgresql://", "postgres://")):
        return "it begins with something other than postgresql://"
    if re.search(r"\s", url):
        return "it has a space or a line break in it"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return "it has a % that is not followed by two hexadecimal digits"
    return "it does not have the form of an address"


_USUAL_SUSPECTS: tuple[tuple[str, str, str], ...] = (
    # what libpq or the server says, what we say about {place}, {user} and {database}, what to do
    (
        r"password authentication failed|no password supplied|SASL|SCRAM",
        "{place} does not accept the password of user {user}",
        "Check user and password in the address (special characters percent-encoded).",
    ),
    (
        r'role ".*" does not exist',
        "{place} has no role {user}",
        "Create the role, or correct the user name in the address.",
    ),
    (
        r'database ".*" does not exist',
        "{place} has no database {database}",
        "Create it with `createdb`, or correct the database name in the address.",
    ),
    (
        r"too many connections|remaining connection slots|too many clients",
        "{place} has no connection left for user {user}",
        "Wait until others have finished, or raise max_connections or the role's or database's CONNECTION LIMIT.",
    ),
    (
        r"starting up|not yet accepting|in recovery mode|consistent recovery state",
        "{place} is starting up",
        "Try again in a moment.",
    ),
    (
        r"system is not accepting connections",
        "{place} is a standby that lets nobody in",
        "Give the address of the primary server.",
    ),
    (
        r"is shutting down",
        "{place} is shutting down",
        "Try again when it is back.",
    ),
    (
        r"not permitted to log in|not currently accepting connections|permission denied for database",
        "{place} does not let user {user} into database {database}",
        "Give the role LOGIN, and CONNECT on the database.",
    ),
    (
        r"server does not support SSL",
        "{place} does not speak TLS, and the address asks for it",
        "Turn on ssl at the server, or lower sslmode in the address if the network between is trusted.",
    ),
    (
        r"no pg_hba\.conf entry.*(no encryption|SSL off)",
        "{place} does not let user {user} in without TLS, or not from this machine",
        "Add ?sslmode=require to the address, or a line for this machine to pg_hba.conf.",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "{place} does not let user {user} into database {database} from this machine",
        "Add a line for this machine to pg_hba.conf, or this machine's address to the provider's allowlist.",
    ),
    (
        r"does not match host name",
        "the certificate of {place} is for another host name",
        "Use the host name the certificate was made for.",
    ),
    (
        r"certificate has expired",
        "the certificate of {place} has expired",
        "Renew the server's certificate.",
    ),
    (
        r"certificate verify failed|self.signed certificate",
        "the certificate of {place} is not signed by an authority that this machine trusts",
        "Point sslrootcert in the address at the authority's certificate.",
    ),
    (
        r"requires a valid client certificate",
        "{place} asks for a certificate of the client",
        "Name it and its key with sslcert and sslkey in the address.",
    ),
    (
        r"root certificate file|certificate file|private key file",
        "a certificate file that the address for {place} names cannot be used",
        "Check sslrootcert, sslcert and sslkey in the address.",
    ),
    (
        r"SSL|TLS",
        "no TLS connection to {place} could be agreed on",
        "Check sslmode and the certificates in the address.",
    ),
    (
        r"could not translate host name|Name or service not known|failed to resolve host|Temporary failure in name",
        "the host name of {place} cannot be resolved",
        "Check the spelling of the host, and this machine's DNS.",
    ),
    (
        r"Connection refused",
        "nothing listens at {place}",
        "Start the server, or correct host and port in the address.",
    ),
    (
        r"No such file or directory",
        "there is no server socket at {place}",
        "Start the server, or correct host and port in the address.",
    ),
    (
        r"timeout expired|timed out|connection timeout",
        "{place} did not answer in time",
        "Check host and port, and whether a firewall drops the packets.",
    ),
    (
        r"No route to host|Network is unreachable|Host is unreachable",
        "there is no way through the network to {place}",
        "Check the network, and whether this machine may reach that host.",
    ),
    (
        r"unsupported startup parameter",
        "the pooler at {place} refuses a setting in the address",
        "Take `options` out of the address, or give the database's direct address.",
    ),
    (
        r"invalid (port|integer|sslmode|channel_binding)|invalid .* value",
        "the address for {place} has a setting that libpq does not know",
        "Check the part of the address after the question mark, and the port.",
    ),
    (
        r"closed the connection unexpectedly|Connection reset|Broken pipe",
        "{place} closed the connection before it was made",
        "Check that a PostgreSQL server listens there, and read its log.",
    ),
)


def unreachable(environment: str, address: dict[str, Any], said: str) -> Unreachable:
    """Our sentence for what the driver said when no connection came about. Nothing of `said` is repeated."""
    known = {
        "place": place_of(address),
        "user": address.get("user") or "(the system user)",
        "database": address.get("dbname") or address.get("user") or "(the default)",
    }
    for pattern, reason, advice in _USUAL_SUSPECTS:
        if re.search(pattern, said, re.IGNORECASE | re.DOTALL):
            return Unreachable(environment, _with_database(reason, known), advice)
    return Unreachable(
        environment,
        _with_database("{place} refused the connection", known),
        "Read the server's log; `psql` with the same address shows the whole message.",
    )


def _with_database(reason: str, known: dict[str, str]) -> str:
    """Every sentence names host, port, database and user, whatever else it says."""
    missing = [f"{word} {known[word]}" for word in ("database", "user") if "{" + word + "}" not in reason]
    return reason.format(**known) + (f" ({', '.join(missing)})" if missing else "")


def place_of(address: dict[str, Any]) -> str:
    """Host and port as people write them."""
    hosts = str(address.get("host") or address.get("hostaddr") or "localhost").split(",")
    ports = str(address.get("port") or 5432).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return " or ".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False))


def one_line(wrong: psycopg.Error) -> str:
    """The first line of what the driver says of a connection that was there before; it never holds an address."""
    said = str(wrong).strip()
    if "not in pipeline mode" in said:  # the next thing after the end, which is not the reason for it
        return "server closed the connection unexpectedly"
    return said.splitlines()[0] if said else type(wrong).__name__
