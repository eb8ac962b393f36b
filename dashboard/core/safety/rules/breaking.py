"""Taking away or renaming what running code relies on."""

from collections.abc import Iterator
from typing import Any

from dashboard.core.commands import object_words
from dashboard.core.safety.altering import column_name, commands, table
from dashboard.core.safety.batch import KINDS, Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.folding import truth
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.tree import Node


def _rename_column(rename: Node, batch: Batch) -> Iterator[Remark]:
    if rename.rename_type != "OBJECT_COLUMN" or batch.has_new_column(rename.relation, rename.subname):
        return
    of, old, new = relation_name(rename.relation), shown(rename.subname), shown(rename.newname)
    safer = f"Add {new} to {of}, write both, read {new} from the next release on, and drop {old} one release later."
    yield Remark(f"renames column {old} of {of} to {new}; code that still says {old} fails at once", safer)


_RENAMED = frozenset({"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE", "OBJECT_TYPE"}) | {
    "OBJECT_SCHEMA",
    "OBJECT_FUNCTION",
    "OBJECT_PROCEDURE",
    "OBJECT_DOMAIN",
    "OBJECT_FOREIGN_TABLE",
    "OBJECT_ROLE",
    "OBJECT_DATABASE",
}


def _rename(rename: Node, batch: Batch) -> Iterator[Remark]:
    kind = rename.rename_type
    path = path_of(rename.relation or rename.object) or (rename.subname,)
    if kind not in _RENAMED or (kind in KINDS and batch.has_new(KINDS[kind], path)):
        return
    old, new = shown(*path), shown(*path[:-1], rename.newname)
    safer = f"In the same file: CREATE VIEW {old} AS SELECT * FROM {new};" if kind == "OBJECT_TABLE" else None  # noqa: S608  # for people
    yield Remark(f"renames {object_words(kind)} {old} to {new}; code that still says {old} fails at once", safer)


def _rename_value(alter: Node, batch: Batch) -> Iterator[Remark]:
    if alter.old_val and not batch.has_new("type", alter.type_name):
        what = f"renames value '{alter.old_val}' of {shown(*alter.type_name)}; code that still writes it fails at once"
        yield Remark(what)


def _set_schema(move: Node, batch: Batch) -> Iterator[Remark]:
    path = path_of(move.relation or move.object)
    kind = KINDS.get(move.object_type)
    if kind is None or not batch.has_new(kind, path):
        what = f"moves {object_words(move.object_type)} {shown(*path)} to schema {shown(move.newschema)}"
        yield Remark(f"{what}; code that looks for it in the old one fails at once")


def _drops(what: str, *kinds: str) -> Judge:
    """A judge of DROP of objects that hold no data, without CASCADE."""

    def judge(drop: Node, batch: Batch) -> Iterator[Remark]:
        if drop.remove_type not in kinds or drop.behavior == "DROP_CASCADE":
            return
        for thing in drop.objects:
            kind = KINDS.get(drop.remove_type)
            if kind is None or not batch.has_new(kind, path_of(thing)):
                yield Remark(f"drops {object_words(drop.remove_type)} {_placed(drop.remove_type, thing)}; {what}")

    return judge


def _placed(kind: str, thing: Any) -> str:
    if kind == "OBJECT_CAST":
        return f"({' AS '.join(shown(*path_of(side)) for side in thing)})"
    path = path_of(thing)
    on_table = kind in ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY")
    return f"{shown(path[-1])} of {shown(*path[:-1])}" if on_table else shown(*path)


def _alters(what: str, *subtypes: str) -> Judge:
    """A judge of commands of ALTER TABLE; `{column}` is the column with its table, `{table}` the table."""

    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for command in commands(alter, batch, *subtypes):
            if not (command.name and batch.has_new_column(alter.relation, command.name)):
                column = column_name(alter, command.name) if command.name else ""
                yield Remark(what.format(column=column, name=shown(command.name), table=relation_name(alter.relation)))

    return judge


def _disable_security(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _ in commands(alter, batch, "AT_DisableRowSecurity", "AT_NoForceRowSecurity"):
        of = relation_name(alter.relation)
        yield Remark(
            f"stops row security on {of}: rows that policies hid can be seen",
            f"{table(alter)} ENABLE ROW LEVEL SECURITY;",
        )


def _open_policy(policy: Node, batch: Batch) -> Iterator[Remark]:
    if policy.qual is not None and truth(policy.qual) is True and not batch.has_new_table(policy.table):
        yield Remark(f"lets policy {shown(policy.policy_name)} of {relation_name(policy.table)} show every row")


def _revoke(revoke: Node, _: Batch) -> Iterator[Remark]:
    if not revoke.is_grant:
        yield Remark("takes privileges away; what relies on them fails at once")


def _integrity(setting: Node, _: Batch) -> Iterator[Remark]:
    if setting.name == "session_replication_role" and setting.args and setting.args[0].constant != "origin":
        yield Remark("switches triggers and foreign keys off for what follows; rows without a parent are accepted")


def _restart(alter: Node, batch: Batch) -> Iterator[Remark]:
    if any(one.defname == "restart" for one in alter.options) and not batch.has_new_table(alter.sequence):
        yield Remark(f"starts sequence {relation_name(alter.sequence)} over; numbers may come a second time")


def _setval(call: Node, _: Batch) -> Iterator[Remark]:
    first = call.args[0] if call.args else None
    if call.funcname[-1] == "setval" and first is not None and first.type == "A_Const":
        yield Remark(f"sets sequence {first.constant}; numbers may come a second time, and no rollback undoes it")


def _rule(name: str, on: str, judge: Judge, about: str, safer: str, claim: Claim | None = None) -> Rule:
    return Rule(name, RiskClass.BREAKING, tuple(on.split()), judge, about=about, safer=safer, claim=claim)


_STRONG = Claim(lock="AccessExclusiveLock")
_LATER = "Change the code first, and do this one release later."

RULES = (
    _rule(
        "rename-column",
        "RenameStmt",
        _rename_column,
        "Renaming a column is instant, and views follow; code that runs does not.",
        "Add a column, write both, and drop the old one in a later release.",
        _STRONG,
    ),
    _rule(
        "rename-object",
        "RenameStmt",
        _rename,
        "Renaming a table, view, sequence, type, schema, function, role or database that was there before. Indexes and "
        "constraints may be renamed: code hardly ever names them.",
        "Rename, and make a view of the old name in the same transaction.",
        _STRONG,
    ),
    _rule("rename-enum-value", "AlterEnumStmt", _rename_value, "ALTER TYPE … RENAME VALUE.", "Add a value beside it."),
    _rule(
        "set-schema",
        "AlterObjectSchemaStmt",
        _set_schema,
        "ALTER … SET SCHEMA of something that was there before.",
        "Move it, and make a view in the old schema in the same transaction.",
        _STRONG,
    ),
    _rule(
        "drop-view",
        "DropStmt",
        _drops("what reads it fails at once", "OBJECT_VIEW"),
        "DROP VIEW of a view that was there before. The definition is lost, no data.",
        _LATER,
        _STRONG,
    ),
    _rule(
        "drop-function",
        "DropStmt",
        _drops(
            "what calls it fails at once",
            *("OBJECT_FUNCTION", "OBJECT_PROCEDURE", "OBJECT_ROUTINE", "OBJECT_AGGREGATE", "OBJECT_OPERATOR"),
        ),
        "DROP FUNCTION, PROCEDURE, ROUTINE, AGGREGATE and OPERATOR. PostgreSQL 12 to 14 also drop generated columns "
        "that use it, without a word.",
        "Add the new signature beside it, and drop this one a release later.",
    ),
    _rule(
        "drop-definition",
        "DropStmt",
        _drops(
            "what uses it fails at once",
            *("OBJECT_CAST", "OBJECT_OPCLASS", "OBJECT_OPFAMILY", "OBJECT_CONVERSION", "OBJECT_LANGUAGE"),
            *("OBJECT_ACCESS_METHOD", "OBJECT_COLLATION", "OBJECT_TSCONFIGURATION"),
            *("OBJECT_TSDICTIONARY", "OBJECT_TSPARSER", "OBJECT_TSTEMPLATE"),
        ),
        "DROP of a cast, a collation, a language, a text search configuration and the like. PostgreSQL "
        "refuses while something of the same database depends on it; what code asks for by name it does not see.",
        _LATER,
    ),
    _rule(
        "drop-trigger",
        "DropStmt",
        _drops("what it did for each write is no longer done", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_EVENT_TRIGGER"),
        "DROP TRIGGER, RULE and EVENT TRIGGER.",
        _LATER,
    ),
    _rule(
        "drop-policy",
        "DropStmt",
        _drops("rows may vanish or open up", "OBJECT_POLICY"),
        "DROP POLICY: what it allowed is hidden, or what it kept closed opens up.",
        "Create the policy that takes its place first, in the same file.",
    ),
    _rule(
        "drop-publication",
        "DropStmt",
        _drops("its subscribers stop", "OBJECT_PUBLICATION"),
        "DROP PUBLICATION.",
        "Drop the subscriptions first.",
    ),
    _rule(
        "drop-constraint",
        "AT_DropConstraint",
        _alters("drops constraint {name} of {table}; nothing keeps wrong rows out any more", "AT_DropConstraint"),
        "ALTER TABLE … DROP CONSTRAINT. A key takes its index along, and ON CONFLICT may need it.",
        _LATER,
        _STRONG,
    ),
    _rule(
        "drop-not-null",
        "AT_DropNotNull",
        _alters("lets {column} be NULL; code that relies on a value may fail", "AT_DropNotNull"),
        "ALTER COLUMN … DROP NOT NULL.",
        "Make sure that every reader takes a NULL.",
        _STRONG,
    ),
    _rule(
        "change-default",
        "AT_ColumnDefault",
        _alters("changes the default of {column}; code that leaves it out gets another value", "AT_ColumnDefault"),
        "ALTER COLUMN … SET DEFAULT and DROP DEFAULT. Old rows stay as they are.",
        "Let the code write the value itself before the default changes.",
        _STRONG,
    ),
    _rule(
        "drop-expression",
        "AT_DropExpression",
        _alters("stops computing {column}; new rows get no value", "AT_DropExpression"),
        "ALTER COLUMN … DROP EXPRESSION. The values that are there stay.",
        "Let the code write the column first.",
    ),
    _rule(
        "identity-change",
        "AT_DropIdentity",
        _alters("stops numbering {column}, and drops its sequence; inserts without a number fail", "AT_DropIdentity"),
        "ALTER COLUMN … DROP IDENTITY.",
        "Let the code write the number first.",
        _STRONG,
    ),
    _rule(
        "disable-trigger",
        "AT_DisableTrig AT_DisableTrigAll AT_DisableTrigUser",
        _alters(
            "switches triggers of {table} off",
            *("AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser"),
        ),
        "ALTER TABLE … DISABLE TRIGGER; ALL switches foreign keys off as well.",
        "Leave them on, or switch them on again in the same file.",
        Claim(lock="ShareRowExclusiveLock"),
    ),
    _rule(
        "enable-row-security",
        "AT_EnableRowSecurity",
        _alters(
            "hides every row of {table} from all but its owner, but for what policies show", "AT_EnableRowSecurity"
        ),
        "ALTER TABLE … ENABLE ROW LEVEL SECURITY on a table that was there before.",
        "Create its policies first, in the same file.",
        _STRONG,
    ),
    _rule(
        "disable-row-security",
        "AT_DisableRowSecurity AT_NoForceRowSecurity",
        _disable_security,
        "ALTER TABLE … DISABLE ROW LEVEL SECURITY and NO FORCE ROW LEVEL SECURITY.",
        "Write a policy for the rows that shall be seen.",
        _STRONG,
    ),
    _rule(
        "policy-allows-all",
        "CreatePolicyStmt AlterPolicyStmt",
        _open_policy,
        "A policy whose USING is always true.",
        "Say which rows.",
    ),
    _rule(
        "replica-identity",
        "AT_ReplicaIdentity",
        _alters("changes the replica identity of {table}; with NOTHING published updates fail", "AT_ReplicaIdentity"),
        "ALTER TABLE … REPLICA IDENTITY.",
        "Keep a key as the identity of every published table.",
    ),
    _rule(
        "detach-partition",
        "AT_DetachPartition",
        _alters("takes a partition out of {table}; its rows are no longer found there", "AT_DetachPartition"),
        "ALTER TABLE … DETACH PARTITION. Without CONCURRENTLY (PostgreSQL 14) nobody can use the parent meanwhile.",
        "Let the code stop reading those rows first; then DETACH PARTITION … CONCURRENTLY, in a file of its own.",
        _STRONG,
    ),
    _rule(
        "revoke",
        "GrantStmt GrantRoleStmt",
        _revoke,
        "REVOKE of privileges or of a role.",
        "Grant what takes its place first.",
    ),
    _rule(
        "integrity-off",
        "VariableSetStmt",
        _integrity,
        "SET session_replication_role to replica or local.",
        "Leave it at origin, and order the statements so that each row finds its parent.",
    ),
    _rule(
        "restart-sequence",
        "AlterSeqStmt",
        _restart,
        "ALTER SEQUENCE … RESTART.",
        "Restart it behind the greatest number that is in use.",
    ),
    _rule(
        "set-sequence",
        "FuncCall",
        _setval,
        "setval() of a sequence that is written as a text.",
        "Set it from the greatest number that is in use.",
    ),
)
