"""Pictures: what an environment's database says about itself, in one round trip, enforced read-only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql

from dashboard.core.environment import Environment
from dashboard.core.errors import (
    BadDatabaseUrl,
    ConnectionLost,
    EnvironmentFault,
    ForeignLedger,
    MissingVariable,
    Unusable,
)
from dashboard.core.picture import AppliedFile, FailedFile, LedgerRow, NotReachable, Picture, UnfinishedFile
from dashboard.core.record import Happening
from dashboard.postgres.connect import Connection, dial, one_line
from dashboard.postgres.connect import own_session as settings
from dashboard.postgres.ledger import TABLE, Ledger


@dataclass(frozen=True, slots=True)
class Survey:
    """A picture, and what a runner has to know besides.

    Attributes
    ----------
    in_recovery: it is a standby. read_only: transactions are read-only unless they say otherwise.
    user, database: names, as the server knows them.

    """

    picture: Picture
    ledger: Ledger
    history_exists: bool
    in_recovery: bool
    read_only: bool
    user: str
    database: str


def take_picture(environment: Environment) -> Picture | NotReachable:
    """Ask the database, or say why it cannot be asked."""
    try:
        with dial(environment, purpose="status") as connection:
            return survey(connection, environment, own_session=False).picture
    except (EnvironmentFault, MissingVariable, BadDatabaseUrl) as fault:
        return NotReachable(environment.name, _reason(fault), fault.advice)


def picture_from(connection: Connection, environment: Environment) -> Picture:
    """The same on a connection from `connect` that is idle and in autocommit. Raises EnvironmentFault."""
    return survey(connection, environment).picture


def survey(
    connection: Connection, environment: Environment, *, own_session: bool = True, complete: bool = True
) -> Survey:
    """One look, with what a runner has to know. Raises EnvironmentFault.

    own_session: False for a connection from `dial`; our own settings then go out in the same round trip.
    complete: False where ledger or history is known to be missing.
    """
    with asking(connection, environment):
        first = "" if own_session else settings(connection)
        return _survey(connection, environment, first) if complete else _survey_carefully(connection, environment)


@contextmanager
def asking(connection: Connection, environment: Environment) -> Iterator[None]:
    """Around questions about ledger and history: what the driver raises becomes an EnvironmentFault."""
    try:
        yield
    except psycopg.Error as wrong:
        raise _fault(connection, environment, wrong) from wrong


# Optimistic: ledger and history are there and as they should be, which takes one round trip. Only where that fails the
# catalog is asked first.
def _survey(connection: Connection, environment: Environment, first: str) -> Survey:
    try:
        answers = _ask(connection, environment, first, [_FACTS, _LEDGER, *_HISTORY])
    except (psycopg.ProgrammingError, psycopg.DataError):
        return _survey_carefully(connection, environment, "ROLLBACK; ")
    return _made(environment, *answers)


def _survey_carefully(connection: Connection, environment: Environment, first: str = "") -> Survey:
    [(row,)] = _ask(connection, environment, first + settings(connection), [_FACTS])
    facts = _Facts(*row)
    _refuse_foreign(environment, facts)
    parts = [*([_LEDGER] if facts.ledger_columns else []), *(_HISTORY if facts.history_exists else [])]
    try:
        rest = _ask(connection, environment, "", parts, ledger_exists=bool(facts.ledger_columns)) if parts else []
    except (errors.CannotCoerce, psycopg.DataError):
        raise _foreign(environment, facts) from None  # its applied_at is no moment
    ledger = rest if facts.ledger_columns else [[], *rest]
    history: list[list[Any]] = [] if facts.history_exists else [[] for _ in _HISTORY]
    return _made(environment, [row], *ledger, *history)


def _ask(
    connection: Connection, environment: Environment, first: str, parts: list[str], *, ledger_exists: bool = True
) -> list[list[Any]]:
    """The rows of each part, all from one snapshot, in a transaction that cannot write. By the simple protocol."""
    name = sql.Identifier(environment.ledger_schema, TABLE)
    known: dict[str, sql.Composable] = {
        "ledger": name if ledger_exists else _NO_LEDGER,
        "ledger_name": sql.Literal(name.as_string()),
    }
    frame = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", *parts, "COMMIT")
    script = first + ";\n".join(frame)
    cursor = connection.execute(sql.SQL(script).format(**known))  # constants of this module
    return [answer.fetchall() for answer in cursor.results() if answer.description]


class _Facts(NamedTuple):
    """The columns of `_FACTS`."""

    now: datetime
    version: str
    in_recovery: bool
    read_only: bool
    user: str
    database: str
    ledger_kind: str | None  # as in pg_class.relkind
    ledger_columns: list[str] | None  # name and type
    keyed: bool
    history_exists: bool


_FACTS = """
SELECT clock_timestamp(), current_setting('server_version'), pg_is_in_recovery(),
       current_setting('default_transaction_read_only')::boolean, current_user::text, current_database()::text,
       c.relkind::text,
       (SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       EXISTS (SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
                   ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'filename'
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                  AND i.indnkeyatts = 1 AND i.indpred IS NULL),
       to_regclass('rung.history') IS NOT NULL
  FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass({ledger_name})
"""

# Another runner's table may hold NULLs, other types, and moments that no calendar of ours knows.
_LEDGER = """
SELECT l.filename::text, CASE WHEN l.at BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN l.at END
  FROM (SELECT filename, applied_at::timestamptz AS at FROM {ledger}) AS l
 WHERE l.filename IS NOT NULL ORDER BY l.at, l.filename
"""
_NO_LEDGER = sql.SQL("(SELECT NULL::text AS filename WHERE false)")

_NEWEST = """(
  SELECT filename, max(id) AS id FROM rung.history WHERE event IN ('applied', 'adopted') GROUP BY filename
) AS newest"""

_APPLIED = f"""
SELECT h.filename, h.raw_hash, h.normalised_hash, coalesce(h.hash_version, 0),
       CASE WHEN h.event = 'applied' THEN extract(epoch FROM h.duration)::float8 END, h.actor, h.renamed_from
  FROM rung.history AS h JOIN {_NEWEST} ON newest.id = h.id
"""  # noqa: S608  # made of constants

_OPEN = f"""
SELECT h.event, h.filename, h.statement, h.started_at, h.finished_at, h.normalised_hash, h.sqlstate, h.message,
       h.subject, (SELECT i.indisvalid FROM pg_catalog.pg_index AS i WHERE i.indexrelid = to_regclass(h.subject)),
       EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
                WHERE a.pid = h.backend_pid AND a.backend_start <= h.started_at), h.backend_pid
  FROM rung.history AS h LEFT JOIN {_NEWEST} ON newest.filename = h.filename
 WHERE h.event IN ('started', 'statement done', 'failed') AND h.filename IS NOT NULL
   AND h.id > coalesce(newest.id, 0)
   AND NOT EXISTS (SELECT FROM {{ledger}} AS l WHERE l.filename::text = h.filename)
 ORDER BY h.filename, h.id
"""  # noqa: S608  # made of constants

_HISTORY = (_APPLIED, _OPEN, "SELECT coalesce(max(id), 0) FROM rung.history")


class _Open(NamedTuple):
    """The columns of `_OPEN`: what was tried with a file that the ledger does not have."""

    event: str
    filename: str
    statement: int | None
    started_at: datetime
    finished_at: datetime
    normalised_hash: str
    sqlstate: str | None
    message: str | None
    subject: str | None
    valid: bool | None  # the index called `subject`; None where there is none
    running: bool  # the server process that wrote the row is still there
    pid: int


def _made(
    environment: Environment,
    about: list[Any],
    ledger: list[Any],
    applied: list[Any],
    tried: list[Any],
    newest: list[Any],
) -> Survey:
    facts = _Facts(*about[0])
    _refuse_foreign(environment, facts)
    rows = [_Open(*row) for row in tried]
    attempts = [list(group) for _, group in groupby(rows, key=lambda row: row.filename)]
    picture = Picture(
        environment=environment.name,
        taken_at=facts.now,
        server_version=facts.version.split()[0],
        ledger_exists=facts.ledger_columns is not None,
        ledger=tuple(LedgerRow(*row) for row in ledger),
        applied={row[0]: AppliedFile(*row) for row in applied},
        unfinished=tuple(filter(None, map(unfinished, attempts))),
        failed=tuple(filter(None, map(_failed, attempts))),
        history_id=newest[0][0] if newest else 0,
    )
    return Survey(
        picture,
        Ledger(environment.ledger_schema, keyed=facts.keyed or facts.ledger_columns is None),
        history_exists=facts.history_exists,
        in_recovery=facts.in_recovery,
        read_only=facts.read_only,
        user=facts.user,
        database=facts.database,
    )


def _failed(tried: list[_Open]) -> FailedFile | None:
    last = tried[-1]
    if last.event != Happening.FAILED:
        return None
    return FailedFile(last.filename, last.finished_at, last.message or "", last.sqlstate)


def unfinished(tried: list[_Open]) -> UnfinishedFile | None:
    """What is left of the newest attempt at a non-transactional file; None where nothing of it was begun or kept.

    A statement that failed counts as interrupted only while what it left behind is still there.
    """
    begun, done, running = None, 0, None
    for row in tried:
        match row.event:
            case Happening.STARTED:
                if begun is None or begun.normalised_hash != row.normalised_hash:
                    begun, done = row, (row.statement or 1) - 1
                running = row
            case Happening.STATEMENT_DONE:
                done, running = row.statement or done, None
            case Happening.FAILED if (
                running and row.statement == running.statement and False not in (running.valid, row.valid)
            ):
                running = None
            case _:
                pass
    if begun is None or (running is None and done == 0):
        return None
    return UnfinishedFile(
        filename=begun.filename,
        started_at=begun.started_at,
        statements_done=done,
        interrupted=running.statement if running else None,
        normalised_hash=begun.normalised_hash,
        evidence=tuple(_evidence(running)) if running else (),
    )


def _evidence(row: _Open) -> Iterator[str]:
    if row.running:
        yield f"The server process {row.pid} that ran it is still there."
    if row.subject is None:
        return
    match row.valid:
        case None:
            yield f"There is no index {row.subject}."
        case True:
            yield f"Index {row.subject} exists and is valid."
        case False:
            yield f"Index {row.subject} is INVALID."


_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a type"}


def _refuse_foreign(environment: Environment, facts: _Facts) -> None:
    if facts.ledger_columns is None:
        return
    table = f"{environment.ledger_schema}.{TABLE}"
    if facts.ledger_kind not in ("r", "p"):
        kind = _KINDS.get(facts.ledger_kind or "", "not a table")
        advice = "Rename it, or point ledger_schema in rung.toml at another schema."
        raise Unusable(environment.name, f"its {table} is {kind}, and the ledger has to be a table", advice)
    names = {column.split(" ", 1)[0] for column in facts.ledger_columns}
    if not {"filename", "applied_at"} <= names:
        raise _foreign(environment, facts)


def _foreign(environment: Environment, facts: _Facts) -> ForeignLedger:
    table = f"{environment.ledger_schema}.{TABLE}"
    return ForeignLedger(environment.name, table, ", ".join(facts.ledger_columns or []) or "none")


def _fault(connection: Connection, environment: Environment, wrong: psycopg.Error) -> EnvironmentFault:
    if connection.closed or wrong.sqlstate is None:
        return ConnectionLost(environment.name, "while it was being looked at", one_line(wrong))
    connection.rollback()
    said = wrong.diag.message_primary or one_line(wrong)
    match wrong:
        case errors.InsufficientPrivilege():
            schemas = f'"{environment.ledger_schema}", rung'
            return Unusable(
                environment.name,
                f"user {connection.info.user} may not read what Rung keeps there ({said})",
                f"As the owner: GRANT USAGE ON SCHEMA {schemas} TO {connection.info.user}; "
                f"GRANT SELECT, INSERT ON {environment.ledger_schema}.{TABLE}, rung.history TO {connection.info.user};",
            )
        case errors.LockNotAvailable():
            return Unusable(
                environment.name,
                "another session keeps its ledger or its history locked",
                "Look for it in pg_stat_activity and pg_locks, let it end, and try again.",
            )
        case errors.UndefinedColumn():
            return Unusable(
                environment.name,
                f"its table rung.history is not the one that this version of Rung writes ({said})",
                "Use the newest version of Rung that worked on this database, or rename that schema.",
            )
        case _:
            return Unusable(environment.name, f"it answered with an error: {said}", "Read the server's log.")


def _reason(fault: EnvironmentFault | MissingVariable | BadDatabaseUrl) -> str:
    """The part of the sentence that comes after the environment's name, which stands beside it already."""
    return getattr(fault, "reason", None) or str(fault)
