"""The JSON API: what the pages show and do, for programs with a token."""

# ruff: noqa: TRY003  # each sentence is the answer to one request, and stands where it is decided
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, current_app, request, url_for
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType
from werkzeug.exceptions import Conflict as HTTPConflict

from dashboard.core.access import Act
from dashboard.core.documents import environment_json, look_json, matrix_json, plain, run_json, stored_event_json
from dashboard.core.errors import NotAllowed, NotFound
from dashboard.core.progress import RunView
from dashboard.core.record import Remembered
from dashboard.core.run import Actor, ActorKind, Door
from dashboard.web import current
from dashboard.web.audit import plan_shown
from dashboard.web.environment import ALL, FORCE, UNTIL_BLOCKED, open_run, order_of, wrong_with
from dashboard.web.filters import AUDIT, HISTORY, read_audit_filters, read_filters
from dashboard.web.foreseen import foresight_of
from dashboard.web.matrix import FRESH, visible
from dashboard.web.openapi import Question, describe
from dashboard.web.security import needs

views = Blueprint("api", __name__, url_prefix="/api/v1")

LONGEST = 500  # characters of a text, as in the pages' forms
PER_PAGE = 50
RUNS, MOST_RUNS = 20, 100  # of one answer: where nothing is said, and at most
HIGHEST = 2**31 - 1
APPLY: Mapping[str, type] = {"digest": str, "until_blocked": bool, "force": bool, "reason": str, "confirm": str}
_WORD = {"type": "string", "maxLength": LONGEST}
PARAMETERS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "api.runs": {"environment": _WORD, "limit": {"type": "integer", "minimum": 1, "maximum": MOST_RUNS}},
    "api.events": {"since": {"type": "integer", "minimum": 0, "maximum": HIGHEST}},
    "api.history": dict.fromkeys((*HISTORY.names, "before"), _WORD),
    "api.audit": dict.fromkeys((*AUDIT.names, "before"), _WORD),
}
QUESTION = Question(PARAMETERS, {"api.apply": APPLY}, frozenset({"digest"}), LONGEST)


class BadQuestion(BadRequest):
    """The address or the body cannot be read."""

    advice = "docs/api.md says what this address takes."


class NotJson(UnsupportedMediaType):
    """Forms of other sites come as text or as forms; JSON does not."""

    description = "The body must be JSON, and its Content-Type application/json. Nothing was done."


class BadValue(UnprocessableEntity):
    """A field that is known has a value that it does not take."""


class Conflict(HTTPConflict):
    """The world is not what the program believes."""

    advice = "Read the plan again, and ask with its digest."


# --- what is ---


@views.get("/openapi.json")
@needs(Act.LOOK)
def description() -> Response:
    """Every address, what it takes and what it answers."""
    ours = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint.startswith("api.")]
    return _answer(describe(ours, current_app.view_functions, QUESTION))


@views.get("/status")
@needs(Act.LOOK)
def status() -> Response:
    """As `rung status --json`, of the environments that the token may see."""
    compare = current.services().compare
    compare.refresh(FRESH)
    return _answer(matrix_json(visible(compare.last_known())))


@views.get("/environments")
@needs(Act.LOOK)
def environments() -> Response:
    """Those that the token may see, in the configuration's order, and what it may do there."""
    bearer = current.bearer()
    seen = [one for one in current.services().settings.environments if current.may_look(one.name)]
    found = [environment_json(one, [act for act in Act if bearer.may(act, one.name)]) for one in seen]
    return _answer({"environments": found})


@views.get("/environments/<name>/plan")
@needs(Act.LOOK)
def plan(name: str) -> Response:
    """As `rung check --json`; the environment is asked now."""
    look = current.services().compare.look(name)
    plan_shown(look)
    return _answer(look_json(look))


@views.get("/runs")
@needs(Act.LOOK)
def runs() -> Response:
    """The runs that were asked for last, newest first, of the environments that the token may see."""
    limit = _number("limit", RUNS, 1, MOST_RUNS)
    wanted = _environment_asked()
    names = [wanted] if wanted else [one.name for one in current.services().settings.environments]
    service = current.services().runs
    found = [run for name in names if current.may_look(name) for run in service.newest(name, limit)]
    found.sort(key=lambda run: run.requested_at, reverse=True)
    return _answer({"runs": [run_json(one) for one in found[:limit]]})


@views.get("/runs/<run_id>")
@needs(Act.LOOK)
def run(run_id: str) -> Response:
    """One run, where it stands and how it ended."""
    return _answer(run_json(_visible(run_id)))


@views.get("/runs/<run_id>/events")
@needs(Act.LOOK)
def events(run_id: str) -> Response:
    """What a run reported after the event `since`, in order; `next` is the `since` of the next question."""
    since = _number("since", 0, 0, HIGHEST)
    _visible(run_id)
    found = current.services().runs.events_since(run_id, since)
    newest = found[-1].sequence if found else since
    return _answer({"events": [stored_event_json(one) for one in found], "next": newest})


@views.get("/history")
@needs(Act.LOOK)
def history() -> Response:
    """The page's filters; rows newest first, without the text of the files."""
    _environment_asked()
    service = current.services().history
    known = [name for name in service.known_environments() if current.may_look(name)]
    filters = read_filters(request.args, known, extra=("before",))
    if filters.complaints:
        raise BadQuestion(" ".join(filters.complaints))
    found = service.page(filters.wanted, request.args.get("before") or None, PER_PAGE)
    return _answer({"rows": [_row(one) for one in found.rows], "older": found.older})


def _row(one: Remembered) -> dict[str, object]:
    return {name: value for name, value in asdict(one.row).items() if name != "sql"} | {"gone_since": one.gone_since}


@views.get("/audit")
@needs(Act.AUDIT)
def audit() -> Response:
    """The audit page's filters; rows newest first."""
    service = current.services().audit
    filters = read_audit_filters(request.args, service.known_environments(), extra=("before",))
    if filters.complaints:
        raise BadQuestion(" ".join(filters.complaints))
    found = service.page(filters.wanted, request.args.get("before") or None, PER_PAGE)
    return _answer({"rows": [asdict(one) for one in found.rows], "older": found.older})


# --- what is done ---


@views.post("/environments/<name>/apply")
@needs(Act.APPLY)
def apply(name: str) -> Response:
    """Ask for a run of the plan with this digest, as the page's button does."""
    form = _form(_body(APPLY), name)
    look = current.services().compare.look(name)
    wrong = wrong_with(form, look, current.bearer(), foresight_of(look, pressed=True))
    if wrong is not None:
        running = open_run(name)
        if running is not None:
            return _asked(running.run_id, already=True)
        raise Conflict(wrong)
    order = order_of(form, Actor(ActorKind.AGENT, current.bearer().who, Door.API))
    reference = current.services().runs.ask(name, order, address=request.remote_addr or "")
    return _asked(reference.run_id, already=reference.already)


@views.post("/runs/<run_id>/stop")
@needs(Act.LOOK)
def stop(run_id: str) -> Response:
    """As the page's button: by the rights on the run's own environment; a run that has ended stays as it is."""
    if request.get_data():
        _body({})
    run = _visible(run_id)
    if not current.bearer().may(Act.STOP, run.environment):
        raise NotAllowed(current.bearer().who, f"{Act.STOP} on {run.environment}")
    current.services().runs.ask_to_stop(run_id, current.bearer().who, address=request.remote_addr or "")
    return _answer(run_json(_visible(run_id)), 202)


def _form(asked: Mapping[str, Any], name: str) -> dict[str, str]:
    """The same question as the page's form asks it."""
    force, until_blocked = asked.get("force", False), asked.get("until_blocked", False)
    if not asked.get("digest"):
        raise BadValue("digest is missing: only a plan that was read is run. Nothing was started.")
    if force and until_blocked:
        raise BadValue("force and until_blocked exclude each other. Nothing was started.")
    if force and not asked.get("reason", "").strip():
        raise BadValue("Forcing past the gate needs a reason, for the history. Nothing was started.")
    if force and not current.bearer().may(Act.FORCE, name):
        raise NotAllowed(current.bearer().who, f"{Act.FORCE} on {name}")
    mode = FORCE if force else UNTIL_BLOCKED if until_blocked else ALL
    texts = {field: asked.get(field, "").strip() for field in ("digest", "reason", "confirm")}
    return texts | {"mode": mode}


def _asked(run_id: str, *, already: bool) -> Response:
    answer = _answer({"run_id": run_id, "already": already}, 200 if already else 202)
    answer.headers["Location"] = url_for("api.run", run_id=run_id)
    return answer


def _visible(run_id: str) -> RunView:
    run = current.services().runs.show(run_id)
    if run is None or not current.may_look(run.environment):
        raise NotFound("run", run_id)
    return run


# --- reading and answering ---


@views.before_request
def refuse_other_parameters() -> None:
    """What is not known is not ignored: it may have meant something."""
    known = PARAMETERS.get(request.endpoint or "", {})
    for name, values in request.args.lists():
        if name not in known:
            raise BadQuestion(f"There is no parameter {name!r} here. Nothing was done.")
        if len(values) > 1:
            raise BadQuestion(f"The parameter {name!r} is there {len(values)} times. Nothing was done.")
        if len(values[0]) > LONGEST:
            raise BadQuestion(f"The parameter {name!r} is too long. Nothing was done.")


def _number(name: str, usual: int, least: int, most: int) -> int:
    text = request.args.get(name, str(usual))
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise BadQuestion(f"{name!r} must be a whole number from {least} to {most}.")
    return int(text)


def _environment_asked() -> str | None:
    """The one in the parameters; one that the token may not see does not exist."""
    name = request.args.get("environment", "").strip() or None
    if name and not current.may_look(name):
        raise NotFound("environment", name)
    return name


def _body(fields: Mapping[str, type]) -> dict[str, Any]:
    """The body's one object, with no field but these."""
    if request.mimetype != "application/json":
        raise NotJson
    try:
        found = json.loads(request.get_data(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise BadQuestion("The body is not one JSON document with each field once. Nothing was done.") from None
    if not isinstance(found, dict):
        raise BadQuestion("The body is not a JSON object. Nothing was done.")
    for name, value in found.items():
        _check(name, value, fields)
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError
    return made


def _check(name: str, value: object, fields: Mapping[str, type]) -> None:
    if name not in fields:
        raise BadQuestion(f"There is no field {name!r} here. Nothing was done.")
    if type(value) is not fields[name]:
        raise BadValue(f"{name} must be {'true or false' if fields[name] is bool else 'a text'}. Nothing was done.")
    if isinstance(value, str) and (len(value) > LONGEST or "\0" in value or not _is_text(value)):
        raise BadValue(f"{name} must be a text of at most {LONGEST} characters. Nothing was done.")


def _is_text(value: str) -> bool:
    """JSON can spell halves of characters, which no database takes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _answer(document: Mapping[str, object], status: int = 200) -> Response:
    return Response(json.dumps(document, default=plain), status=status, content_type="application/json; charset=utf-8")
