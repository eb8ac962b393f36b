"""Whether this process answers, and whether it can work: no sign-in, no version, no name of anything."""

from flask import Blueprint, Response

from dashboard.web import current
from dashboard.web.security import open_to_all

views = Blueprint("health", __name__)


@views.get("/healthz")
@open_to_all
def show() -> Response:
    """No database is asked: a process that answers is not to be restarted because of one."""
    return _plain("ok", 200)


@views.get("/readyz")
@open_to_all
def ready() -> Response:
    """Home is asked, every two seconds at most."""
    why_not = current.services().health.why_not_ready()
    return _plain(why_not or "ready", 503 if why_not else 200)


def _plain(text: str, status: int) -> Response:
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
