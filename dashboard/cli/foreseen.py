"""What the rows say of a plan, below the plan."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dashboard.cli.shown import say

if TYPE_CHECKING:  # most checks ask no rows
    from dashboard.core.foresight import Answer, Foresight
    from dashboard.core.matrix import Look
    from dashboard.core.plan import Plan
    from dashboard.settings import Settings


def foreseen(settings: "Settings", look: "Look") -> "Foresight":
    """Ask the rows of one environment."""
    from dashboard.services.foresee import foresee

    return foresee(look, settings.probe_limit)


def show_foresight(plan: "Plan", seen: "Foresight") -> None:
    from dashboard.core.foresight import headline, oldest_words

    say(f"{plan.environment}, asked for its rows: {headline(plan, seen)}")
    for answer in seen.answers:
        for line in _lines(answer):
            say(line)
    if seen.oldest:
        say(f"  note     {oldest_words(seen.oldest)}.")


def _lines(answer: "Answer") -> Iterator[str]:
    how = f" ({answer.how})" if answer.how else ""
    yield f"  {answer.outcome}: {answer.filename} line {answer.line}: {answer.what}{how}"
    yield f"      {answer.statement}"
    if answer.advice:
        yield f"      What to do: {answer.advice}"
