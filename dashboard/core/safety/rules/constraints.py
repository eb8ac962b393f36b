"""Adding and changing constraints: rows that are there already have to be read, and others wait."""

from collections.abc import Iterator
from typing import Any

from dashboard.core.safety.altering import commands, constraints, name_of, rewritten, table
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.tree import Node

_LATER = "The second statement in a later file: it lets everybody go on, but not under the lock of the first."


def _checked(kind: str, suffix: str, what: str) -> Judge:
    """A judge of constraints that can be added without looking at the rows; `{table}` and `{other}` are names."""

    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for command, constraint in constraints(alter, batch, kind):
            if kind != "CONSTR_NOTNULL" and not constraint.is_enforced:
                continue
            name = name_of(alter, constraint, suffix)

            added = _not_valid(alter, command, name)
            other = relation_name(constraint.pktable) if constraint.pktable else ""
            safer = f"{added}\n{table(alter)} VALIDATE CONSTRAINT {shown(name)};\n{_LATER}"
            yield Remark(what.format(table=relation_name(alter.relation), other=other), safer)

    return judge


def _not_valid(alter: Node, command: Node, name: str) -> str:
    def change(message: Any) -> None:
        constraint = getattr(message, "def").constraint
        constraint.conname, constraint.skip_validation, constraint.initially_valid = name, True, False

    return rewritten(alter, command, change)


def _unique(kind: str, words: str, suffix: str) -> Judge:
    """A judge of constraints that an index stands behind."""

    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for _, constraint in constraints(alter, batch, kind):
            if constraint.indexname:
                continue
            name, of = name_of(alter, constraint, suffix), relation_name(alter.relation)
            columns = ", ".join(shown(key) for key in constraint.keys)
            what = f"builds the index of {words} ({columns}) on {of}; nobody can read or write {of} meanwhile"
            safer = (
                f"CREATE UNIQUE INDEX CONCURRENTLY {shown(name)} ON {of} ({columns});\n"
                f"{table(alter)} ADD CONSTRAINT {shown(name)} {words.upper()} USING INDEX {shown(name)};\n"
                "Each in a file of its own."
            )
            yield Remark(what, safer)

    return judge


def _exclude(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _ in constraints(alter, batch, "CONSTR_EXCLUSION"):
        of = relation_name(alter.relation)
        yield Remark(f"builds the index of an exclusion constraint on {of}; nobody can read or write {of} meanwhile")


def _validate(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_ValidateConstraint"):
        if batch.is_locked(alter.relation):
            of = relation_name(alter.relation)
            what = f"checks every row of {of} for {shown(command.name)} under a lock that this file holds already"
            yield Remark(what, f"{table(alter)} VALIDATE CONSTRAINT {shown(command.name)};\nIn a file of its own.")


def _enforced(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_AlterConstraint"):
        constraint = command.get("def")
        if constraint.alter_enforceability and constraint.is_enforced:
            of = relation_name(alter.relation)
            yield Remark(
                f"checks every row of {of} for {shown(constraint.conname)}; nobody can read or write {of} meanwhile"
            )


def _domain(subtype: str, what: str) -> Judge:
    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        path = path_of(alter.type_name)
        if alter.subtype != subtype or batch.has_new("type", path):
            return
        definition = alter.get("def")
        if definition is not None and definition.get("skip_validation"):
            return
        yield Remark(f"{what.format(domain=shown(*path))}; nobody can write to those tables meanwhile")

    return judge


RULES = (
    Rule(
        "add-check",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _checked("CONSTR_CHECK", "check", "checks every row of {table}; nobody can read or write {table} meanwhile"),
        about=(
            "ADD CONSTRAINT … CHECK reads the whole table under ACCESS EXCLUSIVE, every partition included. NOT VALID "
            "and NOT ENFORCED (18) do not, and tables that this batch made are left alone."
        ),
        safer="ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later file.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "add-not-null-constraint",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _checked(
            "CONSTR_NOTNULL", "not_null", "looks for NULLs in every row of {table}; nobody can use {table} meanwhile"
        ),
        about="ADD CONSTRAINT … NOT NULL (PostgreSQL 18) reads the whole table under ACCESS EXCLUSIVE; NOT VALID not.",
        safer="ADD CONSTRAINT … NOT NULL … NOT VALID, and VALIDATE CONSTRAINT in a later file.",
        claim=Claim(lock="AccessExclusiveLock", scans=True, since=18),
    ),
    Rule(
        "add-foreign-key",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _checked(
            "CONSTR_FOREIGN", "fkey", "looks up every row of {table} in {other}; nobody can write to either meanwhile"
        ),
        about=(
            "ADD FOREIGN KEY reads the whole table, and lets nobody write to it nor to the table it refers to; reads "
            "go on. A partitioned table takes NOT VALID from PostgreSQL 18 only: add it per partition before. Index "
            "the referring columns first: without it each delete on the other side reads the whole table."
        ),
        safer="ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later file.",
        claim=Claim(lock="ShareRowExclusiveLock", scans=True),
    ),
    Rule(
        "add-unique",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _unique("CONSTR_UNIQUE", "unique", "key"),
        about="ADD UNIQUE builds its index under ACCESS EXCLUSIVE. USING INDEX takes one that is there, and is brief.",
        safer="CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "add-primary-key",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _unique("CONSTR_PRIMARY", "primary key", "pkey"),
        about=(
            "ADD PRIMARY KEY builds its index under ACCESS EXCLUSIVE, and looks for NULLs in every row. "
            "USING INDEX takes an index that is there; only columns that are NOT NULL already make that brief."
        ),
        safer="CREATE UNIQUE INDEX CONCURRENTLY, SET NOT NULL the safe way, then ADD PRIMARY KEY USING INDEX.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "add-exclude",
        RiskClass.BLOCKING,
        ("AT_AddConstraint",),
        _exclude,
        about="ADD … EXCLUDE builds its index under ACCESS EXCLUSIVE and reads the table twice; no other form.",
        safer="Fill a second table that has the constraint and swap the names, or use a maintenance window.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "validate-in-lock",
        RiskClass.BLOCKING,
        ("AT_ValidateConstraint",),
        _validate,
        about=(
            "VALIDATE CONSTRAINT lets everybody go on, unless the same transaction holds a stronger lock on the table "
            "already, such as that of the ADD CONSTRAINT … NOT VALID before it."
        ),
        safer="Validate in a file of its own.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
    Rule(
        "alter-constraint-enforced",
        RiskClass.BLOCKING,
        ("AT_AlterConstraint",),
        _enforced,
        about="ALTER CONSTRAINT … ENFORCED (PostgreSQL 18) reads the whole table under ACCESS EXCLUSIVE.",
        safer="Add a second foreign key NOT VALID, validate it in a later file, and drop the first.",
        claim=Claim(lock="AccessExclusiveLock", scans=True, since=18),
    ),
    Rule(
        "domain-add-constraint",
        RiskClass.BLOCKING,
        ("AlterDomainStmt",),
        _domain("C", "checks every row of every table that uses domain {domain}"),
        about="ALTER DOMAIN … ADD CONSTRAINT reads every table with a column of that domain under SHARE.",
        safer="ADD CONSTRAINT … NOT VALID for new rows; a CHECK of the table itself can be validated in peace.",
        claim=Claim(lock="ShareLock", scans=True),
    ),
    Rule(
        "domain-set-not-null",
        RiskClass.BLOCKING,
        ("AlterDomainStmt",),
        _domain("O", "looks for NULLs in every row of every table that uses domain {domain}"),
        about="ALTER DOMAIN … SET NOT NULL reads every table with a column of that domain under SHARE.",
        safer="Make the columns NOT NULL instead, each table the safe way.",
        claim=Claim(lock="ShareLock", scans=True),
    ),
    Rule(
        "domain-validate",
        RiskClass.BLOCKING,
        ("AlterDomainStmt",),
        _domain("V", "checks every row of every table that uses domain {domain}"),
        about="ALTER DOMAIN … VALIDATE CONSTRAINT reads every table with a column of that domain under SHARE.",
        safer="A CHECK of the table itself can be validated while others write.",
        claim=Claim(lock="ShareLock", scans=True),
    ),
)
