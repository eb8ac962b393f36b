"""One line in the log per request: which view, how it ended, how long it took; never an address with a secret in it."""

import logging
import secrets
import time

from flask import Flask, Response, g, request

from dashboard.web.security import is_fragment

log = logging.getLogger("rung.web")

QUIET = ("health.show", "health.ready", "metrics.show", "static")  # asked every few seconds, or by every page
# Parts of an address that are no secret, and what the log calls them.
_NAMED = {"name": "environment", "run_id": "run_id", "filename": "migration", "rehearsal_id": "rehearsal_id"}


def log_requests(app: Flask) -> None:
    """Each request gets an id, which its answer carries and an error page shows."""

    @app.before_request
    def begin() -> None:
        g.request_id, g.began = secrets.token_hex(6), time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        answer.headers["Rung-Request"] = g.get("request_id", "")
        level = logging.DEBUG if request.endpoint in QUIET or is_fragment() else logging.INFO
        log.log(level, "request", extra=_facts(answer))
        return answer


def _facts(answer: Response) -> dict[str, object]:
    rule = request.url_rule
    asker = g.get("bearer") or g.get("visitor")
    told = {_NAMED[name]: value for name, value in (request.view_args or {}).items() if name in _NAMED}
    return told | {
        "request_id": g.get("request_id", ""),
        "method": request.method,
        "route": rule.rule if rule else None,
        "status": answer.status_code,
        "ms": round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1),
        "who": asker.who if asker else None,
        "address": request.remote_addr,
    }
