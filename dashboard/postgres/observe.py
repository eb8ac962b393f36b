"""Pictures: what an environment's database says about itself, in one round trip, enforced read-only."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql

from dashboard.core.environment import Environment
from dashboard.core.errors import (
    BadDatabaseUrl,
    ConnectionLost,
    EnvironmentFault,
    MissingVariable,
    Unreachable,
    Unusable,
)
from dashboard.core.picture import (
    AppliedFile,
    Identity,
    LedgerRow,
    Moved,
    NotReachable,
    Picture,
)
from dashboard.core.words import count
from dashboard.postgres import attempts, facts, pooler
from dashboard.postgres.connect import Connection, dial, one_line, own_session, own_transaction, pooling_of
from dashboard.postgres.facts import Facts
from dashboard.postgres.ledger import TABLE, Ledger
from dashboard.postgres.lock import Attempt
from dashboard.postgres.pooler import Pooling


@dataclass(frozen=True, slots=True)
class Survey:
    """A picture, and what a runner has to know besides.

    Attributes
    ----------
    history_schema_exists: somebody may have made it for a role that may not.
    identity: which database it is. identified: the history says so already.
    user, database: names, as the server knows them. server_started: which of its lives it is in.

    """

    picture: Picture
    ledger: Ledger
    history_exists: bool
    history_schema_exists: bool
    identity: Identity
    identified: bool
    user: str
    database: str
    server_started: datetime


def take_picture(environment: Environment) -> Picture | NotReachable:
    """Ask the database, or say why it cannot be asked."""
    try:
        with dial(environment, purpose="status") as connection:
            return survey(connection, environment, fresh=True).picture
    except (EnvironmentFault, MissingVariable, BadDatabaseUrl) as fault:
        silent = isinstance(fault, (Unreachable, ConnectionLost, MissingVariable, BadDatabaseUrl))
        return NotReachable(environment.name, _reason(fault), fault.advice, answered=not silent)


def picture_from(connection: Connection, environment: Environment) -> Picture:
    """The same on a connection from `connect` that is idle and in autocommit. Raises EnvironmentFault."""
    return survey(connection, environment).picture


def survey(
    connection: Connection,
    environment: Environment,
    *,
    fresh: bool = False,
    complete: bool = True,
    attempt: Attempt | None = None,
) -> Survey:
    """One look, with what a runner has to know. Raises EnvironmentFault.

    fresh: a connection from `dial`, of which our own session is made in the same round trip; behind a pooler that
    lends every transaction another server process, nothing is left behind in any of them.
    complete: False where ledger or history is known to be missing.
    attempt: to take the runner's lock before anything else is seen.
    """
    with asking(connection, environment):
        facts.refuse_old(environment, connection.info.server_version)
        look = _survey if complete else _survey_carefully
        found = look(connection, environment, attempt)
        pooling = pooling_of(environment, connection, found.facts.pid)
        if fresh and pooling is Pooling.SESSION:
            connection.execute(own_session(connection, pooled=True).encode())
    return _made(environment, found, pooling, connection.info.host)


@contextmanager
def asking(connection: Connection, environment: Environment) -> Iterator[None]:
    """Around questions about ledger and history: what the driver raises becomes an EnvironmentFault."""
    try:
        yield
    except psycopg.Error as wrong:
        raise _fault(connection, environment, wrong) from wrong


class _Found(NamedTuple):
    """The answers to all questions: rows as the server gave them."""

    facts: Facts
    ledger: list[Any]
    applied: list[Any]
    tried: list[Any]
    newest: list[Any]


# Optimistic: ledger and history are there and as they should be, which takes one round trip. Only where that fails the
# catalog is asked first.
def _survey(connection: Connection, environment: Environment, attempt: Attempt | None) -> _Found:
    try:
        about, *rest = _ask(connection, environment, [facts.query(environment), *_QUESTIONS], attempt=attempt)
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError):
        return _survey_carefully(connection, environment, attempt)
    return _Found(Facts(*about[0]), *rest)


def _survey_carefully(connection: Connection, environment: Environment, attempt: Attempt | None) -> _Found:
    if attempt is not None:
        with suppress(psycopg.ProgrammingError):  # who may not ask for it hears so where it is needed
            connection.rollback()
            attempt.hear(connection.execute(attempt.query).fetchall())
    about = _facts(connection, environment)
    facts.refuse_unreadable(environment, about)
    has_ledger = about.ledger_columns is not None
    parts = [*([_LEDGER] if has_ledger else []), *(_HISTORY if about.history_exists else [])]
    try:
        rest = _ask(connection, environment, parts, ledger_exists=has_ledger) if parts else []
    except (errors.CannotCoerce, psycopg.DataError):
        raise facts.foreign(environment, about) from None  # its applied_at is no moment
    ledger = rest if has_ledger else [[], *rest]
    history: list[list[Any]] = [] if about.history_exists else [[] for _ in _HISTORY]
    return _Found(about, *ledger, *history)


def _facts(connection: Connection, environment: Environment) -> Facts:
    try:
        [(row,)] = _ask(connection, environment, [facts.query(environment)])
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):  # some servers do not say which cluster they are
        [(row,)] = _ask(connection, environment, [facts.query(environment, identified=False)])
    return Facts(*row)


def _ask(
    connection: Connection,
    environment: Environment,
    parts: Sequence[sql.Composable],
    *,
    ledger_exists: bool = True,
    attempt: Attempt | None = None,
) -> list[list[Any]]:
    """The rows of each part, all from one snapshot, in a transaction that cannot write. By the simple protocol.

    attempt: at the runner's lock, before the snapshot is taken: what is seen stays true where the lock is had.

    Our own settings hold inside of it, and afterwards too where the session is our own.
    """
    ledger = sql.Identifier(environment.ledger_schema, TABLE) if ledger_exists else _NO_LEDGER
    asked = [part.format(ledger=ledger) if isinstance(part, sql.SQL) else part for part in parts]
    first = [sql.SQL("BEGIN"), attempt.query, sql.SQL("COMMIT")] if attempt else []
    script = sql.SQL(";\n").join(
        [
            *first,
            sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            sql.SQL(own_transaction(connection)),  # constants of that module
            *asked,
            sql.SQL("COMMIT"),
            sql.SQL(own_session(connection)),
        ]
    )
    if connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
        connection.rollback()
    cursor = connection.execute(script)
    answers = [answer.fetchall() for answer in cursor.results() if answer.description]
    if attempt:
        attempt.hear(answers.pop(0))
    return answers[1 : 1 + len(parts)]


# Another runner's table may hold NULLs, other types, moments that no calendar of ours knows, and names longer than any
# file's 255 bytes: the beginning of those is enough.
_LEDGER = sql.SQL("""
SELECT pg_catalog.left(l.filename::text, 1000), CASE WHEN l.at BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN l.at END
  FROM (SELECT filename, applied_at::timestamptz AS at FROM {ledger}) AS l
 ORDER BY l.at, l.filename
""")
_NO_LEDGER = sql.SQL("(SELECT NULL::text AS filename WHERE false)")

_LATEST = """
SELECT h.id, h.finished_at, h.actor,
       (SELECT i.message FROM rung.history AS i WHERE i.event = 'identified' ORDER BY i.id DESC LIMIT 1)
  FROM rung.history AS h ORDER BY h.id DESC LIMIT 1
"""

_HISTORY = tuple(map(sql.SQL, (attempts.APPLIED, attempts.OPEN, _LATEST)))
_QUESTIONS = (_LEDGER, *_HISTORY)


class _Latest(NamedTuple):
    """The columns of `_LATEST`: the newest row of the history, and which database it was, as far as that was noted."""

    id: int = 0
    at: datetime = datetime.min  # noqa: DTZ901  # of no row
    actor: str = ""
    identity: str | None = None


def _made(environment: Environment, found: _Found, pooling: Pooling, host: str) -> Survey:
    about = found.facts
    facts.refuse_unreadable(environment, about)
    unfinished, failed = attempts.read(found.tried)
    latest = _Latest(*found.newest[0]) if found.newest else _Latest()
    was = Identity.read(latest.identity or "")
    moved = Moved(was, about.identity, latest.at, latest.actor) if was and was.differs(about.identity) else None
    picture = Picture(
        environment=environment.name,
        taken_at=about.now,
        server_version=about.version.split()[0],
        ledger_exists=about.ledger_columns is not None,
        ledger=tuple(LedgerRow(*row) for row in found.ledger if row[0] is not None),
        applied={row[0]: AppliedFile(*row) for row in found.applied},
        unfinished=unfinished,
        failed=failed,
        history_id=latest.id,
        unwritable=pooler.why_not(pooling) or facts.unwritable(environment, about),
        moved=moved,
        remarks=tuple(_remarks(found, pooling, facts.remark_on_superuser(environment, about, host))),
    )
    return Survey(
        picture,
        Ledger(
            environment.ledger_schema,
            keyed=about.keyed or about.ledger_columns is None,
            schema_exists=about.ledger_schema_use is not None,
        ),
        history_exists=about.history_exists,
        history_schema_exists=about.history_schema_use is not None,
        identity=about.identity,
        identified=was is not None and moved is None and (was.system is not None or about.system is None),
        user=about.user,
        database=about.database,
        server_started=about.started,
    )


def _remarks(found: _Found, pooling: Pooling, of_role: str | None) -> Iterator[str]:
    if of_role is not None:
        yield of_role
    if pooling is Pooling.SESSION:
        yield pooler.REMARK
    named = Counter(row[0] for row in found.ledger)
    nameless = named.pop(None, 0)
    if nameless:
        counts = "counts" if nameless == 1 else "count"
        yield f"{count(nameless, 'row')} of the ledger without a file name {counts} as nothing."
    for name, times in named.items():
        if times > 1:
            yield f"{name} stands {times} times in the ledger; once is enough."


def _fault(connection: Connection, environment: Environment, wrong: psycopg.Error) -> EnvironmentFault:
    last_words = f"{wrong} {connection.pgconn.error_message.decode(errors='replace')}"
    why = pooler.why_not(Pooling.STATEMENT) if pooler.is_statement_mode(last_words) else None
    if why is not None:
        return Unusable(environment.name, why.reason, why.advice)
    if connection.closed or wrong.sqlstate is None:
        return ConnectionLost(environment.name, "while it was being looked at", one_line(wrong))
    connection.rollback()
    said = wrong.diag.message_primary or one_line(wrong)
    match wrong:
        case errors.InsufficientPrivilege():
            user = sql.Identifier(connection.info.user).as_string()
            schema = sql.Identifier(environment.ledger_schema).as_string()
            ledger = sql.Identifier(environment.ledger_schema, TABLE).as_string()
            return Unusable(
                environment.name,
                f"role {connection.info.user} may not read what Rung keeps there ({said})",
                f"As the owner: GRANT USAGE ON SCHEMA {schema}, rung TO {user}; "
                f"GRANT SELECT, INSERT ON {ledger}, rung.history TO {user};",
            )
        case errors.LockNotAvailable():
            return Unusable(
                environment.name,
                f"{_who_locks(connection, environment)} keeps its ledger or its history locked",
                "Let it end, or end it with pg_terminate_backend, and try again.",
            )
        case errors.UndefinedColumn():
            return Unusable(
                environment.name,
                f"its table rung.history is not the one that this version of Rung writes ({said})",
                "Use the newest version of Rung that worked on this database, or rename that schema.",
            )
        case _:
            return Unusable(environment.name, f"it answered with an error: {said}", "Read the server's log.")


_LOCKERS = """
SELECT a.pid, a.application_name, a.usename, a.xact_start
  FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
  JOIN pg_catalog.pg_class AS c ON c.oid = l.relation JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE l.granted AND l.mode = 'AccessExclusiveLock'
   AND ((n.nspname = {schema} AND c.relname = {table}) OR (n.nspname = 'rung' AND c.relname = 'history'))
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
 LIMIT 1
"""


def _who_locks(connection: Connection, environment: Environment) -> str:
    query = sql.SQL(_LOCKERS).format(schema=sql.Literal(environment.ledger_schema), table=sql.Literal(TABLE))
    try:
        [rows] = _ask(connection, environment, [query])
    except psycopg.Error:
        rows = []
    if not rows:
        return "another session"
    pid, application, user, since = rows[0]
    who = ", ".join(filter(None, (application, f"user {user}" if user else "")))
    return f"pid {pid} ({who}{f', in a transaction since {since:%H:%M:%S} UTC' if since else ''})"


def _reason(fault: EnvironmentFault | MissingVariable | BadDatabaseUrl) -> str:
    """The part of the sentence that comes after the environment's name, which stands beside it already."""
    if isinstance(fault, BadDatabaseUrl):
        return f"its address cannot be read: {fault.reason}"
    return getattr(fault, "reason", None) or str(fault)
