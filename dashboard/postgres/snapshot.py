"""A snapshot of a database's schema: every object with its definition, and the files that tables and indexes have."""

from collections.abc import Mapping

from dashboard.core.rehearsal import SchemaObject, Snapshot
from dashboard.postgres.connect import Connection

# The names of other schemas stand in front of their objects because our path has none of them. `ours` leaves out
# what extensions bring, and what nobody but the server or Rung made.
_OBJECTS = """
WITH ours AS (
  SELECT n.oid, n.nspname FROM pg_namespace AS n
   WHERE n.nspname NOT IN ('information_schema', 'rung') AND n.nspname !~ '^pg_'
), member AS (
  SELECT d.classid, d.objid FROM pg_depend AS d WHERE d.deptype = 'e'
), class AS (
  SELECT c.*, format('%I.%I', o.nspname, c.relname) AS shown
    FROM pg_class AS c JOIN ours AS o ON o.oid = c.relnamespace
   WHERE NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
)
SELECT 'pg_namespace', o.oid::bigint, 0, 'schema', quote_ident(o.nspname), '' FROM ours AS o
UNION ALL
SELECT 'pg_class', c.oid::bigint, 0,
       CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
            WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END,
       c.shown,
       concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                 CASE WHEN c.relrowsecurity THEN 'row security' END,
                 CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
                 array_to_string(c.reloptions, ', '),
                 CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
  FROM class AS c WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')
UNION ALL
SELECT 'pg_class', c.oid::bigint, a.attnum, 'column', format('%s.%I', c.shown, a.attname),
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 CASE WHEN a.attidentity <> '' THEN 'IDENTITY' END,
                 CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END,
                 CASE WHEN d.adbin IS NOT NULL THEN concat('DEFAULT ', pg_get_expr(d.adbin, d.adrelid)) END)
  FROM class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p', 'f', 'c')
UNION ALL
SELECT 'pg_constraint', k.oid::bigint, 0, 'constraint', format('%I on %s', k.conname, c.shown),
       pg_get_constraintdef(k.oid)
  FROM pg_constraint AS k JOIN class AS c ON c.oid = k.conrelid WHERE k.contype <> 'n' AND k.contype <> 't'
UNION ALL
SELECT 'pg_class', c.oid::bigint, 0, 'index', c.shown,
       concat(pg_get_indexdef(c.oid), CASE WHEN NOT i.indisvalid THEN ' (INVALID)' END)
  FROM class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
UNION ALL
SELECT 'pg_proc', p.oid::bigint, 0,
       CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
       format('%I.%I(%s)', o.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
       CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE '' END
  FROM pg_proc AS p JOIN ours AS o ON o.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
UNION ALL
SELECT 'pg_trigger', t.oid::bigint, 0, 'trigger', format('%I on %s', t.tgname, c.shown),
       concat(pg_get_triggerdef(t.oid), CASE WHEN t.tgenabled <> 'O' THEN concat(' (enabled: ', t.tgenabled, ')') END)
  FROM pg_trigger AS t JOIN class AS c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'pg_policy', p.oid::bigint, 0, 'policy', format('%I on %s', p.polname, c.shown),
       concat_ws(' ', p.polcmd::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  FROM pg_policy AS p JOIN class AS c ON c.oid = p.polrelid
UNION ALL
SELECT 'pg_type', t.oid::bigint, 0, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END,
       format('%I.%I', o.nspname, t.typname),
       CASE t.typtype WHEN 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                                       FROM pg_enum AS e WHERE e.enumtypid = t.oid)
            WHEN 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
                                    CASE WHEN t.typnotnull THEN 'NOT NULL' END)
            ELSE t.typtype::text END
  FROM pg_type AS t JOIN ours AS o ON o.oid = t.typnamespace
 WHERE t.typtype IN ('d', 'e', 'r')
   AND NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
UNION ALL
SELECT 'pg_extension', e.oid::bigint, 0, 'extension', quote_ident(e.extname), e.extversion FROM pg_extension AS e
"""

_RELATIONS = """
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), coalesce(pg_relation_filenode(c.oid), 0)::bigint,
       c.relkind IN ('i', 'I'), coalesce(s.seq_scan, 0)
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_xact_all_tables AS s ON s.relid = c.oid
 WHERE n.nspname NOT IN ('information_schema', 'rung') AND n.nspname !~ '^pg_'
"""

_LOCKS = """
SELECT l.relation::bigint, l.mode FROM pg_locks AS l
 WHERE l.pid = %s AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""


def take_snapshot(connection: Connection) -> Snapshot:
    """What the connection's transaction sees. It must have our own search_path."""
    objects = {
        (catalog, oid, number): SchemaObject(kind, name, definition)
        for catalog, oid, number, kind, name, definition in connection.execute(_OBJECTS.encode())
    }
    rows = connection.execute(_RELATIONS.encode()).fetchall()
    return Snapshot(
        objects=objects,
        files={oid: file for oid, _, file, _, _ in rows if file},
        relations={oid: name for oid, name, _, _, _ in rows},
        indexes=frozenset(oid for oid, _, _, index, _ in rows if index),
        scans={oid: scans for oid, _, _, _, scans in rows if scans},
    )


def locks_of(observer: Connection, pid: int, relations: Mapping[int, str]) -> set[tuple[str, str]]:
    """(relation, mode) of what a server process holds among those relations, seen from another session."""
    found = observer.execute(_LOCKS, (pid,))
    return {(relations[oid], mode) for oid, mode in found if oid in relations}
