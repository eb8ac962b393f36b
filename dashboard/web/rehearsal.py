"""One rehearsal: what the pending files did on a throwaway copy, file by file; and the button that asks for it."""

from dataclasses import replace
from datetime import datetime

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act, Visitor
from dashboard.core.effects import effects, verdict_of
from dashboard.core.errors import NotAllowed
from dashboard.core.matrix import Look
from dashboard.core.progress import RehearsalView
from dashboard.core.rehearsal import Change, FileTrace, Rehearsal, StatementTrace
from dashboard.core.words import span
from dashboard.web import current
from dashboard.web.pages import (
    ChangeView,
    Frame,
    Link,
    Live,
    RehearsalPage,
    RehearsedFile,
    RehearsedStatement,
    RehearseForm,
    Sign,
)
from dashboard.web.pieces import (
    environment_href,
    fingerprint,
    migration_href,
    moment_of,
    name_of,
    problem_view,
    untaken,
)
from dashboard.web.proof import unproved
from dashboard.web.security import needs

views = Blueprint("rehearsal", __name__)

FINE = Sign("applied", "went through", "good")
FAILS = Sign("failed", "fails", "danger")
UNSURE = Sign("waiting", "undecided", "waiting")
WORKING = Sign("running", "at work", "working")
_SIGNS = {"+": ("+", "added", "added"), "-": ("\N{MINUS SIGN}", "gone", "removed"), "~": ("~", "changed", "changed")}


@views.post("/environments/<name>/rehearse")
@needs(Act.APPLY)
def ask(name: str) -> AnyResponse:
    digest = request.form.get("digest", "").strip()[:200]
    asks = unproved(current.services().settings.environment(name), {"digest": digest})
    if asks is not None:
        return asks
    rehearsals = current.services().rehearsals
    made = rehearsals.ask(name, digest, current.visitor().email, address=request.remote_addr or "")
    return redirect(url_for("rehearsal.show", rehearsal_id=made), 303)


@views.get("/rehearsals/<rehearsal_id>")
@needs(Act.LOOK)
def show(rehearsal_id: str) -> str:
    return render_template("rehearsal.html", page=_page(_row(rehearsal_id)))


@views.get("/fragments/rehearsals/<rehearsal_id>")
@needs(Act.LOOK)
def fragment(rehearsal_id: str) -> Response:
    page = _page(_row(rehearsal_id))
    return current.fragment("rehearsal_live.html", page, page.live)


@views.post("/rehearsals/<rehearsal_id>/stop")
@needs(Act.LOOK)
def stop(rehearsal_id: str) -> AnyResponse:
    """Whoever may stop runs on that environment; see `Act.STOP`."""
    row = _row(rehearsal_id)
    if not current.visitor().may(Act.STOP, row.environment):
        raise NotAllowed(current.visitor().email, f"{Act.STOP} on {row.environment}")
    current.services().rehearsals.stop(rehearsal_id, current.visitor().email, address=request.remote_addr or "")
    return redirect(url_for("rehearsal.show", rehearsal_id=rehearsal_id), 303)


def form_of(look: Look, visitor: Visitor) -> RehearseForm | None:
    """What an environment's page offers; None where there is nothing to try, or the reader may not."""
    name = look.environment.name
    if look.plan is None or look.not_reachable or look.plan.stops or not look.plan.steps:
        return None
    if not visitor.may(Act.APPLY, name):
        return None
    newest = current.services().rehearsals.newest(name)
    link = None
    if newest is not None:
        when = moment_of(newest.asked_at, visitor.now).ago
        link = Link(f"Rehearsed {when}", url_for("rehearsal.show", rehearsal_id=newest.id))
    fits = newest is not None and newest.digest == look.plan.digest
    return RehearseForm(url_for("rehearsal.ask", name=name), link, fits)


def _row(rehearsal_id: str) -> RehearsalView:
    row = current.services().rehearsals.show(rehearsal_id)
    if row is None or not current.may_look(row.environment):
        abort(404)
    return row


def _page(row: RehearsalView) -> RehearsalPage:
    now, done, name = current.now(), row.rehearsal, row.environment
    digest = current.services().compare.last_look(name).plan
    sign = _verdict(row, done)
    over, may_stop = row.ended_at is not None, current.asker().may(Act.STOP, name)
    page = RehearsalPage(
        frame=current.frame(f"Rehearsal · {name} · Rung", icon="favicon.svg" if over else "favicon-running.svg"),
        live=Live(url_for("rehearsal.fragment", rehearsal_id=row.id), "still" if over else "fast", ""),
        environment=name,
        environment_href=environment_href(name),
        verdict=sign,
        who=row.asked_by,
        asked=moment_of(row.asked_at, now),
        facts=_facts(done),
        doing=None if over else (row.doing or "waiting for a worker"),
        waiting=None if over else _waiting(row, now),
        stop_href=None if over or not may_stop else url_for("rehearsal.stop", rehearsal_id=row.id),
        stale=over and digest is not None and digest.digest != row.digest,
        trouble=problem_view(row.trouble) if row.trouble else None,
        notes=_notes(done) if done else (),
        files=tuple(_file(file, row) for file in done.files) if done else (),
        changes=tuple(_change(change) for change in done.changes) if done else (),
        again_href=url_for("rehearsal.ask", name=name) if over and current.asker().may(Act.APPLY, name) else None,
        held=digest.digest if digest else "",
    )
    if done and done.problem:
        page = replace(page, trouble=problem_view(done.problem))
    return replace(page, live=replace(page.live, version=fingerprint(replace(page, frame=Frame("", "")))))


def _waiting(row: RehearsalView, now: datetime) -> str | None:
    """Whoever takes it says at once what it is doing."""
    said = None if row.doing else untaken("rehearsal", row.asked_at, now)
    return said and f"{said} It may also be busy with others."


def _verdict(row: RehearsalView, done: Rehearsal | None) -> Sign:
    if row.ended_at is None:
        return Sign(WORKING.name, f"Rehearsing {row.environment}", WORKING.hue)
    if row.is_stopped:
        return Sign("stopped", f"Rehearsal of {row.environment} stopped", "waiting")
    if done is None or done.problem is not None:
        return Sign("blocked", "Not rehearsed", "danger")
    words = verdict_of(done, row.sizes, row.speed)
    if done.failed is None:
        return Sign(FINE.name, words, FINE.hue)
    return Sign(UNSURE.name, words, UNSURE.hue) if done.failed.inconclusive else Sign(FAILS.name, words, FAILS.hue)


def _facts(done: Rehearsal | None) -> tuple[str, ...]:
    if done is None or not done.files:
        return ()
    return (f"on PostgreSQL {done.server_version}", f"took {span(done.seconds)}", "a copy without rows")


def _notes(done: Rehearsal) -> tuple[str, ...]:
    other = done.server_version.split(".")[0] != done.of.split(".")[0]
    version = f"{done.environment} runs PostgreSQL {done.of}; what another version does may differ."
    return (*((version,) if other and done.files else ()), *done.notes)


def _file(file: FileTrace, row: RehearsalView) -> RehearsedFile:
    sign = FINE if file.problem is None else UNSURE if file.inconclusive else FAILS
    return RehearsedFile(
        name=name_of(file.filename),
        href=migration_href(file.filename),
        sign=sign,
        statements=tuple(_statement(file.filename, trace, row) for trace in file.statements),
        problem=problem_view(file.problem) if file.problem else None,
        left=file.left,
    )


def _statement(filename: str, trace: StatementTrace, row: RehearsalView) -> RehearsedStatement:
    heavy = any(lock.stops for lock in trace.locks) and bool(trace.rewritten or trace.scanned)
    href = migration_href(filename, trace.line)
    return RehearsedStatement(trace.line, href, trace.statement, tuple(effects(trace, row.sizes, row.speed)), heavy)


def _change(change: Change) -> ChangeView:
    sign, word, hue = _SIGNS[change.sign]
    return ChangeView(sign, word, hue, f"{change.kind} {change.name}", change.before.strip(), change.after.strip())
