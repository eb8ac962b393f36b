"""What an ALTER TABLE asks of a table that was there before, and the same statement put otherwise."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dashboard.core.parser import write
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.names import relation_name, shown
from dashboard.core.tree import Node, find


def commands(alter: Node, batch: Batch, *subtypes: str) -> Sequence[Node]:
    """The commands of these subtypes, unless the batch made the table."""
    asked = [command for command in alter.cmds if command.subtype in subtypes]
    old = asked and alter.objtype == "OBJECT_TABLE" and not batch.has_new_table(alter.relation)
    return asked if old else ()


def constraints(alter: Node, batch: Batch, *kinds: str) -> Iterator[tuple[Node, Node]]:
    """(command, constraint) of ADD CONSTRAINT of these kinds that is checked at once."""
    for command in commands(alter, batch, "AT_AddConstraint"):
        constraint = command.get("def")
        if constraint.contype in kinds and not constraint.skip_validation:
            yield command, constraint


def added(alter: Node, batch: Batch) -> Iterator[tuple[Node, Node, dict[str, Node]]]:
    """(command, column, its constraints by type) of every ADD COLUMN to a table that was there before."""
    for command in commands(alter, batch, "AT_AddColumn"):
        column = command.get("def")
        yield command, column, {one.contype: one for one in column.constraints}


def column_name(alter: Node, column: str) -> str:
    """`email of users`."""
    return f"{shown(column)} of {relation_name(alter.relation)}"


def name_of(alter: Node, constraint: Node, suffix: str) -> str:
    """The constraint's name, or the one that its author might give it: PostgreSQL's own."""
    columns = [key for key in (*constraint.keys, *constraint.fk_attrs) if isinstance(key, str)]
    if not columns and constraint.raw_expr is not None:
        columns = [ref.fields[-1] for ref in find(constraint.raw_expr, "ColumnRef") if isinstance(ref.fields[-1], str)]
    return constraint.conname or "_".join((alter.relation.relname, *dict.fromkeys(columns), suffix))[:63]


def rewritten(alter: Node, command: Node, change: Callable[[Any], None] = lambda _: None) -> str:
    """The ALTER TABLE with only this command in it, after `change` was made to a copy of the command's message."""
    index = next(number for number, one in enumerate(alter.cmds) if one.message is command.message)

    def alone(copy: Any) -> None:
        kept = copy.cmds[index]
        change(kept.alter_table_cmd)
        del copy.cmds[index + 1 :]
        del copy.cmds[:index]

    return write(alter, alone)


def table(alter: Node) -> str:
    """`ALTER TABLE app.users`, to be gone on with."""
    return f"ALTER TABLE {relation_name(alter.relation)}"
