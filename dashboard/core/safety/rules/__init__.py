"""All rules, one file per family. This is the one place where a family is registered."""

from dashboard.core.safety.rule import Rule
from dashboard.core.safety.rules import (
    adding,
    breaking,
    columns,
    constraints,
    dropping,
    failing,
    hygiene,
    indexes,
    opaque,
    partitions,
    reach,
    records,
    rows,
    session,
    there,
    versions,
)

RULES: tuple[Rule, ...] = (
    *dropping.RULES,
    *rows.RULES,
    *columns.RULES,
    *indexes.RULES,
    *constraints.RULES,
    *adding.RULES,
    *partitions.RULES,
    *breaking.RULES,
    *reach.RULES,
    *opaque.RULES,
    *session.RULES,
    *records.RULES,
    *failing.RULES,
    *versions.RULES,
    *there.RULES,
    *hygiene.RULES,
)
