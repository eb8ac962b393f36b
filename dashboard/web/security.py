"""Who is asking, from where, and may they: sessions, cross-site requests, tokens, roles, headers."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException, TooManyRequests, Unauthorized
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act, Asker
from dashboard.core.environment import Secret
from dashboard.core.errors import NotAllowed, NotFound
from dashboard.services.accounts import Accounts
from dashboard.services.tokens import Tokens
from dashboard.web.bearer import bearer_of, is_api, refuse_token_in_address

View = TypeVar("View", bound=Callable[..., object])

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HERE = frozenset({"localhost", "127.0.0.1", "[::1]"})
POLICY = "; ".join(
    f"{directive} {source}"
    for directive, source in {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }.items()
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TOKEN_BYTES = 32
_GUEST = re.compile(r"[A-Za-z0-9_-]{43}")  # what `token_urlsafe` makes of them
FRAGMENTS = "/fragments/"
_BY_ADDRESS = ("health.show", "health.ready", "metrics.show")  # machines ask these by whatever address they know


class CrossSite(BadRequest):
    """A form was sent from somewhere else, or with a token that is not this session's."""

    code = 403
    description = "This form was not sent from one of Rung's own pages, or the page was too old. Nothing was done."


class TooLong(BadRequest):
    """A password or address that nobody has; hashing it would only cost time."""

    description = "This password or address is longer than any that Rung knows."


class Throttled(TooManyRequests):
    """Too many tries failed lately; says when the next one counts."""

    description = "Too many tries for this address failed lately. Wait a little; a one-time link still works."


class UnknownHost(BadRequest):
    """The request names a host that is not ours."""

    description = "This is not an address that Rung answers to. Set RUNG_PUBLIC_URL to the address people open."


@dataclass(frozen=True, slots=True)
class Site:
    """Where the pages live: decides cookie names and which hosts are ours."""

    https: bool
    hosts: frozenset[str]
    key: bytes

    @property
    def session_cookie(self) -> str:
        return "__Host-rung" if self.https else "rung"

    @property
    def guest_cookie(self) -> str:
        return "__Host-rung-guest" if self.https else "rung-guest"


def site_of(public_url: str | None, secret_key: Secret | None) -> Site:
    """Without a public address, only this machine is served."""
    parts = urlsplit(public_url or "")
    return Site(
        parts.scheme == "https",
        HERE | {_name_of(parts.netloc)} - {""},
        (secret_key.reveal() if secret_key else "").encode(),
    )


# --- what a view says about itself ---


def open_to_all(view: View) -> View:
    """No sign-in needed."""
    return _mark(view, None)


def needs(act: Act) -> Callable[[View], View]:
    """A visitor whose role may do this."""
    return lambda view: _mark(view, act)


def own(view: View) -> View:
    """Everybody who is signed in: it concerns only themselves, so no role is needed."""
    view.own = True  # type: ignore[attr-defined]  # a function takes any attribute
    return _mark(view, Act.LOOK)


def _mark(view: View, act: Act | None) -> View:
    view.needs = act  # type: ignore[attr-defined]  # a function takes any attribute
    return view


def refuse_unmarked(app: Flask) -> None:
    """Deny by default: a view that does not say who may use it stops the start."""
    unmarked = [name for name, view in app.view_functions.items() if not hasattr(view, "needs")]
    if unmarked:
        raise AssertionError(f"these views do not say who may use them: {', '.join(unmarked)}")  # noqa: TRY003  # nobody but a programmer reads it


# --- every request ---


def guard(app: Flask, site: Site, accounts: Callable[[], Accounts], tokens: Callable[[], Tokens]) -> None:
    """Let nothing through that has no right to it, and send every answer out with our headers."""

    @app.before_request
    def admit() -> AnyResponse | None:
        view = app.view_functions.get(request.endpoint or "")
        if request.endpoint not in _BY_ADDRESS and not _is_ours(request.host, site):
            raise UnknownHost
        if request.method not in SAFE:
            refuse_cross_site()
        if any("\0" in text for text in (request.path, *request.args.values(), *request.form.values())):
            raise BadRequest  # no name, filter or word of ours holds one, and PostgreSQL takes none
        act: Act | None = vars(view)["needs"] if view else None  # there is one: see refuse_unmarked
        if view and act is None:
            return None
        if is_api():
            _admit_bearer(tokens, act)
            return None
        visitor = accounts().visitor(request.cookies.get(site.session_cookie, ""), active=not is_fragment())
        if act is None:
            g.visitor = visitor
            return None  # routing has an error of its own to tell, to whoever it is
        if visitor is None:
            return _to_sign_in()
        g.visitor = visitor
        if request.method not in SAFE:
            check_token(visitor.csrf)
        if not hasattr(view, "own"):
            _refuse_without_right(visitor, act)
        return None

    @app.after_request
    def add_headers(answer: Response) -> Response:
        answer.headers.update(HEADERS)
        if site.https:
            answer.headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.vary.add("Cookie")
        return answer


def _admit_bearer(tokens: Callable[[], Tokens], act: Act | None) -> None:
    """The token in the header decides, and nothing else: no cookie is read, so no other site can use one."""
    refuse_token_in_address()
    if act is not None:
        g.bearer = bearer_of(tokens())
        _refuse_without_right(g.bearer, act)


def _refuse_without_right(visitor: Asker, act: Act) -> None:
    """An environment in the address decides by the role there; what one may not look at does not exist."""
    name = (request.view_args or {}).get("name")
    if name is None:
        allowed = visitor.sees_anything if act is Act.LOOK else visitor.may(act)
    elif not visitor.may(Act.LOOK, name):
        raise NotFound("environment", name)
    else:
        allowed = visitor.may(act, name)
    if not allowed:
        raise NotAllowed(visitor.who, f"{act} on {name}" if name else str(act))


def _is_ours(host: str, site: Site) -> bool:
    return _name_of(host) in site.hosts


def _name_of(host: str) -> str:
    """`host:port` without the port, lower case; `[::1]` keeps its brackets."""
    name = host.lower()
    return name[: name.find("]") + 1] if name.startswith("[") else name.partition(":")[0]


def refuse_cross_site() -> None:
    """Browsers say where a request comes from; `Origin` stands in for those that do not say it in `Sec-Fetch-Site`.

    `Origin: null` is what our own `no-referrer` makes browsers send, so it says nothing; the token decides then.
    """
    origin = request.headers.get("Origin")
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is not None and fetch_site != "same-origin":
        raise CrossSite
    if origin not in (None, "null") and urlsplit(origin).netloc.lower() != request.host.lower():
        raise CrossSite


def _to_sign_in() -> AnyResponse:
    """A page sends its reader to sign in and back; everything else is told plainly."""
    if request.method != "GET" or is_fragment():
        raise Unauthorized
    back = request.full_path if request.query_string else request.path
    return redirect(url_for("signin.show", next=None if back == "/" else back), 302)


def is_fragment() -> bool:
    return request.path.startswith(FRAGMENTS)


# --- tokens in forms ---


def token_for(secret: str) -> str:
    """A token that belongs to this secret and looks different on every page (so that compression tells nothing)."""
    salt = secrets.token_hex(16)
    return f"{salt}.{_proof(secret, salt)}"


def check_token(secret: str) -> None:
    salt, _, proof = request.form.get("csrf", "").partition(".")
    if not salt or not hmac.compare_digest(proof.encode(), _proof(secret, salt).encode()):
        raise CrossSite


def _proof(secret: str, salt: str) -> str:
    return hmac.new(secret.encode(), salt.encode(), hashlib.sha256).hexdigest()


def guest_secret(site: Site) -> str:
    """What the tokens of the sign-in page belong to: a cookie that only this browser has, mixed with our key."""
    sent = request.cookies.get(site.guest_cookie, "")
    cookie = sent if _GUEST.fullmatch(sent) else g.get("guest") or secrets.token_urlsafe(TOKEN_BYTES)
    g.guest = cookie
    return hmac.new(site.key, cookie.encode(), hashlib.sha256).hexdigest()


def set_guest_cookie(answer: AnyResponse, site: Site) -> AnyResponse:
    _set_cookie(answer, site.guest_cookie, g.guest, site)
    return answer


def set_session_cookie(answer: AnyResponse, token: str, site: Site) -> AnyResponse:
    _set_cookie(answer, site.session_cookie, token, site)
    return answer


def forget_session_cookie(answer: AnyResponse, site: Site) -> AnyResponse:
    answer.delete_cookie(site.session_cookie, secure=site.https, httponly=True, samesite="Lax")
    return answer


def _set_cookie(answer: AnyResponse, name: str, value: str, site: Site) -> None:
    answer.set_cookie(name, value, secure=site.https, httponly=True, samesite="Lax", path="/")


# --- where to go after signing in ---


def safe_next(wanted: str | None) -> str:
    """A page of ours, or the ladder. Only what our own URL map knows as a page counts, rebuilt from what it matched."""
    home = url_for("matrix.show")
    parts = urlsplit(wanted or "") if wanted and wanted.isprintable() and "\\" not in wanted else None
    if parts is None or parts.scheme or parts.netloc or not parts.path.startswith("/"):
        return home
    try:
        endpoint, values = current_app.create_url_adapter(request).match(unquote(parts.path), method="GET")  # type: ignore[union-attr]  # inside a request there is one
    except (HTTPException, RequestRedirect):
        return home
    view = current_app.view_functions[endpoint]
    if getattr(view, "needs", None) is None or parts.path.startswith(FRAGMENTS):
        return home
    address = url_for(endpoint, **values)
    return f"{address}?{parts.query}" if parts.query else address
