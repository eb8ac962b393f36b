"""How large tables are, as the server's own files and estimates say; nothing is read from end to end."""

from collections.abc import Collection

from dashboard.core.environment import Environment
from dashboard.core.estimate import Size
from dashboard.postgres.connect import connect

# A partitioned table is as large as its partitions together.
_SIZES = """
SELECT w.name, sum(pg_relation_size(c.oid))::bigint,
       sum(coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0))::bigint,
       sum(pg_indexes_size(c.oid))::bigint, CASE WHEN min(c.reltuples) >= 0 THEN sum(c.reltuples)::bigint END
  FROM unnest(%s::text[]) AS w(name)
  JOIN LATERAL (SELECT to_regclass(w.name)::oid AS oid) AS r ON r.oid IS NOT NULL
  JOIN LATERAL (SELECT r.oid UNION SELECT p.relid FROM pg_partition_tree(r.oid) AS p) AS part ON true
  JOIN pg_class AS c ON c.oid = part.oid AND c.relkind IN ('r', 'm', 'p')
 GROUP BY w.name
"""


def sizes_of(environment: Environment, names: Collection[str]) -> dict[str, Size]:
    """The sizes of those of the schema-qualified tables that are there. Raises EnvironmentFault."""
    if not names:
        return {}
    with connect(environment, purpose="sizes") as connection:
        rows = connection.execute(_SIZES, (sorted(names),)).fetchall()
    return {name: Size(heap, toast, indexes, counted) for name, heap, toast, indexes, counted in rows}
