"""What a non-transactional statement leaves behind when it does not reach its end: by its text, and by the catalog."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dashboard.core.script import Statement

CREATE = "CREATE INDEX CONCURRENTLY"
CREATE_UNNAMED = "CREATE INDEX CONCURRENTLY, its name left to PostgreSQL"
DROP = "DROP INDEX CONCURRENTLY"
DETACH = "DETACH PARTITION CONCURRENTLY"
REINDEX_INDEX = "REINDEX INDEX CONCURRENTLY"
REINDEX_TABLE = "REINDEX TABLE CONCURRENTLY"
_REINDEX = "REINDEX "
_LONGEST = 63  # bytes of a name; PostgreSQL cuts longer ones

# --- what a statement is about ---


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement that runs CONCURRENTLY is about.

    Attributes
    ----------
    deed: one of the constants above, or the command's words; stored with what is remembered of the statement.
    parts: the name of the relation to look up, unquoted, with its schema where the text has one; empty where the
        statement is about a whole schema or database.
    index: the index to be made in the schema of that relation, unquoted; None where there is none, or no name for it.

    """

    deed: str
    parts: tuple[str, ...] = ()
    index: str | None = None


def deed_of(statement: Statement) -> str:
    """What a statement does, in words that tell apart what leaves different traces."""
    tree = statement.tree
    if tree is None:
        return statement.kind
    if tree.type == "IndexStmt" and tree.concurrent and not tree.idxname:
        return CREATE_UNNAMED
    return DETACH if _detached(tree) is not None else statement.kind


def subject_of(statement: Statement) -> Subject | None:
    """None for a statement that leaves nothing half-made in the catalog, as far as its text can tell."""
    if not is_concurrent(statement):
        return None
    tree, deed = statement.tree, deed_of(statement)
    match tree.type:
        case "IndexStmt":
            return Subject(deed, _parts(tree.relation), tree.idxname or None)
        case "ReindexStmt":
            return Subject(deed, _parts(tree.relation) if tree.relation is not None else ())
        case "DropStmt":
            return Subject(deed, tuple(tree.objects[0])) if len(tree.objects) == 1 else None
        case _:
            partition = _detached(tree)
            return Subject(deed, _parts(partition)) if partition is not None else None


def is_concurrent(statement: Statement) -> bool:
    """Whether it waits for other sessions by design, and leaves something behind when it is cut short."""
    tree = statement.tree
    return tree is not None and (statement.kind.endswith(" CONCURRENTLY") or _detached(tree) is not None)


def is_setting(statement: Statement) -> bool:
    """Whether it only sets up the session, so that resuming a file has to repeat it."""
    return statement.tree is not None and statement.tree.type == "VariableSetStmt"


def leaves_indexes(deed: str) -> bool:
    """Whether it makes indexes, which may end INVALID whatever the server's answer was."""
    return deed in (CREATE, CREATE_UNNAMED) or (deed.startswith(_REINDEX) and deed.endswith(" CONCURRENTLY"))


def is_wide(deed: str) -> bool:
    """Whether it is about more than one table."""
    return deed.startswith(_REINDEX) and leaves_indexes(deed) and deed not in (REINDEX_INDEX, REINDEX_TABLE)


def _parts(relation: Any) -> tuple[str, ...]:  # a node
    return tuple(part for part in (relation.schemaname, relation.relname) if part)


def _detached(tree: Any) -> Any:  # a node
    """The partition that a statement detaches concurrently; None for every other statement."""
    if tree.type != "AlterTableStmt":
        return None
    commands = (command for command in tree.cmds if command.type == "AlterTableCmd")
    detached = (getattr(c, "def") for c in commands if c.subtype == "AT_DetachPartition")
    return next((one.name for one in detached if one is not None and one.concurrent), None)


# --- what the catalog says about it ---


class IndexSeen(NamedTuple):
    """An index that a statement may have made or left.

    Attributes
    ----------
    name: schema-qualified, as PostgreSQL writes it. relname: unquoted.
    before: it was there when the statement began. itself: the statement is about this very index.

    """

    name: str
    relname: str
    valid: bool
    before: bool
    itself: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the catalog has of a statement that was begun.

    Attributes
    ----------
    subject: schema-qualified, as PostgreSQL writes it; `exists`: there is a relation of that name.
    indexes: those of the table, and the INVALID ones where the statement is about many tables.
    parent: the table of which the subject is a partition; `pending`: it is being detached.

    """

    deed: str
    subject: str | None
    exists: bool = False
    indexes: tuple[IndexSeen, ...] = ()
    parent: str | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Traces:
    """What that means.

    Attributes
    ----------
    says: sentences for people.
    done: the statement came to its end, or did not; None where the catalog cannot tell.
    left: INVALID indexes that are of no use, and may be dropped before it runs again.
    invalid: these and others that keep it from counting as done.
    first: SQL that a person has to run by hand before anything else helps.

    """

    says: tuple[str, ...]
    done: bool | None = None
    left: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    first: str | None = None


def traces_of(seen: Seen) -> Traces:
    """Read what the catalog has."""
    if seen.deed == CREATE and seen.subject is not None:
        return _of_named(seen)
    if seen.deed == CREATE_UNNAMED and seen.subject is not None:
        return _of_unnamed(seen)
    if seen.deed.startswith(_REINDEX) and leaves_indexes(seen.deed):
        return _of_reindex(seen)
    if seen.deed == DROP and seen.subject is not None:
        return _of_drop(seen)
    if seen.deed == DETACH and seen.subject is not None:
        return _of_detach(seen)
    return Traces(("The catalog cannot tell whether it came to its end.",))


def _of_named(seen: Seen) -> Traces:
    index = _itself(seen)
    if index is None:
        return Traces((f"There is no index {seen.subject}.",), done=False)
    if not index.valid:
        return Traces((_invalid(index),), done=False, left=(index.name,), invalid=(index.name,))
    if index.before:
        return Traces((f"Index {index.name} is valid, and was there before the statement began.",))
    return Traces((f"Index {index.name} exists and is valid.",), done=True)


def _of_unnamed(seen: Seen) -> Traces:
    new = [index for index in seen.indexes if not index.before]
    left = tuple(index.name for index in new if not index.valid)
    says = tuple(f"Index {one.name} is new, and valid." if one.valid else _invalid(one) for one in new)
    if not new:
        return Traces((f"There is no new index on {seen.subject}.",), done=False)
    return Traces(says, done=False if left else None, left=left, invalid=left)


def _of_reindex(seen: Seen) -> Traces:
    invalid = [index for index in seen.indexes if not index.valid]
    left = [index for index in invalid if not index.itself and _left_by(index, seen)]
    skipped = [index for index in invalid if seen.deed == REINDEX_TABLE and index not in left]
    itself = [index for index in invalid if index.itself]
    says = tuple(_invalid(index) for index in (*itself, *left))
    says += tuple(f"Index {index.name} is INVALID, and REINDEX TABLE leaves it out." for index in skipped)
    if not says:
        where = "" if seen.subject is None else f" around {seen.subject}"
        return Traces((f"No INVALID index is left{where}; the catalog cannot tell whether it was built anew.",))
    return Traces(
        says,
        done=False,
        left=tuple(index.name for index in left),
        invalid=tuple(index.name for index in (*itself, *left, *skipped)),
        first=f"REINDEX INDEX CONCURRENTLY {skipped[0].name};" if skipped else None,
    )


def _left_by(index: IndexSeen, seen: Seen) -> bool:
    """Whether its name is that of a half-made copy; of one index, where the statement is about one."""
    base = re.sub(r"_cc(?:new|old)[0-9]*$", "", index.relname)
    if base == index.relname:
        return False
    about = next((one.relname for one in seen.indexes if one.itself), None)
    if seen.deed != REINDEX_INDEX or about is None:
        return not (is_wide(seen.deed) and index.before)
    return base == about or (len(index.relname.encode()) >= _LONGEST - 1 and about.startswith(base))


def _of_drop(seen: Seen) -> Traces:
    index = _itself(seen)
    if index is None:
        return Traces((f"Index {seen.subject} is gone.",), done=True)
    if not index.valid:
        return Traces((f"Index {index.name} is INVALID: its removal was begun, or it was never finished.",), done=False)
    return Traces((f"Index {index.name} is still there, and valid.",), done=False)


def _of_detach(seen: Seen) -> Traces:
    if not seen.exists:
        return Traces((f"There is no table {seen.subject}.",))
    if seen.parent is None:
        return Traces((f"Table {seen.subject} is detached.",), done=True)
    if not seen.pending:
        return Traces((f"Partition {seen.subject} is still attached to {seen.parent}.",), done=False)
    first = f"ALTER TABLE {seen.parent} DETACH PARTITION {seen.subject} FINALIZE;"
    says = f"Partition {seen.subject} is half detached from {seen.parent}, and has to be finished by hand."
    return Traces((says,), done=False, first=first)


def _itself(seen: Seen) -> IndexSeen | None:
    return next((index for index in seen.indexes if index.itself), None)


def _invalid(index: IndexSeen) -> str:
    return f"Index {index.name} is INVALID."


def sentences(running: int | None, says: tuple[str, ...]) -> Iterator[str]:
    """The same with what is known of the server process that ran the statement."""
    if running is not None:
        yield f"The server process {running} that ran it is still there."
    yield from says
