"""A rule: one kind of harm, the nodes it looks at, and the pure function that finds it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.tree import Node

DYNAMIC = "(dynamic SQL)"
"""Stands for a node type: the SELECT of an expression whose value a body runs as a statement."""
BODY = "(body)"
"""Stands for a node type: a DO block, or a function that the migration calls."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What a rule has to say about a node.

    Attributes
    ----------
    what: what happens or is lost, without a subject: "drops column legacy_role of table users with all its values".
    safer: the safer way for exactly this case; None: the rule's own.
    at: the node whose line it belongs to; None: the node that was judged.

    """

    what: str
    safer: str | None = None
    at: Node | None = None


Judge = Callable[[Node, Batch], Iterable[Remark]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of harm.

    Attributes
    ----------
    name: its name in the catalogue: `drop-column`.
    on: types of the nodes that `judge` gets to see, wherever the migration executes them.
    about: what it looks for, what it leaves alone, and why; for the documentation.
    safer: the safer way, ready to follow.

    """

    name: str
    risk: RiskClass
    on: tuple[str, ...]
    judge: Judge
    about: str
    safer: str
    blocks: bool = True
