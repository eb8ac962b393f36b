"""What only the environment's catalog can tell: nothing here speaks where it was not asked."""

from collections.abc import Iterator

from dashboard.core.commands import object_words
from dashboard.core.safety.altering import added, column_name, commands, table
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import listed, path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.safety.there import Need
from dashboard.core.tree import Node

_OF_COLUMN = frozenset({"AT_AlterColumnType", "AT_ColumnDefault", "AT_SetNotNull", "AT_DropNotNull"})
_DROPPED = {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"}
_NOT_VALID_SINCE = 18  # of a foreign key of a partitioned table
_REFUSES_SINCE = 15  # to drop what a generated column is computed from


def _dropped(alter: Node, subtype: str) -> set[str]:
    return {command.name for command in alter.cmds if command.subtype == subtype}


# --- already-there ---


def _already(node: Node, batch: Batch) -> Iterator[Remark]:
    match node.type:
        case "CreateStmt" | "CreateTableAsStmt" if not node.if_not_exists:
            yield from _made(node.into.rel if node.type == "CreateTableAsStmt" else node.relation, batch)
        case "ViewStmt" if not node.replace:
            yield from _made(node.view, batch)
        case "IndexStmt" if node.idxname and not node.if_not_exists:
            fact = batch.fact(path_of(node.relation))
            if fact and node.idxname in fact.indexes and batch.is_untouched(node.idxname):
                of = relation_name(node.relation)
                yield Remark(f"makes index {shown(node.idxname)}, which {of} has here already")
        case "AlterTableStmt" if node.objtype == "OBJECT_TABLE":
            yield from _added_again(node, batch)
        case _:
            return


def _made(relation: Node, batch: Batch) -> Iterator[Remark]:
    fact = batch.fact(path_of(relation)) if relation.relpersistence != "t" else None
    if fact and (relation.schemaname or fact.schema == batch.there.home):
        yield Remark(f"makes {relation_name(relation)}, which is here already", at=relation)


def _added_again(alter: Node, batch: Batch) -> Iterator[Remark]:
    fact, of = batch.fact(path_of(alter.relation)), relation_name(alter.relation)
    columns, constraints = _dropped(alter, "AT_DropColumn"), _dropped(alter, "AT_DropConstraint")
    for command in alter.cmds if fact else ():
        definition = command.get("def")
        if command.subtype == "AT_AddColumn" and not command.missing_ok:
            name = definition.colname
            if batch.column(alter.relation, name) and name not in columns:
                yield Remark(f"adds column {shown(name)} to {of}, which has it here already", at=definition)
        elif command.subtype == "AT_AddConstraint" and fact:
            name = definition.conname
            if name in fact.constraints and name not in constraints and batch.is_untouched(name):
                yield Remark(f"adds constraint {shown(name)} to {of}, which has it here already")


# --- not-there ---


def _missing(node: Node, batch: Batch) -> Iterator[Remark]:
    match node.type:
        case "AlterTableStmt" if node.objtype == "OBJECT_TABLE" and not node.missing_ok:
            yield from _of_table(node.relation, batch) or _of_columns(node, batch)
        case "DropStmt" if node.remove_type in _DROPPED and not node.missing_ok:
            for thing in node.objects:
                if batch.is_missing(path_of(thing)):
                    yield _no(object_words(node.remove_type), shown(*path_of(thing)))
        case "RenameStmt" if node.rename_type == "OBJECT_COLUMN" and not node.missing_ok:
            if batch.lacks_column(node.relation, node.subname):
                yield _no("column", f"{shown(node.subname)} of {relation_name(node.relation)}")
        case "RenameStmt" if node.rename_type == "OBJECT_TABLE" and not node.missing_ok:
            yield from _of_table(node.relation, batch)
        case "IndexStmt":
            yield from _of_table(node.relation, batch)
            for part in node.index_params:
                if part.name and batch.lacks_column(node.relation, part.name):
                    yield _no("column", f"{shown(part.name)} of {relation_name(node.relation)}")
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt":
            yield from _of_table(node.relation, batch)
        case _:
            return


def _of_table(relation: Node, batch: Batch) -> list[Remark]:
    return [_no("table", relation_name(relation))] if batch.is_missing(path_of(relation)) else []


def _of_columns(alter: Node, batch: Batch) -> Iterator[Remark]:
    new = {command.get("def").colname for command in alter.cmds if command.subtype == "AT_AddColumn"}
    for command in alter.cmds:
        drops = command.subtype == "AT_DropColumn" and not command.missing_ok
        if (drops or command.subtype in _OF_COLUMN) and command.name and command.name not in new:
            if batch.lacks_column(alter.relation, command.name):
                yield _no("column", column_name(alter, command.name))
        elif command.subtype == "AT_DropConstraint" and not command.missing_ok:
            known = batch.lacks_constraint(alter.relation, command.name)
            yield from [_no("constraint", column_name(alter, command.name))] if known else []


def _no(kind: str, name: str) -> Remark:
    return Remark(f"needs {kind} {name}, which does not exist here")


# --- depended-on ---


def _depended(node: Node, batch: Batch) -> Iterator[Remark]:
    if node.type == "DropStmt":
        yield from _drop(node, batch)
        return
    gone = _dropped(node, "AT_DropColumn")
    for command in node.cmds if node.objtype == "OBJECT_TABLE" else ():
        column = column_name(node, command.name) if command.name else ""
        if command.subtype == "AT_DropColumn" and command.behavior != "DROP_CASCADE":
            kinds = {"view", "key", "policy", "trigger"}
            kinds |= {"generated"} if batch.there.version >= _REFUSES_SINCE else set()
            yield from _needed(f"drops {column}", _needs(node, command.name, kinds, batch), gone)
        elif command.subtype == "AT_AlterColumnType":
            kinds = {"view", "generated", "policy", "trigger"}
            yield from _needed(f"changes the type of {column}", _needs(node, command.name, kinds, batch), set())


def _needs(alter: Node, name: str, kinds: set[str], batch: Batch) -> list[Need]:
    fact = batch.fact(path_of(alter.relation))
    known = fact.needs if fact and batch.column(alter.relation, name) else ()
    asked = (one for one in known if one.column == name and one.kind in kinds and batch.is_untouched(one.name, one.of))
    return [one for one in asked if one.kind != "generated" or batch.column(alter.relation, one.name)]


def _drop(drop: Node, batch: Batch) -> Iterator[Remark]:
    if drop.remove_type not in _DROPPED or drop.behavior == "DROP_CASCADE":
        return
    gone = {path_of(thing)[-1] for thing in drop.objects}
    for thing in drop.objects:
        fact = batch.fact(path_of(thing))
        needs = [one for one in (fact.needs if fact else ()) if one.kind in ("view", "key")]
        alive = [one for one in needs if batch.is_untouched(one.name, one.of)]
        yield from _needed(f"drops {shown(*path_of(thing))}", alive, gone)


def _needed(what: str, needs: list[Need], gone: set[str]) -> Iterator[Remark]:
    told = list(dict.fromkeys(one.told for one in needs if one.of not in gone))
    if told:
        more = f" and {len(told) - _FEW} more" if len(told) > _FEW else ""
        need = "needs" if len(told) == 1 else "need"
        yield Remark(f"{what}, which {listed(told[:_FEW]) if not more else ', '.join(told[:_FEW])}{more} {need}")


_FEW = 4


# --- what happens besides ---


def _drop_generated(alter: Node, batch: Batch) -> Iterator[Remark]:
    gone = _dropped(alter, "AT_DropColumn")
    for command in commands(alter, batch, "AT_DropColumn") if batch.there.version < _REFUSES_SINCE else ():
        for need in _needs(alter, command.name, {"generated"}, batch):
            if need.name not in gone:
                what = f"drops column {shown(need.name)} as well, without a word: it is computed from"
                yield Remark(f"{what} {shown(command.name)}", certain=False)


def _delete(delete: Node, batch: Batch) -> Iterator[Remark]:
    fact = batch.fact(path_of(delete.relation))
    if fact and fact.changing:
        what = f"deletes rows of {relation_name(delete.relation)}, and by its foreign keys deletes or changes rows of"
        yield Remark(f"{what} {listed(fact.changing)}", certain=False)


def _drop_partition(drop: Node, batch: Batch) -> Iterator[Remark]:
    for thing in drop.objects if drop.remove_type == "OBJECT_TABLE" else ():
        fact = batch.fact(path_of(thing))
        if fact and fact.partition_of:
            name, parent = shown(*path_of(thing)), shown(fact.partition_of)
            what = f"drops {name}, a partition of {parent}; nobody can read or write {parent} meanwhile"
            detach = f"ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY;"
            yield Remark(what, f"{detach}\nThen drop it, in a later file.")


def _domain(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _, column, _has in added(alter, batch):
        name = column.type_name.names[-1]
        if name in batch.there.strict and not column.type_name.array_bounds:
            of = relation_name(alter.relation)
            what = f"writes {of} anew, because domain {shown(name)} of {shown(column.colname)} refuses some values"
            yield Remark(f"{what}; nobody can read or write it meanwhile")


def _partitioned(alter: Node, batch: Batch) -> Iterator[Remark]:
    version = batch.there.version
    for command in commands(alter, batch, "AT_AddConstraint") if 0 < version < _NOT_VALID_SINCE else ():
        constraint, fact = command.get("def"), batch.fact(path_of(alter.relation))
        if constraint.contype == "CONSTR_FOREIGN" and constraint.skip_validation and fact and fact.kind == "p":
            of = relation_name(alter.relation)
            yield Remark(f"adds a foreign key NOT VALID to partitioned table {of}, which PostgreSQL {version} refuses")


def _nullable(alter: Node, batch: Batch) -> Iterator[Remark]:
    fact = batch.fact(path_of(alter.relation))
    for command in commands(alter, batch, "AT_AddConstraint") if fact else ():
        constraint = command.get("def")
        if fact is None or constraint.contype != "CONSTR_PRIMARY" or not batch.is_untouched(constraint.indexname):
            continue
        columns = [name for name in fact.indexes.get(constraint.indexname, ()) if name]
        open_ = [name for name in columns if name not in fact.never_null and batch.column(alter.relation, name)]
        if open_:
            of = relation_name(alter.relation)
            what = f"looks for NULLs in {listed([shown(name) for name in open_])} of every row of {of}"
            what += "; nobody can read or write it meanwhile"
            yield Remark(what, f"{table(alter)} ALTER … SET NOT NULL first.")


def _rule(
    name: str, risk: RiskClass, on: str, judge: Judge, about: str, safer: str, claim: Claim | None = None
) -> Rule:
    return Rule(name, risk, tuple(on.split()), judge, about=about, safer=safer, claim=claim, catalog=True)


_FAILS, _BLOCKS, _DESTROYS = RiskClass.WILL_FAIL, RiskClass.BLOCKING, RiskClass.DESTRUCTIVE

RULES = (
    _rule(
        "already-there",
        _FAILS,
        "CreateStmt CreateTableAsStmt ViewStmt IndexStmt AlterTableStmt",
        _already,
        "CREATE TABLE, VIEW or INDEX, ADD COLUMN and ADD CONSTRAINT of a name that the environment has already, as "
        "after a change by hand. IF NOT EXISTS, OR REPLACE, and what an earlier statement drops or renames are fine.",
        "Find out who made it. If it is what the file would make, say IF NOT EXISTS, or record the file as applied.",
        Claim(fails="42P07"),
    ),
    _rule(
        "not-there",
        _FAILS,
        "AlterTableStmt DropStmt RenameStmt IndexStmt InsertStmt UpdateStmt DeleteStmt",
        _missing,
        "A table, column or constraint that the environment does not have, and that no earlier statement makes.",
        "Correct its name, make it in a file before this one, or say IF EXISTS where it may be missing.",
        Claim(fails="42703"),
    ),
    _rule(
        "depended-on",
        _FAILS,
        "AlterTableStmt DropStmt",
        _depended,
        "DROP TABLE, VIEW or COLUMN without CASCADE while something else needs it: a view, a foreign key of another "
        "table, a policy, a trigger, a generated column (PostgreSQL 15); and a new type for a column that a view, a "
        "policy, a trigger or a generated column uses. What an earlier statement drops is not in the way.",
        "Drop or change what needs it first, in the same file: a view can be made again at its end.",
        Claim(fails="0A000"),
    ),
    _rule(
        "drop-generated",
        _DESTROYS,
        "AT_DropColumn",
        _drop_generated,
        "DROP COLUMN of a column that a generated column is computed from, on PostgreSQL 12 to 14: that column goes "
        "too, without a notice. From 15 on PostgreSQL refuses, see depended-on.",
        "Drop the generated column first, by its name, or DROP EXPRESSION to keep its values.",
    ),
    _rule(
        "delete-cascades",
        _DESTROYS,
        "DeleteStmt",
        _delete,
        "DELETE from a table whose rows others refer to ON DELETE CASCADE, SET NULL or SET DEFAULT: their rows go or "
        "change too. It stops nothing, because the rows decide.",
        "Count the rows there first, and delete them by a statement of their own where that is meant.",
        Claim(lock="RowExclusiveLock", scans=True),
    ),
    _rule(
        "drop-partition",
        _BLOCKS,
        "DropStmt",
        _drop_partition,
        "DROP TABLE of a partition: it locks the whole partitioned table.",
        "DETACH PARTITION … CONCURRENTLY (PostgreSQL 14) in a file of its own, then drop it.",
        Claim(lock="AccessExclusiveLock"),
    ),
    _rule(
        "add-column-domain-checked",
        _BLOCKS,
        "AT_AddColumn",
        _domain,
        "ADD COLUMN of a domain that has a CHECK or NOT NULL writes the whole table, even without a default. A domain "
        "without either is brief.",
        "Add it with the type below the domain, and a CHECK … NOT VALID of the table, validated in a later file.",
        Claim(lock="AccessExclusiveLock", scans=True, rewrites=True),
    ),
    _rule(
        "add-foreign-key-not-valid-partitioned",
        _FAILS,
        "AT_AddConstraint",
        _partitioned,
        "ADD FOREIGN KEY … NOT VALID to a partitioned table, which PostgreSQL takes from 18 on.",
        "Add it to each partition NOT VALID, validate those in later files, and add it to the parent then.",
    ),
    _rule(
        "add-primary-key-using-nullable-index",
        _BLOCKS,
        "AT_AddConstraint",
        _nullable,
        "ADD PRIMARY KEY USING INDEX reads the whole table under ACCESS EXCLUSIVE where a column of it may be NULL. "
        "With NOT NULL, or a valid CHECK that says so, it is brief.",
        "SET NOT NULL the safe way first.",
        Claim(lock="AccessExclusiveLock", scans=True),
    ),
)
