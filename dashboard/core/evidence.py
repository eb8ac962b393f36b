"""What a non-transactional statement leaves behind when it does not reach its end, as far as its text can tell."""

from dataclasses import dataclass

from dashboard.core.script import Statement


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """The index that a `CREATE INDEX CONCURRENTLY` builds. PostgreSQL puts it into the schema of its table.

    Attributes
    ----------
    name: unquoted; None where PostgreSQL chooses it.
    schema: of the table, unquoted; None where the search_path decides.

    """

    name: str | None
    schema: str | None
    table: str


def built_index(statement: Statement) -> BuiltIndex | None:
    """The index a statement builds concurrently; None for every other statement."""
    tree = statement.tree
    if tree is None or tree.type != "IndexStmt" or not tree.concurrent:
        return None
    return BuiltIndex(tree.idxname or None, tree.relation.schemaname or None, tree.relation.relname)


def is_concurrent(statement: Statement) -> bool:
    """Whether it waits for other sessions by design, and leaves something behind when it is cut short."""
    return statement.kind.endswith(" CONCURRENTLY")


def is_setting(statement: Statement) -> bool:
    """Whether it only sets up the session, so that resuming a file has to repeat it."""
    return statement.tree is not None and statement.tree.type == "VariableSetStmt"
