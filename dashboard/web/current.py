"""What a view needs of the application and the request it serves: services, clock, visitor, the frame of its page."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, after_this_request, current_app, g, render_template, request, url_for

from dashboard.bootstrap import Services
from dashboard.core.access import Act, Asker, Bearer, Visitor
from dashboard.web.pages import Frame, Link, Live, Person
from dashboard.web.security import Site, guest_secret, set_session_cookie, token_for


@dataclass(frozen=True, slots=True)
class Desk:
    """What `create_app` was given."""

    services: Services
    site: Site


def desk() -> Desk:
    found: Desk = current_app.extensions["rung"]
    return found


def services() -> Services:
    return desk().services


def site() -> Site:
    return desk().site


def visitor() -> Visitor:
    """Who is asking; only in views that need a sign-in."""
    found: Visitor = g.visitor
    return found


def go_on_as(token: str) -> None:
    """The rest of this request, and the browser from now on, have the renewed session."""
    g.visitor = services().accounts.visitor(token) or g.visitor

    @after_this_request
    def renew(answer: Response) -> Response:
        set_session_cookie(answer, token, site())
        return answer


def bearer() -> Bearer:
    """Whose token it is; only in views of the API."""
    found: Bearer = g.bearer
    return found


def asker() -> Asker:
    """Whoever is asking."""
    return bearer() if "bearer" in g else visitor()


def now() -> datetime:
    """Home's clock at this request."""
    return asker().now


def may_look(environment: str) -> bool:
    return asker().may(Act.LOOK, environment)


def frame(title: str, *, icon: str = "favicon.svg") -> Frame:
    """What stands round the page; the same for everybody who is signed in."""
    who: Visitor | None = g.get("visitor")
    if who is None:
        return Frame(title, token_for(guest_secret(site())))
    return Frame(title, token_for(who.csrf), Person(who.email, str(who.role or "no role yet")), _links(), icon)


def _links() -> tuple[Link, ...]:
    pages: tuple[tuple[str, str], ...] = (
        ("Ladder", "matrix.show"),
        ("History", "history.show"),
        ("Account", "account.show"),
    )
    if not visitor().sees_anything:
        pages = pages[-1:]
    if visitor().may(Act.MANAGE):
        pages = (*pages[:-1], ("People", "people.show"), pages[-1])
    if visitor().may(Act.AUDIT):
        pages = (*pages[:-1], ("Audit", "audit.show"), pages[-1])
    return tuple(Link(text, url_for(endpoint), request.endpoint == endpoint) for text, endpoint in pages)


def fragment(template: str, page: object, live: Live) -> Response:
    """A page's live piece, or an empty answer where the reader has seen exactly this."""
    if request.args.get("seen") == live.version:
        return Response(status=204)
    return Response(render_template(template, page=page))
