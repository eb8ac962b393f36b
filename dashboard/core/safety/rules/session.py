"""What cannot work, or breaks the session that runs the file."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.tree import Node


def _drops_lock(node: Node, _: Batch) -> Iterator[Remark]:
    if node.type == "DiscardStmt" and node.target == "DISCARD_ALL":
        yield Remark("throws the whole state of the session away, the locks it holds among it")
    if node.type == "FuncCall" and node.funcname[-1] == "pg_advisory_unlock_all":
        yield Remark("gives up every advisory lock of the session, those that guard a run among them")


RULES = (
    Rule(
        "drops-runner-lock",
        RiskClass.OPAQUE,
        ("DiscardStmt", "FuncCall"),
        _drops_lock,
        about=(
            "DISCARD ALL and pg_advisory_unlock_all() give up every lock of the session, also what others rely on. "
            "Rung holds its own on another connection, so that a file that is forced does no harm to the run."
        ),
        safer="Leave it out: every file starts in a clean session. A single lock goes with pg_advisory_unlock(key).",
    ),
)
