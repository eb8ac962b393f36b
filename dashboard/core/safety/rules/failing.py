"""What is certain to raise an error, or to do nothing."""

from collections.abc import Iterable, Iterator
from typing import Any

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import relation_name, shown
from dashboard.core.safety.rule import Claim, Remark, Rule
from dashboard.core.tree import Node, find, walk

_WITH_VALUES = (
    *("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "SelectStmt"),
    *("AlterTableStmt", "CreateStmt", "ViewStmt", "CreateTableAsStmt"),
)


def _uses_value(statement: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.values or (statement.type == "SelectStmt" and statement.values_lists):  # its INSERT knows more
        return
    types = dict(_typed(statement, batch))  # by the place of the constant
    for node in walk(statement):
        if node.type == "TypeCast" and node.arg is not None and node.arg.type == "A_Const":
            types[node.arg.location] = node.type_name.names[-1]
        elif node.type == "A_Const" and isinstance(node.constant, str) and node.constant in batch.values:
            yield from _used(node, batch.values[node.constant], types.get(node.location))


def _typed(statement: Node, batch: Batch) -> Iterator[tuple[int, str]]:
    """Where constants stand for values of columns whose types are known, from the text or from the catalog."""
    match statement.type:
        case "UpdateStmt":
            pairs = [(target.name, target.val) for target in statement.target_list]
            yield from _in_columns(statement.relation, [*pairs, *_compared(statement.where_clause)], batch)
        case "DeleteStmt":
            yield from _in_columns(statement.relation, _compared(statement.where_clause), batch)
        case "InsertStmt" if statement.cols and statement.select_stmt is not None:
            names = [column.name for column in statement.cols]
            rows = statement.select_stmt.values_lists
            pairs = [pair for row in rows for pair in zip(names, row, strict=False)]
            yield from _in_columns(statement.relation, pairs, batch)
        case "AlterTableStmt":
            yield from _defaults(statement, batch)
        case _:
            return


def _defaults(alter: Node, batch: Batch) -> Iterator[tuple[int, str]]:
    for command in alter.cmds:
        definition = command.get("def")
        if command.subtype == "AT_ColumnDefault" and definition is not None:
            yield from _in_columns(alter.relation, [(command.name, definition)], batch)
        elif command.subtype == "AT_AddColumn" and not definition.type_name.array_bounds:
            given = (one.raw_expr for one in definition.constraints if one.contype == "CONSTR_DEFAULT")
            yield from ((one.location, definition.type_name.names[-1]) for one in given if one.type == "A_Const")


def _compared(where: Node | None) -> list[tuple[str, Node]]:
    """`column = 'constant'` and `column IN ('constant')`, wherever they stand."""
    found = []
    for one in find(where, "A_Expr") if where is not None else ():
        left, right = one.lexpr, one.rexpr
        if isinstance(left, Node) and left.type == "ColumnRef" and len(left.fields) == 1:
            found += [(left.fields[0], value) for value in (right if isinstance(right, tuple) else (right,))]
    return found


def _in_columns(relation: Node, pairs: Iterable[tuple[str, Node]], batch: Batch) -> Iterator[tuple[int, str]]:
    for name, value in pairs:
        column = batch.column(relation, name) if value.type == "A_Const" else None
        if column:
            yield value.location, column.base


def _used(constant: Node, made: tuple[str, ...], known: str | None) -> Iterator[Remark]:
    """A text that is of another type is not the value, and one of which nobody knows the type need not be."""
    if known is not None and known != made[-1]:
        return
    value, of = constant.constant, shown(*made)
    refused = "which PostgreSQL refuses" if known is not None else f"which PostgreSQL refuses where it is meant as {of}"
    safer = f"ALTER TYPE {of} ADD VALUE '{value}' in a file of its own, before this one."
    what = f"uses '{value}' in the transaction that adds it to {of}, {refused}"
    yield Remark(what, safer, at=constant, certain=known is not None)


def _local(node: Node, batch: Batch) -> Iterator[Remark]:
    if batch.transactional or batch.in_body or not _is_local(node):
        return
    yield Remark("sets something until the end of a transaction, and there is none: it does nothing")


def _is_local(node: Node) -> bool:
    if node.type == "VariableSetStmt":
        return bool(node.is_local)
    return node.funcname[-1] == "set_config" and len(node.args) == 3 and _constant(node.args[2]) is True


def _constant(node: Node) -> Any:
    return node.constant if node.type == "A_Const" else None


def _lock(_: Node, batch: Batch) -> Iterator[Remark]:
    if not (batch.transactional or batch.in_body):
        yield Remark("locks a table outside of a transaction, which PostgreSQL refuses")


_TARGETS = {
    "InsertStmt": "relation",
    "UpdateStmt": "relation",
    "DeleteStmt": "relation",
    "MergeStmt": "relation",
    "CreateStmt": "relation",
    "AlterTableStmt": "relation",
    "IndexStmt": "relation",
    "CreateTrigStmt": "relation",
    "CreateSeqStmt": "sequence",
    "ViewStmt": "view",
}


def _without_path(node: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.path_is_empty or batch.in_body or (node.type == "AlterTableStmt" and node.missing_ok):
        return
    relation = getattr(node, _TARGETS[node.type])
    own = relation.schemaname or relation.relpersistence == "t" or relation.relname.startswith("pg_")
    if not own and not batch.has_new_table(relation):
        name = relation_name(relation)
        what = f"names {name} without its schema, and this file has emptied the search_path: nothing is found"
        yield Remark(what, f"Write public.{name}, or leave out what empties the search_path.")


RULES = (
    Rule(
        "enum-add-then-use",
        RiskClass.WILL_FAIL,
        _WITH_VALUES,
        _uses_value,
        about=(
            "A value that ALTER TYPE … ADD VALUE adds cannot be used before its transaction ends, unless the type was "
            "made in it. With a cast to the type, or as the default of a new column of it, it is certain and stops the "
            "run; so is what goes into a column of that type by the environment's catalog, which also clears a column "
            "of another type. Any other text that merely reads the same is only shown."
        ),
        safer="Add the value in a file of its own, and use it in the next one.",
        claim=Claim(fails="55P04"),
    ),
    Rule(
        "set-local-outside-tx",
        RiskClass.WILL_FAIL,
        ("VariableSetStmt", "FuncCall"),
        _local,
        about="SET LOCAL, or set_config(…, true), in a file that runs outside a transaction: a warning, and no effect.",
        safer="Plain SET: every file starts with the usual settings, so that it does not outlive the file.",
    ),
    Rule(
        "lock-table-outside-tx",
        RiskClass.WILL_FAIL,
        ("LockStmt",),
        _lock,
        about="LOCK TABLE in a file that runs outside a transaction.",
        safer="Leave it out, or put it into a file that runs in a transaction.",
    ),
    Rule(
        "search-path-blanked",
        RiskClass.WILL_FAIL,
        tuple(_TARGETS),
        _without_path,
        about=(
            "A table without its schema, written to or created after the same file emptied the search_path, as the "
            "first lines of a dump do. Temporary tables and those of pg_catalog are found all the same."
        ),
        safer="Write the schema before the name, or leave out what empties the search_path.",
        claim=Claim(fails="42P01"),
    ),
)
