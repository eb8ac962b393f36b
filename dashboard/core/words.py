"""Moments, spans, problems and verdicts as text, the same for page and command."""

from datetime import UTC, datetime

from dashboard.core.plan import Action, Plan, Step
from dashboard.core.run import Problem

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`, `1,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(words: tuple[str, ...] | list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def span(seconds: float) -> str:
    """A length of time: `12 ms`, `3.2 s`, `4 min`, `2 h`, `5 d`."""
    if seconds < 0.0005:  # noqa: PLR2004  # half of what would be shown
        return "<1 ms"
    if seconds < 0.9995:  # noqa: PLR2004  # 999.5 ms is where rounding would print "1000 ms"
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:  # noqa: PLR2004  # one decimal while it tells something
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return ""


def passed(since: datetime, now: datetime) -> str:
    """How long something has lasted, in whole units: `4 min`. Clocks that disagree by a little read as `0 s`."""
    seconds = max(0.0, (now - since).total_seconds())
    return f"{seconds:.0f} s" if seconds < _MINUTE else span(seconds)


def ago(moment: datetime, now: datetime) -> str:
    """`just now`, `42 s ago`, `4 min ago`, `3 h ago`, `5 d ago`, and the date after two weeks."""
    seconds = (now - moment).total_seconds()
    if seconds < 5:  # nobody cares which
        return "just now"
    if seconds >= 14 * _DAY:
        return date(moment, now)
    return f"{passed(moment, now)} ago"


def date(moment: datetime, now: datetime) -> str:
    """`3 Nov`, with the year where it is another one."""
    moment = moment.astimezone(UTC)
    day = f"{moment.day} {_MONTHS[moment.month]}"  # by hand: thousands of them stand on one page
    return day if moment.year == now.astimezone(UTC).year else f"{day} {moment.year}"


def absolute(moment: datetime) -> str:
    """`2026-11-03 14:02:11 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def place(problem: Problem) -> str:
    """`019_drop_x.sql:3:14`, as far as it is known; the environment's name where no file is to blame."""
    parts = (problem.filename or problem.environment, problem.line, problem.column)
    return ":".join(str(part) for part in parts if part is not None)


def problem_lines(problem: Problem) -> tuple[str, ...]:
    """Everything a person needs about a problem: where, the excerpt with its caret, what the server said, what next."""
    lines = [f"{problem.environment}: {place(problem)}" if problem.filename else problem.environment]
    lines += [f"    {line}" for line in problem.excerpt.splitlines()]
    lines.append(f"ERROR {problem.sqlstate}: {problem.message}" if problem.sqlstate else problem.message)
    lines += [f"{name}: {text}" for name, text in (("Detail", problem.detail), ("Hint", problem.hint)) if text]
    if problem.advice:
        lines.append(f"What to do: {problem.advice}")
    return tuple(lines)


def problem_text(problem: Problem) -> str:
    """`problem_lines` as one text."""
    return "\n".join(problem_lines(problem))


def obstacle(step: Step) -> str:
    """Why a run stops before this file, as the end of a sentence."""
    if step.refusal is not None:
        return step.refusal.message
    if step.failing and not step.undecided:
        return f"it would fail: it {step.failing[0].what}"
    if step.gated and not step.undecided:
        return step.gated[0].what
    return "it stopped half-way, and somebody has to decide how it goes on"


def verdict(plan: Plan) -> str:
    """What an ordinary run would do, in one line."""
    if plan.stops:
        return f"Nothing may run: {plan.stops[0]}"
    stopped = plan.first_obstacle(force=False)
    if stopped is not None:
        return f"Stopped at {stopped.migration.filename}: {obstacle(stopped)}"
    if plan.steps and all(step.action is Action.ADOPT for step in plan.steps):
        return f"{count(len(plan.steps), 'renamed file')} would be recorded, and nothing run"
    if plan.steps:
        return f"{count(len(plan.steps), 'file')} would run"
    return "Nothing to do"
