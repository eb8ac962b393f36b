"""What the rows and the catalog of an environment say of its pending files, and the one line on top."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dashboard.core.estimate import amount, seconds
from dashboard.core.events import Blocker
from dashboard.core.plan import Action, Plan
from dashboard.core.safety.finding import Finding, Here, RiskClass, Source
from dashboard.core.words import count, joined, verdict

KEYS = 5  # rows that are named
MOST = 1000  # rows that are counted
_FEW = 6  # dependents that are named


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
    """All answers of one environment.

    Attributes
    ----------
    trouble: why it could not be asked; the plan's own verdict stands then.
    plan: the same plan, with what the catalog adds to its findings; None where nothing was asked.
    oldest: a transaction that has been open for long: whatever needs a strong lock on its tables waits for it.
    rows: whether the rows were to be asked as well as the catalog.
    replication: the session_replication_role that sessions of the role begin with.

    """

    environment: str
    answers: tuple[Answer, ...] = ()
    trouble: str = ""
    plan: Plan | None = None
    oldest: Blocker | None = None
    rows: bool = True
    replication: str = "origin"

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about the whole environment, without their ends."""
        waiting = [oldest_words(self.oldest)] if self.oldest else []
        return (*waiting, *([replication_words(self.replication)] if self.replication != "origin" else []))

    @property
    def failing(self) -> tuple[Answer, ...]:
        """What the catalog or the rows will make fail."""
        by_rows = [answer for answer in self.answers if answer.outcome is Outcome.FAILS]
        told = {(answer.filename, answer.line) for answer in by_rows}
        by_catalog = (one for one in _by_catalog(self.plan) if (one.filename, one.line) not in told)
        return (*by_catalog, *by_rows)

    @property
    def unchecked(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.outcome is Outcome.UNCHECKED)


def is_failing(finding: Finding) -> bool:
    """Whether the catalog has told that it will come true: `Foresight.failing` speaks of it."""
    return finding.source is Source.CATALOG and finding.risk is RiskClass.WILL_FAIL and finding.blocks


def _by_catalog(plan: Plan | None) -> Iterator[Answer]:
    """The findings that only the catalog could tell, and that are certain to come true."""
    for step in plan.steps if plan else ():
        for one in step.findings:
            if is_failing(one):
                name, advice = step.migration.filename, one.safer
                yield Answer(name, one.line, one.statement, Outcome.FAILS, one.what, "the catalog", advice=advice)


def headline(plan: Plan, seen: Foresight) -> str:
    """The one sentence that a person reads first."""
    plan = seen.plan or plan
    if seen.failing and not plan.stops:
        return _failing(plan, seen)
    if seen.trouble:
        return f"{verdict(plan)}; the {'rows' if seen.rows else 'catalog'} could not be asked: {seen.trouble}"
    if plan.stops or plan.first_obstacle(force=False):
        return verdict(plan)
    if seen.unchecked:
        return f"{verdict(plan)}; {count(len(seen.unchecked), 'statement')} could not be checked against the rows"
    return _going_through(plan, seen)


def _failing(plan: Plan, seen: Foresight) -> str:
    first = seen.failing[0]
    more = f", and {count(len(seen.failing) - 1, 'more reason')}" if len(seen.failing) > 1 else ""
    return f"Will fail on {plan.environment}: {first.what} ({first.filename} line {first.line}){more}"


def _going_through(plan: Plan, seen: Foresight) -> str:
    """Of a plan that nothing stops, by the rows or by the gate."""
    findings = [finding for step in plan.steps for finding in step.findings if not finding.acknowledged]
    slow = [one for one in findings if one.here and one.here.stops and not one.here.is_brief]
    longest = max((one.here for one in slow if one.here), key=lambda here: here.most or 0, default=None)
    if longest is not None:
        span = seconds(longest.least or 0, longest.most or 0)
        return f"Locks {longest.table} ({amount(longest.size)}) against {longest.stops} for {span}, roughly"
    others = [one for one in findings if one.risk is not RiskClass.BLOCKING or one.here is None]
    if not seen.rows:
        return verdict(plan)
    if others or not any(step.action is not Action.ADOPT for step in plan.steps):
        return f"{verdict(plan)}, and no row stands in the way" if plan.steps else verdict(plan)
    return f"Safe to apply: {count(len(plan.steps), 'file')}, brief locks only"


def here_words(here: Here) -> str:
    """What the catalog adds to a finding, as a sentence without its end."""
    rows = f" in about {count(here.rows, 'row')}" if here.rows else ""
    took = f"; that takes {seconds(here.least, here.most)}, roughly" if here.least is not None and here.most else ""
    along = f"; CASCADE takes {_few(here.takes)} along" if here.takes else ""
    said = f"{here.table} holds {amount(here.size)}{rows} here{took}{along}".replace("holds empty", "is empty")
    return "; ".join((said, *(f"on {name} {_elsewhere(there)}" for name, there in here.elsewhere)))


def _elsewhere(there: Here) -> str:
    holds = "is empty" if there.size == 0 else f"holds {amount(there.size)}"
    takes = f", which takes {seconds(there.least, there.most)}" if there.least is not None and there.most else ""
    return f"it {holds}{takes}"


def _few(things: Sequence[str]) -> str:
    more = f" and {count(len(things) - _FEW, 'other thing')}" if len(things) > _FEW else ""
    return f"{', '.join(things[:_FEW])}{more}" if more else joined(list(things))


def oldest_words(oldest: Blocker) -> str:
    """A transaction that is in the way of everybody."""
    return f"A transaction is open for long: {oldest}. What needs a strong lock on its tables waits until it ends"


def replication_words(role: str) -> str:
    """Integrity that nobody looks after."""
    said = f"Sessions of this role begin with session_replication_role = {role}"
    return f"{said}: triggers and foreign keys do nothing for what the files write. Set it to origin for the role"


def counted(number: int, noun: str) -> str:
    """`1 row`, `more than 1,000 rows`."""
    return f"more than {MOST:,} {noun}s" if number > MOST else count(number, noun)


def with_article(name: str) -> str:
    """`an age`, `a name`, as they are said aloud."""
    return f"{'an' if name.strip(chr(34))[:1].lower() in 'aeio' else 'a'} {name}"


def named(keys: Sequence[str], number: int) -> str:
    """` (id = 4, id = 7 and others)`, or nothing."""
    if not keys:
        return ""
    shown = list(keys[:KEYS])
    return f" ({', '.join(shown)} and others)" if number > len(shown) else f" ({joined(shown)})"
