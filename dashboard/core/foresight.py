"""What the rows and the catalog of an environment say of its pending files, and the one line on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dashboard.core.plan import Plan
from dashboard.core.words import count, joined, verdict

KEYS = 5  # rows that are named
MOST = 1000  # rows that are counted


class Outcome(StrEnum):
    """What a probe found."""

    PASSES = "will pass"
    FAILS = "will fail"
    UNCHECKED = "not checked"
    COUNTED = "counted"  # it only tells how many


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rows say to one probe.

    Attributes
    ----------
    what: what was found, or why nothing was, as a sentence without its end.
    how: what was read for it: "read in full (12 MB)"; empty where nothing was.
    count: rows or values that stand in the way; more than MOST are not counted.
    keys: primary keys of up to five of the rows, such as `id = 4`; never anything else of a row.
    advice: what to do about it.

    """

    filename: str
    line: int
    statement: str
    outcome: Outcome
    what: str
    how: str = ""
    count: int = 0
    keys: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Foresight:
    """All answers of one environment. `trouble`: why it could not be asked; the plan's own verdict stands then."""

    environment: str
    answers: tuple[Answer, ...] = ()
    trouble: str = ""

    @property
    def failing(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.outcome is Outcome.FAILS)

    @property
    def unchecked(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.outcome is Outcome.UNCHECKED)


def headline(plan: Plan, seen: Foresight) -> str:
    """The one sentence that a person reads first."""
    if plan.stops or plan.first_obstacle(force=False):
        return verdict(plan)
    if seen.failing:
        first = seen.failing[0]
        more = f", and {count(len(seen.failing) - 1, 'more reason')}" if len(seen.failing) > 1 else ""
        return f"Will fail on {plan.environment}: {first.what} ({first.filename} line {first.line}){more}"
    if seen.trouble:
        return f"{verdict(plan)}; the rows could not be asked: {seen.trouble}"
    if seen.unchecked:
        return f"{verdict(plan)}; {count(len(seen.unchecked), 'statement')} could not be checked against the rows"
    return f"{verdict(plan)}, and no row stands in the way" if plan.steps else verdict(plan)


def counted(number: int, noun: str) -> str:
    """`1 row`, `more than 1,000 rows`."""
    return f"more than {MOST:,} {noun}s" if number > MOST else count(number, noun)


def named(keys: Sequence[str], number: int) -> str:
    """` (id = 4, id = 7 and others)`, or nothing."""
    if not keys:
        return ""
    shown = list(keys[:KEYS])
    return f" ({', '.join(shown)} and others)" if number > len(shown) else f" ({joined(shown)})"
