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
                 'oid', a.atttypid::bigint, 'required', a.attnotnull, 'domain', t.typtype = 'd',
                 'generated', a.attgenerated)), '{}')
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
                 'valid', i.indisvalid, 'odd', i.indexprs IS NOT NULL OR i.indpred IS NOT NULL,
                 'columns', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(i.indkey)
                             WITH ORDINALITY AS u(number, place)
                             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
                            WHERE u.place <= i.indnkeyatts))), '{}')
          FROM pg_index AS i JOIN pg_class AS ic ON ic.oid = i.indexrelid JOIN pg_am AS am ON am.oid = ic.relam
         WHERE i.indrelid = c.oid) AS indexes,
       (SELECT p.relname FROM pg_inherits AS h JOIN pg_class AS p ON p.oid = h.inhparent
         WHERE h.inhrelid = c.oid AND c.relispartition) AS partition_of,
       (SELECT coalesce(json_agg(DISTINCT k.conrelid::regclass::text), '[]') FROM pg_constraint AS k
         WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')) AS changing,
       (SELECT coalesce(json_agg(json_build_array(coalesce(a.attname, ''), u.kind, u.name, u.told, u.of)), '[]')
          FROM (SELECT d.refobjsubid AS number, 'view' AS kind, v.relname AS name,
                       pg_describe_object('pg_class'::regclass, v.oid, 0) AS told, v.relname AS of
                  FROM pg_depend AS d JOIN pg_rewrite AS w ON w.oid = d.objid JOIN pg_class AS v ON v.oid = w.ev_class
                 WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                   AND d.refobjid = c.oid AND w.ev_class <> c.oid AND v.relkind IN ('v', 'm')
                UNION
                SELECT place, 'key', k.conname, pg_describe_object('pg_constraint'::regclass, k.oid, 0), o.relname
                  FROM pg_constraint AS k JOIN pg_class AS o ON o.oid = k.conrelid CROSS JOIN unnest(k.confkey) AS place
                 WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid AND k.conparentid = 0
                UNION
                SELECT d.refobjsubid, 'generated', o.attname, pg_describe_object('pg_class'::regclass, c.oid, o.attnum),
                       o.attname
                  FROM pg_attrdef AS f JOIN pg_attribute AS o ON o.attrelid = f.adrelid AND o.attnum = f.adnum
                  JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                   AND d.refobjsubid > 0 AND d.refobjsubid <> o.attnum
                   AND ((d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid)
                     OR (d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = o.attnum))
                 WHERE f.adrelid = c.oid AND o.attgenerated <> ''
                UNION
                SELECT d.refobjsubid, 'policy', p.polname, pg_describe_object('pg_policy'::regclass, p.oid, 0),
                       p.polname
                  FROM pg_depend AS d JOIN pg_policy AS p ON p.oid = d.objid
                 WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass
                   AND d.refobjid = c.oid AND d.refobjsubid > 0 AND d.deptype = 'n'
                UNION
                SELECT d.refobjsubid, 'trigger', g.tgname, pg_describe_object('pg_trigger'::regclass, g.oid, 0),
                       g.tgname
                  FROM pg_depend AS d JOIN pg_trigger AS g ON g.oid = d.objid
                 WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_class'::regclass
                   AND d.refobjid = c.oid AND d.refobjsubid > 0 AND d.deptype = 'n') AS u
          LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number AND u.number > 0) AS needs
  FROM json_to_recordset(%(wanted)s::json) AS w(at int, schema text, name text)
  JOIN LATERAL (
       SELECT c.* FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
        WHERE c.relname = w.name
          AND CASE WHEN w.schema = '' THEN s.nspname = ANY (%(path)s::text[]) ELSE s.nspname = w.schema END
        ORDER BY array_position(%(path)s::text[], s.nspname::text) LIMIT 1) AS c ON true
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN LATERAL (
       SELECT coalesce(sum(pg_relation_size(one.oid)), 0)::bigint AS bytes,
              coalesce(sum(pg_total_relation_size(one.oid)), 0)::bigint AS whole
         FROM (SELECT c.oid UNION SELECT part.relid FROM pg_partition_tree(c.oid) AS part) AS one) AS size ON true
"""
_PATH = """
SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(true)::pg_catalog.text[],
       pg_catalog.current_schema()::pg_catalog.text, pg_catalog.current_setting('session_replication_role')
"""
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

_STRICT = """
SELECT t.typname FROM pg_type AS t WHERE t.typname = ANY (%s::text[]) AND t.typtype = 'd'
   AND (t.typnotnull OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.contypid = t.oid))
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
    changing: tables whose rows go or change with rows of this one. needs: the attributes of each `Need`.

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
    partition_of: str | None = None
    changing: list[str] = field(default_factory=list)
    needs: list[list[str]] = field(default_factory=list)

    @property
    def tied(self) -> frozenset[str]:
        """The columns that an index of expressions, a CHECK or a foreign key has to be checked for again."""
        if any(one["odd"] for one in self.indexes.values()):
            return frozenset(self.columns)
        bound = (one["columns"] or [] for one in self.constraints.values() if one["type"] in "cf")
        return frozenset({name for names in bound for name in names} | {need[0] for need in self.needs})

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

    strict: domains that refuse some value. home: the schema that a name without one is made in.
    oldest: the transaction that has been open for longest, where that is long; other roles' are told to few.
    replication: the role's own session_replication_role.
    """

    version: int
    path: str
    tables: dict[tuple[str, str], Known]
    volatile: frozenset[str]
    oldest: Blocker | None = None
    strict: frozenset[str] = frozenset()
    home: str = ""
    asked: frozenset[tuple[str, str]] = frozenset()
    replication: str = "origin"

    def table(self, table: Table) -> Known | None:
        return self.tables.get((table.schema, table.name))


def read_catalog(
    connection: Connection, tables: Collection[Table], functions: Collection[str], types: Collection[str] = ()
) -> Catalog:
    """What is known of these tables, in two round trips; raises psycopg.Error.

    Begins a READ ONLY transaction on the connection, which is from `dial`; what its role's search_path was is in force
    no more afterwards.
    """
    with connection.pipeline():
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        asked = connection.execute(_PATH)
        connection.execute(own_transaction(connection).encode())
        connection.execute(_BOUNDS)
    setting, path, home, role = asked.fetchone() or ("", [], None, "origin")
    names = sorted({(table.schema, table.name) for table in tables})
    with connection.pipeline():
        found = connection.execute(_TABLES, {"wanted": _wanted(names), "path": path})
        volatile = connection.execute(_FUNCTIONS, (sorted(set(functions)),))
        strict = connection.execute(_STRICT, (sorted(set(types)),))
        oldest = connection.execute(_OLDEST, (_LONG,))
    known = {names[at]: Known(*rest) for at, *rest in found.fetchall()}
    calls = frozenset(name for (name,) in volatile.fetchall())
    session = oldest.fetchone()
    return Catalog(
        connection.info.server_version,
        setting,
        known,
        calls,
        Blocker(*session) if session else None,
        frozenset(name for (name,) in strict.fetchall()),
        home or "",
        frozenset(names),
        role,
    )


def read_more(connection: Connection, tables: Collection[Table]) -> dict[tuple[str, str], Known]:
    """Tables that nobody had thought of, in the same transaction, while its role's own search_path is in force."""
    names = sorted({(table.schema, table.name) for table in tables})
    row = connection.execute("SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]").fetchone()
    connection.execute(own_transaction(connection).encode())
    found = connection.execute(_TABLES, {"wanted": _wanted(names), "path": row[0] if row else []}).fetchall()
    return {names[at]: Known(*rest) for at, *rest in found}


def _wanted(names: Sequence[tuple[str, str]]) -> Json:
    return Json([{"at": at, "schema": schema, "name": name} for at, (schema, name) in enumerate(names)])
