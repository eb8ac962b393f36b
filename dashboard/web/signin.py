"""Signing in with a password or a one-time link, and signing out."""

import math

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import LinkPurpose
from dashboard.web import current
from dashboard.web.pages import Link, LinkPage, SignInPage
from dashboard.web.security import (
    Throttled,
    TooLong,
    check_token,
    forget_session_cookie,
    guest_secret,
    open_to_all,
    own,
    safe_next,
    set_guest_cookie,
    set_session_cookie,
)

views = Blueprint("signin", __name__)

LONGEST_PASSWORD = 1024  # bytes; hashing costs time and memory
LONGEST_ADDRESS = 254  # characters, by RFC 5321
COMMAND = "rung user link you@example.org"
WRONG = "That did not work. Check address and password, or ask for a one-time link."
SETTING = (LinkPurpose.INVITE, LinkPurpose.RESET)  # such a link leads to where a password is set
SPENT = "This link was used already, or is too old. Ask for a new one."


@views.get("/sign-in")
@open_to_all
def show() -> AnyResponse:
    return _form()


@views.post("/sign-in")
@open_to_all
def sign_in() -> AnyResponse:
    check_token(guest_secret(current.site()))
    email, password = request.form.get("email", "").strip(), request.form.get("password", "")
    if len(password.encode()) > LONGEST_PASSWORD or len(email) > LONGEST_ADDRESS:
        raise TooLong
    accounts = current.services().accounts
    wait = accounts.wait(email, address=request.remote_addr or "")
    if wait > 0:
        raise Throttled(retry_after=math.ceil(wait))
    token = accounts.sign_in(email, password, address=request.remote_addr or "", agent=request.user_agent.string)
    return _form(email, WRONG, 401) if token is None else enter(token, safe_next(request.args.get("next")))


@views.get("/sign-in/link/<token>")
@open_to_all
def show_link(token: str) -> AnyResponse:
    """Only a button: what looks at links by itself (mail filters, chat previews) does not use it up."""
    sets = current.services().accounts.purpose_of(token) in SETTING
    page = LinkPage(current.frame("Sign in · Rung"), url_for("signin.redeem", token=token), sets)
    return set_guest_cookie(make_response(render_template("link.html", page=page)), current.site())


@views.post("/sign-in/link/<token>")
@open_to_all
def redeem(token: str) -> AnyResponse:
    check_token(guest_secret(current.site()))
    accounts = current.services().accounts
    sets = accounts.purpose_of(token) in SETTING
    session = accounts.redeem(token, address=request.remote_addr or "", agent=request.user_agent.string)
    if session is None:
        return _form(failed=SPENT, status=401)
    return enter(session, url_for("account.show", _anchor="password") if sets else url_for("matrix.show"))


@views.post("/sign-out")
@own
def sign_out() -> AnyResponse:
    cookie = request.cookies.get(current.site().session_cookie, "")
    current.services().accounts.sign_out(cookie, address=request.remote_addr or "")
    return forget_session_cookie(redirect(url_for("signin.show"), 303), current.site())


def is_first() -> bool:
    """Whether the first account may be made in the browser now."""
    services = current.services()
    return services.settings.bootstrap_secret is not None and services.accounts.is_empty()


def _form(email: str = "", failed: str | None = None, status: int = 200) -> AnyResponse:
    issuer, where = current.services().settings.oidc, request.args.get("next")
    page = SignInPage(
        frame=current.frame("Sign in · Rung"),
        action=url_for("signin.sign_in", next=where),
        email=email,
        failed=failed,
        command=COMMAND,
        first_href=url_for("first.show") if is_first() else None,
        issuer=Link(issuer.label, url_for("oidc.leave", next=where)) if issuer else None,
    )
    return set_guest_cookie(make_response(render_template("signin.html", page=page), status), current.site())


def enter(token: str, where: str) -> AnyResponse:
    """A new session takes the place of whatever this browser had; the old one ends."""
    old = request.cookies.get(current.site().session_cookie)
    if old:
        current.services().accounts.sign_out(old, address=request.remote_addr or "")
    return set_session_cookie(redirect(where, 303), token, current.site())
