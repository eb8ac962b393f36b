"""What a file's author allows by name, and why: `-- rung: allow <rule> because "…"` right above a statement."""

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dashboard.core.migration import Migration, Refusal
from dashboard.core.safety.finding import Finding, RiskClass
from dashboard.core.script import ALLOW, Script
from dashboard.core.text import Places

_ASKS = re.compile(rf"[ \t]*{ALLOW}(?P<rest>[^\r\n]*)", re.IGNORECASE)
_SAID = re.compile(r"[ \t]+(?P<rule>[\w-]+)[ \t]+because[ \t]+[\"“](?P<reason>[^\"“”]*\S[^\"“”]*)[\"”][ \t]*")
_FORM = '-- rung: allow <rule> because "<reason>"'


@dataclass(frozen=True, slots=True)
class Allowance:
    """`statement`: 1-based among those that run. `line`: of the comment."""

    rule: str
    reason: str
    statement: int
    line: int


def read_allowances(
    migration: Migration, script: Script, risks: Mapping[str, RiskClass]
) -> tuple[Allowance, ...] | Refusal:
    """All of a file's, or why one of them cannot be meant so. risks: the rules that there are, by name."""
    if "rung:" not in migration.text.lower():
        return ()
    reader = _Reader(migration, script, risks)
    found = []
    for offset, rest in reader.lines():
        read = reader.read(offset, rest)
        if isinstance(read, Refusal):
            return read
        found.append(read)
    return tuple(found)


def acknowledge(finding: Finding, allowances: tuple[Allowance, ...], statement: int) -> Finding:
    """The finding with the reason why it is accepted, where it is; it stops nothing then."""
    for allowance in allowances:
        if (allowance.rule, allowance.statement) == (finding.rule, statement):
            return replace(finding, acknowledged=allowance.reason, blocks=False)
    return finding


class _Reader:
    def __init__(self, migration: Migration, script: Script, risks: Mapping[str, RiskClass]) -> None:
        self._filename, self._text, self._risks = migration.filename, migration.text, risks
        self._places = Places(migration.text)
        self._statements = script.statements
        self._starts = [statement.offset for statement in script.statements]

    def lines(self) -> Iterator[tuple[int, str]]:
        """(offset, what stands behind `allow`) of each such line that lies between statements."""
        for number in range(1, len(self._places) + 1):
            start = self._places.start_of(number)
            asks = _ASKS.match(self._text, start)
            if asks and not self._is_inside(start):
                yield start, asks["rest"]

    def read(self, offset: int, rest: str) -> Allowance | Refusal:
        said = _SAID.fullmatch(rest)
        if said is None:
            return self._refuse(offset, "it allows something without naming a rule and a reason", f"Write {_FORM}")
        rule = said["rule"]
        if rule not in self._risks:
            near = difflib.get_close_matches(rule, self._risks, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            return self._refuse(offset, f"it allows {rule!r}, which is no rule of Rung's", f"{hint}See docs/rules.")
        if self._risks[rule] is RiskClass.WILL_FAIL:
            return self._refuse(offset, f"it allows {rule}, but the statement would fail all the same", "Change it.")
        below = self._below(offset)
        if below is None:
            advice = "Put the line right above the statement that it is about, with nothing but comments between."
            return self._refuse(offset, "it allows something, and no statement follows", advice)
        return Allowance(rule, said["reason"].strip(), below, self._places.line(offset))

    def _is_inside(self, offset: int) -> bool:
        place = bisect_right(self._starts, offset)
        before = self._statements[place - 1] if place else None
        return before is not None and offset < before.offset + len(before.text)

    def _below(self, offset: int) -> int | None:
        """The statement that begins on the next line that is no comment."""
        number = self._places.line(offset) + 1
        while number <= len(self._places) and self._line(number).startswith("--"):
            number += 1
        place = bisect_right(self._starts, offset)
        statement = self._statements[place] if place < len(self._statements) else None
        return statement.index if statement and statement.line == number else None

    def _line(self, number: int) -> str:
        start = self._places.start_of(number)
        return re.split(r"[\r\n]", self._text[start:], maxsplit=1)[0].strip()

    def _refuse(self, offset: int, message: str, advice: str) -> Refusal:
        line = self._places.line(offset)
        excerpt = self._places.excerpt(offset)
        return Refusal(self._filename, "allow", message, advice, line=line, column=1, excerpt=excerpt)
