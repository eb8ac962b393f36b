"""Partitions: the table they belong to, and its other partitions, are locked as well."""

from collections.abc import Iterator

from dashboard.core.safety.altering import commands
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import relation_name
from dashboard.core.safety.rule import Claim, Remark, Rule
from dashboard.core.tree import Node


def _attach(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in alter.cmds if alter.objtype == "OBJECT_TABLE" else ():
        if command.subtype == "AT_AttachPartition":
            partition = command.get("def").name
            if not batch.has_new_table(partition):
                child, parent = relation_name(partition), relation_name(alter.relation)
                what = f"reads every row of {child} to see that it belongs into {parent}, unless a valid CHECK says so"
                yield Remark(f"{what}; nobody can read or write {child} meanwhile")


def _create(create: Node, batch: Batch) -> Iterator[Remark]:
    if create.partbound is None or batch.has_new_table(create.inh_relations[0]):
        return
    child, parent = relation_name(create.relation), relation_name(create.inh_relations[0])
    safer = (
        f"CREATE TABLE {child} (LIKE {parent} INCLUDING ALL);\n"
        f"ALTER TABLE {parent} ATTACH PARTITION {child} …;\n"
        "The table is empty, so attaching it reads nothing of it."
    )
    what = f"nobody can read or write {parent} from here until the file is committed"
    yield Remark(f"makes {child} a partition of {parent}; {what}", safer)


def _inherit(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_AddInherit", "AT_DropInherit"):
        child, parent = relation_name(alter.relation), relation_name(command.get("def"))
        done = "are found" if command.subtype == "AT_AddInherit" else "are no longer found"
        yield Remark(f"rows of {child} {done} through {parent}; nobody can read or write {child} until the commit")


RULES = (
    Rule(
        "attach-partition",
        RiskClass.BLOCKING,
        ("AT_AttachPartition",),
        _attach,
        about=(
            "ATTACH PARTITION of a table that was there before reads it in full under ACCESS EXCLUSIVE. A valid CHECK "
            "that implies the bounds, on a NOT NULL key, spares that; a DEFAULT partition is read as well unless its "
            "CHECK rules the new rows out. The parent itself stays readable and writable."
        ),
        safer="Add a CHECK of the bounds NOT VALID, VALIDATE it in a later file, then attach, and drop the CHECK.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "create-partition-of",
        RiskClass.BLOCKING,
        ("CreateStmt",),
        _create,
        about=(
            "CREATE TABLE … PARTITION OF takes ACCESS EXCLUSIVE on the parent, and holds it until the commit; a "
            "DEFAULT partition is read in full. ATTACH PARTITION of an empty table lets everybody go on."
        ),
        safer="CREATE TABLE … (LIKE parent INCLUDING ALL), then ATTACH PARTITION.",
        claim=Claim(lock="AccessExclusiveLock"),
    ),
    Rule(
        "inherit",
        RiskClass.BREAKING,
        ("AT_AddInherit", "AT_DropInherit"),
        _inherit,
        about="ALTER TABLE … INHERIT and NO INHERIT of a table that was there before: queries of the parent change.",
        safer="Change the code first, so that it reads ONLY the parent or the child by its own name.",
        claim=Claim(lock="AccessExclusiveLock"),
    ),
)
