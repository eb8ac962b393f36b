"""The audit, as rows: append-only, every row chained to the one before by a hash that the server computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from dashboard.core.audit import AuditFilter, AuditPage, AuditRow, Report
from dashboard.core.errors import AuditShut
from dashboard.core.record import ChainReport, cut_off
from dashboard.postgres.connect import Connection, one_line

CHAIN_VERSION = 1  # of the form that is hashed
GENESIS = "0" * 64  # what the first row follows
LONGEST = 500  # characters of each text
_QUEUE = "SELECT pg_catalog.pg_advisory_xact_lock(8390876205174217002)"  # a number of ours

_MOMENT = "(extract(epoch FROM {row}.at) * 1000000)::bigint::text"  # how it is printed depends on settings
_TEXTS = ("who", "address", "deed", "environment", "subject", "outcome", "detail")


def _seal(row: str) -> str:
    """SQL for a row's hash. `array_send` puts every value's length before it, so that no two rows read the same."""
    texts = ", ".join(f"{row}.{name}" for name in _TEXTS)
    values = f"{row}.id::text, {_MOMENT.format(row=row)}, {texts}, {row}.chain_version::text, {row}.previous_hash"
    return f"encode(sha256(array_send(ARRAY[{values}])), 'hex')"


_APPEND = f"""
INSERT INTO home.audit (id, at, {", ".join(_TEXTS)}, chain_version, previous_hash, own_hash)
SELECT made.*, {_seal("made")}
  FROM (SELECT coalesce(newest.id, 0) + 1 AS id, pg_catalog.clock_timestamp() AS at,
               {", ".join(f"%({name})s::text AS {name}" for name in _TEXTS)},
               {CHAIN_VERSION} AS chain_version, coalesce(newest.own_hash, '{GENESIS}') AS previous_hash
          FROM (SELECT) AS one
          LEFT JOIN LATERAL (SELECT id, own_hash FROM home.audit ORDER BY id DESC LIMIT 1) AS newest ON true
        OFFSET 0) AS made
"""  # noqa: S608  # made of constants above

_VERIFY = f"""
WITH checked AS (
  SELECT kept.id, kept.own_hash, row_number() OVER chain AS place, kept.chain_version,
         kept.previous_hash = lag(kept.own_hash, 1, '{GENESIS}') OVER chain AS follows,
         kept.own_hash = {_seal("kept")} AS sealed
    FROM home.audit AS kept WINDOW chain AS (ORDER BY kept.id)
)
SELECT count(*), (SELECT own_hash FROM checked ORDER BY id DESC LIMIT 1),
       (SELECT ARRAY[id, place, follows::int, sealed::int, chain_version] FROM checked
         WHERE NOT (follows AND sealed AND id = place) ORDER BY id LIMIT 1)
  FROM checked
"""  # noqa: S608  # made of constants above


def append(home: Connection, *reports: Report) -> None:
    """Add rows: the last thing in a transaction, so that what they tell of is kept or undone together with them.

    Writers queue, and each takes its snapshot after it was let in; so no two rows follow the same one.
    Raises AuditShut where home does not take them.
    """
    with _shut(), home.pipeline():
        home.execute(_QUEUE)
        for report in reports:
            _append(home, report)


def append_first(home: Connection, report: Report) -> None:
    """Add a row, unless there is one of the same deed, person, environment and subject. Raises as `append` does."""
    same = {"deed": report.deed.value, "who": report.source.who, "environment": report.environment}
    with _shut():
        home.execute(_QUEUE)  # so that no two find that they are the first
        found = home.execute(
            "SELECT FROM home.audit WHERE deed = %(deed)s AND who = %(who)s AND environment = %(environment)s"
            " AND subject = %(subject)s LIMIT 1",
            {name: _storable(value) for name, value in (same | {"subject": report.subject}).items()},
        ).fetchone()
    if found is None:
        append(home, report)


def append_changed(home: Connection, report: Report) -> None:
    """Add a row, unless the newest of the same deed has the same subject. Raises as `append` does."""
    with _shut():
        home.execute(_QUEUE)
        newest = home.execute(
            "SELECT subject FROM home.audit WHERE deed = %s ORDER BY id DESC LIMIT 1", (report.deed.value,)
        ).fetchone()
    if newest != (report.subject,):
        append(home, report)


def _append(home: Connection, report: Report) -> None:
    values = {
        "who": report.source.who,
        "address": report.source.address,
        "deed": report.deed.value,
        "environment": report.environment,
        "subject": report.subject,
        "outcome": report.outcome,
        "detail": report.detail,
    }
    home.execute(_APPEND.encode(), {name: _storable(value) for name, value in values.items()})


@contextmanager
def _shut() -> Iterator[None]:
    """Whatever the server has against a row; that home is away, or takes no rows at all, is another matter."""
    try:
        yield
    except (psycopg.OperationalError, errors.ReadOnlySqlTransaction):
        raise
    except psycopg.DatabaseError as wrong:
        raise AuditShut(one_line(wrong)) from wrong


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()[:LONGEST]


_COLUMNS = sql.SQL(", ").join(sql.Identifier(one.name) for one in fields(AuditRow))


def page(home: Connection, wanted: AuditFilter, before: int | None, limit: int) -> AuditPage:
    """Newest first; what comes in meanwhile moves nothing. `before`: the id that all of them are below."""
    conditions = _conditions(wanted)
    if before is not None:
        conditions.append(sql.SQL("id < {}").format(sql.Literal(before)))
    query = sql.SQL("SELECT {columns} FROM home.audit{where} ORDER BY id DESC LIMIT {limit}").format(
        columns=_COLUMNS, where=_where(conditions), limit=sql.Literal(limit + 1)
    )
    with home.cursor(row_factory=class_row(AuditRow)) as cursor:
        found = cursor.execute(query).fetchall()
    rows = tuple(found[:limit])
    return AuditPage(rows, str(rows[-1].id) if len(found) > limit and rows else None)


def extent(home: Connection, wanted: AuditFilter, limit: int) -> tuple[int, int]:
    """How many rows there are, counted to one more than `limit`; and the id above which come rows of later."""
    query = sql.SQL(
        "SELECT pg_catalog.count(*), (SELECT coalesce(pg_catalog.max(id), 0) FROM home.audit)"
        " FROM (SELECT FROM home.audit{where} LIMIT {limit}) AS found"
    ).format(where=_where(_conditions(wanted)), limit=sql.Literal(limit + 1))
    counted: tuple[int, int] = home.execute(query).fetchone() or (0, 0)
    return counted


def environments(home: Connection) -> tuple[str, ...]:
    """Every environment that a row is about, also those that the configuration has no more."""
    found = home.execute(
        """
        WITH RECURSIVE names AS (
            SELECT pg_catalog.min(environment) AS name FROM home.audit WHERE environment > ''
             UNION ALL
            SELECT (SELECT pg_catalog.min(environment) FROM home.audit WHERE environment > names.name)
              FROM names WHERE names.name IS NOT NULL
        )
        SELECT name FROM names WHERE name IS NOT NULL
        """  # one step into the index for each, however many rows there are
    )
    return tuple(name for (name,) in found)


def _where(conditions: list[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _conditions(wanted: AuditFilter) -> list[sql.Composable]:
    tests = {
        "environment = {}": wanted.environment,
        "deed = {}": wanted.deed,
        "outcome = {}": wanted.outcome,
        "deed = ANY ({}::text[])": list(wanted.deeds) or None,
        "pg_catalog.strpos(pg_catalog.lower(who), pg_catalog.lower({})) > 0": wanted.who,
        "at >= {}": wanted.since,
        "at < {}": wanted.until,
    }
    return [sql.SQL(test).format(sql.Literal(value)) for test, value in tests.items() if value]


def limit_time(home: Connection, seconds: int) -> None:
    """Of what this transaction does from here on; 0: none."""
    home.execute("SELECT pg_catalog.set_config('statement_timeout', %s, true)", (f"{seconds}s",))


def verify(home: Connection, kept_head: str | None = None) -> ChainReport:
    """Compute every hash anew and compare. Rows cut off the end show only against a head that was kept elsewhere."""
    report = _verify(home)
    if not report.ok or kept_head is None or _has(home, kept_head):
        return report
    return cut_off(report, kept_head)


def _has(home: Connection, own_hash: str) -> bool:
    return home.execute("SELECT FROM home.audit WHERE own_hash = %s LIMIT 1", (own_hash,)).fetchone() is not None


def head(home: Connection) -> str | None:
    """The newest row's own hash; None where there is no row yet."""
    row = home.execute("SELECT own_hash FROM home.audit ORDER BY id DESC LIMIT 1").fetchone()
    return row[0] if row else None


def _verify(home: Connection) -> ChainReport:
    rows, head, bad = home.execute(_VERIFY.encode()).fetchone() or (0, None, None)
    if bad is None:
        what = f"{rows} rows, each sealed and following the one before" if rows else "the audit is empty"
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
