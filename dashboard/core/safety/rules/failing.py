"""What is certain to raise an error, or to do nothing."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import shown
from dashboard.core.safety.rule import Claim, Remark, Rule
from dashboard.core.tree import Node


def _uses_value(constant: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.values:
        return
    value = constant.constant
    made = batch.values.get(value) if isinstance(value, str) else None
    if made:
        what = f"uses '{value}' in the transaction that adds it to {shown(*made)}, which PostgreSQL refuses"
        yield Remark(what, f"ALTER TYPE {shown(*made)} ADD VALUE '{value}' in a file of its own, before this one.")


def _local(setting: Node, batch: Batch) -> Iterator[Remark]:
    if setting.is_local and not batch.transactional:
        yield Remark("sets something until the end of a transaction, and there is none: it does nothing", certain=False)


def _lock(_: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.transactional:
        yield Remark("locks a table outside of a transaction, which PostgreSQL refuses")


RULES = (
    Rule(
        "enum-add-then-use",
        RiskClass.WILL_FAIL,
        ("A_Const",),
        _uses_value,
        about=(
            "A value that ALTER TYPE … ADD VALUE adds cannot be used before its transaction ends, unless the type was "
            "made in it. Texts that merely read the same are taken for it."
        ),
        safer="Add the value in a file of its own, and use it in the next one.",
        claim=Claim(fails="55P04"),
    ),
    Rule(
        "set-local-outside-tx",
        RiskClass.WILL_FAIL,
        ("VariableSetStmt",),
        _local,
        about="SET LOCAL in a file that runs outside a transaction: a warning, and no effect.",
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
)
