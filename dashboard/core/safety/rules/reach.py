"""What changes who may do what, what is replicated, what runs by itself, or the server beyond this database."""

from collections.abc import Callable, Iterator
from typing import Any

from dashboard.core.commands import object_words
from dashboard.core.safety.altering import commands
from dashboard.core.safety.batch import KINDS, Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.tree import Node

_STRONG = Claim(lock="AccessExclusiveLock")


def _owner(node: Node, batch: Batch) -> Iterator[Remark]:
    lost = "who relied on the old owner's rights loses them"
    if node.type == "AlterTableStmt":
        for command in commands(node, batch, "AT_ChangeOwner"):
            yield Remark(f"gives {relation_name(node.relation)} to {_role(command.newowner)}; {lost}")
    elif node.type == "ReassignOwnedStmt":
        yield Remark(f"gives all that {', '.join(map(_role, node.roles))} owns to {_role(node.newrole)}; {lost}")
    else:
        kind, path = KINDS.get(node.object_type), path_of(node.relation or node.object)
        if kind is None or not batch.has_new(kind, path):
            thing = f"{object_words(node.object_type)} {shown(*path)}"
            yield Remark(f"gives {thing} to {_role(node.newowner)}; {lost}")


def _role(role: Node) -> str:
    return shown(role.rolename) or "the current role"


def _trigger(create: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.has_new_table(create.relation) and not batch.definitions(create.funcname):
        of, call = relation_name(create.relation), shown(*create.funcname)
        yield Remark(f"runs {call}() whenever {of} is written to, and nothing here says what that does")


def _rewrite_rule(create: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.has_new_table(create.relation) and create.event != "CMD_SELECT":
        verb = create.event.removeprefix("CMD_").lower()
        deed = "in place of" if create.instead else "with"
        done = "does something else" if create.actions else "does nothing"
        yield Remark(f"{done} {deed} every {verb} of {relation_name(create.relation)}; code is not told")


def _event_trigger(node: Node, _: Batch) -> Iterator[Remark]:
    verb = "makes" if node.type == "CreateEventTrigStmt" else "changes"
    yield Remark(f"{verb} event trigger {shown(node.trigname)}, which later migrations set off")


def _publication(alter: Node, _: Batch) -> Iterator[Remark]:
    if alter.action in ("AP_DropObjects", "AP_SetObjects"):
        yield Remark(f"takes tables out of publication {shown(alter.pubname)}; subscribers no longer get their rows")


def _subscription(node: Node, _: Batch) -> Iterator[Remark]:
    verb = "drops" if node.type == "DropSubscriptionStmt" else "changes"
    yield Remark(f"{verb} subscription {shown(node.subname)}; rows may stop coming, or come a second time")


def _server(drop: Node, _: Batch) -> Iterator[Remark]:
    lost = "its foreign tables cannot be read any more"
    if drop.type == "DropUserMappingStmt":
        yield Remark(f"drops the way into server {shown(drop.servername)}; {lost}")
    elif drop.remove_type in ("OBJECT_FOREIGN_SERVER", "OBJECT_FDW") and drop.behavior != "DROP_CASCADE":
        for path in map(path_of, drop.objects):
            yield Remark(f"drops {object_words(drop.remove_type)} {shown(*path)}; {lost}")


_BEYOND: dict[str, Callable[[Any], str]] = {
    "AlterSystemStmt": lambda node: f"changes {node.setstmt.name or 'settings'} of the whole server",
    "CreateRoleStmt": lambda node: f"makes role {shown(node.role)}",
    "AlterRoleStmt": lambda node: f"changes role {_role(node.role)}",
    "AlterRoleSetStmt": lambda node: f"changes settings of {_role(node.role) if node.role else 'every role'}",
    "DropRoleStmt": lambda node: f"drops role {', '.join(map(_role, node.roles))}",
    "CreatedbStmt": lambda node: f"makes database {shown(node.dbname)}",
    "AlterDatabaseStmt": lambda node: f"changes database {shown(node.dbname)}",
    "AlterDatabaseSetStmt": lambda node: f"changes settings of database {shown(node.dbname)} for later sessions",
    "CreateTableSpaceStmt": lambda node: f"makes tablespace {shown(node.tablespacename)}",
    "DropTableSpaceStmt": lambda node: f"drops tablespace {shown(node.tablespacename)}",
    "AlterTableSpaceOptionsStmt": lambda node: f"changes tablespace {shown(node.tablespacename)}",
}


def _beyond(node: Node, _: Batch) -> Iterator[Remark]:
    yield Remark(f"{_BEYOND[node.type](node)}; every database of the server, or every session, is concerned")


def _rule(name: str, on: str, judge: Judge, about: str, safer: str, claim: Claim | None = None) -> Rule:
    return Rule(name, RiskClass.BREAKING, tuple(on.split()), judge, about=about, safer=safer, claim=claim)


RULES = (
    _rule(
        "change-owner",
        "AT_ChangeOwner AlterOwnerStmt ReassignOwnedStmt",
        _owner,
        "ALTER … OWNER TO, and REASSIGN OWNED, of what was there before.",
        "Grant the new role what it needs, and change the owner one release later.",
        _STRONG,
    ),
    _rule(
        "create-trigger",
        "CreateTrigStmt",
        _trigger,
        "CREATE TRIGGER on a table that was there before, with a function that this batch does not define: what the "
        "writes of running code do changes, and the file does not show how.",
        "Define the function in the same file, so that who reads it sees what every write does from then on.",
        Claim(lock="ShareRowExclusiveLock"),
    ),
    _rule(
        "create-rule",
        "RuleStmt",
        _rewrite_rule,
        "CREATE RULE on INSERT, UPDATE or DELETE of a table that was there before. DO INSTEAD NOTHING ignores writes "
        "without a word.",
        "A trigger, which sees each row and can refuse it.",
        _STRONG,
    ),
    _rule(
        "event-trigger",
        "CreateEventTrigStmt AlterEventTrigStmt",
        _event_trigger,
        "CREATE and ALTER EVENT TRIGGER: every later migration sets it off.",
        "Do it by hand, and try a migration on a copy afterwards.",
    ),
    _rule(
        "publication-change",
        "AlterPublicationStmt",
        _publication,
        "ALTER PUBLICATION … DROP and … SET: what is no longer published is no longer replicated.",
        "Change the subscribers first.",
    ),
    _rule(
        "subscription-change",
        "AlterSubscriptionStmt DropSubscriptionStmt",
        _subscription,
        "ALTER and DROP SUBSCRIPTION.",
        "Do it by hand, where both sides can be watched.",
    ),
    _rule(
        "drop-server",
        "DropStmt DropUserMappingStmt",
        _server,
        "DROP SERVER, FOREIGN DATA WRAPPER and USER MAPPING.",
        "Drop the foreign tables first, one release after the code stopped reading them.",
    ),
    _rule(
        "cluster-wide",
        " ".join(_BEYOND),
        _beyond,
        "Roles, databases, tablespaces and the server's settings: a migration of one database changes them for all, "
        "and the next environment may lie on the same server.",
        "Do it by hand, or where servers are set up.",
    ),
)
