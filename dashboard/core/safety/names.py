"""Names of database objects: as keys to compare, and as people write them."""

import re
from collections.abc import Sequence

from dashboard.core.tree import Node

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def shown(*parts: str) -> str:
    """`app.users`, with quotes where the name needs them."""
    return ".".join(_quoted(part) for part in parts if part)


def _quoted(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"'


def relation_name(relation: Node) -> str:
    """A `RangeVar` as people write it."""
    return shown(relation.schemaname, relation.relname)


def path_of(thing: object) -> tuple[str, ...]:
    """The parts of a name, wherever the tree keeps them: a string, a list, a type, a function with arguments."""
    if isinstance(thing, str):
        return (thing,)
    if isinstance(thing, tuple):
        return tuple(name for part in thing for name in path_of(part))
    return _path_of_node(thing) if isinstance(thing, Node) else ()


def _path_of_node(node: Node) -> tuple[str, ...]:
    if node.type == "RangeVar":  # asked of nearly every statement, by many rules
        parts = node.schemaname, node.relname
        return parts if all(parts) else parts[1:] if parts[1] else ()
    if node.type == "TypeName":
        return tuple(name for name in node.names if name != "pg_catalog")
    return tuple(node.objname) if node.type == "ObjectWithArgs" else ()


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
