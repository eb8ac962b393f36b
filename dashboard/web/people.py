"""The people of the dashboard, for admins: invite, reset, roles, who may come in."""

from flask import Blueprint, make_response, render_template, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import EVERYWHERE, Act, LinkPurpose, Role
from dashboard.core.audit import Source
from dashboard.core.errors import BadAccount, ByIssuer, NotFound
from dashboard.web import current
from dashboard.web.pages import PeoplePage, PersonRow
from dashboard.web.pieces import moment_of
from dashboard.web.security import needs

views = Blueprint("people", __name__)

INVITED, RESET = 3 * 24 * 60, 60  # minutes for which a link is good
NO_ROLE = "none"
OWN = "Another admin has to change your own account, so that there is always one left. Nothing was changed."


@views.get("/people")
@needs(Act.MANAGE)
def show() -> AnyResponse:
    return _page()


@views.post("/people/invite")
@needs(Act.MANAGE)
def invite() -> AnyResponse:
    email, role = request.form.get("email", "").strip(), _role()
    accounts = current.services().accounts
    try:
        accounts.add(email, None, role or Role.VIEWER, by=_me())
    except BadAccount as problem:
        return _page(failed=str(problem), typed=email)
    token = accounts.make_link(email, LinkPurpose.INVITE, INVITED, by=_me())
    return _page(done=f"Give {email} this address. It works once, within three days.", token=token)


@views.post("/people/reset")
@needs(Act.MANAGE)
def reset() -> AnyResponse:
    email, accounts = _other(), current.services().accounts
    if email is None:
        return _page(failed=OWN)
    try:
        accounts.take_password(email, by=_me())
        token = accounts.make_link(email, LinkPurpose.RESET, RESET, by=_me())
    except NotFound as problem:
        return _page(failed=str(problem))
    except ByIssuer as problem:
        return _page(failed=f"{problem} {problem.advice}")
    return _page(done=f"Give {email} this address. It works once, within an hour.", token=token)


@views.post("/people/role")
@needs(Act.MANAGE)
def change_role() -> AnyResponse:
    email, role, environment = _other(), _role(), request.form.get("environment", EVERYWHERE)
    if email is None:
        return _page(failed=OWN)
    if environment != EVERYWHERE:
        current.services().settings.environment(environment)
    try:
        current.services().accounts.set_role(email, role, environment, by=_me())
    except NotFound as problem:
        return _page(failed=str(problem))
    where = "all environments" if environment == EVERYWHERE else environment
    return _page(done=f"{email} is {role} on {where} from now on." if role else f"The role on {where} is taken away.")


@views.post("/people/admit")
@needs(Act.MANAGE)
def admit() -> AnyResponse:
    """Let somebody in, or no longer."""
    email, enabled = _other(), request.form.get("enabled") == "yes"
    if email is None:
        return _page(failed=OWN)
    try:
        current.services().accounts.set_enabled(email, enabled=enabled, by=_me())
    except NotFound as problem:
        return _page(failed=str(problem))
    return _page(done=f"{email} may come in {'again' if enabled else 'no longer'}.")


def _me() -> Source:
    return Source(current.visitor().email, request.remote_addr or "")


def _other() -> str | None:
    """Whom the form is about; None where it is the admin's own account."""
    email = request.form.get("email", "").strip()
    return None if email.lower() == current.visitor().email else email


def _role() -> Role | None:
    wanted = request.form.get("role", NO_ROLE)
    if wanted != NO_ROLE and wanted not in set(Role):
        raise BadRequest
    return None if wanted == NO_ROLE else Role(wanted)


def _page(
    *, failed: str | None = None, done: str | None = None, token: str | None = None, typed: str = ""
) -> AnyResponse:
    me, now = current.visitor().email, current.now()
    page = PeoplePage(
        frame=current.frame("People · Rung"),
        people=tuple(
            PersonRow(
                one.email,
                tuple(f"{role}" if at == EVERYWHERE else f"{role} on {at}" for at, role in one.roles.items()),
                one.way,
                moment_of(one.since, now),
                one.disabled,
                one.email == me,
            )
            for one in current.services().accounts.everybody()
        ),
        roles=tuple(role.value for role in Role),
        environments=tuple(environment.name for environment in current.services().settings.environments),
        typed=typed,
        failed=failed,
        done=done,
        link=url_for("signin.show_link", token=token, _external=True) if token else None,
    )
    return make_response(render_template("people.html", page=page), 409 if failed else 200)
