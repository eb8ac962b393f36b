"""The history: `rung.history`, append-only, every row chained to the one before by a hash that the server computes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from dashboard.core.masking import masked
from dashboard.core.migration import HASH_VERSION, Migration
from dashboard.core.record import ChainReport, Happening, HistoryRow
from dashboard.core.run import Actor, Problem
from dashboard.postgres.connect import Connection
from dashboard.postgres.flight import Message, Part

CHAIN_VERSION = 1  # of the form that is hashed; stored with every row so that a later form never looks like tampering
GENESIS = "0" * 64  # what the first row follows


class _Column(NamedTuple):
    """One column. `made`: how a new row gets its value; None: from the next parameter, cast to the column's type."""

    name: str
    type: str
    comment: str
    made: str | None = None
    null: bool = True


_BEGAN = "coalesce(to_timestamp($1::float8), transaction_timestamp())"

# Order matters: it is the order in which the values are hashed.
_COLUMNS = (
    _Column(
        "id",
        "bigint",
        "1, 2, 3 and so on without gaps, in the order of the commits",
        "coalesce(newest.id, 0) + 1",
        null=False,
    ),
    _Column("run_id", "uuid", "the attempt this row belongs to", null=False),
    _Column(
        "event", "text", "started, statement done, applied, failed, adopted, resolved, identified or note", null=False
    ),
    _Column("environment", "text", "what this database was called in the configuration of the run", null=False),
    _Column("filename", "text", "the migration; null for what concerns the whole run"),
    _Column("statement", "integer", "1-based number of the statement in the file"),
    _Column("raw_hash", "text", "hash of the file as it was on disk, hex"),
    _Column("normalised_hash", "text", "the same with every line end as LF and no byte-order mark"),
    _Column("hash_version", "integer", "the formula of the two hashes; 1: SHA-256"),
    _Column("sql_text", "text", "the text of the file"),
    _Column("actor_kind", "text", "person, deploy, schedule or agent", null=False),
    _Column("actor", "text", "who asked", null=False),
    _Column("door", "text", "web, cli, deploy or api", null=False),
    _Column("host", "text", "the machine the runner ran on", null=False),
    _Column("tool_version", "text", "the version of Rung", null=False),
    _Column(
        "started_at",
        "timestamptz",
        "when it began, by this database's clock",
        _BEGAN,
        null=False,
    ),
    _Column(
        "finished_at", "timestamptz", "when it ended, by this database's clock", "statement_timestamp()", null=False
    ),
    _Column(
        "duration",
        "interval",
        "between the two",
        f"statement_timestamp() - {_BEGAN}",
        null=False,
    ),
    _Column("sqlstate", "text", "of a failure: PostgreSQL's error code"),
    _Column("message", "text", "of a failure: what the server said; of a statement: its command; else a remark"),
    _Column("detail", "text", "of a failure: the server's DETAIL and CONTEXT; of a statement: oids of older indexes"),
    _Column("hint", "text", "of a failure: the server's HINT"),
    _Column("line", "integer", "of a failure: 1-based line in the file"),
    _Column("column_number", "integer", "of a failure: 1-based column in that line"),
    _Column("excerpt", "text", "of a failure: the line with a caret below the place"),
    _Column("reason", "text", "why somebody forced it"),
    _Column("renamed_from", "text", "of an adopted file: the name under which it had been applied"),
    _Column("subject", "text", "what a concurrent statement builds or changes, as PostgreSQL writes its name"),
    _Column("backend_pid", "integer", "the server process", "pg_backend_pid()", null=False),
    _Column("chain_version", "integer", "the form that own_hash is computed over", str(CHAIN_VERSION), null=False),
    _Column(
        "previous_hash",
        "text",
        "own_hash of the row before; 64 zeros for the first",
        f"coalesce(newest.own_hash, '{GENESIS}')",
        null=False,
    ),
)
_GIVEN = tuple(column for column in _COLUMNS if column.made is None)


def _text_of(column: _Column, row: str) -> str:
    """Moments and spans as whole microseconds: how they are printed depends on settings."""
    if column.type in ("timestamptz", "interval"):
        return f"(extract(epoch FROM {row}.{column.name}) * 1000000)::bigint::text"
    return f"{row}.{column.name}" if column.type == "text" else f"{row}.{column.name}::text"


def _seal(row: str) -> str:
    """SQL for a row's hash. `array_send` puts every value's length before it, so that no two rows read the same.

    It gives the texts in the client's encoding, which is UTF-8 in all our sessions.
    """
    return f"encode(sha256(array_send(ARRAY[{', '.join(_text_of(column, row) for column in _COLUMNS)}])), 'hex')"


_ALL = ", ".join(column.name for column in _COLUMNS)
_PLACES = {column.name: f"${place}::{column.type}" for place, column in enumerate(_GIVEN, start=2)}
_MADE = ", ".join(f"{column.made or _PLACES[column.name]} AS {column.name}" for column in _COLUMNS)

# Two writers at once would give two rows one predecessor, and one of them runs into the primary key. Whoever writes
# nothing but history queues first, with a snapshot taken afterwards; a file's own transaction is tried again instead.
QUEUE = Message("SELECT pg_advisory_xact_lock(8390876205174217000)", Part.HISTORY)  # a number of ours
_APPEND = f"""\
INSERT INTO rung.history ({_ALL}, own_hash)
SELECT made.*, {_seal("made")}
  FROM (SELECT {_MADE} FROM (SELECT) AS one
          LEFT JOIN LATERAL (SELECT id, own_hash FROM rung.history ORDER BY id DESC LIMIT 1) AS newest ON true
        OFFSET 0) AS made
RETURNING id, extract(epoch FROM started_at)"""  # noqa: S608  # made of constants above

_DEFINITIONS = ",\n  ".join(
    f"{column.name} {column.type}" + ("" if column.null else " NOT NULL") for column in _COLUMNS
)
_CREATE_SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS rung",
    "COMMENT ON SCHEMA rung IS 'What Rung remembers of this database'",
)
_CREATE = (
    f"""CREATE TABLE rung.history (
  {_DEFINITIONS},
  own_hash text NOT NULL,
  CONSTRAINT history_pkey PRIMARY KEY (id),
  CONSTRAINT history_previous_hash_key UNIQUE (previous_hash)
)""",
    "COMMENT ON TABLE rung.history IS 'Everything that was tried on this database; rows are only ever added'",
    *(
        f"COMMENT ON COLUMN rung.history.{column.name} IS '{column.comment.replace(chr(39), chr(39) * 2)}'"
        for column in _COLUMNS
    ),
    "COMMENT ON COLUMN rung.history.own_hash IS 'SHA-256, hex, over all the columns before'",
    """CREATE FUNCTION rung.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'rung.history is append-only: % is not allowed', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$""",
    "COMMENT ON FUNCTION rung.refuse_change() IS 'Keeps rung.history append-only'",
    """CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rung.history
FOR EACH STATEMENT EXECUTE FUNCTION rung.refuse_change()""",
    "ALTER TABLE rung.history ENABLE ALWAYS TRIGGER history_append_only",
)


@dataclass(frozen=True, slots=True)
class Author:
    """What every row of one run has in common. `reason`: given for `--force`."""

    run_id: str
    environment: str
    actor: Actor
    host: str
    tool_version: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be remembered.

    Attributes
    ----------
    statement: 1-based; None where the whole file is meant.
    with_text: keep the text of the file as well.
    started_at: seconds since 1970 by the database's clock, as text; None: when its transaction began.
    remark: goes where a failure's message goes.
    subject: see the column's comment. detail: of a statement that begins: the oids of the indexes that are there.

    """

    event: Happening
    migration: Migration | None = None
    statement: int | None = None
    with_text: bool = False
    started_at: str | None = None
    remark: str | None = None
    problem: Problem | None = None
    reason: str | None = None
    renamed_from: str | None = None
    subject: str | None = None
    detail: str | None = None


def creation(*, schema_exists: bool = False) -> tuple[Message, ...]:
    """Make schema and table, with our own settings in force, under the lock.

    schema_exists: somebody else may own it; making it takes a right of its own, and so does a comment on it.
    """
    return tuple(Message(text, Part.SCHEMA) for text in (() if schema_exists else _CREATE_SCHEMA) + _CREATE)


def append(author: Author, entry: Entry, *, plain: bool = False) -> Message:
    """Add one row, last thing before COMMIT, with our own settings in force. Answers its id and when it began.

    plain: with escapes for all but ASCII, where the database's encoding does not have a character.
    """
    values = _values(author, entry)
    if plain:
        values = tuple(value and value.encode("ascii", "backslashreplace").decode() for value in values)
    return Message(_APPEND, Part.HISTORY, values, name="append")


def _values(author: Author, entry: Entry) -> tuple[str | None, ...]:
    migration, problem = entry.migration, entry.problem
    given: dict[str, object] = {
        "run_id": author.run_id,
        "event": entry.event.value,
        "environment": author.environment,
        "statement": entry.statement,
        "actor_kind": author.actor.kind.value,
        "actor": author.actor.name,
        "door": author.actor.door.value,
        "host": author.host,
        "tool_version": author.tool_version,
        "message": entry.remark,
        "reason": entry.reason or author.reason,
        "renamed_from": entry.renamed_from,
        "subject": entry.subject,
        "detail": entry.detail,
    }
    if migration is not None:
        given |= {
            "filename": migration.filename,
            "raw_hash": migration.raw_hash,
            "normalised_hash": migration.normalised_hash,
            "hash_version": HASH_VERSION,
            "sql_text": masked(migration.text) if entry.with_text else None,
        }
    if problem is not None:
        given |= {
            "statement": problem.statement,
            "sqlstate": problem.sqlstate,
            "message": problem.message,
            "detail": problem.detail,
            "hint": problem.hint,
            "line": problem.line,
            "column_number": problem.column,
            "excerpt": problem.excerpt or None,
        }
    return (entry.started_at, *(_storable(given.get(column.name)) for column in _GIVEN))


def _storable(value: object) -> str | None:
    """Names and reasons come from people and machines: what is no character there is none in the history either."""
    if value is None:
        return None
    return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


_ROWS = sql.SQL("""
SELECT id, run_id::text, event, environment, filename, statement, raw_hash, normalised_hash, hash_version,
       sql_text AS sql, actor_kind, actor, door, host, tool_version, started_at, finished_at,
       extract(epoch FROM duration)::float8 AS seconds, sqlstate, message, detail, hint, line,
       column_number AS "column", excerpt, reason, renamed_from, backend_pid, previous_hash, own_hash
  FROM rung.history WHERE id > {after} ORDER BY id LIMIT {limit}
""")

_VERIFY = f"""
WITH checked AS (
  SELECT kept.id, kept.own_hash, kept.chain_version,
         row_number() OVER chain AS place,
         kept.previous_hash = lag(kept.own_hash, 1, '{GENESIS}') OVER chain AS follows,
         kept.own_hash = {_seal("kept")} AS sealed
    FROM rung.history AS kept WINDOW chain AS (ORDER BY kept.id)
)
SELECT count(*), (SELECT own_hash FROM checked ORDER BY id DESC LIMIT 1),
       (SELECT ARRAY[id, place, follows::int, sealed::int, chain_version] FROM checked
         WHERE NOT (follows AND sealed AND id = place) ORDER BY id LIMIT 1)
  FROM checked
"""  # noqa: S608  # made of constants above


def rows_since(connection: Connection, after_id: int, limit: int) -> tuple[HistoryRow, ...]:
    """Rows with an id above `after_id`, oldest first, at most `limit`; empty where there is no history yet.

    The connection must have our own session's settings, as `connect` gives it.
    """
    if not exists(connection):
        return ()
    with connection.cursor(row_factory=class_row(HistoryRow)) as cursor:
        cursor.execute(_ROWS.format(after=sql.Literal(after_id), limit=sql.Literal(limit)))
        return tuple(cursor.fetchall())


def verify(connection: Connection, within: float = 0) -> ChainReport:
    """Compute every hash anew and compare. Rows cut off the end show only against a head that was kept elsewhere.

    within: seconds after which this session's questions give up; 0: never.
    """
    if within:
        limit = f"{within * 1000:.0f}"
        connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", (limit,))
    if not exists(connection):
        return ChainReport(ok=True, rows=0, first_bad_id=None, what="there is no history yet", head=None)
    rows, head, bad = connection.execute(_VERIFY.encode()).fetchone() or (0, None, None)
    if bad is None:
        what = f"{rows} rows, each sealed and following the one before" if rows else "the history is empty"
        return ChainReport(ok=True, rows=rows, first_bad_id=None, what=what, head=head)
    return ChainReport(ok=False, rows=rows, first_bad_id=bad[0], what=_whats_wrong(*bad), head=head)


def _whats_wrong(row: int, place: int, follows: int, sealed: int, version: int) -> str:
    if version != CHAIN_VERSION:
        return f"row {row} is of form {version}, and this version of Rung can only check form {CHAIN_VERSION}"
    if not sealed:
        return f"row {row} was changed: its content does not give its hash"
    if not follows and row == place:
        return f"row {row} does not follow the row before it: one of the two was replaced"
    return f"row {row} stands where row {place} should: rows before it were removed or added"


def has(connection: Connection, own_hash: str) -> bool:
    """Whether some row has this hash."""
    question = "SELECT FROM rung.history WHERE own_hash OPERATOR(pg_catalog.=) %s LIMIT 1"
    return exists(connection) and connection.execute(question, (own_hash,)).fetchone() is not None


def exists(connection: Connection) -> bool:
    """Whether this database has a history."""
    row: Any = connection.execute("SELECT pg_catalog.to_regclass('rung.history') IS NOT NULL").fetchone()
    return bool(row[0])
