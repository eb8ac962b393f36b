"""What the rows of an environment must be asked before pending statements run, read from their parse trees."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboard.core.parser import write_expression
from dashboard.core.plan import Action, Step
from dashboard.core.safety.names import path_of, shown
from dashboard.core.statement import Statement
from dashboard.core.tree import Node, find


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a file names it. `schema`: empty where the search_path decides. `only`: without its children."""

    schema: str
    name: str
    only: bool = False

    @property
    def words(self) -> str:
        return shown(self.schema, self.name)


# --- what is looked for ---


@dataclass(frozen=True, slots=True)
class Nulls:
    """Rows without a value in a column."""

    column: str


@dataclass(frozen=True, slots=True)
class Key:
    """One part of a unique key: a column, or an expression as SQL."""

    column: str = ""
    expression: str = ""

    @property
    def words(self) -> str:
        return shown(self.column) if self.column else self.expression


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Values that several rows share. `condition`: of a partial index, as SQL. `index`: its name, where it has one."""

    keys: tuple[Key, ...]
    condition: str = ""
    nulls_equal: bool = False
    index: str = ""
    unless_there: bool = False


@dataclass(frozen=True, slots=True)
class Violators:
    """Rows for which an expression is false."""

    expression: str


@dataclass(frozen=True, slots=True)
class Orphans:
    """Rows whose foreign key points to nothing. `others`: the key there; empty: the primary key."""

    columns: tuple[str, ...]
    parent: Table
    others: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class Unfit:
    """Rows whose value does not go into another type. `cast`: the author says how, by nothing but a cast."""

    column: str
    type: str
    cast: bool = False


@dataclass(frozen=True, slots=True)
class AnyRow:
    """Rows at all: so many are too many for what a new column asks."""

    column: str
    why: str
    most: int = 0


@dataclass(frozen=True, slots=True)
class Validated:
    """Rows that break a constraint which is there already, not validated."""

    constraint: str


@dataclass(frozen=True, slots=True)
class Affected:
    """How many rows an UPDATE or DELETE reaches, by the planner's estimate."""

    sql: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that only the statement itself will find out."""


LookFor = Nulls | Duplicates | Violators | Orphans | Unfit | AnyRow | Validated | Affected | Unknown


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to the rows.

    Attributes
    ----------
    statement: the statement in brief.
    why_not: why it cannot be asked now; empty where it can.
    functions: names of functions that its expressions call.
    optional: nothing is to be asked where the table is not there: the statement does nothing then, or makes it first.
    unsure: earlier statements make things that its expressions may need.
    changed: for `Validated`, the tables that earlier statements make or change, by their names alone.
    after: the tables whose rows earlier statements write, and where: triggers and cascades may reach further.

    """

    filename: str
    line: int
    statement: str
    table: Table
    look_for: LookFor
    why_not: str = ""
    functions: tuple[tuple[str, ...], ...] = ()
    optional: bool = False
    unsure: bool = False
    changed: frozenset[str] = frozenset()
    after: tuple[tuple[Table, str], ...] = ()


def probes_of(steps: Sequence[Step]) -> tuple[Probe, ...]:
    """The questions for the pending files of one environment, in the order they run."""
    batch, found = _Batch(), list[Probe]()
    for step in steps:
        if step.script is None or step.action is Action.ADOPT or step.undecided:
            continue
        batch.begin(step.migration.filename)
        for statement in step.script.statements[step.resume_after :]:
            found += (_without_dropped(probe, step) for probe in _asked(statement, batch))
            batch.learn(statement)
    return tuple(found)


def _without_dropped(probe: Probe, step: Step) -> Probe:
    """An INVALID index that the run drops first, as somebody decided, is in nobody's way."""
    dropped = {name.rpartition(".")[2] for name in step.unfinished.drop} if step.unfinished else set()
    if isinstance(probe.look_for, Duplicates) and shown(probe.look_for.index) in dropped:
        return replace(probe, look_for=replace(probe.look_for, index=""))
    return probe


_Asked = tuple[LookFor, tuple[str, ...], tuple[Node, ...]]  # what, the columns it rests on, its expressions


# --- what earlier statements of the batch change ---

_HARMLESS = frozenset({"set_config", "setval", "nextval", "now", "clock_timestamp", "format", "count", "coalesce"})
_MAKERS = frozenset({"CreateFunctionStmt", "CreateExtensionStmt", "CreateCastStmt", "DefineStmt", "CreateEnumStmt"})
_WRITERS = {"InsertStmt": "relation", "UpdateStmt": "relation", "DeleteStmt": "relation", "MergeStmt": "relation"}
_COLUMN_CHANGES = frozenset({"AT_AddColumn", "AT_DropColumn", "AT_AlterColumnType", "AT_SetExpression"})


class _Batch:
    """What is not any more, or not yet, as the environment's rows say. Names of tables count without their schema."""

    def __init__(self) -> None:
        self.all = ""  # who may have changed anything
        self.made: set[str] = set()
        self.expected: set[str] = set()  # made IF NOT EXISTS
        self.tables: dict[str, str] = {}
        self.columns: dict[tuple[str, str], str] = {}
        self.waiting: dict[tuple[str, str], _Asked] = {}  # constraints that were added NOT VALID
        self.written: dict[Table, str] = {}
        self.makes = False
        self.path_set = ""
        self._place = self.file = ""

    def begin(self, filename: str) -> None:
        self.file, self.path_set = filename, ""

    def why_not(self, table: Table, columns: Iterable[str] | None) -> str:
        """Why nothing of today's rows can be said; empty where it can. columns: None where any may matter."""
        if self.all:
            return f"{self.all} may change it first"
        if self.path_set and not table.schema:
            return f"{self.path_set} changes where {table.words} is looked for"
        if table.name in self.tables:
            return f"{self.tables[table.name]} changes {table.words} first"
        names = [name for of, name in self.columns if of == table.name] if columns is None else columns
        changed = next((column for column in names if (table.name, column) in self.columns), None)
        return f"{self.columns[table.name, changed]} changes {shown(changed)} first" if changed else ""

    def is_new(self, table: Table) -> bool:
        """Whether the batch makes it, and nothing has written to it since."""
        return table.name in self.made and table.name not in self.tables and not self.all

    def learn(self, statement: Statement) -> None:
        self._place = f"{self.file} line {statement.line}"
        tree = statement.tree
        if tree is None:
            self.all = self.all or self._place
            return
        handler = getattr(self, f"_{tree.type}", None)
        if handler is not None:
            handler(tree)
        self.makes = self.makes or tree.type in _MAKERS
        self._rows(tree)

    def _rows(self, tree: Node) -> None:
        for node in find(tree, *_WRITERS):
            self.written.setdefault(_table(node.relation), self._place)
            if node.type == "UpdateStmt":
                for target in node.target_list:
                    self.columns.setdefault((node.relation.relname, target.name), self._place)
            else:
                self._touch(node.relation)
        if tree.type in ("SelectStmt", "DoStmt", "CallStmt", "ExecuteStmt", "CreateTableAsStmt") and self._calls(tree):
            self.all = self.all or self._place

    def _calls(self, tree: Node) -> bool:
        if tree.type in ("DoStmt", "CallStmt", "ExecuteStmt"):
            return True
        calls = find(tree, "FuncCall")
        return any(call.funcname[0] != "pg_catalog" and call.funcname[-1] not in _HARMLESS for call in calls)

    def _touch(self, relation: Node) -> None:
        self.tables.setdefault(relation.relname, self._place)

    def _CreateStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        (self.expected if tree.if_not_exists else self.made).add(tree.relation.relname)

    def _CreateTableAsStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        self._touch(tree.into.rel)

    def _CopyStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        if tree.relation is not None and tree.is_from:
            self.written.setdefault(_table(tree.relation), self._place)
            self._touch(tree.relation)

    def _TruncateStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        for relation in tree.relations:
            self._touch(relation)
        if tree.behavior == "DROP_CASCADE":
            self.all = self.all or self._place

    def _DropStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        if tree.behavior == "DROP_CASCADE":
            self.all = self.all or self._place
        for thing in tree.objects:
            self.made.discard(path_of(thing)[-1] if path_of(thing) else "")
            if tree.remove_type in ("OBJECT_TABLE", "OBJECT_VIEW"):
                self.tables.setdefault(path_of(thing)[-1], self._place)

    def _RenameStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        if tree.relation is None:
            self.all = self.all or self._place
        elif tree.rename_type == "OBJECT_COLUMN":
            for column in (tree.subname, tree.newname):
                self.columns.setdefault((tree.relation.relname, column), self._place)
        elif tree.rename_type == "OBJECT_TABLE":
            for name in (tree.relation.relname, tree.newname):
                self.tables.setdefault(name, self._place)

    def _AlterObjectSchemaStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        if tree.relation is not None:
            self._touch(tree.relation)

    def _VariableSetStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        if tree.name == "search_path":
            self.path_set = self._place

    def _AlterTableStmt(self, tree: Node) -> None:  # noqa: N802  # the parser's name
        name = tree.relation.relname
        for command in tree.cmds:
            if command.subtype in _COLUMN_CHANGES:
                self.columns.setdefault((name, _column_of(command)), self._place)
            elif command.subtype in ("AT_AttachPartition", "AT_DetachPartition", "AT_AddInherit", "AT_DropInherit"):
                self._touch(tree.relation)


def _column_of(command: Node) -> str:
    return str(command.get("def").colname if command.subtype == "AT_AddColumn" else command.name)


# --- from statements to questions ---


def _asked(statement: Statement, batch: _Batch) -> Iterator[Probe]:
    tree = statement.tree
    match tree:
        case Node(type="AlterTableStmt") if tree.objtype == "OBJECT_TABLE":
            table = _table(tree.relation)
            for command in tree.cmds:
                yield from _of_command(command, tree, statement, batch, table)
        case Node(type="IndexStmt") if tree.unique:
            yield from _probes(_unique_index(tree), statement, batch, _table(tree.relation))
        case Node(type="DeleteStmt" | "UpdateStmt"):
            yield from _probes([_affected(tree, statement)], statement, batch, _table(tree.relation))
        case _:
            return


def _of_command(command: Node, tree: Node, statement: Statement, batch: _Batch, table: Table) -> Iterator[Probe]:
    reader = _READERS.get(command.subtype)
    if reader is None:
        return
    beside = [one for one in tree.cmds if one is not command and one.subtype in _COLUMN_CHANGES]
    changed = {_column_of(one) for one in beside}
    constraint = command.get("def")
    line = statement.line_at(constraint.location) if constraint and constraint.get("location") else statement.line
    for asked in reader(command):
        if command.subtype == "AT_AddConstraint" and constraint.skip_validation:
            batch.waiting[table.name, constraint.conname] = asked
            continue
        meant = batch.waiting.get((table.name, command.name), asked) if isinstance(asked[0], Validated) else asked
        twice = changed & set(meant[1])
        said = f"the same statement changes {shown(*sorted(twice))} first" if twice else ""
        for probe in _probes([meant], statement, batch, table):
            yield replace(probe, why_not=probe.why_not or said, line=line, optional=probe.optional or tree.missing_ok)


def _probes(asked: Iterable[_Asked], statement: Statement, batch: _Batch, table: Table) -> Iterator[Probe]:
    for look_for, columns, expressions in asked:
        if not batch.is_new(table):  # it would have no rows yet
            yield Probe(
                filename=batch.file,
                line=statement.line,
                statement=statement.in_brief,
                table=table,
                look_for=look_for,
                why_not=batch.why_not(table, None if isinstance(look_for, Validated) else columns)
                or _why_no_parent(look_for, batch),
                functions=tuple(tuple(call.funcname) for one in expressions for call in find(one, "FuncCall")),
                optional=table.name in batch.expected,
                unsure=batch.makes,
                changed=frozenset(batch.tables) | batch.made if isinstance(look_for, Validated) else frozenset(),
                after=tuple(batch.written.items()),
            )


def _why_no_parent(look_for: LookFor, batch: _Batch) -> str:
    if not isinstance(look_for, Orphans):
        return ""
    parent = look_for.parent
    return (
        f"these files make {parent.words} first"
        if parent.name in batch.made
        else batch.why_not(parent, look_for.others)
    )


def _table(relation: Node) -> Table:
    return Table(relation.schemaname, relation.relname, only=not relation.inh)


def _names_in(*expressions: Any) -> tuple[str, ...]:  # nodes, or None
    """The columns that expressions read."""
    refs = (ref.fields[-1] for one in expressions if one is not None for ref in find(one, "ColumnRef"))
    return tuple(name for name in refs if isinstance(name, str))


# --- one reader per kind of command ---


def _set_not_null(command: Node) -> Iterator[_Asked]:
    yield Nulls(command.name), (command.name,), ()


def _validate(command: Node) -> Iterator[_Asked]:
    yield Validated(command.name), (), ()


def _change_type(command: Node) -> Iterator[_Asked]:
    definition = command.get("def")
    using = definition.raw_default
    column = command.name
    plain = using is not None and using.type == "TypeCast" and _is_column(using.arg, column)
    target = write_expression(definition.type_name)
    if using is None or (plain and write_expression(using.type_name) == target):
        yield Unfit(column, target, cast=plain), (column,), ()
    else:
        yield Unknown(), (column,), (using,)


def _is_column(node: Any, column: str) -> bool:  # a node
    return isinstance(node, Node) and node.type == "ColumnRef" and node.fields[-1] == column


def _add_constraint(command: Node) -> Iterator[_Asked]:
    yield from _constraint(command.get("def"))


def _constraint(constraint: Node) -> Iterator[_Asked]:
    keys = tuple(constraint.keys)
    match constraint.contype:
        case "CONSTR_CHECK" if _false(constraint, "is_enforced"):
            return
        case "CONSTR_CHECK":
            expression = constraint.raw_expr
            yield _check(expression), _names_in(expression), (expression,)
        case "CONSTR_NOTNULL":
            for key in keys:
                yield Nulls(key), (key,), ()
        case "CONSTR_UNIQUE" if keys:
            yield Duplicates(tuple(Key(key) for key in keys), nulls_equal=constraint.nulls_not_distinct), keys, ()
        case "CONSTR_PRIMARY" if keys:
            for key in keys:
                yield Nulls(key), (key,), ()
            yield Duplicates(tuple(Key(key) for key in keys)), keys, ()
        case "CONSTR_FOREIGN" if not _false(constraint, "is_enforced"):
            columns = tuple(constraint.fk_attrs)
            full = constraint.fk_matchtype == "f"
            yield Orphans(columns, _table(constraint.pktable), tuple(constraint.pk_attrs), full), columns, ()
        case "CONSTR_EXCLUSION":
            yield Unknown(), (), ()
        case _:
            return


def _false(constraint: Node, field: str) -> bool:
    return constraint.get(field) is False


def _check(expression: Node) -> LookFor:
    """`CHECK (x IS NOT NULL)` asks for less than other expressions do: an index may answer it."""
    if (
        expression.type == "NullTest"
        and expression.nulltesttype == "IS_NOT_NULL"
        and expression.arg.type == "ColumnRef"
    ):
        return Nulls(str(expression.arg.fields[-1]))
    return Violators(write_expression(expression))


_FILLED = frozenset({"CONSTR_DEFAULT", "CONSTR_GENERATED", "CONSTR_IDENTITY"})
_SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})


def _add_column(command: Node) -> Iterator[_Asked]:
    column = command.get("def")
    name, kinds = column.colname, {one.contype: one for one in column.constraints}
    counted = column.type_name.names[-1] in _SERIAL or "CONSTR_IDENTITY" in kinds
    filled = counted or _has_value(kinds)
    if not filled and kinds.keys() & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"}:
        yield AnyRow(name, "has no value for them, and must not be NULL"), (), ()
    elif filled and not counted and kinds.keys() & {"CONSTR_UNIQUE", "CONSTR_PRIMARY"}:
        yield AnyRow(name, "gets the same value in all of them, and must be unique", 1), (), ()
    elif filled and not counted and kinds.keys() & {"CONSTR_CHECK", "CONSTR_FOREIGN"}:
        yield Unknown(), (), ()


def _has_value(kinds: dict[str, Node]) -> bool:
    default = kinds.get("CONSTR_DEFAULT")
    null = default is not None and default.raw_expr.type == "A_Const" and default.raw_expr.message.isnull
    return bool(kinds.keys() & _FILLED) and not null


_READERS: dict[str, Callable[[Node], Iterator[_Asked]]] = {
    "AT_AddColumn": _add_column,
    "AT_AddConstraint": _add_constraint,
    "AT_AlterColumnType": _change_type,
    "AT_SetNotNull": _set_not_null,
    "AT_ValidateConstraint": _validate,
}


def _unique_index(tree: Node) -> Iterator[_Asked]:
    keys = tuple(Key(part.name) if part.name else Key("", write_expression(part.expr)) for part in tree.index_params)
    expressions = tuple(part.expr for part in tree.index_params if part.expr is not None)
    where = tree.where_clause
    duplicates = Duplicates(
        keys,
        write_expression(where) if where is not None else "",
        nulls_equal=tree.nulls_not_distinct,
        index=tree.idxname,
        unless_there=tree.if_not_exists,
    )
    columns = (*(key.column for key in keys if key.column), *_names_in(*expressions, where))
    yield duplicates, columns, (*expressions, *((where,) if where is not None else ()))


def _affected(tree: Node, statement: Statement) -> _Asked:
    return Affected(statement.text), _names_in(tree.where_clause), ()
