"""Findings and answers of the rows, as other programs show them beside a line of a file: GitHub's workflows, SARIF."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.core.foresight import Answer, Foresight, Outcome
from dashboard.core.matrix import Look
from dashboard.core.plan import Step


@dataclass(frozen=True, slots=True)
class Note:
    """`level`: error, warning or notice. `rule`: the finding's, or what the rows said. `allowed`: why it may stay."""

    level: str
    path: str
    line: int
    column: int | None
    rule: str
    text: str
    allowed: str = ""


def notes_of(look: Look, seen: Foresight | None, folder: str) -> Iterator[Note]:
    """Everything that is said of one environment's pending files. `folder`: theirs, as the repository names it."""
    name = look.environment.name
    prefix = "" if folder == "." else f"{folder.replace(chr(92), '/')}/"
    plan = seen.plan if seen and seen.plan else look.plan
    for step in plan.steps if plan else ():
        yield from _of_step(name, prefix, step)
    for answer in seen.answers if seen else ():
        if answer.outcome in _LEVELS:
            text = f"{name}: {answer.outcome}: {answer.what}. {answer.advice}".strip()
            yield Note(_LEVELS[answer.outcome], prefix + answer.filename, answer.line, None, _rule(answer), text)


_LEVELS = {Outcome.FAILS: "error", Outcome.UNCHECKED: "notice"}


def _rule(answer: Answer) -> str:
    return f"rows-{answer.outcome.replace(' ', '-')}"


def _of_step(name: str, prefix: str, step: Step) -> Iterator[Note]:
    path = prefix + step.migration.filename
    if step.refusal is not None:
        refused = step.refusal
        text = f"{name}: {refused.message}. {refused.advice}"
        yield Note("error", path, refused.line or 1, refused.column, refused.code, text)
    for finding in step.findings:
        level = "error" if finding.blocks else "notice" if finding.acknowledged else "warning"
        then = f"Allowed, because {finding.acknowledged}" if finding.acknowledged else f"Safer: {finding.safer}"
        text = f"{name}: {finding.risk}: {finding.what}\n{then}"
        yield Note(level, path, finding.line, None, finding.rule, text, finding.acknowledged)


def github(notes: Iterable[Note]) -> Iterator[str]:
    """Commands of GitHub's workflows, one per line."""
    for note in notes:
        column = f",col={note.column}" if note.column else ""
        title = _property(f"Rung: {note.rule}")
        yield f"::{note.level} file={_property(note.path)},line={note.line}{column},title={title}::{_data(note.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(notes: Sequence[Note]) -> dict[str, Any]:
    """One SARIF 2.1.0 document."""
    rules = [{"id": rule} for rule in dict.fromkeys(note.rule for note in notes)]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "Rung", "rules": rules}}, "results": [_result(note) for note in notes]}],
    }


def _result(note: Note) -> dict[str, Any]:
    region = {"startLine": note.line} | ({"startColumn": note.column} if note.column else {})
    place = {"physicalLocation": {"artifactLocation": {"uri": note.path}, "region": region}}
    level = "note" if note.level == "notice" else note.level
    result = {"ruleId": note.rule, "level": level, "message": {"text": note.text}, "locations": [place]}
    allowed = [{"kind": "inSource", "status": "accepted", "justification": note.allowed}] if note.allowed else []
    return result | ({"suppressions": allowed} if allowed else {})
