"""Values of the core as the small pieces that several pages show."""

import hashlib
from datetime import UTC, datetime
from typing import overload
from urllib.parse import quote

from flask import url_for

from dashboard.core.foresight import here_words
from dashboard.core.migration import Refusal
from dashboard.core.progress import RunState, RunView
from dashboard.core.record import is_stop
from dashboard.core.run import Problem
from dashboard.core.safety.finding import Finding, RiskClass
from dashboard.core.text import visible
from dashboard.core.words import absolute, ago, count, passed, place, problem_text, span
from dashboard.web.pages import FileName, FindingView, Moment, ProblemView, RunLine, Sign
from dashboard.web.signs import OUTCOMES, QUEUED, RUNNING

PATIENCE = 8.0  # seconds after which what no worker took deserves a word
HUES = {
    RiskClass.DESTRUCTIVE: "danger",
    RiskClass.OPAQUE: "danger",
    RiskClass.WILL_FAIL: "danger",
    RiskClass.BLOCKING: "waiting",
    RiskClass.BREAKING: "waiting",
    RiskClass.HYGIENE: "unknown",
}


@overload
def moment_of(moment: datetime, now: datetime) -> Moment: ...
@overload
def moment_of(moment: None, now: datetime) -> None: ...
@overload
def moment_of(moment: datetime | None, now: datetime) -> Moment | None: ...
def moment_of(moment: datetime | None, now: datetime) -> Moment | None:
    if moment is None:
        return None
    return Moment(moment.astimezone(UTC).isoformat(timespec="seconds"), ago(moment, now), absolute(moment))


def name_of(filename: str) -> FileName:
    """`017_add_users.sql` -> where it may be wrapped, so that number and end always stay whole."""
    stem, dot, ending = filename.rpartition(".")
    if not stem:
        stem, dot, ending = filename, "", ""
    *words, last = stem.split("_")
    return FileName(filename, tuple(f"{word}_" for word in words), last, dot + ending)


def migration_href(filename: str, line: int | None = None) -> str:
    return f"/migrations/{quote(filename)}" + (f"#L{line}" if line else "")


def environment_href(name: str) -> str:
    return url_for("environment.show", name=name)


def run_href(run_id: str) -> str:
    return url_for("run.show", run_id=run_id)


def problem_view(problem: Problem) -> ProblemView:
    return ProblemView(
        place=place(problem),
        place_href=migration_href(problem.filename, problem.line) if problem.filename else None,
        excerpt=problem.excerpt,
        said=_said(problem),
        detail=problem.detail,
        hint=problem.hint,
        advice=problem.advice,
        copy=problem_text(problem),
    )


def untaken(what: str, asked_at: datetime, now: datetime) -> str | None:
    """A word for what waits for a worker, once it has waited long."""
    if (now - asked_at).total_seconds() < PATIENCE:
        return None
    return f"No worker has taken this {what} for {passed(asked_at, now)}. Is `rung worker` running?"


def _said(problem: Problem) -> str:
    if is_stop(problem.message, problem.sqlstate):  # somebody wanted it, so that it is no error
        return problem.message[0].upper() + problem.message[1:]
    return f"ERROR {problem.sqlstate}: {problem.message}" if problem.sqlstate else problem.message


def refusal_view(refusal: Refusal, environment: str) -> ProblemView:
    return problem_view(
        Problem(
            environment=environment,
            message=refusal.message,
            advice=refusal.advice,
            filename=refusal.filename,
            line=refusal.line,
            column=refusal.column,
            excerpt=refusal.excerpt,
        )
    )


def finding_view(finding: Finding, filename: str) -> FindingView:
    hue = HUES[finding.risk]
    name = "blocked" if finding.blocks else "warning" if hue != "unknown" else "notice"
    if finding.acknowledged:
        name, hue = "notice", "unknown"
    return FindingView(
        sign=Sign(name, str(finding.risk), hue),
        what=finding.what,
        line=finding.line,
        href=migration_href(filename, finding.line),
        rule=finding.rule,
        statement=finding.statement,
        safer=finding.safer,
        stops=finding.blocks,
        allowed=finding.acknowledged,
        here=here_words(finding.here) if finding.here else "",
        source=str(finding.source),
    )


def fingerprint(*shown: object) -> str:
    """The same for what reads the same; how long ago something was does not count (see `pages.Moment`)."""
    return hashlib.blake2b(repr(shown).encode(), digest_size=12).hexdigest()


def run_line(run: RunView, now: datetime) -> RunLine:
    """A run in a list: how it ended, what it did, who asked."""
    result = run.result
    return RunLine(
        href=run_href(run.run_id),
        sign=OUTCOMES[run.outcome] if run.outcome else RUNNING if run.state is RunState.RUNNING else QUEUED,
        environment=run.environment,
        environment_href=environment_href(run.environment),
        summary=_summary(run),
        who=run.actor.name,
        when=moment_of(run.requested_at, now),
        took=span(result.seconds) if result and run.started_at else None,
    )


def _summary(run: RunView) -> str:
    result = run.result
    if result is None:
        return ""
    if result.problem and result.problem.filename:
        done = f"{count(len(result.applied), 'file')} applied, then " if result.applied else ""
        return f"{done}{result.problem.filename}: {result.problem.message}"
    if result.problem:
        return result.problem.message
    if len(result.applied) == 1:
        return result.applied[0]
    return (
        f"{count(len(result.applied), 'file')}, {result.applied[0]} to {result.applied[-1]}" if result.applied else ""
    )


def readable(value: object) -> object:
    """What every template prints passes here: a text's hidden characters are shown, see `text.visible`."""
    return visible(value) if type(value) is str else value
