"""The audit: what was done to the service itself, newest first, for admins."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act
from dashboard.core.audit import BROKEN, DEEDS, DONE, OUTCOMES, REFUSED, WHOLE, AuditFilter, AuditRow, Deed, Source
from dashboard.core.audit import AuditPage as Found
from dashboard.core.matrix import Look
from dashboard.core.record import Happening, read_hash
from dashboard.core.run import Outcome
from dashboard.core.words import count, joined
from dashboard.web import current
from dashboard.web.filters import AUDIT, Filters, read_audit_filters
from dashboard.web.pages import AuditCheck, AuditLine, AuditPage, Empty, Link, Option, Sign
from dashboard.web.pieces import environment_href, migration_href, moment_of, run_href
from dashboard.web.security import needs

views = Blueprint("audit", __name__)

PER_PAGE = 50
NOTHING = Found((), None)
_OF_RUNS = (Deed.RUN_ASKED_FOR, Deed.RUN_STARTED, Deed.RUN_TAKEN_UP, Deed.RUN_ENDED, Deed.STOP_ASKED_FOR)
_OF_HASHES: dict[str, str] = {Deed.PLAN_SHOWN: "plan", Deed.AUDIT_CHECKED: "head"}
_SHORT = 12  # characters
_OF_FILES = (Deed.RESOLVE_ASKED_FOR, Deed.FILE_RUN)
_SIGNS = {
    REFUSED: ("blocked", "waiting"),
    BROKEN: ("failed", "danger"),
    Happening.APPLIED: ("applied", "good"),
    Outcome.FAILED: ("failed", "danger"),
    Outcome.UNKNOWN: ("in-doubt", "danger"),
    WHOLE: ("done", "good"),
}


class NoHash(BadRequest):
    """A hash was sent that is none."""

    description = "A hash has 64 digits from 0 to 9 and a to f. Nothing was checked."


@views.get("/audit")
@needs(Act.AUDIT)
def show() -> Response:
    service = current.services().audit
    known = service.known_environments()
    filters = read_audit_filters(request.args, known, extra=("before",))
    before = request.args.get("before") or None
    found = NOTHING if filters.complaints else service.page(filters.wanted, before, PER_PAGE)
    page = _page(filters, known, found, before)
    return make_response(render_template("audit.html", page=page), 400 if filters.complaints else 200)


@views.post("/audit/check")
@needs(Act.AUDIT)
def check() -> AnyResponse:
    """Each check reads the whole audit: on request, never with a page."""
    typed = request.form.get("head", "").strip()
    kept = read_hash(typed)
    if typed and kept is None:
        raise NoHash
    current.services().audit.check(Source(current.visitor().email, request.remote_addr or ""), kept)
    return redirect(url_for("audit.show", _anchor="record"), 303)


def plan_shown(look: Look) -> None:
    """Somebody sees what would run there."""
    if look.plan is not None:
        source = Source(current.asker().who, request.remote_addr or "")
        current.services().audit.plan_shown(source, look.plan)


def _page(filters: Filters[AuditFilter], known: Sequence[str], found: Found, before: str | None) -> AuditPage:
    values, chosen = filters.values, filters.chosen
    rows = tuple(map(_line, found.rows))
    return AuditPage(
        frame=current.frame("Audit · Rung"),
        href=url_for("audit.show"),
        summary=_summary(len(rows), older=bool(found.older), later=bool(before)),
        environments=_options(values.get("environment", ""), known),
        kinds=_options(values.get("kind", ""), DEEDS),
        deeds=_options(values.get("deed", ""), map(str, Deed)),
        outcomes=_options(values.get("outcome", ""), OUTCOMES),
        values={name: values.get(name, "") for name in AUDIT.names},
        zone=filters.zone_name,
        zone_open="zone" not in chosen,
        complaints=filters.complaints,
        chips=tuple(Link(text, _href(filters.without(name))) for name, text in filters.told().items()),
        exports=tuple(Link(word, _href(chosen, f"export.audit_as_{word.lower()}")) for word in ("CSV", "JSON"))
        if rows
        else (),
        rows=rows,
        older_href=_href({**chosen, "before": found.older}) if found.older else None,
        newest_href=_href(chosen) if before else None,
        empty=None if rows or filters.complaints else _empty(filters, later=bool(before)),
        last=_last(current.services().audit.last_check()),
        check_href=url_for("audit.check"),
    )


def _href(values: dict[str, str], endpoint: str = "audit.show") -> str:
    given: dict[str, Any] = {**values}  # url_for's own parameters begin with an underscore, filters do not
    return url_for(endpoint, **given)


def _line(row: AuditRow) -> AuditLine:
    names = [one.name for one in current.services().settings.environments]
    return AuditLine(
        sign=_sign(row),
        subject=_subject(row),
        href=_href_of(row),
        said=row.detail,
        environment=row.environment,
        environment_href=environment_href(row.environment) if row.environment in names else None,
        who=row.who,
        who_href=url_for("audit.show", who=row.who[:300]),
        address=row.address,
        when=moment_of(row.at, current.now()),
    )


def _sign(row: AuditRow) -> Sign:
    """Most of it is neither good nor bad."""
    name, hue = _SIGNS.get(row.outcome, ("nothing", "unknown"))
    told = row.outcome == DONE or row.outcome in row.deed
    return Sign(name, row.deed if told else f"{row.deed}: {row.outcome}", hue)


def _subject(row: AuditRow) -> str:
    """Of a run, a plan or a hash as much as people tell them apart by; the files have all of it."""
    long = row.deed in _OF_RUNS or row.deed in _OF_HASHES
    return f"{_OF_HASHES.get(row.deed, 'run')} {row.subject[:_SHORT]}" if long and row.subject else row.subject


def _href_of(row: AuditRow) -> str | None:
    if row.deed in _OF_RUNS:
        return run_href(row.subject)
    return migration_href(row.subject) if row.deed in _OF_FILES else None


def _last(row: AuditRow | None) -> AuditCheck | None:
    if row is None:
        return None
    broken = row.outcome == BROKEN
    return AuditCheck(
        sign=Sign("failed", "broken", "danger") if broken else Sign("done", "whole", "good"),
        said=f"{row.detail}.",
        advice="Change nothing, take a dump of home, and find out who can write to it. Rows before the first bad one"
        " hold. `rung audit verify` asks again."
        if broken
        else "",
        loud=broken,
        checked=moment_of(row.at, current.now()),
        asked_by=row.who,
        head=row.subject,
    )


def _summary(rows: int, *, older: bool, later: bool) -> str:
    if not rows:
        return "What was done to the service itself: who came in, who let whom in, who asked for what"
    counted = count(rows, "entry").replace("entrys", "entries")
    return f"{'Older' if later else 'Newest'} first, {counted}" + (" on this page" if older or later else "")


def _options(chosen: str, values: Iterable[str]) -> tuple[Option, ...]:
    return (Option("", "all", not chosen), *(Option(value, value, value == chosen) for value in values))


def _empty(filters: Filters[AuditFilter], *, later: bool) -> Empty:
    told = tuple(filters.told().values())
    if told:
        every = f"No entry has all of these: {joined(told)}. Take one of them away above, or clear them all."
        return Empty("Nothing like that", every if len(told) > 1 else f"No entry has {told[0]}. Clear it to see all.")
    if later:
        return Empty("Nothing older", "This is the beginning of the audit.")
    return Empty("Nothing was done yet", "Whoever signs in, is let in or asks for a run leaves an entry here.")
