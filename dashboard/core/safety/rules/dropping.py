"""Dropping what holds data, or what data hangs on."""

from collections.abc import Iterator
from typing import Any

from dashboard.core.commands import object_words
from dashboard.core.safety.batch import KINDS, Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Judge, Remark, Rule
from dashboard.core.tree import Node

_CASCADE = "DROP_CASCADE"
_WITH_CASCADE = ", and with CASCADE everything that depends on it"


def _drops(object_type: str, lost: str, safer: str | None = None) -> Judge:
    """A judge of `DROP …`, one remark per object that is not new; `{name}` and `{trash}` in `safer` are names."""

    def judge(drop: Node, batch: Batch) -> Iterator[Remark]:
        if drop.remove_type != object_type:
            return
        for thing in drop.objects:
            path = path_of(thing)
            kind = KINDS.get(object_type)
            if kind is None or not batch.has_new(kind, path):
                cascade = _WITH_CASCADE if drop.behavior == _CASCADE else ""
                what = f"drops {object_words(object_type)} {shown(*path)}{lost}{cascade}"
                yield Remark(what, safer and safer.format(name=shown(*path), trash=shown(f"{path[-1]}_trash")))

    return judge


def _drop_column(alter: Node, batch: Batch) -> Iterator[Remark]:
    if alter.objtype != "OBJECT_TABLE":
        return
    for command in alter.cmds:
        if command.subtype == "AT_DropColumn" and not batch.has_new_column(alter.relation, command.name):
            cascade = _WITH_CASCADE if command.behavior == _CASCADE else ""
            column, table = shown(command.name), relation_name(alter.relation)
            yield Remark(f"drops column {column} of table {table} with all its values{cascade}")


def _drop_attribute(alter: Node, batch: Batch) -> Iterator[Remark]:
    if alter.objtype != "OBJECT_TYPE" or batch.has_new("type", path_of(alter.relation)):
        return
    for command in alter.cmds:
        if command.subtype == "AT_DropColumn":
            attribute, name = shown(command.name), relation_name(alter.relation)
            yield Remark(f"drops attribute {attribute} of type {name}, and its values wherever the type is used")


def _drop_cascade(node: Node, batch: Batch) -> Iterator[Remark]:
    """CASCADE where the thing itself holds nothing; the other rules speak of CASCADE themselves."""
    dropped = "drops {}" + _WITH_CASCADE
    match node.type:
        case "DropStmt" if node.behavior == _CASCADE and node.remove_type not in _HOLDING:
            for thing in node.objects:
                if not batch.has_new(KINDS.get(node.remove_type, node.remove_type), path_of(thing)):
                    yield Remark(dropped.format(_named(node.remove_type, thing)))
        case "AlterTableStmt" if not batch.has_new_table(node.relation):
            for command in node.cmds:
                if command.subtype == "AT_DropConstraint" and command.behavior == _CASCADE:
                    name = f"constraint {shown(command.name)} of {relation_name(node.relation)}"
                    yield Remark(dropped.format(name))
                if command.subtype == "AT_DropColumn" and command.behavior == _CASCADE and _is_other(node):
                    name = f"column {shown(command.name)} of {relation_name(node.relation)}"
                    yield Remark(dropped.format(name))
        case "AlterDomainStmt" if node.subtype == "X" and node.behavior == _CASCADE:
            yield Remark(dropped.format(f"constraint {shown(node.name)} of domain {shown(*node.type_name)}"))
        case _:
            pass


def _named(object_type: str, thing: Any) -> str:
    if object_type == "OBJECT_CAST":
        return f"cast ({' AS '.join(shown(*path_of(side)) for side in thing)})"
    return f"{object_words(object_type)} {shown(*path_of(thing))}"


def _is_other(alter: Node) -> bool:
    return alter.objtype not in ("OBJECT_TABLE", "OBJECT_TYPE")


def _drop_database(drop: Node, _: Batch) -> Iterator[Remark]:
    yield Remark(f"drops database {shown(drop.dbname)} with everything in it")


def _drop_owned(drop: Node, _: Batch) -> Iterator[Remark]:
    roles = ", ".join(shown(role.rolename) if role.rolename else "the current role" for role in drop.roles)
    yield Remark(f"drops everything that {roles} owns in this database, tables with their rows among it")


_TRASH = "Stop using it, ALTER TABLE {name} RENAME TO {trash}; and drop it in a later release, after a backup."
_BY_NAME = "Leave CASCADE out, and drop each dependent object by its name before."

RULES = (
    Rule(
        "drop-table",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_TABLE", " with all its rows", _TRASH),
        about=(
            "DROP TABLE, also with IF EXISTS. A partitioned table takes all its partitions along, without CASCADE. "
            "A table that this batch made itself, or a temporary one, may go."
        ),
        safer="Stop using it, rename it, and drop it in a later release, after a backup.",
    ),
    Rule(
        "drop-foreign-table",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_FOREIGN_TABLE", ": its rows stay on the other server, the way to them is lost"),
        about="DROP FOREIGN TABLE. The rows are elsewhere; the definition with its options and mappings is not kept.",
        safer="Keep its definition in a file that can bring it back.",
    ),
    Rule(
        "drop-column",
        RiskClass.DESTRUCTIVE,
        ("AT_DropColumn",),
        _drop_column,
        about=(
            "ALTER TABLE … DROP COLUMN. Indexes and constraints with the column go too; PostgreSQL 12 to 14 also drop "
            "generated columns that use it, without a word. Columns that this batch added may go."
        ),
        safer=(
            "Stop reading and writing the column, and drop it one release later; "
            "copy it with its key into a side table first if the values may be wanted."
        ),
    ),
    Rule(
        "drop-attribute",
        RiskClass.DESTRUCTIVE,
        ("AT_DropColumn",),
        _drop_attribute,
        about="ALTER TYPE … DROP ATTRIBUTE: columns and typed tables of the type lose the values.",
        safer="Make a new type, and convert the columns to it.",
    ),
    Rule(
        "drop-schema",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_SCHEMA", ", which tables may lie in"),
        about="DROP SCHEMA. Without CASCADE PostgreSQL refuses while something is in it; with it, all of that goes.",
        safer="Empty it object by object, each in a statement that names it, and drop it then without CASCADE.",
    ),
    Rule(
        "drop-type",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_TYPE", ", on which columns may hang"),
        about="DROP TYPE. With CASCADE the columns of that type go, with their values.",
        safer="Convert the columns to another type first, and leave CASCADE out.",
    ),
    Rule(
        "drop-domain",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_DOMAIN", ", on which columns may hang"),
        about="DROP DOMAIN. With CASCADE the columns of that domain go, with their values.",
        safer="Convert the columns to the base type first, and leave CASCADE out.",
    ),
    Rule(
        "drop-matview",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_MATVIEW", " with its stored rows and its indexes; building it again may take hours"),
        about="DROP MATERIALIZED VIEW. What it stores can be computed again only if its sources still hold it.",
        safer="Build the new one under another name, and swap them by renaming.",
    ),
    Rule(
        "drop-sequence",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_SEQUENCE", " with its last value"),
        about="DROP SEQUENCE. Where it went on from is lost; with CASCADE the defaults that use it go too.",
        safer="Note its last value, take it out of the defaults that use it, and drop it then without CASCADE.",
    ),
    Rule(
        "drop-extension",
        RiskClass.DESTRUCTIVE,
        ("DropStmt",),
        _drops("OBJECT_EXTENSION", " with its functions, and its types, on which columns may hang"),
        about="DROP EXTENSION. With CASCADE columns of its types go, with their values.",
        safer="Convert the columns that use its types first, and leave CASCADE out.",
    ),
    Rule(
        "drop-owned",
        RiskClass.DESTRUCTIVE,
        ("DropOwnedStmt",),
        _drop_owned,
        about="DROP OWNED BY: every object of the role in this database goes, tables too, and even without CASCADE.",
        safer="Give what is still wanted to another role (REASSIGN OWNED BY … TO …;), and drop the rest by name.",
    ),
    Rule(
        "drop-database",
        RiskClass.DESTRUCTIVE,
        ("DropdbStmt",),
        _drop_database,
        about="DROP DATABASE.",
        safer="A migration is not the place for it; drop a database by hand, after a backup.",
    ),
    Rule(
        "drop-cascade",
        RiskClass.DESTRUCTIVE,
        ("DropStmt", "AT_DropConstraint", "AT_DropColumn", "AlterDomainStmt"),
        _drop_cascade,
        about=(
            "CASCADE on anything that holds no data itself (views, functions, constraints, collations, …): what falls "
            "with it cannot be known from the text, and columns and tables can be among it."
        ),
        safer=_BY_NAME,
    ),
)

_HOLDING = (
    "OBJECT_TABLE",
    "OBJECT_FOREIGN_TABLE",
    "OBJECT_MATVIEW",
    "OBJECT_SCHEMA",
    "OBJECT_TYPE",
    "OBJECT_DOMAIN",
    "OBJECT_SEQUENCE",
    "OBJECT_EXTENSION",
)
