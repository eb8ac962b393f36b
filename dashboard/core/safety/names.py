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
    match thing:
        case str():
            return (thing,)
        case tuple():
            return tuple(name for part in thing for name in path_of(part))
        case Node(type="TypeName"):
            return tuple(name for name in thing.names if name != "pg_catalog")
        case Node(type="ObjectWithArgs"):
            return tuple(thing.objname)
        case Node(type="RangeVar"):
            return tuple(part for part in (thing.schemaname, thing.relname) if part)
        case _:
            return ()


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
