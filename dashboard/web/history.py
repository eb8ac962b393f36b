"""The history: everything that was tried, newest first."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act
from dashboard.core.record import Happening, HistoryFilter, HistoryRow, Remembered
from dashboard.core.record import HistoryPage as Found
from dashboard.core.words import count, joined, span
from dashboard.web import current
from dashboard.web.chains import chain_views
from dashboard.web.filters import HISTORY, KINDS, Filters, read_filters
from dashboard.web.pages import Empty, HistoryLine, HistoryPage, Link, Option, Timeline
from dashboard.web.pieces import environment_href, migration_href, moment_of, name_of, run_href
from dashboard.web.security import needs
from dashboard.web.signs import HAPPENINGS, happening_of
from dashboard.web.timeline import make_timeline

views = Blueprint("history", __name__)

PER_PAGE = 50
NOTHING = Found((), None)
_WHY: dict[str, str] = {Happening.RESOLVED: "because", Happening.IDENTIFIED: "because"}
_MOMENTS = (Happening.ADOPTED, Happening.RESOLVED, Happening.IDENTIFIED, Happening.NOTE, Happening.STARTED)


@views.get("/history")
@needs(Act.LOOK)
def show() -> Response:
    service = current.services().history
    known = [name for name in service.known_environments() if current.may_look(name)]
    filters = read_filters(request.args, known, extra=("before",))
    before = request.args.get("before") or None
    found = NOTHING if filters.complaints else service.page(filters.wanted, before, PER_PAGE)
    page = _page(filters, known, found, before)
    return make_response(render_template("history.html", page=page), 400 if filters.complaints else 200)


@views.post("/environments/<name>/history/check")
@needs(Act.LOOK)
def check(name: str) -> AnyResponse:
    """Each check reads a whole history: on request, never with a page."""
    current.services().history.check(name, current.visitor().email)
    return redirect(url_for("history.show", environment=name, _anchor=f"chain-{name}"), 303)


def _page(filters: Filters[HistoryFilter], known: Sequence[str], found: Found, before: str | None) -> HistoryPage:
    rows = tuple(lines(found.rows, current.now()))
    values, chosen = filters.values, filters.chosen
    return HistoryPage(
        frame=current.frame("History · Rung"),
        href=url_for("history.show"),
        summary=_summary(rows, older=bool(found.older), later=bool(before)),
        environments=_options(values.get("environment", ""), ((name, name) for name in known)),
        kinds=_options(values.get("kind", ""), ((kind, kind) for kind in KINDS)),
        outcomes=_options(values.get("outcome", ""), ((str(h), sign.word) for h, sign in HAPPENINGS.items())),
        values={name: values.get(name, "") for name in HISTORY.names},
        zone=filters.zone_name,
        zone_open="zone" not in chosen,
        complaints=filters.complaints,
        chips=tuple(Link(text, _href(filters.without(name))) for name, text in filters.told().items()),
        exports=tuple(Link(word, _href(chosen, f"export.as_{word.lower()}")) for word in ("CSV", "JSON"))
        if rows
        else (),
        chains=chain_views(current.services().history.checks()),
        timeline=None if filters.complaints else _timeline(filters, known),
        rows=rows,
        older_href=_href({**chosen, "before": found.older}) if found.older else None,
        newest_href=_href(chosen) if before else None,
        empty=None if rows or filters.complaints else _empty(filters, later=bool(before)),
    )


def _timeline(filters: Filters[HistoryFilter], known: Sequence[str]) -> Timeline | None:
    def of_days(environment: str, first: date, last: date) -> str:
        days = {"environment": environment, "from": str(first), "to": str(last), "zone": filters.zone_name}
        return _href({**filters.chosen, **days})

    runs = current.services().history.past_runs(filters.wanted)
    return make_timeline(runs, known, filters.zone, (run_href, of_days), zone_name=filters.zone_name)


def _href(values: dict[str, str], endpoint: str = "history.show") -> str:
    given: dict[str, Any] = {**values}  # url_for's own parameters begin with an underscore, filters do not
    return url_for(endpoint, **given)


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
        sign=happening_of(row),
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
    code = f"{row.sqlstate}: " if row.sqlstate and not row.is_cancelled else ""
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


def _options(chosen: str, pairs: Iterable[tuple[str, str]]) -> tuple[Option, ...]:
    return (Option("", "all", not chosen), *(Option(value, text, value == chosen) for value, text in pairs))


def _empty(filters: Filters[HistoryFilter], *, later: bool) -> Empty:
    told = tuple(filters.told().values())
    if told:
        every = f"No entry has all of these: {joined(told)}. Take one of them away above, or clear them all."
        return Empty("Nothing like that", every if len(told) > 1 else f"No entry has {told[0]}. Clear it to see all.")
    if later:
        return Empty("Nothing older", "This is the end of the history.")
    return Empty("Nothing has happened yet", "The first run leaves its entries here. From a shell:", "rung migrate")
