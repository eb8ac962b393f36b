"""The first admin's account, made in the browser by whoever knows the bootstrap secret."""

import math

from flask import Blueprint, abort, make_response, render_template, request, url_for
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.environment import Secret
from dashboard.core.errors import BadAccount
from dashboard.core.password import LONGEST, RECOMMENDED, SHORTEST
from dashboard.web import current
from dashboard.web.pages import FirstPage
from dashboard.web.security import Throttled, TooLong, check_token, guest_secret, open_to_all, set_guest_cookie
from dashboard.web.signin import enter

views = Blueprint("first", __name__)

WRONG = "That is not the value of RUNG_BOOTSTRAP_SECRET. Nothing was made."
ADVICE = f"At least {SHORTEST} characters; {RECOMMENDED} or more are better. Any signs, spaces too."


class NotHere(Forbidden):
    """No secret was configured, so nobody can show that they may begin."""

    description = "The first account is not made here: this service has no bootstrap secret."
    advice = (
        "Run `rung user add you@example.com --role admin` in a shell, or set RUNG_BOOTSTRAP_SECRET and start again."
    )


@views.get("/first-admin")
@open_to_all
def show() -> AnyResponse:
    _secret()
    return _page()


@views.post("/first-admin")
@open_to_all
def make() -> AnyResponse:
    secret = _secret()
    check_token(guest_secret(current.site()))
    given, email, password = (request.form.get(name, "") for name in ("secret", "email", "password"))
    if max(len(text.encode()) for text in (given, email, password)) > LONGEST:
        raise TooLong
    accounts, address = current.services().accounts, request.remote_addr or ""
    wait = accounts.wait_to_begin(address=address)
    if wait > 0:
        raise Throttled(retry_after=math.ceil(wait))
    if not accounts.may_begin(given, secret, address=address):
        return _page(email, WRONG, 403)
    try:
        accounts.add_first(email, password, address=address)
    except BadAccount as problem:
        return _page(email, f"{problem}.", 409)
    token = accounts.sign_in(email, password, address=address, agent=request.user_agent.string)
    return enter(token or "", url_for("matrix.show"))


def _secret() -> Secret:
    """What has to be known. Without it nothing is made here; and once anybody has an account, the page is gone."""
    services = current.services()
    if not services.accounts.is_empty():
        abort(404)
    if services.settings.bootstrap_secret is None:
        raise NotHere
    return services.settings.bootstrap_secret


def _page(email: str = "", failed: str | None = None, status: int = 200) -> AnyResponse:
    page = FirstPage(current.frame("The first admin · Rung"), email, ADVICE, failed)
    return set_guest_cookie(make_response(render_template("first.html", page=page), status), current.site())
