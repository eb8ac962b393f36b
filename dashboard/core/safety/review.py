"""The review: a batch of pending migrations becomes scripts with findings, in the same order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dashboard.core.body import Body, read_body
from dashboard.core.commands import switched_on
from dashboard.core.migration import Migration, Refusal
from dashboard.core.parser import SyntaxFault
from dashboard.core.safety.allowing import Allowance, acknowledge, read_allowances
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import Finding, Reviewed, RiskClass
from dashboard.core.safety.names import shown
from dashboard.core.safety.rule import BODY, DYNAMIC, Remark, Rule
from dashboard.core.safety.rules import RULES
from dashboard.core.safety.rules.hygiene import UNUSED
from dashboard.core.safety.rules.opaque import UNREADABLE
from dashboard.core.safety.there import NOTHING, Facts
from dashboard.core.script import parse
from dashboard.core.statement import Statement, parse_fragment
from dashboard.core.tree import Node, first_location, walk

Seen = set[Statement]  # the functions that were looked into for one statement

_TRUSTING = frozenset({RiskClass.BLOCKING, RiskClass.BREAKING, RiskClass.WILL_FAIL})
_RISKS = {rule.name: rule.risk for rule in (*RULES, UNREADABLE)}
_OF_THE_MACHINE = (MemoryError, OSError)  # the parser is loaded late; the next time it may be had
_ASKED_FOR = frozenset(kind for rule in RULES for kind in rule.on) | {"AlterTableStmt"}


def review(batch: Sequence[Migration], there: Facts = NOTHING) -> tuple[Reviewed, ...]:
    """Parse and judge the pending files of one environment, in the order they will run.

    The batch is judged as a whole: a table that an earlier pending file creates (without IF NOT EXISTS) may be dropped
    by a later one, a function that an earlier one defines is looked into where a later one calls it. Trouble in here
    never lets a file pass: what cannot be judged is a finding that blocks.

    there: what the environment's catalog has; a table of it is not new to anybody, also where a pending file would
    create it IF NOT EXISTS. Left out where nobody asked: such a table passes for new then, but not where rows may be
    lost.
    """
    known, committing, reviewed = Batch(there), frozenset[str](), []
    for migration in batch:
        done = _review_file(migration, known, committing)
        committing = done.script.committing if done.script else committing
        reviewed.append(done)
    return tuple(reviewed)


def _review_file(migration: Migration, batch: Batch, committing: frozenset[str]) -> Reviewed:
    try:
        script = parse(migration, committing)
    except _OF_THE_MACHINE:
        raise
    except Exception as error:  # noqa: BLE001  # a bug of ours, or of the parser's, must not let the file run
        return Reviewed(migration, None, _cannot_parse(migration, error))
    if isinstance(script, Refusal):
        return Reviewed(migration, None, script)
    allowances = read_allowances(migration, script, _RISKS)
    if isinstance(allowances, Refusal):
        return Reviewed(migration, None, allowances)
    batch.begin_file(transactional=script.transactional)
    found: dict[Finding, None] = {}
    for statement in script.statements:
        judged = _judged(statement, batch)
        found |= dict.fromkeys(acknowledge(finding, allowances, statement.index) for finding in judged)
        found |= dict.fromkeys(_idle(statement, allowances, judged) if allowances else ())
    allowed = tuple(_allowed(found))
    script = replace(script, notes=(*script.notes, *allowed)) if allowed else script
    by_line = sorted(found, key=lambda finding: finding.line)
    ever, older = [one for one in by_line if not one.since], [one for one in by_line if one.since]
    return Reviewed(migration, script, None, tuple(ever), tuple(older))


def _idle(statement: Statement, allowances: Iterable[Allowance], judged: Iterable[Finding]) -> Iterator[Finding]:
    """The allowances above a statement that allow nothing."""
    told = {finding.rule for finding in judged}
    for one in allowances:
        if one.statement == statement.index and one.rule not in told:
            remark = Remark(f"allows {one.rule}, which the statement below does not need")
            yield replace(_finding(UNUSED, remark, statement, None), line=one.line)


def _allowed(findings: Iterable[Finding]) -> Iterator[str]:
    """What goes into the history with the file."""
    for finding in findings:
        if finding.acknowledged:
            yield f"{finding.rule} on line {finding.line} was allowed, because {finding.acknowledged}"


def _judged(statement: Statement, batch: Batch) -> list[Finding]:
    found: list[Finding] = []
    try:
        found += _judge(statement, batch, set())
        batch.learn(statement)
    except _OF_THE_MACHINE:
        raise
    except Exception as error:  # noqa: BLE001  # as above
        found.append(_failed(statement, "the review", error))
    return found


def _judge(statement: Statement, batch: Batch, seen: Seen) -> Iterator[Finding]:
    """What the rules say of a statement and of everything that it executes."""
    tree = statement.tree
    if tree is None:
        yield _finding(UNREADABLE, Remark("is nested too deeply to be read"), statement, None)
        return
    told: set[tuple[str, str]] = set()
    for node in walk(tree, _is_not_executed):
        if node.type in _ASKED_FOR:
            yield from _ask(_rules_for(_kinds(node), batch.asked), node, statement, batch, told)
        if node.type == "FuncCall":
            yield from _look_into_call(node, statement, batch, seen)
    if tree.type == "DoStmt":
        yield from _judge_body(statement, batch, seen)


def _kinds(node: Node) -> tuple[str, ...]:
    """By which words a rule may ask for it."""
    if node.type != "AlterTableStmt":
        return (node.type,)
    return (node.type, *(command.subtype for command in node.cmds))


@lru_cache(maxsize=4096)
def _rules_for(kinds: tuple[str, ...], catalog: bool) -> tuple[Rule, ...]:  # noqa: FBT001  # the cache takes no names
    return tuple(rule for rule in RULES if not set(rule.on).isdisjoint(kinds) and (catalog or not rule.catalog))


def _ask(
    rules: Sequence[Rule], node: Node, statement: Statement, batch: Batch, told: set[tuple[str, str]]
) -> Iterator[Finding]:
    """What the rules have to say of a node that was not yet told of this statement."""
    for rule in rules:
        batch.trusting = rule.risk in _TRUSTING
        try:
            for remark in rule.judge(node, batch):
                if (rule.name, remark.what) not in told:
                    told.add((rule.name, remark.what))
                    yield _finding(rule, remark, statement, node)
        except _OF_THE_MACHINE:
            raise
        except Exception as error:  # noqa: BLE001  # as above; the other rules still speak
            yield _failed(statement, f"rule {rule.name}", error)


# --- bodies: DO blocks, and functions of this batch that the migration calls ---


def _look_into_call(call: Node, statement: Statement, batch: Batch, seen: Seen) -> Iterator[Finding]:
    """What the functions do that this call may mean, told at the line of the call."""
    for definition in batch.definitions(call.funcname):
        if definition not in seen:
            seen.add(definition)
            line = statement.line_at(call.location)
            for inner in _judge_body(definition, batch, seen):
                what = f"calls {shown(*call.funcname)}(), which {inner.what}"
                yield replace(inner, line=line, statement=statement.in_brief, what=what)


def _judge_body(definition: Statement, batch: Batch, seen: Seen) -> Iterator[Finding]:
    outside, batch.in_body = batch.in_body, True
    try:
        yield from _judge_inside(definition, batch, seen)
    finally:
        batch.in_body = outside


def _judge_inside(definition: Statement, batch: Batch, seen: Seen) -> Iterator[Finding]:
    foreign = list(_ask(_rules_for((BODY,), batch.asked), definition.tree, definition, batch, set()))
    if foreign:
        yield from foreign
        return
    try:
        body = read_body(definition)
    except SyntaxFault as fault:
        remark = Remark(f"runs a body that cannot be read: {fault.message}")
        yield _finding(UNREADABLE, remark, definition, definition.tree)
        return
    yield from _judge_parts(body, batch, seen)


def _judge_parts(body: Body, batch: Batch, seen: Seen) -> Iterator[Finding]:
    for statement in body.statements:
        yield from _judge(statement, batch, seen)
        batch.learn(statement, certain=False)
    for expression in body.dynamic:
        yield from _judge(expression, batch, seen)  # the functions that make the text
        yield from _judge_dynamic(expression, batch, seen)


def _judge_dynamic(expression: Statement, batch: Batch, seen: Seen) -> Iterator[Finding]:
    """A text that stands there in full is judged as if it stood outside; any other is opaque."""
    text = _literal(expression.tree.target_list[0].val) if expression.tree is not None else None
    try:
        statements = parse_fragment(text, expression.line) if text is not None else None
    except SyntaxFault:
        statements = None
    if statements is None:
        yield from _ask(_rules_for((DYNAMIC,), batch.asked), expression.tree, expression, batch, set())
        return
    for statement in statements:
        yield from _judge(statement, batch, seen)
        batch.learn(statement, certain=False)


def _literal(expression: Any) -> str | None:  # a node
    """The text of a constant, or of constants put together with `||`."""
    match expression:
        case Node(type="A_Const") if isinstance(expression.constant, str):
            return str(expression.constant)
        case Node(type="TypeCast"):
            return _literal(expression.arg)
        case Node(type="A_Expr") if expression.name == ("||",):
            parts = _literal(expression.lexpr), _literal(expression.rexpr)
            return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
        case _:
            return None


# --- what a migration carries without executing it ---

_CARRIED = frozenset(
    {
        ("AlterPolicyStmt", "qual"),
        ("AlterPolicyStmt", "with_check"),
        ("CreateFunctionStmt", "parameters"),
        ("CreateFunctionStmt", "sql_body"),
        ("CreatePolicyStmt", "qual"),
        ("CreatePolicyStmt", "with_check"),
        ("CreateTrigStmt", "when_clause"),
        ("IndexStmt", "index_params"),  # only immutable functions may stand there, and those cannot write
        ("IndexStmt", "where_clause"),
        ("PublicationTable", "where_clause"),
        ("RuleStmt", "actions"),
        ("RuleStmt", "where_clause"),
        ("ViewStmt", "query"),
        ("CreateStmt", "table_elts"),  # defaults and checks of a table that has no row yet
        ("CreateStmt", "constraints"),
        ("CreateStmt", "partspec"),
        ("Constraint", "exclusions"),  # as in an index
        ("Constraint", "where_clause"),
        ("CreateDomainStmt", "constraints"),
        ("CreateStatsStmt", "exprs"),
    }
)


def _is_not_executed(node: Node, field: str) -> bool:
    if (node.type, field) in _CARRIED:
        return True
    match node.type, field:
        case "ExplainStmt", "query":
            return not switched_on(node.options, "analyze")
        case "CreateTableAsStmt", "query":
            return bool(node.into.skip_data)
        case "AlterTableCmd", "def":
            return node.subtype in ("AT_ColumnDefault", "AT_SetExpression")
        case "AlterDomainStmt", "def":
            return bool(node.subtype == "T")  # its default
        case "Constraint", "raw_expr":  # not validated yet; or generated, and then immutable as in an index
            return bool(node.skip_validation) or node.contype == "CONSTR_GENERATED"
        case _:
            return False


# --- findings ---


def _finding(rule: Rule, remark: Remark, statement: Statement, node: Node | None) -> Finding:
    place = remark.at or (None if node is statement.tree else node)
    return Finding(
        rule=rule.name,
        risk=rule.risk,
        line=statement.line_at(first_location(place)) if place is not None else statement.line,
        statement=statement.in_brief,
        what=remark.what,
        safer=remark.safer or rule.safer,
        blocks=rule.blocks and remark.certain,
        since=remark.since,
    )


def _failed(statement: Statement, who: str, error: Exception) -> Finding:
    return Finding(
        rule="analyser-failed",
        risk=RiskClass.OPAQUE,
        line=statement.line,
        statement=statement.in_brief,
        what=f"could not be judged: {who} failed with {type(error).__name__}",
        safer="Read the statement yourself, and please report this: it is a fault of Rung's.",
        blocks=True,
    )


def _cannot_parse(migration: Migration, error: Exception) -> Refusal:
    return Refusal(
        migration.filename,
        "analyser-failed",
        f"it could not be read: {type(error).__name__}",
        "Please report this: it is a fault of Rung's.",
    )
