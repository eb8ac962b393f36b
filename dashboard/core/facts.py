"""What an environment's catalog adds to the findings of the review: which tables are there, and how large."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dashboard.core.estimate import Size, estimate
from dashboard.core.locks import STRONG, stops
from dashboard.core.plan import Action, Plan, Step
from dashboard.core.probes import Table
from dashboard.core.rehearsal import StatementTrace
from dashboard.core.safety.finding import Finding, Here, RiskClass, Source
from dashboard.core.safety.names import path_of
from dashboard.core.safety.review import review
from dashboard.core.safety.rules import RULES
from dashboard.core.safety.there import Fact, Facts
from dashboard.core.statement import Statement
from dashboard.core.tree import find

_RELATIONS = ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE")
_CLAIMS = {rule.name: rule.claim for rule in RULES}
_BY_CATALOG = frozenset(rule.name for rule in RULES if rule.catalog)


def tables_of(steps: Sequence[Step]) -> frozenset[Table]:
    """The tables that the catalog is asked about: all that the statements name."""
    scripts = [step.script for step in _to_run(steps) if step.script]
    return frozenset(table for script in scripts for statement in script.statements for table in _tables(statement))


def names_of(steps: Sequence[Step]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the types of new columns, and of the functions in their defaults."""
    types, functions = set(), set()
    for step in _to_run(steps):
        for statement in step.script.statements if step.script else ():
            if statement.tree is not None and statement.tree.type == "AlterTableStmt":
                types |= {one.names[-1] for one in find(statement.tree, "TypeName")}
                functions |= {one.funcname[-1] for one in find(statement.tree, "FuncCall")}
    return frozenset(types), frozenset(functions)


def sharpened(plan: Plan, facts: Facts) -> Plan:
    """The plan with what the catalog adds to its findings; its digest stays, for it is the same plan.

    A table that a pending file creates IF NOT EXISTS, and that is there already, is judged as an older one.
    """
    judged = {one.migration.filename: one for one in review([step.migration for step in _to_run(plan.steps)], facts)}

    def sharpen(step: Step) -> Step:
        reviewed = judged.get(step.migration.filename)
        if reviewed is None or step.unfinished is not None:  # what it left behind is there already, and rightly so
            return step
        of_version = (finding for finding in step.findings if finding.since)
        findings = sorted((*reviewed.findings, *of_version), key=lambda finding: finding.line)
        return replace(step, findings=tuple(_sharpened(step, findings, facts)))

    return replace(plan, steps=tuple(map(sharpen, plan.steps)))


def beside(plan: Plan, others: Mapping[str, Plan]) -> Plan:
    """The plan with what the catalogs of other environments say of the same findings, where it is another matter."""
    known = {
        (name, step.migration.filename, one.rule, one.line, one.what): one.here
        for name, other in others.items()
        for step in other.steps
        for one in step.findings
        if one.here is not None
    }

    def compared(filename: str, one: Finding) -> Finding:
        if one.here is None or not one.here.stops:
            return one
        found = ((name, known.get((name, filename, one.rule, one.line, one.what))) for name in others)
        elsewhere = tuple((name, here) for name, here in found if here is not None)
        return replace(one, here=replace(one.here, elsewhere=elsewhere))

    def step_of(step: Step) -> Step:
        return replace(step, findings=tuple(compared(step.migration.filename, one) for one in step.findings))

    return replace(plan, steps=tuple(map(step_of, plan.steps)))


def _to_run(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.action is not Action.ADOPT]


def _statement_of(step: Step, finding: Finding) -> Statement | None:
    """The statement that a finding speaks of: the line alone does not tell, where several stand on it."""
    before = [one for one in (step.script.statements if step.script else ()) if one.line <= finding.line]
    same = [one for one in before if one.in_brief == finding.statement]
    return next(reversed(same or before), None)


def _tables(statement: Statement | None) -> Iterator[Table]:
    """Every table that the statement names, in its order."""
    if statement is None or statement.tree is None:
        return
    if statement.tree.type == "DropStmt" and statement.tree.remove_type in _RELATIONS:
        for path in map(path_of, statement.tree.objects):
            yield Table(path[-2] if len(path) > 1 else "", path[-1])
    for relation in find(statement.tree, "RangeVar"):
        yield Table(relation.schemaname, relation.relname)


def _sharpened(step: Step, findings: Sequence[Finding], facts: Facts) -> Iterator[Finding]:
    for finding in findings:
        statement = _statement_of(step, finding)
        known = (facts.tables.get((table.schema, table.name)) for table in _tables(statement))
        fact = next(filter(None, known), None)
        if finding.rule in _BY_CATALOG and (statement is None or _is_otherwise(step, statement)):
            continue
        if finding.rule in _BY_CATALOG and finding.risk is RiskClass.WILL_FAIL:
            yield replace(finding, source=Source.CATALOG)
        elif fact is None or statement is None:
            yield finding
        elif not _is_spared(finding, statement, fact):
            yield replace(finding, here=_here(finding, statement, fact), source=Source.CATALOG)


def _is_otherwise(step: Step, statement: Statement) -> bool:
    """Whether the catalog cannot speak of it: it has run, or has begun to, or names mean another schema in it."""
    done = step.script is not None and statement not in step.script.statements[step.resume_after :]
    half = step.unfinished is not None and bool(step.unfinished.drop)
    return done or half or (statement.tree is not None and statement.tree.type == "CreateSchemaStmt")


def _is_spared(finding: Finding, statement: Statement, fact: Fact) -> bool:
    """A valid CHECK, or NOT NULL itself, spares SET NOT NULL the look at the rows."""
    if finding.rule != "set-not-null" or statement.tree.type != "AlterTableStmt":
        return False
    return {one.name for one in statement.tree.cmds if one.subtype == "AT_SetNotNull"} <= fact.never_null


def _here(finding: Finding, statement: Statement, fact: Fact) -> Here:
    name, claim = f"{fact.schema}.{fact.name}", _CLAIMS.get(finding.rule)
    cascades = statement.tree.type == "DropStmt" and statement.tree.behavior == "DROP_CASCADE"
    takes = fact.dependents if cascades else ()
    if claim is None or finding.risk is not RiskClass.BLOCKING:
        return Here(name, fact.whole, fact.rows, takes=takes)
    names = (name,)
    trace = StatementTrace(
        1,
        finding.line,
        finding.statement,
        "",
        rewritten=names if claim.rewrites else (),
        scanned=names if claim.scans else (),
        built=names if claim.lock == "ShareLock" else (),
    )
    expected = estimate(trace, {name: Size(fact.heap, 0, fact.whole - fact.heap)})
    held = stops(claim.lock) if claim.lock in STRONG else ""
    times = (expected.least, expected.most) if expected else (None, None)
    return Here(name, fact.whole, fact.rows, held, *times)
