"""What is legal and safe, and likely a mistake."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.tree import Node


def _never(node: Node, _: Batch) -> Iterator[Remark]:
    raise NotImplementedError(node.type)


UNUSED = Rule(
    "unused-allowance",
    RiskClass.HYGIENE,
    (),
    _never,  # the review itself says this: it knows what the other rules found
    about=(
        "A line `-- rung: allow …` that allows what is not found in the statement below it: the statement was changed, "
        "or the line stands above the wrong one. On a table that the same batch makes most rules find nothing either."
    ),
    safer="Take the line out, or put it right above the statement that it is about.",
)

RULES = (UNUSED,)
