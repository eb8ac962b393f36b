"""What changes who may do what, what happens by itself, or what other databases and servers see."""

from collections.abc import Iterator

from dashboard.core.commands import object_words
from dashboard.core.safety.altering import commands
from dashboard.core.safety.batch import KINDS, Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.tree import Node


def _owner(node: Node, batch: Batch) -> Iterator[Remark]:
    if node.type == "ReassignOwnedStmt":
        yield Remark("gives everything that a role owns to another one")
    elif node.type == "AlterTableStmt":
        for _ in commands(node, batch, "AT_ChangeOwner"):
            yield Remark(
                f"gives {relation_name(node.relation)} to another role; what relies on owning it fails at once"
            )
    else:
        path = path_of(node.relation or node.object)
        kind = KINDS.get(node.object_type)
        if kind is None or not batch.has_new(kind, path):
            what = f"gives {object_words(node.object_type)} {shown(*path)} to another role"
            yield Remark(f"{what}; what relies on owning it fails at once")


def _publication(alter: Node, _: Batch) -> Iterator[Remark]:
    if alter.action in ("AP_DropObjects", "AP_SetObjects"):
        yield Remark(f"changes what publication {shown(alter.pubname)} sends; subscribers miss what is not in it")


def _rewrites(rule: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.has_new_table(rule.relation):
        of, event = relation_name(rule.relation), rule.event.removeprefix("CMD_")
        yield Remark(f"puts something else in the place of every {event} on {of}, or beside it")


def _drops_server(drop: Node, _: Batch) -> Iterator[Remark]:
    if drop.type == "DropUserMappingStmt":
        yield Remark(f"drops the way in to server {shown(drop.servername)}; its foreign tables cannot be read")
    elif drop.remove_type in ("OBJECT_FOREIGN_SERVER", "OBJECT_FDW") and drop.behavior != "DROP_CASCADE":
        for path in map(path_of, drop.objects):
            yield Remark(f"drops {object_words(drop.remove_type)} {shown(*path)}; its foreign tables cannot be read")


def _identity(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_DropIdentity"):
        yield Remark(f"stops numbering {shown(command.name)} of {relation_name(alter.relation)}; new rows get no value")


def _always(what: str) -> Judge:
    def judge(_: Node, _batch: Batch) -> Iterator[Remark]:
        yield Remark(what)

    return judge


def _rule(name: str, on: str, judge: Judge, about: str, safer: str, claim: Claim | None = None) -> Rule:
    return Rule(name, RiskClass.BREAKING, tuple(on.split()), judge, about=about, safer=safer, claim=claim)


RULES = (
    _rule(
        "change-owner",
        "AlterOwnerStmt AlterTableStmt ReassignOwnedStmt",
        _owner,
        "ALTER … OWNER TO of something that was there before, and REASSIGN OWNED.",
        "Grant the new role what it needs first, and change the owner when nothing relies on the old one.",
    ),
    _rule(
        "publication-change",
        "AlterPublicationStmt",
        _publication,
        "ALTER PUBLICATION … DROP and SET: what is no longer in it is not sent, and nobody is told.",
        "Add what is new with ADD; take tables out once no subscriber needs them.",
    ),
    _rule(
        "subscription-change",
        "AlterSubscriptionStmt DropSubscriptionStmt",
        _always(
            "changes or drops a subscription; what it copies stops or changes, and a slot may stay on the other side"
        ),
        "ALTER SUBSCRIPTION and DROP SUBSCRIPTION. The slot on the publisher keeps its WAL when it is left there.",
        "Do it by hand, beside a look at the publisher.",
    ),
    _rule(
        "create-rule",
        "RuleStmt",
        _rewrites,
        "CREATE RULE on a table or view that was there before: running code does something else from then on.",
        "A trigger does the same with fewer surprises.",
        Claim(lock="AccessExclusiveLock"),
    ),
    _rule(
        "event-trigger",
        "CreateEventTrigStmt AlterEventTrigStmt",
        _always("changes what happens by itself whenever a schema is changed, at every later migration too"),
        "CREATE EVENT TRIGGER and ALTER EVENT TRIGGER.",
        "Try it on a copy with the migrations that come next.",
    ),
    _rule(
        "drop-server",
        "DropStmt DropUserMappingStmt",
        _drops_server,
        "DROP SERVER, FOREIGN DATA WRAPPER and USER MAPPING.",
        "Drop the foreign tables first, one release after the code stopped reading them.",
    ),
    _rule(
        "identity-change",
        "AlterTableStmt",
        _identity,
        "ALTER COLUMN … DROP IDENTITY: the sequence is gone, and rows without a number fail or are NULL.",
        "Let the code write the number itself first.",
        Claim(lock="AccessExclusiveLock"),
    ),
    _rule(
        "cluster-wide",
        "AlterSystemStmt AlterRoleStmt AlterRoleSetStmt CreateRoleStmt DropRoleStmt AlterDatabaseSetStmt "
        "CreateTableSpaceStmt DropTableSpaceStmt",
        _always("reaches beyond this database: roles, settings and tablespaces are shared by all of the server's"),
        "ALTER SYSTEM, CREATE, ALTER and DROP ROLE, ALTER DATABASE … SET, tablespaces. A copy of the database "
        "does not have them.",
        "Keep what belongs to the server with the server, outside of migrations.",
    ),
    Rule(
        "alter-extension-update",
        RiskClass.OPAQUE,
        ("AlterExtensionStmt",),
        _always("runs the extension's own update script, which is not in the migration"),
        about="ALTER EXTENSION … UPDATE: what the script of the packager does is known to the server's files only.",
        safer="Read the extension's release notes, and rehearse it on a server that has the same package.",
    ),
    Rule(
        "create-language",
        RiskClass.OPAQUE,
        ("CreatePLangStmt",),
        _always("makes a language whose handler is not in the migration"),
        about="CREATE LANGUAGE with a handler. CREATE EXTENSION brings the usual ones.",
        safer="CREATE EXTENSION, where the server has one for the language.",
    ),
)
