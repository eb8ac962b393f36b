"""The API's own description (OpenAPI 3.1), made of what the routes themselves go by."""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from inspect import getdoc
from typing import Any, Union, get_args, get_origin, get_type_hints

from werkzeug.routing import Rule

from dashboard import __version__
from dashboard.core.access import Act
from dashboard.core.audit import AuditRow
from dashboard.core.migration import Refusal
from dashboard.core.picture import NotReachable
from dashboard.core.plan import Action, State
from dashboard.core.progress import RunState
from dashboard.core.record import HistoryRow
from dashboard.core.run import Actor, LockHolder, Outcome, Problem
from dashboard.core.safety.finding import Finding

Schema = dict[str, Any]

_PLAIN: dict[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
}
_REFUSED = (400, 401, 403, 404, 405, 413, 500, 503)
_REFUSED_ORDERS = (409, 415, 422)


@dataclass(frozen=True, slots=True)
class Question:
    """What the routes take beside what is in their addresses.

    Attributes
    ----------
    parameters: endpoint -> parameter -> its schema.
    bodies: endpoint -> field -> its type; of those that take one.
    required: fields without which a body is refused.
    longest: characters of a text.

    """

    parameters: Mapping[str, Mapping[str, Schema]]
    bodies: Mapping[str, Mapping[str, type]]
    required: frozenset[str]
    longest: int


def describe(rules: Iterable[Rule], views: Mapping[str, Callable[..., object]], question: Question) -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for rule in rules:
        path = rule.rule.replace("<", "{").replace(">", "}")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(rule, method, views[rule.endpoint], question)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rung", "version": __version__, "description": "Described in docs/api.md."},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"problem": _PROBLEM},
        },
    }


def _operation(rule: Rule, method: str, view: Callable[..., object], question: Question) -> Schema:
    name = rule.endpoint.partition(".")[2]
    found: Schema = {
        "operationId": name,
        "summary": (getdoc(view) or name).partition("\n")[0],
        "parameters": [
            *({"name": one, "in": "path", "required": True, "schema": _PLAIN[str]} for one in sorted(rule.arguments)),
            *(
                {"name": one, "in": "query", "schema": schema}
                for one, schema in question.parameters.get(rule.endpoint, {}).items()
            ),
        ],
        "responses": _answers(name, method),
    }
    if rule.endpoint in question.bodies:
        schema = _body(question.bodies[rule.endpoint], question)
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _body(taken: Mapping[str, type], question: Question) -> Schema:
    properties = {name: {**_PLAIN[kind]} for name, kind in taken.items()}
    for schema in properties.values():
        if schema["type"] == "string":
            schema["maxLength"] = question.longest
    required = sorted(question.required & taken.keys())
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _answers(name: str, method: str) -> Schema:
    codes = {"apply": (200, 202), "stop": (202,)}.get(name, (200,))
    good = {str(code): _answer(HTTPStatus(code).phrase, "application/json", ANSWERS[name]) for code in codes}
    refused = sorted(_REFUSED + (_REFUSED_ORDERS if method == "POST" else ()))
    problem = {"$ref": "#/components/schemas/problem"}
    return good | {str(code): _answer(HTTPStatus(code).phrase, "application/problem+json", problem) for code in refused}


def _answer(description: str, kind: str, schema: Schema) -> Schema:
    return {"description": description, "content": {kind: {"schema": schema}}}


# --- what the answers are made of ---


def schema_of(kind: Any) -> Schema:
    """The schema of such a value as JSON."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if one is types.NoneType else schema_of(one) for one in get_args(kind)]}
    if get_origin(kind) is tuple:
        return _list(schema_of(get_args(kind)[0]))
    if issubclass(kind, StrEnum):
        return {"type": "string", "enum": [str(one) for one in kind]}
    hints = get_type_hints(kind)
    return _object({one.name: schema_of(hints[one.name]) for one in fields(kind)})


def _object(properties: Schema) -> Schema:
    """With all of these and nothing else, so that a test notices what is said and not described."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _by_environment(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


_TEXT, _NUMBER, _FLAG, _MOMENT = (_PLAIN[kind] for kind in (str, int, bool, datetime))
_MAYBE_TEXT, _MAYBE_MOMENT = schema_of(str | None), schema_of(datetime | None)
_PROBLEM = {
    **_object({"type": _TEXT, "title": _TEXT, "status": _NUMBER, "detail": _TEXT, "advice": _TEXT}),
    "additionalProperties": _TEXT,
}
_COLUMN = _object({
    "name": _TEXT,
    "headline": _TEXT,
    **dict.fromkeys(("behind", "applied", "edited", "blocked"), _NUMBER),
    "server_version": _MAYBE_TEXT,
    "last_applied": _MAYBE_MOMENT,
    "not_reachable": schema_of(NotReachable | None),
    "stops": _list(_TEXT),
})  # fmt: skip
_MATRIX = _object({
    "environments": _list(_COLUMN),
    "migrations": _list(_object({
        "filename": _TEXT,
        "states": _by_environment(schema_of(State | None)),
        "notes": _by_environment(_TEXT),
    })),
})  # fmt: skip
_STEP = _object({
    "filename": _TEXT,
    "action": schema_of(Action),
    "transactional": schema_of(bool | None),
    "statements": schema_of(int | None),
    "blocked": _FLAG,
    "findings": _list(schema_of(Finding)),
    "refusal": schema_of(Refusal | None),
})  # fmt: skip
_PLAN = {
    "oneOf": [
        _object({
            **dict.fromkeys(("environment", "verdict", "digest"), _TEXT),
            **dict.fromkeys(("stops", "notices"), _list(_TEXT)),
            "pending": _list(_STEP),
            "files": _list(_object({"filename": _TEXT, "state": schema_of(State), "note": _MAYBE_TEXT})),
        }),
        _object({"environment": _TEXT, "not_reachable": schema_of(NotReachable | None)}),
    ]
}  # fmt: skip
_RESULT = _object({
    **dict.fromkeys(("run_id", "environment"), _TEXT),
    "outcome": schema_of(Outcome),
    **dict.fromkeys(("applied", "notes"), _list(_TEXT)),
    "problem": schema_of(Problem | None),
    "holder": schema_of(LockHolder | None),
    "seconds": _PLAIN[float],
})  # fmt: skip
_RUN = _object({
    **dict.fromkeys(("run_id", "environment"), _TEXT),
    "state": schema_of(RunState),
    "outcome": schema_of(Outcome | None),
    "actor": schema_of(Actor),
    **dict.fromkeys(("force", "until_blocked"), _FLAG),
    "reason": _MAYBE_TEXT,
    "requested_at": _MOMENT,
    **dict.fromkeys(("started_at", "ended_at"), _MAYBE_MOMENT),
    "attempt": _NUMBER,
    "stop_asked_by": _MAYBE_TEXT,
    "result": {"anyOf": [{"type": "null"}, _RESULT]},
})  # fmt: skip
_EVENT = {
    "type": "object",
    "properties": {"sequence": _NUMBER, "at": _MOMENT, "event": _TEXT},
    "required": ["sequence", "at", "event"],
}
_ROW = {
    name: schema for name, schema in schema_of(HistoryRow)["properties"].items() if name != "sql"
} | {"gone_since": _MAYBE_MOMENT}  # fmt: skip
_LENT = {"type": "string", "enum": [act.name.lower() for act in Act]}
ANSWERS: dict[str, Schema] = {
    "description": {"type": "object"},
    "environments": _object({
        "environments": _list(_object({"name": _TEXT, "protected": _FLAG, "may": _list(_LENT)}))
    }),
    "status": _MATRIX,
    "plan": _PLAN,
    "runs": _object({"runs": _list(_RUN)}),
    "run": _RUN,
    "events": _object({"events": _list(_EVENT), "next": _NUMBER}),
    "history": _object({"rows": _list(_object(_ROW)), "older": _MAYBE_TEXT}),
    "audit": _object({"rows": _list(schema_of(AuditRow)), "older": _MAYBE_TEXT}),
    "apply": _object({"run_id": _TEXT, "already": _FLAG}),
    "stop": _RUN,
}  # fmt: skip
