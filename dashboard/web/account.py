"""One's own account: where one is signed in, and the password."""

import math

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import EVERYWHERE, OpenSession, WayIn
from dashboard.core.browser import browser_of
from dashboard.core.password import LONGEST, RECOMMENDED, SHORTEST
from dashboard.core.words import count
from dashboard.web import current
from dashboard.web.pages import AccountPage, OwnSession
from dashboard.web.pieces import moment_of
from dashboard.web.security import Throttled, TooLong, own

views = Blueprint("account", __name__)

DIFFERENT = "The two new passwords are not the same. Nothing was changed."


@views.get("/account")
@own
def show() -> AnyResponse:
    return _page(done=_done(request.args.get("done", "")))


@views.post("/account/password")
@own
def change_password() -> AnyResponse:
    present, new, again = (request.form.get(name, "") for name in ("present", "new", "again"))
    if max(len(text.encode()) for text in (present, new, again)) > LONGEST:
        raise TooLong
    if new != again:
        return _page(failed=DIFFERENT)
    accounts, visitor, address = current.services().accounts, current.visitor(), request.remote_addr or ""
    wait = accounts.wait(visitor.email, address=address)
    if wait > 0:
        raise Throttled(retry_after=math.ceil(wait))
    failed = accounts.change_password(visitor, present, new, address=address)
    return _page(failed=failed) if failed else redirect(url_for("account.show", done="password"), 303)


@views.post("/account/sessions/end")
@own
def end_session() -> AnyResponse:
    """The one that the form names, or all others."""
    name = request.form.get("session")
    current.services().accounts.end_own(current.visitor(), name, address=request.remote_addr or "")
    return redirect(url_for("account.show", done="session" if name else "sessions"), 303)


def _done(what: str) -> str | None:
    """Only words of ours: what the address says is not shown."""
    return {
        "password": "The password is changed. All other sessions have ended.",
        "connected": "From now on you come in that way, and no password and no link opens this account.",
        "session": "That session has ended.",
        "sessions": "All other sessions have ended.",
    }.get(what)


def _page(*, failed: str | None = None, done: str | None = None) -> AnyResponse:
    visitor, issuer = current.visitor(), current.services().settings.oidc
    sessions, way_in = current.services().accounts.own(visitor)
    page = AccountPage(
        frame=current.frame("Account · Rung"),
        email=visitor.email,
        roles=tuple(_role(at, role) for at, role in sorted(visitor.roles.items())),
        sessions=tuple(_session(session, visitor.session) for session in sessions),
        summary=f"{count(len(sessions), 'session')} open",
        has_password=way_in is WayIn.PASSWORD,
        by_issuer=way_in is WayIn.ISSUER,
        lost=way_in is WayIn.LOST,
        issuer=issuer.label if issuer else None,
        advice=f"At least {SHORTEST} characters; {RECOMMENDED} or more are better. Any signs, spaces too.",
        failed=failed,
        done=done,
    )
    return make_response(render_template("account.html", page=page), 409 if failed else 200)


def _role(environment: str, role: str) -> str:
    return f"{role} on {'all environments' if environment == EVERYWHERE else environment}"


def _session(session: OpenSession, own: str) -> OwnSession:
    now = current.now()
    return OwnSession(
        name=session.name,
        browser=browser_of(session.agent),
        agent=session.agent,
        address=session.address or "not known",
        since=moment_of(session.created_at, now),
        seen=moment_of(session.seen_at, now),
        this=session.name == own,
    )
