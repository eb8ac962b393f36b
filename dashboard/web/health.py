"""Whether this process answers: no sign-in, no database, no version."""

from flask import Blueprint, Response

from dashboard.web.security import open_to_all

views = Blueprint("health", __name__)


@views.get("/healthz")
@open_to_all
def show() -> Response:
    return Response("ok\n", content_type="text/plain; charset=utf-8")
