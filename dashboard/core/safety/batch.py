"""What the pending files make before the statement that is judged: only that may be destroyed without a word."""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

from dashboard.core.safety.names import path_of
from dashboard.core.safety.there import NOTHING, Column, Fact, Facts
from dashboard.core.safety.touched import Touched
from dashboard.core.statement import Statement
from dashboard.core.tree import Node, find

Path = tuple[str, ...]  # the parts of a name as they stand in the file
Key = tuple[str, str]  # schema and name
_TEMPORARY = "pg_temp"
_UNKNOWN = "?"  # begins what stands for a schema that the text does not tell
_MILD = frozenset(
    {"AT_ValidateConstraint", "AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions", "AT_SetRelOptions"}
)  # of ALTER TABLE: under these others can write

_SHARE = 5  # the number of the weakest lock that stops writers

KINDS = {
    "OBJECT_TABLE": "relation",
    "OBJECT_FOREIGN_TABLE": "relation",
    "OBJECT_MATVIEW": "relation",
    "OBJECT_VIEW": "relation",
    "OBJECT_SEQUENCE": "relation",
    "OBJECT_TYPE": "type",
    "OBJECT_DOMAIN": "type",
    "OBJECT_INDEX": "index",
    "OBJECT_SCHEMA": "schema",
    "OBJECT_EXTENSION": "extension",
}
"""The parser's types of objects -> the kinds a batch remembers."""


def _written(path: Path) -> Key:
    return ("", path[-1]) if len(path) == 1 else (path[-2], path[-1])


class Batch:
    """Grows while a batch is judged, statement by statement, in the order it will run.

    New is only what a CREATE without IF NOT EXISTS made, outside of any block that may be skipped. A name without a
    schema counts as one of `public`, or of the first schema of a `SET search_path` earlier in the same file.

    A table that a CREATE TABLE IF NOT EXISTS made is likely new, unless it is one of those that are `there`; that
    counts while the batch is `trusting`: where the mistake would cost a wait, and no rows.

    Attributes
    ----------
    in_body: whether a DO block or a called function is being judged.
    values: of enumerations, that this file's transaction has added to types that were there before, with their type.
    there: what the environment's catalog says; nothing where nobody asked.

    """

    def __init__(self, there: Facts = NOTHING) -> None:
        self.trusting = False
        self.in_body = False
        self.values: dict[str, Path] = {}
        self.there, self._there, self._touched = there, there.keys, Touched()
        self.asked = bool(there.asked or there.tables or there.version)  # whether anybody asked a catalog
        self._new: set[Path] = set()  # ("relation", schema, name), ("type", schema, name), …
        self._likely: set[Path] = set()  # the same, of what was made IF NOT EXISTS
        self._columns: dict[Key, set[str]] = {}  # the columns that were added to a table
        self._functions: dict[Key, list[Statement]] = {}
        self._prepared: set[str] = set()
        self._schema = "public"
        self._transactional = True
        self._unknown = itertools.count(1)
        self._certain = True
        self._temporary = False  # whether this file made temporary tables
        self._locked: set[Key] = set()  # tables that the file's transaction holds a strong lock on

    # --- questions ---

    def has_new(self, kind: str, path: Path) -> bool:
        """Whether this batch made it. Kinds: relation (tables, views, sequences, …), type, schema, extension."""
        return self._is_new(kind, self._key(kind, path))

    def _is_new(self, kind: str, key: Key) -> bool:
        made = (kind, *key)
        return key[0] == _TEMPORARY or made in self._new or (self.trusting and made in self._likely)

    @property
    def transactional(self) -> bool:
        """Whether the file that is judged runs in a transaction."""
        return self._transactional

    @property
    def path_is_empty(self) -> bool:
        """Whether this file is certain to have left no schema in the search_path."""
        return self._schema == ""

    def has_new_table(self, relation: Node) -> bool:
        """The same for a `RangeVar`."""
        return self.has_new("relation", path_of(relation))

    def has_new_column(self, relation: Node, column: str) -> bool:
        """Whether this batch added the column, or its whole table."""
        table = self._key("relation", path_of(relation))
        return self.has_new_table(relation) or column in self._columns.get(table, ())

    def definitions(self, path: Path) -> tuple[Statement, ...]:
        """The CREATE FUNCTION statements of this batch that a call of that name may mean."""
        return tuple(self._functions.get(self._key("function", path), ()))

    def fact(self, path: Path) -> Fact | None:
        """What the catalog says of a table, unless an earlier statement may have made that untrue."""
        return self.there.tables.get(_written(path)) if self._stands(path) else None

    def column(self, relation: Node, name: str) -> Column | None:
        """The same of a column of a `RangeVar`."""
        fact = self.fact(path_of(relation))
        return fact.columns.get(name) if fact and (relation.relname, name) not in self._touched.columns else None

    def is_missing(self, path: Path) -> bool:
        """Whether the catalog has no such table, and no earlier statement may have made it."""
        name = _written(path)
        return name in self.there.asked and name not in self.there.tables and self._stands(path)

    def lacks_column(self, relation: Node, name: str) -> bool:
        """Whether the table is there, and has no such column, and no earlier statement may have added it."""
        fact = self.fact(path_of(relation))
        return fact is not None and name not in fact.columns and (relation.relname, name) not in self._touched.columns

    def lacks_constraint(self, relation: Node, name: str) -> bool:
        """The same of a constraint."""
        fact = self.fact(path_of(relation))
        known = fact is not None and name not in fact.constraints and self.is_untouched(name)
        return known and relation.relname not in self._touched.grown

    def is_untouched(self, *names: str) -> bool:
        """Whether no earlier statement has made, renamed or dropped something of these names, whatever it is."""
        return not self._touched.all and self._touched.names.isdisjoint(names)

    def _stands(self, path: Path) -> bool:
        hidden = self.in_body or (len(path) == 1 and self._touched.path)
        return bool(self.there.asked) and not hidden and self.is_untouched(path[-1]) and not self._is_made(path)

    def _is_made(self, path: Path) -> bool:
        made = ("relation", *self._key("relation", path))
        return made in self._new or made in self._likely

    def has_prepared(self, name: str) -> bool:
        """Whether this file prepared a statement of that name."""
        return name in self._prepared

    def is_locked(self, relation: Node) -> bool:
        """Whether an earlier statement of this file's transaction took a lock that stops writers of a table."""
        return self._key("relation", path_of(relation)) in self._locked

    def holds(self) -> tuple[Key, ...]:
        """The older tables that earlier statements of this file's transaction took such a lock on."""
        return tuple(sorted(key for key in self._locked if not self._is_new("relation", key)))

    # --- what happens ---

    def begin_file(self, *, transactional: bool) -> None:
        """The next file starts in a fresh session: no temporary tables, no prepared statements, the usual path."""
        self._transactional = transactional
        self._touched.begin_file()
        self._prepared.clear()
        self._locked.clear()
        self.values.clear()
        if self._temporary:  # looking through all that is new once per file is slow where files are many
            self._forget_inside(_TEMPORARY)
        self._temporary = False
        self._schema = "public"

    def learn(self, statement: Statement, *, certain: bool = True) -> None:
        """Take in what a judged statement does; `certain` is False inside a body, where a branch may skip it."""
        self._certain, self.trusting = certain, False
        if self.there.asked:
            self._touched.learn(statement.tree)
        if statement.tree is not None:
            self._learn(statement.tree, statement)

    def _learn(self, tree: Node, statement: Statement) -> None:
        if tree.type == "CreateFunctionStmt":
            self._functions.setdefault(self._key("function", tree.funcname), []).append(statement)
        elif tree.type == "CreateSchemaStmt":
            self._create_schema(tree, statement)
        elif tree.type in self._handlers:
            self._handlers[tree.type](self, tree)
        for call in find(tree, "FuncCall") if tree.type in ("SelectStmt", "CallStmt") else ():
            if call.funcname[-1] == "set_config":
                self._schema = "" if self._empties_path(tree, call) else self._unknown_schema()

    def _empties_path(self, tree: Node, call: Node) -> bool:
        """Whether it is what dumps begin with: SELECT set_config('search_path', '', false)."""
        alone = tree.type == "SelectStmt" and tree.where_clause is None and not tree.from_clause
        said = [argument.constant if argument.type == "A_Const" else None for argument in call.args]
        lasts = said[2:] == [False] or (said[2:] == [True] and self._transactional)
        return self._certain and alone and said[:2] == ["search_path", ""] and lasts

    # --- keys ---

    def _key(self, kind: str, path: Path) -> Key:
        if kind in ("schema", "extension"):
            return "", path[-1]
        if len(path) > 1:
            return (_TEMPORARY if path[-2].startswith(_TEMPORARY) else path[-2]), path[-1]
        hides = (kind, _TEMPORARY, path[-1]) in self._new  # a temporary table hides one of the same name
        return (_TEMPORARY if hides else self._schema), path[-1]

    def _unknown_schema(self) -> str:
        return f"{_UNKNOWN}{next(self._unknown)}"

    def _make(self, kind: str, key: Key, *, new: bool = True) -> None:
        self._temporary |= key[0] == _TEMPORARY
        (self._new.add if new and self._certain else self._new.discard)((kind, *key))

    def _forget(self, kind: str, key: Key) -> None:
        self._new.discard((kind, *key))
        self._likely.discard((kind, *key))
        if kind == "relation":
            self._columns.pop(key, None)

    def _forget_inside(self, *schemas: str) -> None:
        self._new = {entry for entry in self._new if entry[1] not in schemas}
        self._likely = {entry for entry in self._likely if entry[1] not in schemas}
        self._columns = {table: columns for table, columns in self._columns.items() if table[0] not in schemas}

    def _rename(self, kind: str, old: Key, new: Key) -> None:
        """What was new stays new under its new name; anything else makes the new name an old thing."""
        is_new = self._certain and (kind, *old) in self._new
        is_likely = self._certain and (kind, *old) in self._likely
        columns = self._columns.get(old) if self._certain and kind == "relation" else None
        self._forget(kind, old)
        self._forget(kind, new)
        if is_new:
            self._new.add((kind, *new))
        if is_likely:
            self._likely.add((kind, *new))
        if columns:
            self._columns[new] = columns

    # --- one handler per type of node that makes, moves or drops something ---

    def _create_table(self, tree: Node) -> None:
        self._create_relation(tree.relation, tree.oncommit, unsure=tree.if_not_exists)
        if tree.if_not_exists:
            self._expect(tree.relation)

    def _create_foreign_table(self, tree: Node) -> None:
        self._create_table(tree.base_stmt)

    def _create_table_as(self, tree: Node) -> None:
        self._create_relation(tree.into.rel, tree.into.on_commit, unsure=tree.if_not_exists)

    def _select_into(self, tree: Node) -> None:
        if tree.into_clause is not None:
            self._create_relation(tree.into_clause.rel, tree.into_clause.on_commit)

    def _create_index(self, tree: Node) -> None:
        table = self._key("relation", path_of(tree.relation))
        if self._transactional and not tree.concurrent:
            self._locked.add(table)
        if tree.idxname and not tree.if_not_exists:  # it lies in the schema of its table
            self._make("index", (table[0], tree.idxname))

    def _lock(self, tree: Node) -> None:
        if self._transactional and tree.mode >= _SHARE:
            self._locked |= {self._key("relation", path_of(relation)) for relation in tree.relations}

    def _create_view(self, tree: Node) -> None:
        self._create_relation(tree.view, unsure=tree.replace)

    def _create_sequence(self, tree: Node) -> None:
        self._create_relation(tree.sequence, unsure=tree.if_not_exists)

    def _create_relation(self, relation: Node, on_commit: str = "", *, unsure: bool = False) -> None:
        if relation.relpersistence == "t" or relation.schemaname.startswith(_TEMPORARY):
            # Outside a transaction, ON COMMIT DROP takes it away at once.
            stays = self._transactional or on_commit != "ONCOMMIT_DROP"
            self._make("relation", (_TEMPORARY, relation.relname), new=stays)
        elif not (self._certain and unsure):
            self._make("relation", (relation.schemaname or self._schema, relation.relname))

    def _expect(self, relation: Node) -> None:
        """IF NOT EXISTS: the ledger says that the file has not run, so most likely the table is not there."""
        key = relation.schemaname or self._schema, relation.relname
        if self._certain and not key[0].startswith(_UNKNOWN) and key not in self._there:
            self._likely.add(("relation", *key))

    def _create_type(self, tree: Node) -> None:
        path = path_of(tree.get("typevar")) or tree.get("domainname") or tree.get("type_name")
        self._make("type", self._key("type", path))

    def _create_schema(self, tree: Node, statement: Statement) -> None:
        if tree.schemaname and not (self._certain and tree.if_not_exists):
            self._make("schema", ("", tree.schemaname))
        outer, self._schema = self._schema, tree.schemaname or self._unknown_schema()
        for element in tree.schema_elts:
            self._learn(element, statement)
        self._schema = outer

    def _create_extension(self, tree: Node) -> None:
        if not (self._certain and tree.if_not_exists):
            self._make("extension", ("", tree.extname))

    def _drop(self, tree: Node) -> None:
        kind = KINDS.get(tree.remove_type)
        for thing in tree.objects if kind else ():
            self._forget(str(kind), self._key(str(kind), path_of(thing)))
        # The definitions of functions stay: looking into one too many is the safe mistake.

    def _discard(self, tree: Node) -> None:
        if tree.target in ("DISCARD_ALL", "DISCARD_TEMP"):
            self._forget_inside(_TEMPORARY)
        if tree.target == "DISCARD_ALL":
            self._prepared.clear()
            self._schema = "public"

    def _rename_thing(self, tree: Node) -> None:
        if tree.rename_type == "OBJECT_COLUMN":
            self._rename_column(tree)
        elif tree.rename_type == "OBJECT_SCHEMA":
            # What lies in either schema is no longer known by its name.
            self._forget_inside(tree.subname, tree.newname)
            self._rename("schema", ("", tree.subname), ("", tree.newname))
        elif tree.rename_type in KINDS:
            kind = KINDS[tree.rename_type]
            old = self._key(kind, path_of(tree.relation or tree.object))
            self._rename(kind, old, (old[0], tree.newname))

    def _rename_column(self, tree: Node) -> None:
        columns = self._columns.get(self._key("relation", path_of(tree.relation)), set())
        stays_new = self._certain and tree.subname in columns
        columns -= {tree.subname, tree.newname}
        columns |= {tree.newname} if stays_new else set()

    def _move(self, tree: Node) -> None:
        kind = KINDS.get(tree.object_type)
        if kind in ("relation", "type"):
            old = self._key(kind, path_of(tree.relation or tree.object))
            self._rename(kind, old, (tree.newschema, old[1]))
        self._forget("schema", ("", tree.newschema))  # it may now hold something older than itself

    def _alter_table(self, tree: Node) -> None:
        if tree.objtype not in KINDS:
            return
        table = self._key("relation", path_of(tree.relation))
        if self._transactional and any(command.subtype not in _MILD for command in tree.cmds):
            self._locked.add(table)
        for command in tree.cmds:
            definition = command.get("def")
            match command.subtype:
                case "AT_AddColumn" if self._certain and not command.missing_ok:
                    self._columns.setdefault(table, set()).add(definition.colname)
                case "AT_DropColumn":
                    self._columns.get(table, set()).discard(command.name)
                case "AT_AttachPartition" if not self.has_new_table(definition.name):
                    self._forget("relation", table)  # it now holds the rows of an older table
                case "AT_AddInherit" if not self.has_new_table(tree.relation):
                    self._forget("relation", self._key("relation", path_of(definition)))
                case _:
                    pass

    def _set(self, tree: Node) -> None:
        if tree.name not in ("search_path", "") or (tree.is_local and not self._transactional):
            return
        if tree.kind in ("VAR_RESET", "VAR_RESET_ALL", "VAR_SET_DEFAULT"):
            self._schema = "public"
        elif tree.name == "search_path":
            schemas = [schema for argument in tree.args if (schema := argument.constant) != "$user"]
            known = self._certain and schemas and isinstance(schemas[0], str) and "," not in schemas[0]
            self._schema = schemas[0] if known else self._unknown_schema()

    def _alter_enum(self, tree: Node) -> None:
        if self._transactional and tree.new_val and not tree.old_val and not self.has_new("type", tree.type_name):
            self.values[tree.new_val] = tuple(tree.type_name)

    def _prepare(self, tree: Node) -> None:
        if self._certain:
            self._prepared.add(tree.name)

    def _deallocate(self, tree: Node) -> None:
        self._prepared -= {tree.name} if tree.name else set(self._prepared)

    _handlers: ClassVar[dict[str, Callable[[Any, Any], None]]] = {
        "AlterEnumStmt": _alter_enum,
        "AlterObjectSchemaStmt": _move,
        "AlterTableStmt": _alter_table,
        "CompositeTypeStmt": _create_type,
        "CreateDomainStmt": _create_type,
        "CreateEnumStmt": _create_type,
        "CreateExtensionStmt": _create_extension,
        "CreateForeignTableStmt": _create_foreign_table,
        "CreateRangeStmt": _create_type,
        "CreateSeqStmt": _create_sequence,
        "CreateStmt": _create_table,
        "CreateTableAsStmt": _create_table_as,
        "DeallocateStmt": _deallocate,
        "DiscardStmt": _discard,
        "DropStmt": _drop,
        "IndexStmt": _create_index,
        "LockStmt": _lock,
        "PrepareStmt": _prepare,
        "RenameStmt": _rename_thing,
        "SelectStmt": _select_into,
        "VariableSetStmt": _set,
        "ViewStmt": _create_view,
    }
