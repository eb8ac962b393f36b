"""What an environment's catalog says of the tables that pending files name: in two round trips, read-only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql
from psycopg.types.json import Json

from dashboard.core.events import Blocker
from dashboard.core.probes import Table
from dashboard.postgres.connect import Connection, own_transaction

# Names without a schema are looked for as the role's own sessions would look.
_TABLES = """
SELECT w.at, c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       c.reltuples::bigint AS rows, size.bytes, size.whole,
       EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D')
         OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.confrelid = c.oid AND k.contype = 'f'
                       AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')))
         OR EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = c.oid AND c.relkind <> 'v') AS spreads,
       (WITH RECURSIVE falls (oid) AS (
               SELECT c.oid
         UNION SELECT w.ev_class FROM falls
                 JOIN pg_depend AS d ON d.refobjid = falls.oid AND d.refclassid = 'pg_class'::regclass
                                    AND d.classid = 'pg_rewrite'::regclass
                 JOIN pg_rewrite AS w ON w.oid = d.objid)
        SELECT coalesce(json_agg(told), '[]') FROM (
               SELECT pg_describe_object('pg_class'::regclass, oid, 0) AS told FROM falls WHERE oid <> c.oid
         UNION SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0) FROM pg_constraint AS k
                 JOIN falls ON falls.oid = k.confrelid WHERE k.contype = 'f' AND k.conrelid <> c.oid
                ORDER BY 1 LIMIT 21) AS few) AS dependents,
       (SELECT coalesce(json_object_agg(a.attname, json_build_object(
                 'type', format_type(a.atttypid, a.atttypmod), 'base', b.typname, 'category', b.typcategory,
                 'oid', a.atttypid::bigint, 'required', a.attnotnull)), '{}')
          FROM pg_attribute AS a
          JOIN pg_type AS t ON t.oid = a.atttypid
          JOIN pg_type AS b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT coalesce(json_object_agg(k.conname, json_build_object(
                 'type', k.contype, 'valid', k.convalidated, 'expression', pg_get_expr(k.conbin, k.conrelid),
                 'full', k.confmatchtype = 'f', 'schema', pn.nspname, 'parent', p.relname,
                 'columns', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.conkey)
                             WITH ORDINALITY AS u(number, place)
                             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number),
                 'others', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.confkey)
                            WITH ORDINALITY AS u(number, place)
                            JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number))), '{}')
          FROM pg_constraint AS k
          LEFT JOIN pg_class AS p ON p.oid = k.confrelid
          LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
         WHERE k.conrelid = c.oid) AS constraints,
       (SELECT coalesce(json_object_agg(ic.relname, json_build_object(
                 'primary', i.indisprimary, 'usable', i.indisvalid AND i.indpred IS NULL AND am.amname = 'btree',
                 'valid', i.indisvalid,
                 'columns', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(i.indkey)
                             WITH ORDINALITY AS u(number, place)
                             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
                            WHERE u.place <= i.indnkeyatts))), '{}')
          FROM pg_index AS i JOIN pg_class AS ic ON ic.oid = i.indexrelid JOIN pg_am AS am ON am.oid = ic.relam
         WHERE i.indrelid = c.oid) AS indexes
  FROM json_to_recordset(%(wanted)s::json) AS w(at int, schema text, name text)
  JOIN LATERAL (
       SELECT c.* FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
        WHERE c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND CASE WHEN w.schema = '' THEN s.nspname = ANY (%(path)s::text[]) ELSE s.nspname = w.schema END
        ORDER BY array_position(%(path)s::text[], s.nspname::text) LIMIT 1) AS c ON true
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN LATERAL (
       SELECT coalesce(sum(pg_relation_size(one.oid)), 0)::bigint AS bytes,
              coalesce(sum(pg_total_relation_size(one.oid)), 0)::bigint AS whole
         FROM (SELECT c.oid UNION SELECT part.relid FROM pg_partition_tree(c.oid) AS part) AS one) AS size ON true
"""
_PATH = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(true)::pg_catalog.text[]"
_BOUNDS = "SELECT set_config('statement_timeout', '5s', true), set_config('lock_timeout', '100ms', true)"
_LONG = 60  # seconds after which a transaction is in the way of everybody who needs a strong lock
_OLDEST = """
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(state, ''), query_start, xact_start,
       extract(epoch FROM clock_timestamp() - xact_start)::float8
  FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND xact_start < clock_timestamp() - make_interval(secs => %s)
 ORDER BY xact_start LIMIT 1
"""
_FUNCTIONS = """
SELECT DISTINCT p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
 WHERE p.proname = ANY (%s::text[]) AND p.provolatile = 'v' AND n.nspname <> 'pg_catalog'
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A table as it is there.

    Attributes
    ----------
    kind: of `pg_class.relkind`.
    size: bytes of the heap, with all partitions. whole: with TOAST and indexes.
    spreads: whoever writes to it may change other tables, by triggers, rules, or foreign keys that cascade.
    dependents: what a DROP … CASCADE takes along, as PostgreSQL describes it; 21 of them at most.
    columns, constraints, indexes: by name, as `_TABLES` writes them.

    """

    oid: int
    schema: str
    name: str
    kind: str
    rows: int
    size: int
    whole: int
    spreads: bool
    dependents: list[str]
    columns: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, Any] = field(default_factory=dict)
    indexes: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of its primary key."""
        return next((tuple(one["columns"]) for one in self.indexes.values() if one["primary"]), ())

    @property
    def never_null(self) -> frozenset[str]:
        """The columns that cannot be NULL, by a constraint that holds for every row."""
        checks = {one["expression"] for one in self.constraints.values() if one["type"] == "c" and one["valid"]}
        proved = (name for name in self.columns if f"({sql.Identifier(name).as_string()} IS NOT NULL)" in checks)
        plain = (name for name in self.columns if f"({name} IS NOT NULL)" in checks)
        return frozenset({*proved, *plain, *(n for n, one in self.columns.items() if one["required"])})

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Catalog:
    """`path`: the role's own search_path, as a setting. `volatile`: functions of the users' that may do anything.

    oldest: the transaction that has been open for longest, where that is long; other roles' are told to few.
    """

    version: int
    path: str
    tables: dict[tuple[str, str], Known]
    volatile: frozenset[str]
    oldest: Blocker | None = None

    def table(self, table: Table) -> Known | None:
        return self.tables.get((table.schema, table.name))


def read_catalog(connection: Connection, tables: Collection[Table], functions: Collection[str]) -> Catalog:
    """What is known of these tables, in two round trips; raises psycopg.Error.

    Begins a READ ONLY transaction on the connection, which is from `dial`; what its role's search_path was is in force
    no more afterwards.
    """
    with connection.pipeline():
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        asked = connection.execute(_PATH)
        connection.execute(own_transaction(connection).encode())
        connection.execute(_BOUNDS)
    setting, path = asked.fetchone() or ("", [])
    names = sorted({(table.schema, table.name) for table in tables})
    with connection.pipeline():
        found = connection.execute(_TABLES, {"wanted": _wanted(names), "path": path})
        volatile = connection.execute(_FUNCTIONS, (sorted(set(functions)),))
        oldest = connection.execute(_OLDEST, (_LONG,))
    known = {names[at]: Known(*rest) for at, *rest in found.fetchall()}
    calls = frozenset(name for (name,) in volatile.fetchall())
    session = oldest.fetchone()
    return Catalog(connection.info.server_version, setting, known, calls, Blocker(*session) if session else None)


def read_more(connection: Connection, tables: Collection[Table]) -> dict[tuple[str, str], Known]:
    """Tables that nobody had thought of, in the same transaction, while its role's own search_path is in force."""
    names = sorted({(table.schema, table.name) for table in tables})
    row = connection.execute("SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]").fetchone()
    connection.execute(own_transaction(connection).encode())
    found = connection.execute(_TABLES, {"wanted": _wanted(names), "path": row[0] if row else []}).fetchall()
    return {names[at]: Known(*rest) for at, *rest in found}


def _wanted(names: Sequence[tuple[str, str]]) -> Json:
    return Json([{"at": at, "schema": schema, "name": name} for at, (schema, name) in enumerate(names)])
