"""Traces: what the catalog has of a statement that was begun and may not have ended."""

import json
from typing import Any

from dashboard.core.evidence import IndexSeen, Seen

# SQL for one value that `seen_of` reads, with our own search_path. {subject}, {deed} and {before} are text expressions:
# the relation's name, what was done (see `evidence.deed_of`), the oids of the indexes that were there before.
# pg_inherits says only since version 14 that a partition is being detached.
SEEN = r"""(
  SELECT jsonb_build_object(
    'exists', rel.oid IS NOT NULL,
    'indexes', (
      SELECT jsonb_agg(jsonb_build_array(concat(quote_ident(n.nspname), '.', quote_ident(c.relname)), c.relname,
                       i.indisvalid, coalesce(i.indexrelid::text = ANY (string_to_array({before}, ' ')), false),
                       coalesce(i.indexrelid = rel.oid, false)) ORDER BY i.indexrelid)
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
       WHERE i.indrelid = coalesce(own.indrelid, rel.oid)
          OR i.indrelid IN (SELECT tree.relid FROM pg_partition_tree(rel.oid) AS tree)
          OR i.indrelid = (SELECT t.reltoastrelid FROM pg_class AS t WHERE t.oid = coalesce(own.indrelid, rel.oid))
          OR (NOT i.indisvalid AND {deed} LIKE 'REINDEX % CONCURRENTLY' AND {subject} IS NULL)),
    'parent', (
      SELECT jsonb_build_array(concat(quote_ident(n.nspname), '.', quote_ident(c.relname)),
                               coalesce((to_jsonb(inh) ->> 'inhdetachpending')::boolean, false))
        FROM pg_inherits AS inh JOIN pg_class AS c ON c.oid = inh.inhparent JOIN pg_namespace AS n
          ON n.oid = c.relnamespace
       WHERE inh.inhrelid = rel.oid ORDER BY inh.inhseqno LIMIT 1))
    FROM (SELECT to_regclass({subject})::oid AS oid) AS rel LEFT JOIN pg_index AS own ON own.indexrelid = rel.oid)"""

# With a file's own search_path, so no operator of that path may be found: the relation called $1, or what is called $2
# and stands in the same schema, as PostgreSQL writes it; and the oids of the indexes that its table has.
FOUND = """
SELECT pg_catalog.jsonb_build_array(pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',
                                    pg_catalog.quote_ident(coalesce($2::pg_catalog.text, c.relname))), (
  SELECT pg_catalog.string_agg(i.indexrelid::pg_catalog.text, ' ') FROM pg_catalog.pg_index AS i
   WHERE i.indrelid OPERATOR(pg_catalog.=) coalesce(own.indrelid, c.oid)))
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  LEFT JOIN pg_catalog.pg_index AS own ON own.indexrelid OPERATOR(pg_catalog.=) c.oid
 WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)"""

# The same for a statement about many tables.
INVALID_BEFORE = """
SELECT pg_catalog.jsonb_build_array(NULL, pg_catalog.string_agg(i.indexrelid::pg_catalog.text, ' '))
  FROM pg_catalog.pg_index AS i WHERE NOT i.indisvalid"""


def seen_of(deed: str, subject: str | None, found: Any) -> Seen:
    """`found`: the value of `SEEN`, as JSON or read from it already."""
    value = json.loads(found) if isinstance(found, str) else found
    parent, pending = value["parent"] or (None, False)
    indexes = tuple(IndexSeen(*index) for index in value["indexes"] or ())
    return Seen(deed, subject, value["exists"], indexes, parent, pending)
