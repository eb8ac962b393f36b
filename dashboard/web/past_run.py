"""A run that home did not start (a command, a deploy): told from what it left in the history."""

from collections.abc import Sequence

from flask import url_for

from dashboard.core.errors import NotFound
from dashboard.core.record import Happening, HistoryRow
from dashboard.core.run import Problem
from dashboard.core.words import count, span
from dashboard.web import current
from dashboard.web.pages import FileView, Link, Live, RunPage, Sign
from dashboard.web.pieces import environment_href, migration_href, moment_of, name_of, problem_view
from dashboard.web.signs import happening_of
from dashboard.web.told import told_of

IN_LEDGER = (Happening.APPLIED, Happening.ADOPTED)
_REMARKS = (Happening.NOTE, Happening.RESOLVED)


def show_past_run(run_id: str) -> RunPage:
    rows = [remembered.row for remembered in current.services().history.of_run(run_id)]
    if not rows or not current.may_look(rows[0].environment):
        raise NotFound("run", run_id)
    return make_page(run_id, rows)


def make_page(run_id: str, rows: Sequence[HistoryRow]) -> RunPage:
    """`rows`: oldest first, all of one run."""
    first, last = rows[0], rows[-1]
    applied = [row for row in rows if row.event in IN_LEDGER]
    failed = next((row for row in reversed(rows) if row.event == Happening.FAILED), None)
    decided = next((row for row in rows if row.event == Happening.RESOLVED), None)
    return RunPage(
        frame=current.frame(
            f"{_word(failed, decided)} · {first.environment} · Rung",
            icon="favicon-failed.svg" if failed and not failed.is_cancelled else "favicon.svg",
        ),
        live=Live(url_for("run.fragment", run_id=run_id), "still", ""),
        environment=first.environment,
        environment_href=environment_href(first.environment),
        verdict=verdict_of(rows),
        progress=f"{count(len(applied), 'file')} applied" if failed else "",
        who=f"{first.actor} ({first.door})",
        asked=moment_of(first.started_at, current.now()),
        took=span((last.finished_at - first.started_at).total_seconds()),
        ticking=None,
        reason=first.reason,
        waiting=None,
        files=tuple(_file(row) for row in rows if row.filename and row.event in (*IN_LEDGER, Happening.FAILED)),
        notes=tuple(_remark(row) for row in rows if row.event in _REMARKS and row.message),
        problem=problem_view(problem_of(failed)) if failed else None,
        stopping=None,
        stop_href=None,
        next_link=Link(f"Back to {first.environment}", environment_href(first.environment)),
        run_id=run_id,
        told=told_of(run_id),
    )


def _word(failed: HistoryRow | None, decided: HistoryRow | None) -> str:
    if decided:
        return "decided"
    return "applied" if failed is None else "cancelled" if failed.is_cancelled else "failed"


def _remark(row: HistoryRow) -> str:
    return f"{row.filename}: {row.message}" if row.filename else str(row.message)


def verdict_of(rows: Sequence[HistoryRow]) -> Sign:
    """How a run ended, from its rows, oldest first."""
    applied = sum(row.event in IN_LEDGER for row in rows)
    failed = next((row for row in reversed(rows) if row.event == Happening.FAILED), None)
    decided = next((row for row in rows if row.event == Happening.RESOLVED), None)
    return _verdict(rows[0].environment, applied, failed, decided)


def _verdict(environment: str, applied: int, failed: HistoryRow | None, decided: HistoryRow | None) -> Sign:
    if decided:
        return Sign("done", f"Decided about {decided.filename or environment}", "changed")
    if failed and failed.is_cancelled:
        return Sign("stopped", f"Stopped at {failed.filename}", "waiting")
    if failed:
        return Sign("failed", f"Failed at {failed.filename}", "danger")
    return Sign("applied", f"Applied {count(applied, 'file')} to {environment}", "good")


def _file(row: HistoryRow) -> FileView:
    filename = row.filename or ""
    return FileView(
        name=name_of(filename),
        href=migration_href(filename),
        sign=happening_of(row),
        look="whole" if row.event in IN_LEDGER else "broken",
        took=None if row.event == Happening.ADOPTED else span(row.seconds),
        notes=(f"Recorded under its new name; it was {row.renamed_from}.",) if row.renamed_from else (),
        earlier=None,
        statements=(),
        later=None,
    )


def problem_of(row: HistoryRow) -> Problem:
    """What a failed row tells."""
    return Problem(
        environment=row.environment,
        message=row.message or "",
        advice="",
        filename=row.filename,
        statement=row.statement,
        line=row.line,
        column=row.column,
        excerpt=row.excerpt or "",
        sqlstate=row.sqlstate,
        detail=row.detail,
        hint=row.hint,
    )
