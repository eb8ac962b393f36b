"""What the rows and the catalog say of a plan, as the environment's page shows it."""

from collections.abc import Iterator
from dataclasses import replace

from dashboard.core.facts import beside
from dashboard.core.foresight import Answer, Foresight, Outcome, is_failing
from dashboard.core.matrix import Look
from dashboard.core.plan import Plan, Step
from dashboard.core.safety.finding import RiskClass
from dashboard.core.words import count
from dashboard.services.foresee import FRESH
from dashboard.web import current
from dashboard.web.pages import AnswerView, Matter, Sign
from dashboard.web.pieces import HUES, migration_href

NOW = 5.0  # seconds that an answer may be old where a button was pressed
MATTERS = 6  # lines above the files
_SIGNS = {
    Outcome.PASSES: Sign("applied", "will pass", "good"),
    Outcome.FAILS: Sign("failed", "will fail", "danger"),
    Outcome.UNCHECKED: Sign("not-known", "not checked", "unknown"),
    Outcome.COUNTED: Sign("notice", "counted", "unknown"),
}
_FIRST = (RiskClass.WILL_FAIL, RiskClass.DESTRUCTIVE, RiskClass.OPAQUE, RiskClass.BLOCKING, RiskClass.BREAKING)


def foresight_of(look: Look, *, pressed: bool = False) -> Foresight | None:
    """What the environment says; None where nothing is pending, or nobody answers. pressed: it decides something."""
    seen = current.services().foresights.of(look, NOW if pressed else FRESH)
    if pressed or seen is None or seen.plan is None or not any(map(_waits, seen.plan.steps)):
        return seen
    others = current.services().foresights.plans(_with_the_same(seen.plan))
    return replace(seen, plan=beside(seen.plan, others))


def _waits(step: Step) -> bool:
    return any(one.here and one.here.stops for one in step.findings)


def _with_the_same(plan: Plan) -> list[Look]:
    """Other environments where one of those files waits too, as last seen."""
    files = {step.migration.filename for step in plan.steps if _waits(step)}
    names = [one.name for one in current.services().settings.environments if one.name != plan.environment]
    looks = [current.services().compare.last_look(name) for name in names if current.may_look(name)]
    return [one for one in looks if one.plan and files & {step.migration.filename for step in one.plan.steps}]


def answers_of(seen: Foresight | None, filename: str) -> tuple[AnswerView, ...]:
    """What stands in the way first; what passes comes last."""
    order = (Outcome.FAILS, Outcome.UNCHECKED, Outcome.COUNTED, Outcome.PASSES)
    found = [answer for answer in (seen.answers if seen else ()) if answer.filename == filename]
    return tuple(_view(answer) for answer in sorted(found, key=lambda one: (order.index(one.outcome), one.line)))


def _view(answer: Answer) -> AnswerView:
    return AnswerView(
        sign=_SIGNS[answer.outcome],
        what=answer.what,
        line=answer.line,
        href=migration_href(answer.filename, answer.line),
        statement=answer.statement,
        how=answer.how,
        advice=answer.advice,
    )


def matters_of(plan: Plan, seen: Foresight | None) -> tuple[tuple[Matter, ...], str]:
    """What matters first, of all files together, and in words how much is left out."""
    found = [*_failing(seen), *_findings(plan)]
    if len(found) < 2:  # one is on top already
        return (), ""
    left = len(found) - MATTERS
    return tuple(found[:MATTERS]), f"and {count(left, 'more')} below".replace("mores", "more") if left > 0 else ""


def _failing(seen: Foresight | None) -> Iterator[Matter]:
    for answer in seen.failing if seen else ():
        href = migration_href(answer.filename, answer.line)
        yield Matter(_SIGNS[Outcome.FAILS], answer.what, f"{answer.filename}:{answer.line}", href)


def _findings(plan: Plan) -> Iterator[Matter]:
    for risk in _FIRST:
        for step in plan.steps:
            for finding in step.findings:
                if finding.risk is risk and not finding.acknowledged and not is_failing(finding):
                    name = step.migration.filename
                    sign = Sign("blocked" if finding.blocks else "warning", str(risk), HUES[risk])
                    yield Matter(sign, finding.what, f"{name}:{finding.line}", migration_href(name, finding.line))


def why_not(seen: Foresight | None) -> str | None:
    """Why the rows stop the button, as a sentence; None where they do not."""
    if seen is None or not seen.failing:
        return None
    first = seen.failing[0]
    more = f", and {count(len(seen.failing) - 1, 'more reason')}" if len(seen.failing) > 1 else ""
    return f"It will fail: {first.what} ({first.filename} line {first.line}){more}."
