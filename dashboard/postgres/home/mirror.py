"""The mirror: home's copy of every environment's `rung.history`, and the pages read from it."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import sql

from dashboard.core.record import (
    CANCELLED_BY,
    CANCELLED_CODE,
    HistoryFilter,
    HistoryPage,
    HistoryRow,
    PastRun,
    Remembered,
)
from dashboard.postgres.connect import Connection
from dashboard.postgres.home.pool import Home

Read = Callable[[int, int], tuple[HistoryRow, ...]]
"""`history.rows_since` on an environment: (after this id, at most so many) -> rows, oldest first."""

BATCH = 100  # rows hold whole files

# What a row is called here; `environment` is ours, the name the run used is kept beside it.
_COLUMNS = {one.name: "called" if one.name == "environment" else one.name for one in fields(HistoryRow)}


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest row of an environment that is known to be there."""

    id: int
    own_hash: str


def newest(home: Connection, environment: str) -> Newest | None:
    row = home.execute(
        "SELECT id, own_hash FROM home.history WHERE environment = %s AND gone_since IS NULL ORDER BY id DESC LIMIT 1",
        (environment,),
    ).fetchone()
    return Newest(*row) if row else None


def follow(home: Home, environment: str, read: Read) -> None:
    """Copy what is new. Rows that a replaced or restored database does not hold any more are marked, never deleted."""
    while _step(home, environment, read):
        pass


def _step(home: Home, environment: str, read: Read) -> bool:
    """One batch; whether there may be more. One process at a time for each environment."""
    with home.transaction() as connection:
        connection.execute(
            "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('home.history ' || %s, 0))",
            (environment,),
        )
        last = newest(connection, environment)
        rows = read(last.id - 1 if last else 0, BATCH)
        if last and not _starts_with(rows, last):
            common = _common(connection, environment, last, read)
            _mark_gone(connection, environment, common)
            return True
        _add(connection, environment, rows)
        return len(rows) == BATCH


def _starts_with(rows: tuple[HistoryRow, ...], known: Newest) -> bool:
    return bool(rows) and (rows[0].id, rows[0].own_hash) == (known.id, known.own_hash)


def _common(home: Connection, environment: str, last: Newest, read: Read) -> int:
    """The id up to which both sides tell the same story. Hashes are chained: equal at one row, equal before it."""
    known: dict[int, str] = dict(
        home.execute(
            "SELECT id, own_hash FROM home.history WHERE environment = %s AND gone_since IS NULL", (environment,)
        ).fetchall()
    )
    same, differs = 0, last.id
    while differs - same > 1:
        middle = (same + differs) // 2
        found = read(middle - 1, 1)
        if found and found[0].id == middle and found[0].own_hash == known.get(middle):
            same = middle
        else:
            differs = middle
    return same


def _mark_gone(home: Connection, environment: str, after: int) -> None:
    home.execute(
        "UPDATE home.history SET gone_since = pg_catalog.clock_timestamp()"
        " WHERE environment = %s AND gone_since IS NULL AND id > %s",
        (environment, after),
    )


_ADD = sql.SQL(
    "INSERT INTO home.history (environment, {columns}) VALUES (%s, {values})"
    " ON CONFLICT ON CONSTRAINT history_row_key DO UPDATE SET gone_since = NULL"
).format(
    columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS.values())),
    values=sql.SQL(", ").join([sql.Placeholder()] * len(_COLUMNS)),
)


def _add(home: Connection, environment: str, rows: tuple[HistoryRow, ...]) -> None:
    """A row that was gone and is there again counts as there."""
    with home.cursor() as cursor:
        cursor.executemany(_ADD, [(environment, *(getattr(row, name) for name in _COLUMNS)) for row in rows])


# --- reading ---


def _select(*, text: bool) -> sql.Composed:
    """The columns of a row; without its text the server need not fetch it."""

    def expression(name: str, column: str) -> sql.Composable:
        if name == "sql" and not text:
            return sql.SQL("NULL::text")
        if name == "environment":
            return sql.SQL("environment")
        return sql.SQL("{}::text" if name == "run_id" else "{}").format(sql.Identifier(column))

    columns = [expression(*pair) for pair in _COLUMNS.items()]
    return sql.SQL("SELECT place, gone_since, {} FROM home.history").format(sql.SQL(", ").join(columns))


_LEAN, _WHOLE = _select(text=False), _select(text=True)
_NEWEST_FIRST = sql.SQL(" ORDER BY finished_at DESC, place DESC LIMIT ")


def _remembered(found: tuple[Any, ...]) -> Remembered:
    return Remembered(HistoryRow(*found[2:]), found[1])


def page(
    home: Connection, wanted: HistoryFilter, before: str | None, limit: int, upto: int | None = None
) -> HistoryPage:
    """Newest first; a keyset cursor, so that what comes in meanwhile moves nothing. `upto`: see `extent`."""
    conditions = _conditions(wanted)
    if upto is not None:
        conditions.append(sql.SQL("place <= {}").format(sql.Literal(upto)))
    cursor = _read_cursor(before)
    if cursor:
        conditions.append(sql.SQL("(finished_at, place) < ({}, {})").format(*map(sql.Literal, cursor)))
    found = home.execute(_LEAN + _where(conditions) + _NEWEST_FIRST + sql.Literal(limit + 1)).fetchall()
    rows = tuple(map(_remembered, found[:limit]))
    more = len(found) > limit and rows
    return HistoryPage(rows, _make_cursor(rows[-1].row.finished_at, found[limit - 1][0]) if more else None)


# As `HistoryRow.is_cancelled` has it.
_CANCELLED = sql.SQL(
    "(pg_catalog.starts_with(coalesce(message, ''), {by}) AND coalesce(sqlstate, {code}) = {code})"
).format(by=sql.Literal(CANCELLED_BY), code=sql.Literal(CANCELLED_CODE))


def past_runs(home: Connection, wanted: HistoryFilter, rows: int) -> tuple[PastRun, ...]:
    """The runs that the newest so many rows of the filter belong to, each told by all of its rows."""
    query = sql.SQL("""
        SELECT told.environment, told.run_id::text, pg_catalog.min(actor), pg_catalog.max(finished_at),
               pg_catalog.bool_or(event = 'failed' AND NOT {cancelled}), pg_catalog.bool_or(event = 'resolved'),
               pg_catalog.count(*) FILTER (WHERE event IN ('applied', 'adopted')),
               pg_catalog.count(*) FILTER (WHERE event = 'started'),
               pg_catalog.bool_or(event = 'failed' AND {cancelled})
          FROM (SELECT DISTINCT environment, run_id FROM (SELECT environment, run_id FROM home.history{where}
                 ORDER BY finished_at DESC, place DESC LIMIT {rows}) AS newest) AS chosen
          JOIN home.history AS told USING (environment, run_id)
         GROUP BY told.environment, told.run_id ORDER BY pg_catalog.max(finished_at), told.run_id
    """).format(where=_where(_conditions(wanted)), rows=sql.Literal(rows), cancelled=_CANCELLED)
    return tuple(PastRun(*row) for row in home.execute(query))


def extent(home: Connection, wanted: HistoryFilter, limit: int) -> tuple[int, int]:
    """How many rows there are, counted to one more than `limit`; and the place after which come rows of later."""
    query = sql.SQL(
        "SELECT pg_catalog.count(*), (SELECT coalesce(pg_catalog.max(place), 0) FROM home.history)"
        " FROM (SELECT FROM home.history{where} LIMIT {limit}) AS found"
    ).format(where=_where(_conditions(wanted)), limit=sql.Literal(limit + 1))
    counted: tuple[int, int] = home.execute(query).fetchone() or (0, 0)
    return counted


def environments(home: Connection) -> tuple[str, ...]:
    """Every environment that left something here, also those that the configuration has no more."""
    found = home.execute(
        """
        WITH RECURSIVE names AS (
            SELECT pg_catalog.min(environment) AS name FROM home.history
             UNION ALL
            SELECT (SELECT pg_catalog.min(environment) FROM home.history WHERE environment > names.name)
              FROM names WHERE names.name IS NOT NULL
        )
        SELECT name FROM names WHERE name IS NOT NULL
        """  # one step into the index for each, however many rows there are
    )
    return tuple(name for (name,) in found)


def _where(conditions: list[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _conditions(wanted: HistoryFilter) -> list[sql.Composable]:
    exact = {"environment": wanted.environment, "event": wanted.outcome}
    part = {"actor": wanted.actor, "filename": wanted.filename}
    equal = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in exact.items() if value
    ]
    inside = [
        sql.SQL("pg_catalog.strpos(pg_catalog.lower({}), pg_catalog.lower({})) > 0").format(
            sql.Identifier(name), sql.Literal(value.replace("\0", ""))
        )
        for name, value in part.items()
        if value
    ]
    one_of = {"event": list(wanted.events) or None, "environment": None if wanted.among is None else list(wanted.among)}
    among = [
        sql.SQL("{} = ANY ({}::text[])").format(sql.Identifier(name), sql.Literal(values))
        for name, values in one_of.items()
        if values is not None
    ]
    times = {"finished_at >= {}": wanted.since, "finished_at < {}": wanted.until}
    between = [sql.SQL(text).format(sql.Literal(moment)) for text, moment in times.items() if moment]
    return [*equal, *inside, *among, *between]


def _make_cursor(moment: datetime, place: int) -> str:
    return f"{moment.isoformat()}~{place}"


def _read_cursor(text: str | None) -> tuple[datetime, int] | None:
    moment, _, place = (text or "").partition("~")
    try:
        read = datetime.fromisoformat(moment), int(place)
    except ValueError:
        return None
    return read if read[0].tzinfo is not None and abs(read[1]) < 1 << 63 else None


def of_file(home: Connection, filename: str, limit: int) -> tuple[Remembered, ...]:
    query = _LEAN + sql.SQL(" WHERE filename = %s") + _NEWEST_FIRST + sql.Literal(limit)
    return tuple(map(_remembered, home.execute(query, (filename,)).fetchall()))


def of_run(home: Connection, run_id: str) -> tuple[Remembered, ...]:
    query = _LEAN + sql.SQL(" WHERE run_id = %s ORDER BY place")
    return tuple(map(_remembered, home.execute(query, (run_id,)).fetchall()))


def row(home: Connection, environment: str, row_id: int) -> HistoryRow | None:
    """The row as the environment has it now, with its text."""
    query = _WHOLE + sql.SQL(" WHERE environment = %s AND id = %s AND gone_since IS NULL")
    found = home.execute(query, (environment, row_id)).fetchone()
    return HistoryRow(*found[2:]) if found else None


def text_of(home: Connection, environment: str, row_id: int, own_hash: str) -> str | None:
    """The file that a row is about, also of a row that is gone; None where its text was not kept with it."""
    found = home.execute(
        "SELECT sql FROM home.history WHERE environment = %s AND id = %s AND own_hash = %s",
        (environment, row_id, own_hash),
    ).fetchone()
    return found[0] if found else None


def text_with(home: Connection, environment: str, filename: str, raw_hash: str) -> str | None:
    """The text of a file that an environment applied with exactly this content."""
    found = home.execute(
        "SELECT sql FROM home.history WHERE environment = %s AND filename = %s AND raw_hash = %s AND sql IS NOT NULL"
        " ORDER BY finished_at DESC LIMIT 1",
        (environment, filename, raw_hash),
    ).fetchone()
    return found[0] if found else None


def applied_in(home: Connection, run_id: str) -> tuple[str, ...]:
    """The files that a run brought into the ledger, in order."""
    found = home.execute(
        "SELECT filename FROM home.history WHERE run_id = %s AND event IN ('applied', 'adopted')"
        " AND filename IS NOT NULL ORDER BY place",
        (run_id,),
    )
    return tuple(name for (name,) in found)
