"""What the rows say of a plan, below the plan."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dashboard.cli.shown import say

if TYPE_CHECKING:  # most checks ask no rows
    from dashboard.core.foresight import Answer, Foresight
    from dashboard.core.matrix import Look
    from dashboard.core.plan import Plan
    from dashboard.settings import Settings


def foreseen(settings: "Settings", look: "Look", *, rows: bool) -> "Foresight | None":
    """Ask the catalog of one environment, and its rows where somebody wants that; None where nothing is pending."""
    waiting = look.plan and look.plan.steps and not look.plan.stops and not look.not_reachable
    if not (rows or waiting):
        return None
    from dashboard.services.foresee import foresee

    return foresee(look, settings.probe_limit, rows=rows)


def show_foresight(plan: "Plan", seen: "Foresight") -> None:
    from dashboard.core.foresight import headline
    from dashboard.core.words import verdict

    said, asked = headline(plan, seen), "rows" if seen.rows else "catalog"
    if seen.rows or said != verdict(seen.plan or plan):
        say(f"{plan.environment}, asked for its {asked}: {said}")
    for answer in seen.answers:
        for line in _lines(answer):
            say(line)
    for notice in seen.notices:
        say(f"  note     {notice}.")


def _lines(answer: "Answer") -> Iterator[str]:
    how = f" ({answer.how})" if answer.how else ""
    yield f"  {answer.outcome}: {answer.filename} line {answer.line}: {answer.what}{how}"
    yield f"      {answer.statement}"
    if answer.advice:
        yield f"      What to do: {answer.advice}"
