"""One run on paper: everything that is known of it and how that can be checked, for whoever audits it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from flask import Blueprint, render_template

from dashboard.core.access import Act
from dashboard.core.errors import NotFound
from dashboard.core.events import StatementDone
from dashboard.core.progress import RunView, StoredEvent
from dashboard.core.record import ChainCheck, Happening, HistoryRow, Remembered
from dashboard.core.safety.finding import Finding
from dashboard.core.words import absolute, problem_lines, span
from dashboard.web import current
from dashboard.web.chains import chain_view
from dashboard.web.pages import ChainLink, Fact, PrintedFile, PrintedPage, PrintedStatement
from dashboard.web.past_run import IN_LEDGER, problem_of, verdict_of
from dashboard.web.pieces import finding_view, name_of, run_href
from dashboard.web.progress import FileProgress, add_up
from dashboard.web.security import needs
from dashboard.web.signs import OUTCOMES, QUEUED, RUNNING, happening_of

views = Blueprint("printed", __name__)

_STATEMENTS = (Happening.STARTED, Happening.STATEMENT_DONE)


@views.get("/runs/<run_id>/print")
@needs(Act.LOOK)
def show(run_id: str) -> str:
    services = current.services()
    run, kept = services.runs.show(run_id), services.history.of_run(run_id)
    environment = run.environment if run else kept[0].row.environment if kept else None
    if environment is None or not current.may_look(environment):
        raise NotFound("run", run_id)
    events = services.runs.events_since(run_id) if run else ()
    return render_template("printed.html", page=_page(run_id, environment, run, kept, events))


def _page(
    run_id: str, environment: str, run: RunView | None, kept: Sequence[Remembered], events: Sequence[StoredEvent]
) -> PrintedPage:
    services = current.services()
    rows = [one.row for one in kept]
    return PrintedPage(
        frame=current.frame(f"Run {run_id} · {environment} · Rung"),
        run_id=run_id,
        run_href=run_href(run_id),
        environment=environment,
        verdict=_outcome(run, rows),
        facts=tuple(_facts(run_id, run, rows)),
        files=tuple(_files(rows, services.history.overruled(kept), events)),
        remarks=tuple(_remarks(run, rows)),
        chain=tuple(
            ChainLink(str(one.row.id), happening_of(one.row).word, one.row.previous_hash, one.row.own_hash, _gone(one))
            for one in kept
        ),
        check=chain_view(services.history.checks().get(environment) or ChainCheck(environment)),
        printed=f"{absolute(current.now())} by {current.visitor().email}",
    )


def _outcome(run: RunView | None, rows: Sequence[HistoryRow]) -> str:
    if run is None:
        return verdict_of(rows).word
    sign = OUTCOMES[run.outcome] if run.outcome else RUNNING if run.started_at else QUEUED
    return f"{sign.word[0].upper()}{sign.word[1:]} on {run.environment}"


def _facts(run_id: str, run: RunView | None, rows: Sequence[HistoryRow]) -> Iterator[Fact]:
    """Who, why, when, from where."""
    yield Fact("Environment", run.environment if run else rows[0].environment)
    yield Fact("Run", run_id)
    if rows:
        yield Fact("Asked for by", f"{rows[0].actor} ({rows[0].actor_kind}), through {rows[0].door}")
    elif run:
        yield Fact("Asked for by", f"{run.actor.name} ({run.actor.kind}), through {run.actor.door}")
    yield from _times(run, rows)
    if rows:
        yield Fact("Executed on", f"{rows[0].host}, Rung {rows[0].tool_version}")
    reason = next((row.reason for row in rows if row.reason), run.order.reason if run else None)
    decided = any(row.event == Happening.RESOLVED for row in rows)
    yield Fact("Reason given" if decided else "Forced, because", reason or "not forced, so none was asked for")
    if run and run.stop_asked_by:
        yield Fact("Asked to stop by", run.stop_asked_by)
    if run and run.attempt > 1:
        yield Fact("Attempts", f"{run.attempt}: a worker ended, and another planned it afresh from the database")
    if run and run.result and run.result.problem:
        yield Fact("What stopped it", "\n".join(problem_lines(run.result.problem)))


def _times(run: RunView | None, rows: Sequence[HistoryRow]) -> Iterator[Fact]:
    if run:
        yield Fact("Asked for at", f"{absolute(run.requested_at)}, by home's clock")
    if rows:
        first, last = min(row.started_at for row in rows), max(row.finished_at for row in rows)
        yield Fact("Began", f"{absolute(first)}, by the database's clock")
        yield Fact("Ended", f"{absolute(last)}, after {span((last - first).total_seconds())}")
    elif run and run.ended_at:
        yield Fact("Ended", absolute(run.ended_at))


def _gone(one: Remembered) -> str:
    return f"not in the database any more since {absolute(one.gone_since)}" if one.gone_since else ""


def _remarks(run: RunView | None, rows: Sequence[HistoryRow]) -> Iterator[str]:
    files = (*IN_LEDGER, Happening.FAILED, *_STATEMENTS)
    for row in rows:
        if row.event not in files and row.message:
            yield f"{absolute(row.finished_at)} {row.event}: {row.message}"
    if not rows and run:
        yield "Nothing of this run stands in the database's own history: it changed nothing there."


# --- one file ---


def _files(
    rows: Sequence[HistoryRow], overruled: Mapping[str, tuple[Finding, ...]], events: Sequence[StoredEvent]
) -> Iterator[PrintedFile]:
    progress = add_up(events).files
    ends = [row for row in rows if row.event in (*IN_LEDGER, Happening.FAILED) and row.filename]
    names = {row.filename for row in ends}
    stopped = {row.filename: row for row in rows if row.event in _STATEMENTS and row.filename not in names}
    for row in [*ends, *stopped.values()]:
        filename = row.filename or ""
        yield PrintedFile(
            name=name_of(filename),
            outcome=happening_of(row).word if row in ends else "not finished",
            raw_hash=row.raw_hash or "",
            when=f"{absolute(row.started_at)} to {absolute(row.finished_at)}, {span(row.seconds)}",
            findings=tuple(finding_view(finding, filename) for finding in overruled.get(filename, ())),
            reason=row.reason or "",
            statements=tuple(_statements(filename, rows, progress.get(filename), events)),
            problem="\n".join(problem_lines(problem_of(row))) if row.event == Happening.FAILED else "",
            renamed_from=row.renamed_from or "",
        )


def _statements(
    filename: str, rows: Sequence[HistoryRow], file: FileProgress | None, events: Sequence[StoredEvent]
) -> Iterator[PrintedStatement]:
    """Outside a transaction each stands in the history; inside one, home heard of each where the browser asked."""
    own = [row for row in rows if row.filename == filename and row.event in _STATEMENTS]
    texts = {row.statement or 0: row.message or "" for row in own if row.event == Happening.STARTED}
    texts |= dict(enumerate(file.first_lines, start=1)) if file else {}
    for row in own:
        began = row.event == Happening.STARTED
        yield _statement(row.statement or 0, texts, row.event, row.finished_at, None if began else row.seconds)
    if own:
        return
    for stored in events:
        event = stored.event
        if isinstance(event, StatementDone) and event.filename == filename:
            yield _statement(event.statement, texts, "done", stored.at, event.seconds)


def _statement(
    number: int, texts: Mapping[int, str], what: str, at: datetime, seconds: float | None
) -> PrintedStatement:
    took = span(seconds) if seconds is not None else ""
    return PrintedStatement(str(number), texts.get(number, ""), what, absolute(at), took)
