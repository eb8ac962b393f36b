"""What changes Rung's own records: the ledger, and the history that proves what happened."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import relation_name
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.tree import Node

_DEEDS = {
    "AlterTableStmt": "alters",
    "RenameStmt": "renames",
    "AlterObjectSchemaStmt": "moves",
    "UpdateStmt": "changes rows of",
    "DeleteStmt": "takes rows out of",
    "MergeStmt": "changes rows of",
    "CreateTrigStmt": "puts a trigger on",
    "RuleStmt": "puts a rule on",
}


def _changes_records(node: Node, _: Batch) -> Iterator[Remark]:
    relation = node.relation
    if relation is None or not (relation.schemaname == "rung" or relation.relname == "_migrations_applied"):
        return
    yield Remark(f"{_DEEDS[node.type]} {relation_name(relation)}, from which Rung tells what this database has")


RULES = (
    Rule(
        "changes-records",
        RiskClass.DESTRUCTIVE,
        tuple(_DEEDS),
        _changes_records,
        about="The ledger decides what runs, the history proves what ran; a file that changes either makes it untrue.",
        safer="Leave both to Rung. `rung resolve` decides about a file that stopped half-way or was edited.",
    ),
)
