"""What PostgreSQL calls a statement, and whether it runs inside a transaction block; both from the tree."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from dashboard.core.tree import Node

_FALSE = frozenset({"false", "off", "no", "0", "f", "n"})


def command_of(tree: Node) -> str:
    """PostgreSQL's command words, upper case, with CONCURRENTLY where it matters."""
    special = _SPECIAL.get(tree.type)
    words = special(tree) if special else _PLAIN.get(tree.type) or _guess(tree.type)
    return words.upper()


def runs_in_transaction(tree: Node) -> bool:
    """Whether the statement can stand in a transaction block on every server from 12 to 18.

    Where that depends on what only the server knows (a subscription's slot, a partitioned index), the answer is the
    careful one if running it alone always works, and True otherwise. Bodies of DO and procedures are not looked at.
    """
    forbidden = _ALONE.get(tree.type)
    return forbidden is None or not forbidden(tree)


def option(options: Iterable[Any], name: str) -> object:
    """The value of an option in a list such as `WITH (…)`: None where absent, True where it has no value."""
    found = next((one for one in options if isinstance(one, Node) and one.defname == name), None)
    if found is None:
        return None
    if found.arg is None:
        return True
    return found.arg.constant if isinstance(found.arg, Node) and found.arg.type == "A_Const" else found.arg


def switched_on(options: Iterable[Any], name: str, *, default: bool = False) -> bool:
    """Whether a boolean option is on: `FULL`, `FULL true`, `FULL 1`, but not `FULL off`."""
    value = option(options, name)
    return default if value is None else str(value).lower() not in _FALSE


def object_words(object_type: str) -> str:
    """`OBJECT_MATVIEW` as people write it: materialized view."""
    return _OBJECTS.get(object_type) or object_type.removeprefix("OBJECT_").replace("_", " ").lower()


_OBJECTS = {
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_FDW": "foreign data wrapper",
    "OBJECT_FOREIGN_SERVER": "server",
    "OBJECT_LARGEOBJECT": "large object",
    "OBJECT_OPCLASS": "operator class",
    "OBJECT_OPFAMILY": "operator family",
    "OBJECT_STATISTIC_EXT": "statistics",
    "OBJECT_TABCONSTRAINT": "constraint",
    "OBJECT_DOMCONSTRAINT": "domain constraint",
    "OBJECT_TSCONFIGURATION": "text search configuration",
    "OBJECT_TSDICTIONARY": "text search dictionary",
    "OBJECT_TSPARSER": "text search parser",
    "OBJECT_TSTEMPLATE": "text search template",
}


def _drop(tree: Node) -> str:
    return f"drop {object_words(tree.remove_type)}{' concurrently' if tree.concurrent else ''}"


def _create_index(tree: Node) -> str:
    return f"create index{' concurrently' if tree.concurrent else ''}"


def _reindex(tree: Node) -> str:
    what = tree.kind.removeprefix("REINDEX_OBJECT_").lower()
    return f"reindex {what}{' concurrently' if switched_on(tree.params, 'concurrently') else ''}"


def _rename(tree: Node) -> str:
    whole = {"OBJECT_ATTRIBUTE": "type", "OBJECT_DOMCONSTRAINT": "domain", "OBJECT_TABCONSTRAINT": "table"}
    renamed = tree.relation_type if tree.rename_type == "OBJECT_COLUMN" else tree.rename_type
    return f"alter {whole.get(renamed) or object_words(renamed)}"


def _select(tree: Node) -> str:
    if tree.into_clause:
        return "select into"
    return "values" if tree.values_lists else "select"


def _set(tree: Node) -> str:
    return "reset" if tree.kind in ("VAR_RESET", "VAR_RESET_ALL") else "set"


def _transaction(tree: Node) -> str:
    words = {"TRANS_STMT_START": "start transaction", "TRANS_STMT_PREPARE": "prepare transaction"}
    return words.get(tree.kind) or str(tree.kind).removeprefix("TRANS_STMT_").replace("_", " ")


def _create_as(tree: Node) -> str:
    return "create materialized view" if tree.objtype == "OBJECT_MATVIEW" else "create table as"


_SPECIAL: dict[str, Callable[[Node], str]] = {
    "DropStmt": _drop,
    "IndexStmt": _create_index,
    "ReindexStmt": _reindex,
    "RenameStmt": _rename,
    "SelectStmt": _select,
    "VariableSetStmt": _set,
    "TransactionStmt": _transaction,
    "CreateTableAsStmt": _create_as,
    "AlterTableStmt": lambda tree: f"alter {object_words(tree.objtype)}",
    "AlterObjectSchemaStmt": lambda tree: f"alter {object_words(tree.object_type)}",
    "AlterOwnerStmt": lambda tree: f"alter {object_words(tree.object_type)}",
    "AlterFunctionStmt": lambda tree: f"alter {object_words(tree.objtype)}",
    "AlterObjectDependsStmt": lambda tree: f"alter {object_words(tree.object_type)}",
    "CreateFunctionStmt": lambda tree: "create procedure" if tree.is_procedure else "create function",
    "DefineStmt": lambda tree: f"create {object_words(tree.kind)}",
    "GrantStmt": lambda tree: "grant" if tree.is_grant else "revoke",
    "GrantRoleStmt": lambda tree: "grant" if tree.is_grant else "revoke",
    "VacuumStmt": lambda tree: "vacuum" if tree.is_vacuumcmd else "analyze",
    "DiscardStmt": lambda tree: tree.target.replace("_", " "),
}
_PLAIN = {
    "AlterDatabaseRefreshCollStmt": "alter database",
    "AlterDatabaseSetStmt": "alter database",
    "AlterEventTrigStmt": "alter event trigger",
    "AlterExtensionContentsStmt": "alter extension",
    "AlterFdwStmt": "alter foreign data wrapper",
    "AlterForeignServerStmt": "alter server",
    "AlterOpFamilyStmt": "alter operator family",
    "AlterRoleSetStmt": "alter role",
    "AlterSeqStmt": "alter sequence",
    "AlterStatsStmt": "alter statistics",
    "AlterTSConfigurationStmt": "alter text search configuration",
    "AlterTSDictionaryStmt": "alter text search dictionary",
    "AlterTableMoveAllStmt": "alter table",
    "AlterTableSpaceOptionsStmt": "alter tablespace",
    "AlterEnumStmt": "alter type",
    "CheckPointStmt": "checkpoint",
    "ClosePortalStmt": "close",
    "CompositeTypeStmt": "create type",
    "ConstraintsSetStmt": "set constraints",
    "CreateAmStmt": "create access method",
    "CreateEnumStmt": "create type",
    "CreateEventTrigStmt": "create event trigger",
    "CreateFdwStmt": "create foreign data wrapper",
    "CreateForeignServerStmt": "create server",
    "CreateForeignTableStmt": "create foreign table",
    "CreateOpClassStmt": "create operator class",
    "CreateOpFamilyStmt": "create operator family",
    "CreatePLangStmt": "create language",
    "CreateRangeStmt": "create type",
    "CreateSeqStmt": "create sequence",
    "CreateStatsStmt": "create statistics",
    "CreateStmt": "create table",
    "CreateTableSpaceStmt": "create tablespace",
    "CreateTrigStmt": "create trigger",
    "CreatedbStmt": "create database",
    "DeclareCursorStmt": "declare cursor",
    "DropTableSpaceStmt": "drop tablespace",
    "DropdbStmt": "drop database",
    "LockStmt": "lock table",
    "RefreshMatViewStmt": "refresh materialized view",
    "RuleStmt": "create rule",
    "SecLabelStmt": "security label",
    "VariableShowStmt": "show",
    "ViewStmt": "create view",
}


def _guess(node_type: str) -> str:
    """`CreateUserMappingStmt` -> create user mapping: the names of most nodes say it."""
    return " ".join(re.findall(r"[A-Z][a-z]+", node_type.removesuffix("Stmt")))


def _reindex_alone(tree: Node) -> bool:
    whole = ("REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE")
    return tree.kind in whole or switched_on(tree.params, "concurrently")


def _create_subscription_alone(tree: Node) -> bool:
    connects = switched_on(tree.options, "connect", default=True)
    return switched_on(tree.options, "create_slot", default=connects)


def _alter_subscription_alone(tree: Node) -> bool:
    match tree.kind:
        case "ALTER_SUBSCRIPTION_REFRESH":
            return True
        case (
            "ALTER_SUBSCRIPTION_SET_PUBLICATION"
            | "ALTER_SUBSCRIPTION_ADD_PUBLICATION"
            | "ALTER_SUBSCRIPTION_DROP_PUBLICATION"
        ):
            return switched_on(tree.options, "refresh", default=True)
        case "ALTER_SUBSCRIPTION_OPTIONS":  # both change the slot on the publisher
            return option(tree.options, "failover") is not None or option(tree.options, "two_phase") is not None
        case _:
            return False


def _always(_: Node) -> bool:
    return True


_ALONE: dict[str, Callable[[Node], bool]] = {
    "IndexStmt": lambda tree: tree.concurrent,
    "DropStmt": lambda tree: tree.concurrent,
    "ReindexStmt": _reindex_alone,
    "VacuumStmt": lambda tree: tree.is_vacuumcmd,
    "ClusterStmt": lambda tree: tree.relation is None,
    "CreatedbStmt": _always,
    "DropdbStmt": _always,
    "AlterDatabaseStmt": lambda tree: option(tree.options, "tablespace") is not None,
    "CreateTableSpaceStmt": _always,
    "DropTableSpaceStmt": _always,
    "AlterSystemStmt": _always,
    "DiscardStmt": lambda tree: tree.target == "DISCARD_ALL",
    "AlterTableStmt": lambda tree: any(
        cmd.subtype == "AT_DetachPartition" and getattr(cmd.get("def"), "concurrent", False) for cmd in tree.cmds
    ),
    "CreateSubscriptionStmt": _create_subscription_alone,
    "AlterSubscriptionStmt": _alter_subscription_alone,
    "DropSubscriptionStmt": _always,
}
