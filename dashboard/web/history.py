"""The history: everything that was tried, newest first."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request, url_for

from dashboard.core.access import Act
from dashboard.core.record import Happening, HistoryFilter, HistoryRow, Remembered
from dashboard.core.words import count, span
from dashboard.web import current
from dashboard.web.pages import Empty, HistoryLine, HistoryPage, Option
from dashboard.web.pieces import environment_href, migration_href, moment_of, name_of, run_href
from dashboard.web.security import needs
from dashboard.web.signs import HAPPENINGS, happening_of

views = Blueprint("history", __name__)

LONGEST = 300  # characters of a filter
PER_PAGE = 50
_WHY: dict[str, str] = {Happening.RESOLVED: "because", Happening.IDENTIFIED: "because"}
_MOMENTS = (Happening.ADOPTED, Happening.RESOLVED, Happening.IDENTIFIED, Happening.NOTE, Happening.STARTED)


@views.get("/history")
@needs(Act.LOOK)
def show() -> str:
    asked = {name: request.args.get(name, "").strip()[:LONGEST] for name in ("environment", "outcome", "actor", "file")}
    wanted = HistoryFilter(
        environment=asked["environment"] or None,
        actor=asked["actor"] or None,
        outcome=asked["outcome"] or None,
        filename=asked["file"] or None,
    )
    before = request.args.get("before", "")[:LONGEST] or None
    found = current.services().history.page(wanted, before, PER_PAGE)
    chosen: dict[str, Any] = {name: value for name, value in asked.items() if value}
    rows = tuple(lines(found.rows, current.now()))
    page = HistoryPage(
        frame=current.frame("History · Rung"),
        href=url_for("history.show"),
        summary=_summary(rows, older=bool(found.older), later=bool(before)),
        environments=_environments(asked["environment"]),
        outcomes=_options(asked["outcome"], ((str(h), sign.word) for h, sign in HAPPENINGS.items())),
        actor=asked["actor"],
        filename=asked["file"],
        filtered=bool(chosen),
        rows=rows,
        older_href=url_for("history.show", **chosen, before=found.older) if found.older else None,
        newest_href=url_for("history.show", **chosen) if before else None,
        empty=None if rows else _empty(filtered=bool(chosen or before)),
    )
    return render_template("history.html", page=page)


def lines(rows: Iterable[Remembered], now: datetime) -> Iterable[HistoryLine]:
    """Rows of environments that this visitor may look at, newest first; those of one run are tied together."""
    seen = [one for one in rows if current.may_look(one.row.environment)]
    for above, one, below in zip([None, *seen], seen, [*seen[1:], None], strict=False):
        yield line(one, now, _rail(one, above, below))


def _rail(one: Remembered, above: Remembered | None, below: Remembered | None) -> str:
    up = above is not None and above.row.run_id == one.row.run_id
    down = below is not None and below.row.run_id == one.row.run_id
    return "both" if up and down else "up" if up else "down" if down else ""


def line(remembered: Remembered, now: datetime, rail: str = "") -> HistoryLine:
    row = remembered.row
    return HistoryLine(
        rail=rail,
        sign=happening_of(row.event),
        environment=row.environment,
        environment_href=environment_href(row.environment),
        name=name_of(row.filename) if row.filename else None,
        file_href=migration_href(row.filename) if row.filename else None,
        who=row.actor,
        who_href=url_for("history.show", actor=row.actor),
        door=row.door,
        when=moment_of(row.finished_at, now),
        took="" if row.event in _MOMENTS else span(row.seconds),
        run_href=run_href(row.run_id),
        said=_said(row, gone=remembered.gone_since is not None),
    )


def _said(row: HistoryRow, *, gone: bool) -> str:
    at = f"line {row.line}: " if row.line else ""
    code = f"{row.sqlstate}: " if row.sqlstate else ""
    parts = [
        f"statement {row.statement}" if row.statement and row.event != Happening.FAILED else "",
        f"{at}{code}{row.message}" if row.message else "",
        f"was {row.renamed_from}" if row.renamed_from else "",
        f"{_WHY.get(row.event, 'forced, because')}: {row.reason}" if row.reason else "",
        "no longer in the environment's own history" if gone else "",
    ]
    return " · ".join(part for part in parts if part)


def _summary(rows: tuple[HistoryLine, ...], *, older: bool, later: bool) -> str:
    if not rows:
        return "Everything that was tried: by whom, where, when, and how it ended"
    return f"{'Older' if later else 'Newest'} first, {count(len(rows), 'entry').replace('entrys', 'entries')}" + (
        " on this page" if older or later else ""
    )


def _environments(chosen: str) -> tuple[Option, ...]:
    names = [e.name for e in current.services().settings.environments if current.may_look(e.name)]
    return _options(chosen, ((name, name) for name in names))


def _options(chosen: str, pairs: Iterable[tuple[str, str]]) -> tuple[Option, ...]:
    return (Option("", "all", not chosen), *(Option(value, text, value == chosen) for value, text in pairs))


def _empty(*, filtered: bool) -> Empty:
    if filtered:
        return Empty("Nothing like that", "No entry has all of these. Loosen a filter, or clear them.")
    return Empty("Nothing has happened yet", "The first run leaves its entries here. From a shell:", "rung migrate")
