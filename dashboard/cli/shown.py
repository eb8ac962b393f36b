"""Results, plans and errors as text or as JSON."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from dashboard.core.documents import plain, plan_json
from dashboard.core.errors import RungError
from dashboard.core.foresight import here_words
from dashboard.core.plan import Plan, Step
from dashboard.core.resolving import advice_of, case_of_step, sentence_of
from dashboard.core.run import Outcome, Result
from dashboard.core.text import visible
from dashboard.core.words import count, problem_lines, span, verdict

_WHOLE = ("migration", "file")  # columns that are wrapped last


def say(text: str = "") -> None:
    """A line on standard output; nothing in it can steer the terminal."""
    _write(visible(text))


def complain(text: str) -> None:
    """A line on standard error, after what was said before it."""
    with contextlib.suppress(OSError):  # whoever listened there has left
        sys.stdout.flush()
    sys.stderr.write(f"{visible(text)}\n")


def complain_of(error: RungError) -> None:
    """What stopped the command, and what to do."""
    complain(f"rung: {error}")
    if error.advice:
        complain(f"What to do: {error.advice}")


def error_json(error: RungError, code: int) -> dict[str, Any]:
    """What `--json` prints where a command could not do its work."""
    return {"error": type(error).__name__, "message": str(error), "advice": error.advice or None, "exit_code": code}


def say_json(value: object) -> None:
    """One document; moments as ISO 8601, secrets never."""
    _write(json.dumps(value, default=plain, ensure_ascii=False, indent=2))


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # whoever reads a pipe waits for an address or a link


def result_json(result: Result, code: int) -> dict[str, Any]:
    """What `rung migrate --json` prints."""
    return {
        "run_id": result.run_id,
        "environment": result.environment,
        "outcome": result.outcome,
        "exit_code": code,
        "applied": result.applied,
        "notes": result.notes,
        "problem": result.problem,
        "holder": result.holder,
        "plan": plan_json(result.plan) if result.plan else None,
        "seconds": round(result.seconds, 3),
    }


def show_result(result: Result) -> None:
    """How a run ended, as its last lines. What went wrong goes to standard error."""
    match result.outcome:
        case Outcome.NOTHING:
            for notice in result.plan.notices if result.plan else ():
                say(f"  note     {notice}")  # a run that has something to do has told them already
            say(f"{result.environment}: up to date. Nothing to do.")
        case Outcome.APPLIED:
            say(f"{result.environment}: up to date, {count(len(result.applied), 'file')} in {span(result.seconds)}.")
        case _:
            _show_trouble(result)


def _show_trouble(result: Result) -> None:
    kept = f", after {count(len(result.applied), 'file')} went through" if result.applied else ""
    ended = "could not run" if result.outcome is Outcome.UNREACHABLE else result.outcome  # it may have answered
    complain(f"{result.environment}: {ended}{kept}.")
    if result.problem is not None:
        lines = problem_lines(result.problem)
        complain("\n".join(lines if result.problem.filename else lines[1:]))  # the environment was just named


def show_plan(plan: Plan) -> None:
    """What would run on one environment, in order, with every finding."""
    stopped = bool(plan.stops)
    say(f"{plan.environment}: {'Nothing may run' if stopped else verdict(plan)}")
    for stop in plan.stops:
        say(f"  stop     {stop}")
    for step in plan.steps:
        for line in (*_step_lines(step, waits=stopped), *_undecided(plan, step)):
            say(line)
        stopped = stopped or bool(step.gated) or step.unusable
    for notice in plan.notices:
        say(f"  note     {notice}")


def _step_lines(step: Step, *, waits: bool) -> Iterator[str]:
    word = "blocked" if step.gated or step.unusable else "waits" if waits else step.action.value
    yield f"  {word:<8} {step.migration.filename}"
    if step.refusal is not None:
        place = ":".join(
            str(n) for n in (step.refusal.filename, step.refusal.line, step.refusal.column) if n is not None
        )
        yield f"           {place}: {step.refusal.message}"
        yield from (f"               {line}" for line in step.refusal.excerpt.splitlines())
        yield f"           What to do: {step.refusal.advice}"
    for finding in step.findings:
        yield f"           line {finding.line}, {finding.risk} ({finding.rule}): {finding.what}"
        yield f"               {finding.statement}"
        if finding.here:
            yield f"           {here_words(finding.here)}"
        if finding.acknowledged:
            yield f"           Allowed, because {finding.acknowledged}"
            continue
        yield from (f"           Safer: {line}" for line in finding.safer.splitlines()[:1])
        yield from (f"                  {line}" for line in finding.safer.splitlines()[1:])
    if step.script is not None:
        yield from (f"           {note}" for note in step.script.notes)


def _undecided(plan: Plan, step: Step) -> Iterator[str]:
    """What is in doubt about a file that stopped half-way, and which decisions fit."""
    if step.unfinished is None:
        return
    for index in step.unfinished.drop:
        yield f"           drops the INVALID index {index} first, as somebody decided"
    if not step.undecided:
        return
    case = case_of_step(plan.environment, step)
    yield f"           {sentence_of(case)}"
    yield from (f"           {line}" for line in f"What to do: {advice_of(case)}".splitlines())


def table(heads: list[str], rows: list[list[str]], style: Callable[[str], str | None] = lambda _: None) -> None:
    """A table: lines and colours on a terminal, padded columns elsewhere. `style` names a cell's colour."""
    rows = [[visible(cell, keep="") for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(heads, rows, style)
        return
    widths = _widths(heads, rows)
    for row in (heads, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(heads: list[str], rows: list[list[str]], style: Callable[[str], str | None]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    drawn = Table(box=box.SIMPLE_HEAD)
    for head, width in zip(heads, _widths(heads, rows), strict=True):
        whole = head in _WHOLE and width <= console.width // 2
        drawn.add_column(head, overflow="fold", no_wrap=whole)
    for row in rows:
        drawn.add_row(*(Text(cell, style=style(cell) or "") for cell in row))
    console.print(drawn)


def _widths(heads: list[str], rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
