"""Files that wait for a person's decision, as the environment's page shows them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dashboard.core.access import Act, Visitor, who_may
from dashboard.core.masking import masked
from dashboard.core.matrix import Look
from dashboard.core.plan import State
from dashboard.core.resolving import (
    Case,
    Decision,
    advice_of,
    case_of,
    condition,
    effect,
    fitting,
    sentence_of,
    why_not,
)
from dashboard.web.difference import difference
from dashboard.web.pages import CaseView, Way
from dashboard.web.pieces import migration_href, name_of
from dashboard.web.signs import STATES

MOST = 20  # files that are offered; more of them are a matter for a shell


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed into a form that was refused: the one of a file, or of a way to apply (`mode`)."""

    filename: str = ""
    mode: str = ""
    reason: str = ""
    confirm: str = ""


Kept = Callable[[str, str], str | None]  # file name and hash -> the text that was applied


def cases_of(look: Look, state: State, visitor: Visitor, typed: Typed, kept: Kept) -> tuple[CaseView, ...]:
    """The files in that state about which somebody has to decide, or may."""
    if look.plan is None:
        return ()
    found = (case_of(look.plan, entry.filename) for entry in look.plan.entries if entry.state is state)
    cases = [case for case in found if case and case.open][:MOST]
    able = not look.not_reachable and visitor.may(Act.RESOLVE, look.environment.name)
    return tuple(_view(case, look, typed, kept, able=able) for case in cases)


def _view(case: Case, look: Look, typed: Typed, kept: Kept, *, able: bool) -> CaseView:
    edited = case.state is State.EDITED
    mine = typed.filename == case.filename
    ways = tuple(_ways(case)) if able else ()
    old = _old_text(case, kept) if edited else None
    new = masked(case.migration.text) if case.migration else None
    changes = difference(old, new) if old and new and old != new else ()
    return CaseView(
        name=name_of(case.filename),
        href=migration_href(case.filename),
        sign=STATES[case.state],
        said=_edited_sentence(case) if edited else sentence_of(case),
        place=_place(case),
        changes=changes,
        incomparable=_incomparable(old, new) if edited and not changes else None,
        ways=ways,
        instead=_instead(case, look, able=able),
        shown=case.migration.raw_hash if case.migration else "",
        confirm=look.environment.name if look.environment.policies.protected and ways else None,
        typed_reason=typed.reason if mine else "",
        typed_confirm=typed.confirm if mine else "",
        fold=f"Accept this content on {case.environment}…" if edited and ways else None,
        open=mine,
    )


def _old_text(case: Case, kept: Kept) -> str | None:
    before = case.applied.raw_hash if case.applied else None
    return masked(kept(case.filename, before) or "") or None if before else None


def _edited_sentence(case: Case) -> str:
    by = f" by {case.applied.actor}" if case.applied and case.applied.actor else ""
    return f"Its content changed after it was applied{by}. What ran is the old text: put that back, or accept the edit."


def _incomparable(old: str | None, new: str | None) -> str:
    if old and old == new:
        return "Only a password in it was changed, and passwords are shown to nobody."
    if old:
        return "The file is too long to be compared here."
    return "The text that was applied is not in the history, so it cannot be compared."


def _ways(case: Case) -> Iterator[Way]:
    for decision in fitting(case):
        when, what = condition(case, decision), effect(case, decision)
        text = f"{when}: {what[0].lower()}{what[1:]}" if when else what
        yield Way(str(decision), _label(case, decision), text)


def _label(case: Case, decision: Decision) -> str:
    """What the button says."""
    left = case.unfinished
    number = left.interrupted if left else None
    match decision:
        case Decision.RETRY:
            return f"Let statement {number} run again"
        case Decision.DROP_AND_RETRY:
            return f"Let {' and '.join(left.left) if left else ''} be dropped, and statement {number} run again"
        case Decision.MARK_APPLIED:
            return f"Count statement {number} as done"
        case _:
            return "Accept the new text" if left else "Accept this content"


def _place(case: Case) -> str | None:
    """The statement in doubt, with its line."""
    number = case.unfinished.interrupted if case.unfinished else None
    if number is None or case.script is None or not case.same_text:
        return None
    return next((f"line {one.line}: {one.in_brief}" for one in case.script.statements if one.index == number), None)


def _instead(case: Case, look: Look, *, able: bool) -> str | None:
    """What to read where there is no button."""
    if look.not_reachable:
        return "Nothing can be decided while the database does not answer."
    if not fitting(case):
        no = why_not(case, Decision.RETRY)
        return no.advice if no else advice_of(case)
    if not able:
        able_ones = who_may(Act.RESOLVE)
        return f"{able_ones[0].upper()}{able_ones[1:]} may decide this on {case.environment}."
    return None
