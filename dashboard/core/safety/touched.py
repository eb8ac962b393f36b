"""What earlier statements of a batch may have changed of what the catalog says; of that nothing is claimed."""

from dashboard.core.safety.names import path_of
from dashboard.core.tree import Node, find

_ANYTHING = frozenset({"DoStmt", "CallStmt", "ExecuteStmt", "CreateExtensionStmt", "DropOwnedStmt"}) | {
    "AlterExtensionStmt",
    "ExplainStmt",  # with ANALYZE it executes
    "ImportForeignSchemaStmt",
    "CreateEventTrigStmt",
}
_HARMLESS = frozenset({"now", "count", "coalesce", "format", "setval", "nextval", "max", "min", "sum", "lower"})
_COLUMNS = {
    "AT_AddColumn",
    "AT_DropColumn",
    "AT_AlterColumnType",
    "AT_SetNotNull",
    "AT_DropNotNull",
    "AT_SetExpression",
    "AT_DropExpression",
    "AT_AddIdentity",
}


class Touched:
    """Names without their schemas: one too many is the safe mistake.

    Attributes
    ----------
    all: whether a statement may have done anything at all.
    path: whether this file says where names without a schema are looked for.
    names: of tables, views, indexes, constraints, policies and triggers that were made, renamed or dropped.
    columns: (table, column) of those that were added, changed or dropped.
    grown: tables that got constraints, perhaps of names that PostgreSQL chose.

    """

    def __init__(self) -> None:
        self.all = self.path = False
        self.names: set[str] = set()
        self.columns: set[tuple[str, str]] = set()
        self.grown: set[str] = set()

    def begin_file(self) -> None:
        self.path = False

    def learn(self, tree: Node | None) -> None:
        if tree is None or tree.type in _ANYTHING or self._calls(tree) or tree.get("behavior") == "DROP_CASCADE":
            self.all = True
            return
        match tree.type:
            case "AlterTableStmt":
                self._alter(tree)
            case "DropStmt":
                self.names.update(path_of(thing)[-1] for thing in tree.objects if path_of(thing))
                self.all = self.all or tree.remove_type == "OBJECT_SCHEMA"
            case "RenameStmt":
                self._rename(tree)
            case "AlterObjectSchemaStmt":
                self.names.update(path_of(tree.relation or tree.object)[-1:])
            case "VariableSetStmt":
                self.path = self.path or tree.name in ("search_path", "role", "session_authorization")
            case "IndexStmt":
                self.names.add(tree.idxname)
            case "CreateTrigStmt":
                self.names.add(tree.trigname)
            case "CreatePolicyStmt":
                self.names.add(tree.policy_name)
            case "CreateSchemaStmt":
                self.all = self.all or bool(tree.schema_elts)
            case _:
                self._make(tree)

    def _calls(self, tree: Node) -> bool:
        """Whether it calls a function that may change tables."""
        if tree.type not in ("SelectStmt", "CreateTableAsStmt"):
            return False
        calls = find(tree, "FuncCall")
        return any(call.funcname[0] != "pg_catalog" and call.funcname[-1] not in _HARMLESS for call in calls)

    def _make(self, tree: Node) -> None:
        target = tree.get("into") if tree.type == "CreateTableAsStmt" else tree.get("into_clause")
        made = target.rel if target is not None else tree.get("relation") or tree.get("view") or tree.get("sequence")
        makes = tree.type.startswith("Create") or tree.type == "ViewStmt" or target is not None
        if makes and isinstance(made, Node) and made.type == "RangeVar":
            self.names.add(made.relname)
        if tree.type == "CreateForeignTableStmt":
            self.names.add(tree.base_stmt.relation.relname)

    def _rename(self, tree: Node) -> None:
        if tree.rename_type == "OBJECT_SCHEMA":
            self.all = True
        elif tree.rename_type == "OBJECT_COLUMN":
            self.columns |= {(tree.relation.relname, tree.subname), (tree.relation.relname, tree.newname)}
        else:
            self.names |= {tree.newname, tree.subname, *path_of(tree.relation or tree.object)[-1:]}

    def _alter(self, tree: Node) -> None:
        for command in tree.cmds:
            definition = command.get("def")
            if command.behavior == "DROP_CASCADE":
                self.all = True
            if command.subtype in _COLUMNS:
                name = definition.colname if command.subtype == "AT_AddColumn" else command.name
                self.columns.add((tree.relation.relname, name))
                if command.subtype == "AT_AddColumn":
                    self.grown.add(tree.relation.relname)
            elif command.subtype == "AT_AddConstraint":
                self.grown.add(tree.relation.relname)
                self.names |= {definition.conname, definition.indexname}
            elif command.subtype in ("AT_AttachPartition", "AT_DetachPartition", "AT_AddInherit", "AT_DropInherit"):
                self.names.add(tree.relation.relname)
            elif command.name:
                self.names.add(command.name)
