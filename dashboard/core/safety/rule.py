"""A rule: one kind of harm, the nodes it looks at, and the pure function that finds it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import STOPPING, RiskClass
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
    certain: False where the rows or the server decide whether it comes true; then it stops nothing.
    since: where it is true of older servers only: the first major version that it is not true of.

    """

    what: str
    safer: str | None = None
    at: Node | None = None
    certain: bool = True
    since: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What the server does while it executes the rule's bad example; the oracle tests compare it with real servers.

    Attributes
    ----------
    lock: the strongest lock on a table or view that was there before, as `pg_locks` calls it.
    scans: whether a table that was there before is read in full.
    rewrites: whether a table that was there before gets a new file.
    fails: the SQLSTATE of the error; empty where it goes through.
    since: the first major version that knows the example's syntax.

    """

    lock: str = ""
    scans: bool = False
    rewrites: bool = False
    fails: str = ""
    since: int = 12


Judge = Callable[[Node, Batch], Iterable[Remark]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of harm.

    Attributes
    ----------
    name: its name in the catalogue: `drop-column`.
    on: types of the nodes that `judge` gets to see, wherever the migration executes them. Subtypes of ALTER TABLE's
        commands stand for the whole statement with such a command in it: `AT_DropColumn`.
    about: what it looks for, what it leaves alone, and why; for the documentation.
    safer: the safer way, ready to follow.
    claim: what the server does with the bad example, where the rule speaks of locks, scans, rewrites or failure.
    catalog: whether it speaks only where the environment's catalog was asked.

    """

    name: str
    risk: RiskClass
    on: tuple[str, ...]
    judge: Judge
    about: str
    safer: str
    claim: Claim | None = None
    catalog: bool = False

    @property
    def blocks(self) -> bool:
        """Whether its findings stop a run."""
        return self.risk in STOPPING
