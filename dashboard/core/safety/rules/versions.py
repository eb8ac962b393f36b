"""What older servers do not know: the parser here reads the grammar of PostgreSQL 18."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.tree import Node

_COMMANDS = {
    "AT_DropExpression": (13, "DROP EXPRESSION"),
    "AT_SetCompression": (14, "SET COMPRESSION"),
    "AT_DetachPartitionFinalize": (14, "DETACH PARTITION … FINALIZE"),
    "AT_SetAccessMethod": (15, "SET ACCESS METHOD"),
    "AT_SetExpression": (17, "SET EXPRESSION"),
}
_KEYS = ("CONSTR_PRIMARY", "CONSTR_UNIQUE")
Feature = tuple[int, str, Node | None]  # the first version that has it, its name, where it stands


def _needs(node: Node, batch: Batch) -> Iterator[Remark]:
    for since, name, at in _features(node):
        # A block may choose its text by the server's version.
        yield Remark(
            f"uses {name}, which PostgreSQL has since version {since}", at=at, since=since, certain=not batch.in_body
        )


def _features(node: Node) -> Iterator[Feature]:
    match node.type:
        case "AlterTableStmt":
            for command in node.cmds:
                yield from _of_command(command)
        case "CreateStmt":
            for element in node.table_elts:
                yield from _of_definition(element)
        case "MergeStmt":
            yield 15, "MERGE", None
            if any(clause.match_kind == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE" for clause in node.merge_when_clauses):
                yield 17, "MERGE … WHEN NOT MATCHED BY SOURCE", None
        case "IndexStmt" if node.nulls_not_distinct:
            yield 15, "NULLS NOT DISTINCT", None
        case "CreateTrigStmt" if node.replace:
            yield 14, "CREATE OR REPLACE TRIGGER", None
        case "CreateFunctionStmt" if node.sql_body is not None:
            yield 14, "a function body that is no text", None
        case "JsonTable":
            yield 17, "JSON_TABLE", None
        case _:
            pass


def _of_command(command: Node) -> Iterator[Feature]:
    if command.subtype in _COMMANDS:
        yield *_COMMANDS[command.subtype], None
    elif command.subtype == "AT_DetachPartition" and command.get("def").concurrent:
        yield 14, "DETACH PARTITION … CONCURRENTLY", None
    elif command.subtype in ("AT_AddColumn", "AT_AddConstraint"):
        if command.subtype == "AT_AddConstraint" and command.get("def").contype == "CONSTR_NOTNULL":
            yield 18, "a NOT NULL constraint with a name of its own", command.get("def")
        yield from _of_definition(command.get("def"))


def _of_definition(element: Node) -> Iterator[Feature]:
    if element.type == "ColumnDef":
        if element.compression:
            yield 14, "COMPRESSION", element
        for constraint in element.constraints:
            yield from _of_definition(constraint)
    elif element.type == "Constraint":
        yield from _of_constraint(element)


def _of_constraint(constraint: Node) -> Iterator[Feature]:
    """Asks of each kind only what it can have: nothing of most."""
    kind = constraint.contype
    if kind == "CONSTR_GENERATED" and constraint.generated_kind == "v":
        yield 18, "virtual generated columns", constraint
    elif kind in ("CONSTR_CHECK", "CONSTR_FOREIGN") and not constraint.is_enforced:
        yield 18, "NOT ENFORCED", constraint
    if (kind in _KEYS and constraint.without_overlaps) or (kind == "CONSTR_FOREIGN" and constraint.fk_with_period):
        yield 18, "WITHOUT OVERLAPS and PERIOD", constraint
    if kind in _KEYS and constraint.nulls_not_distinct:
        yield 15, "NULLS NOT DISTINCT", constraint


RULES = (
    Rule(
        "needs-newer-server",
        RiskClass.WILL_FAIL,
        (
            *("AlterTableStmt", "CreateStmt", "MergeStmt", "IndexStmt"),
            *("CreateTrigStmt", "CreateFunctionStmt", "JsonTable"),
        ),
        _needs,
        about=(
            "Syntax that the environment's server does not know yet. Whether that is so depends on the server's "
            "version: the same file can run on staging and fail on production."
        ),
        safer="Write it in a way that the oldest server knows, or update that server first.",
    ),
)
