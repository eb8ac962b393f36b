"""Who is asking, once more: a fresh proof before anything is done to a protected environment."""

import math
from collections.abc import Mapping

from flask import make_response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import WayIn
from dashboard.core.environment import Environment
from dashboard.web import current, oidc
from dashboard.web.pages import Link, ProofPage
from dashboard.web.pieces import environment_href

PROOF = "proof"
WRONG = "That did not fit. Nothing was started, and what you typed before is kept."
WAIT = "Too many tries failed lately. Wait a little; nothing was started, and what you typed before is kept."


def unproved(environment: Environment, form: Mapping[str, str]) -> AnyResponse | None:
    """The page that asks, and sends `form` again with the answer; None where the asked-for may go on."""
    visitor = current.visitor()
    if not environment.policies.protected or visitor.is_fresh:
        return None
    proof = request.form.get(PROOF)
    if proof is None:
        return _page(environment.name, form, None, 401)
    accounts, address = current.services().accounts, request.remote_addr or ""
    wait = accounts.wait(visitor.email, address=address)
    if wait > 0:
        answer = _page(environment.name, form, WAIT, 429)
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    token = accounts.prove(visitor, proof, environment.name, address=address)
    if token is None:
        return _page(environment.name, form, WRONG, 401)
    current.go_on_as(token)
    return None


def _page(name: str, form: Mapping[str, str], failed: str | None, status: int) -> AnyResponse:
    visitor, issuer = current.visitor(), current.services().settings.oidc
    email, way_in = visitor.email, current.services().accounts.way_in(visitor.email)
    lost = way_in is WayIn.LOST
    trip = oidc.proof_trip(visitor, name, form) if way_in is WayIn.ISSUER and issuer is not None else None
    page = ProofPage(
        frame=current.frame(f"Is it you? · {name} · Rung"),
        environment=name,
        action=request.path,
        fields=tuple(form.items()),
        reason=form.get("reason", ""),
        email=email,
        has_password=way_in is WayIn.PASSWORD,
        issuer=Link(issuer.label, oidc.way(trip)) if trip and issuer else None,
        lost=lost,
        failed=failed,
        command=f"rung user {'disconnect' if lost else 'link'} {email}",
        back_href=environment_href(name),
    )
    answer = make_response(render_template("proof.html", page=page), status)
    return oidc.set_out(answer, trip) if trip else answer
