"""Out to an issuer and back: to sign in, to connect an account with it, and to prove once more who is asking."""

import dataclasses
import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, after_this_request, g, make_response, redirect, render_template, request, url_for
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Visitor
from dashboard.core.audit import NOBODY, Deed, Report, Source
from dashboard.core.errors import NotFound, NotLetIn
from dashboard.core.oidc import Identity, Purpose, Trip
from dashboard.services.accounts import new_token
from dashboard.web import current
from dashboard.web.pages import ConnectPage, ProvedPage
from dashboard.web.pieces import environment_href
from dashboard.web.security import open_to_all, own, safe_next
from dashboard.web.signin import enter

if TYPE_CHECKING:
    from dashboard.services.oidc import OpenIdConnect  # heavy

views = Blueprint("oidc", __name__)

LIFE = 600  # seconds for the way there and back
_MOST = 3500  # bytes of a cookie; browsers take 4096 with its name and attributes
_DEEDS = {Purpose.SIGN_IN: Deed.SIGN_IN_REFUSED, Purpose.CONNECT: Deed.CONNECTED, Purpose.PROVE: Deed.PROVED}


@views.get("/sign-in/oidc")
@open_to_all
def leave() -> AnyResponse:
    """To the issuer, to sign in."""
    trip = _trip(Purpose.SIGN_IN, way_on=safe_next(request.args.get("next")))
    return set_out(_out(trip), trip)


@views.get("/sign-in/oidc/go")
@open_to_all
def go() -> AnyResponse:
    """To the issuer, on the trip that a form began: browsers let no form lead to another site."""
    trip = _begun(request.args.get("state", ""))
    if trip is None:
        return redirect(url_for("signin.show"), 303)
    return _out(trip)


@views.get("/sign-in/oidc/callback")
@open_to_all
def arrive() -> AnyResponse:
    """Back from the issuer. A trip ends here, however it ends."""
    trip = _begun(request.args.get("state", ""))
    if trip is not None:
        after_this_request(partial(_end, trip))
    visitor = g.visitor = _session_of(trip)
    try:
        return _arrived(trip, visitor)
    except NotLetIn as refused:
        source = Source(visitor.email if visitor else NOBODY, request.remote_addr or "")
        deed = _DEEDS[trip.purpose] if trip else Deed.SIGN_IN_REFUSED
        current.services().audit.note_stranger(Report(deed, source, outcome="refused", detail=str(refused)))
        raise


@views.post("/account/identity")
@own
def connect() -> AnyResponse:
    """A page with the way there; what the account is opened by is changed only after the way back."""
    visitor = current.visitor()
    trip = _trip(Purpose.CONNECT, way_on=url_for("account.show", done="connected"), session=visitor.session)
    page = ConnectPage(current.frame("Connect · Rung"), visitor.email, _issuer().issuer.label, way(trip))
    return set_out(make_response(render_template("connect.html", page=page)), trip)


def proof_trip(visitor: Visitor, environment: str, form: Mapping[str, str]) -> Trip:
    """The way to a proof, after which what was asked for waits to be asked for again."""
    fields = tuple(form.items())
    return _trip(Purpose.PROVE, way_on=request.path, session=visitor.session, environment=environment, fields=fields)


def set_out(answer: AnyResponse, trip: Trip) -> AnyResponse:
    """Give the browser what only it is to have; the trips that its other tabs began go on."""
    return _keep([*_trips(), trip], answer)


def way(trip: Trip) -> str:
    """The address of a page's link that begins the trip."""
    return url_for("oidc.go", state=trip.state)


def _arrived(trip: Trip | None, visitor: Visitor | None) -> AnyResponse:
    issuer = _issuer()
    if trip is None:
        reason = "the answer belongs to no sign-in that this browser began within the last 10 minutes"
        raise NotLetIn(issuer.issuer.label, reason)
    identity = issuer.identity(request.args, trip, _callback())
    if trip.purpose is Purpose.SIGN_IN:
        return _signed_in(identity, trip)
    if visitor is None:
        raise NotLetIn(issuer.issuer.label, "the session that this began in has ended")
    if trip.purpose is Purpose.CONNECT:
        current.services().identities.connect(visitor, identity, address=request.remote_addr or "")
        return redirect(trip.way_on, 303)
    return _proved(visitor, identity, trip)


def _signed_in(identity: Identity, trip: Trip) -> AnyResponse:
    where = {"address": request.remote_addr or "", "agent": request.user_agent.string}
    return enter(current.services().identities.sign_in(identity, **where), safe_next(trip.way_on))


def _proved(visitor: Visitor, identity: Identity, trip: Trip) -> AnyResponse:
    """Nothing was started: a page of ours has to ask for it, with the token of the session as it goes on."""
    token = current.services().identities.prove(visitor, identity, trip, address=request.remote_addr or "")
    current.go_on_as(token)
    page = ProvedPage(
        frame=current.frame(f"It is you · {trip.environment} · Rung"),
        environment=trip.environment,
        action=trip.way_on,
        fields=trip.fields,
        reason=dict(trip.fields).get("reason", ""),
        back_href=environment_href(trip.environment),
    )
    return make_response(render_template("proved.html", page=page))


def _session_of(trip: Trip | None) -> Visitor | None:
    """Whoever set out, as long as the session is the same."""
    cookie = request.cookies.get(current.site().session_cookie, "")
    visitor = current.services().accounts.visitor(cookie) if trip and trip.session and cookie else None
    return visitor if visitor and trip and hmac.compare_digest(visitor.session, trip.session) else None


def _issuer() -> "OpenIdConnect":
    issuer = current.services().oidc
    if issuer is None:
        raise NotFound("page", request.path)
    return issuer


def _out(trip: Trip) -> AnyResponse:
    who = _session_of(trip)
    return redirect(_issuer().way_out(trip, _callback(), who.email if who else ""), 302)


def _callback() -> str:
    """The address that the issuer knows; behind a proxy only the configuration says how it begins."""
    base = current.services().settings.public_url or request.host_url.rstrip("/")
    return base + url_for("oidc.arrive")


# --- trips, in a cookie of this browser: each tab may have begun one ---


def _trip(purpose: Purpose, **more: Any) -> Trip:
    _issuer()
    return Trip(purpose, new_token(), new_token(), new_token(), time.time(), **more)


def _begun(state: str) -> Trip | None:
    """None where this browser began none of that state, or too long ago."""
    _issuer()
    return next((trip for trip in _trips() if hmac.compare_digest(trip.state.encode(), state.encode())), None)


def _trips() -> list[Trip]:
    """The oldest first; none where what the browser sends is not ours."""
    try:
        told = _seal().loads(request.cookies.get(_cookie(), ""), max_age=LIFE)
        return [trip for trip in map(_read, told) if time.time() - trip.left_at <= LIFE]
    except (BadData, KeyError, TypeError, ValueError, AttributeError):
        return []


def _read(told: dict[str, Any]) -> Trip:
    fields = tuple((str(name), str(value)) for name, value in told.pop("fields"))
    return Trip(purpose=Purpose(told.pop("purpose")), fields=fields, **told)


def _keep(trips: list[Trip], answer: AnyResponse) -> AnyResponse:
    site = current.site()
    how: dict[str, Any] = {"secure": site.https, "httponly": True, "samesite": "Lax", "path": "/"}
    if trips:
        answer.set_cookie(_cookie(), _sealed(trips), max_age=LIFE, **how)
    else:
        answer.delete_cookie(_cookie(), **how)
    return answer


def _sealed(trips: list[Trip]) -> str:
    """As many of the newest as a cookie holds. Of one that is too long alone the form has to be filled in again."""
    bare = dataclasses.replace(trips[-1], fields=())
    shorter = [*(trips[first:] for first in range(len(trips))), [bare], [dataclasses.replace(bare, way_on="")]]
    texts = (str(_seal().dumps(list(map(dataclasses.asdict, some)))) for some in shorter)
    return next(text for text in texts if len(text) <= _MOST)


def _seal() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current.site().key, salt="rung oidc", signer_kwargs={"digest_method": hashlib.sha256})


def _cookie() -> str:
    return "__Host-rung-oidc" if current.site().https else "rung-oidc"


def _end(trip: Trip, answer: Response) -> Response:
    _keep([other for other in _trips() if other.state != trip.state], answer)
    return answer
