"""The bearer of a token: who asks the API, and by which header."""

import re

from flask import request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Unauthorized

from dashboard.core.access import Bearer
from dashboard.services.tokens import Tokens

API = "/api/"
_SHAPE = re.compile(r"rung_([0-9a-f]{10})_[\w-]+", re.ASCII)
_SECRETS = frozenset({"token", "access_token", "api_key", "authorization"})


class NoToken(Unauthorized):
    """Without a token nothing is answered; cookies of the pages count for nothing here."""

    description = "This needs a token that is known, not expired and not revoked."
    offered: str | None = None  # what to call the one that was sent, without its secret
    advice = (
        "Send it as `Authorization: Bearer rung_…`. `rung token add` makes one, `rung token list` shows their state."
    )


class TokenInAddress(BadRequest):
    """Addresses end up in logs."""

    description = "A token was sent in the address, where logs keep it. Nothing was done."
    advice = "Revoke it with `rung token revoke`, and send the next one in the Authorization header."


def is_api() -> bool:
    return request.path.startswith(API)


def refuse_token_in_address() -> None:
    """Also a good one: it is not a secret any more."""
    pairs = request.args.items(multi=True)
    if any(name.lower() in _SECRETS or value.startswith("rung_") for name, value in pairs):
        raise TokenInAddress


def bearer_of(tokens: Tokens) -> Bearer:
    """Who sent this request. Raises NoToken."""
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    found = tokens.bearer(token.strip(), address=request.remote_addr or "") if scheme.lower() == "bearer" else None
    if found is None:
        refused = NoToken(www_authenticate=WWWAuthenticate("bearer", {"realm": "rung"}))
        refused.offered = _called(token.strip()) if header else None
        raise refused
    return found


def _called(token: str) -> str:
    """By its id, which is no secret, where it has the shape of one of ours."""
    found = _SHAPE.fullmatch(token)
    return f"token {found[1]}" if found else "what is no token of ours"
