"""What goes wrong, as a page: what happened, what to do, a way on. Never a trace, an address or a version."""

import json
import logging
import secrets
from http import HTTPStatus

from flask import Flask, Response, g, make_response, render_template, request, url_for
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act, Asker, who_may
from dashboard.core.audit import NOBODY, Deed, Report, Source
from dashboard.core.errors import (
    ConfigurationError,
    ConnectionLost,
    EnvironmentFault,
    HomeNotReady,
    HomeUnreachable,
    IssuerFault,
    NoFolder,
    NotAllowed,
    NotFound,
    NotLetIn,
    RungError,
    UnknownEnvironment,
    Unreachable,
)
from dashboard.web import current
from dashboard.web.bearer import NoToken, is_api
from dashboard.web.pages import ErrorPage, Frame, Link
from dashboard.web.security import CrossSite, is_fragment

log = logging.getLogger(__name__)

HEADINGS = {
    400: "That request makes no sense here",
    401: "Please sign in",
    403: "Not allowed",
    404: "There is nothing here",
    405: "Not this way",
    413: "Too much",
    429: "Too many tries",
    500: "Something went wrong",
    503: "Not available now",
}
TEXTS = {
    401: "This needs a sign-in, or the one you had has ended.",
    404: "There is no page at this address. The link may be old, or the file may be gone.",
    405: "This address does not take that kind of request. Nothing was done.",
    413: "That was more than this page takes. Nothing was done.",
}
NO_ROLE = "Ask an admin to give you one; it counts from the next click on."
STATUS: dict[type[RungError], int] = {NotFound: 404, UnknownEnvironment: 404, NotAllowed: 403, NotLetIn: 400}


def answer_errors(app: Flask) -> None:
    """Every error of every view ends in one of these."""
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(ParseException, _of_bad_chunk)
    app.register_error_handler(RungError, _of_ours)
    app.register_error_handler(Exception, _of_surprise)


def _of_http(problem: HTTPException) -> AnyResponse:
    code = problem.code or 500
    if isinstance(problem, CrossSite):
        _remember_cross_site(problem)
    elif isinstance(problem, NoToken) and problem.offered:
        why = f"{problem.offered}: not known, expired or revoked"
        current.services().audit.note_stranger(_refusal(NOBODY, why), once=True)
    elif code == 403:
        _remember_refusal(problem.description or "")
    own_words = problem.description if type(problem).__module__.startswith("dashboard.") else None
    text = own_words or TEXTS.get(code) or HTTPStatus(code).phrase
    answer = _page(code, text, getattr(problem, "advice", ""))
    for name, value in problem.get_headers(request.environ):
        if name in ("Allow", "Retry-After", "WWW-Authenticate"):
            answer.headers[name] = value
    return answer


def _of_bad_chunk(_: Exception) -> AnyResponse:
    """The server finds it only where the form is read."""
    return _of_http(BadRequest())


def _of_ours(problem: RungError) -> AnyResponse:
    code = next((status for kind, status in STATUS.items() if isinstance(problem, kind)), 503)
    if code == 503:  # our own "not now"
        log.warning("not available: %s", problem)
    if isinstance(problem, NotAllowed):
        _remember_refusal(str(problem))
        if is_api():
            return _page(code, str(problem), "Make a token with a scope for it: `rung token add`.")
        act = next((act for act in Act if problem.what.startswith(str(act))), Act.LOOK)
        able = who_may(act)
        if g.visitor.role is None:
            return _page(code, "Your account has no role yet, so there is nothing to see.", NO_ROLE)
        return _page(code, f"{problem}.".replace("..", "."), f"{able[0].upper()}{able[1:]} may. {problem.advice}")
    if code == 404:  # the page that is missing
        if request.method == "POST":  # what somebody may not look at reads like this, too
            _remember_refusal(str(problem))
        return _page(code, str(problem))
    return _page(code, str(problem), problem.advice, _heading(problem))


def _remember_refusal(why: str) -> None:
    """Of whoever is known: strangers are sent to sign in. It stays refused also where the audit takes no rows."""
    asker = g.get("bearer") or g.get("visitor")
    if asker is None:
        return
    current.services().audit.note(_refusal(asker.who, why))


def _remember_cross_site(problem: CrossSite) -> None:
    """Nobody was asked for yet when it was refused; browsers mostly keep the cookie back, so many are of strangers."""
    asker = g.get("bearer") or g.get("visitor") or _visitor()
    audit = current.services().audit
    said = {name: request.headers.get(name, "") for name in ("Origin", "Sec-Fetch-Site")}
    why = "; ".join([problem.description, *(f"{name}: {value[:100]}" for name, value in said.items() if value)])
    if asker is None:
        audit.note_stranger(_refusal(NOBODY, why))
    else:
        audit.note(_refusal(asker.who, why))


def _visitor() -> Asker | None:
    """Whose cookie came along; coming from elsewhere does not keep a session awake."""
    cookie = "" if is_api() else request.cookies.get(current.site().session_cookie, "")
    try:
        return current.services().accounts.visitor(cookie, active=False) if cookie else None
    except RungError:
        return None


def _refusal(who: str, why: str) -> Report:
    source = Source(who, request.remote_addr or "")
    environment = (request.view_args or {}).get("name", "")
    return Report(Deed.REFUSED, source, environment, f"{request.method} {request.path}", "refused", why)


def _heading(problem: RungError) -> str:
    match problem:
        case NoFolder():
            return "There is no migrations folder"
        case NotLetIn():
            return f"{problem.issuer} did not let you in"
        case IssuerFault():
            return f"{problem.issuer} cannot be used"
        case ConfigurationError():
            return "Rung is not set up yet"
        case HomeNotReady():
            return "Rung's own database cannot be used"
        case EnvironmentFault():
            return _heading_of_fault(problem)
        case _:
            return HEADINGS[503]


def _heading_of_fault(problem: EnvironmentFault) -> str:
    silent = isinstance(problem, Unreachable | ConnectionLost)
    called = "Rung's own database" if isinstance(problem, HomeUnreachable) else getattr(problem, "environment", "it")
    return f"{called} {'does not answer' if silent else 'cannot be used'}"


def _of_surprise(problem: Exception) -> AnyResponse:
    reference = g.get("request_id") or secrets.token_hex(6)
    log.error("unexpected, reference %s", reference, exc_info=problem)
    return _page(500, "This is a mistake in Rung, not in what you did.", "", reference=reference)


def _page(code: int, text: str, advice: str = "", heading: str | None = None, reference: str | None = None) -> Response:
    if is_api():
        return _problem(code, text, advice, reference)
    if is_fragment():
        return Response(f"{HEADINGS.get(code, text)}\n", status=code, content_type="text/plain; charset=utf-8")
    heading = heading or HEADINGS.get(code, "This did not work")
    signed_in = g.get("visitor") is not None
    page = ErrorPage(
        frame=current.frame(f"{heading} · Rung") if signed_in else Frame(f"{heading} · Rung", ""),
        heading=heading,
        text=text,
        advice=advice,
        way=_way(code, signed_in=signed_in),
        reference=reference,
    )
    return make_response(render_template("error.html", page=page), code)


def _problem(code: int, text: str, advice: str, reference: str | None) -> Response:
    """RFC 9457, with what to do."""
    phrase = HTTPStatus(code).phrase
    said = {
        "type": f"urn:rung:problem:{phrase.lower().replace(' ', '-')}",
        "title": phrase,
        "status": code,
        "detail": text,
        "advice": advice or "docs/api.md says what this address takes.",
    }
    body = json.dumps(said | ({"reference": reference} if reference else {}))
    return Response(body, status=code, content_type="application/problem+json; charset=utf-8")


def _way(code: int, *, signed_in: bool) -> Link:
    if code == 413:  # it was not read, so nobody was asked who they are
        return Link("To the ladder", url_for("matrix.show"))
    if not signed_in:
        return Link("Sign in", url_for("signin.show"))
    if not current.visitor().sees_anything:
        return Link("To your account", url_for("account.show"))
    return (
        Link("Try again", request.path)
        if code == 503 and request.method == "GET"
        else Link("To the ladder", url_for("matrix.show"))
    )  # see above
