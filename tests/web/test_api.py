"""The JSON API: what it refuses, what it answers, and that it says what the pages and commands say."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.documents import look_json, matrix_json, plain
from dashboard.core.environment import Secret
from dashboard.web import BODY_LIMIT

DOC = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
APPLY = "/api/v1/environments/staging/apply"

Ask = Callable[..., TestResponse]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ask(client: FlaskClient, services: Services) -> Ask:
    """`ask(scope, path, …)`: with a token of this scope; `json` makes it a POST."""
    made: dict[str, str] = {}

    def send(scope: str, path: str, **how: Any) -> TestResponse:
        made.setdefault(scope, services.tokens.add("ci", [scope], "a test").token)
        post = any(name in how for name in ("json", "data"))
        method = how.pop("method", "POST" if post else "GET")
        headers = {"Authorization": f"Bearer {made[scope]}"} | how.pop("headers", {})
        return client.open(path, method=method, headers=headers, **how)

    return send


def digest(ask: Ask, name: str = "staging") -> str:
    found: str = ask(f"plan:{name}", f"/api/v1/environments/{name}/plan").json["digest"]
    return found


def no(answer: TestResponse, status: int, said: str = "") -> None:
    """A problem, whole and in words."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json; charset=utf-8"), answer.text
    assert answer.json is not None
    assert answer.json.keys() >= {"type", "title", "status", "detail", "advice"}
    assert all(answer.json.values())
    assert said in answer.json["detail"], answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def nothing_was_asked(services: Services) -> bool:
    return services.runs.newest() == ()


# --- who comes in ---


def test_without_a_good_token_nothing_is_answered(three: tuple[str, ...], client: FlaskClient) -> None:
    for header in (None, "", "Bearer", "Bearer x", "Bearer rung_x", "Basic cnVuZzp4", "rung_0_1"):
        answer = client.get("/api/v1/status", headers={"Authorization": header} if header is not None else {})
        no(answer, 401, "needs a token")
        assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_a_revoked_and_an_expired_token_read_like_an_unknown_one(
    three: tuple[str, ...], client: FlaskClient, services: Services, home_url: Secret
) -> None:
    revoked, expired = (services.tokens.add(name, ["read"], "a test", 1) for name in ("a", "b"))
    services.tokens.revoke(revoked.id)
    with psycopg.connect(home_url.reveal(), autocommit=True) as connection:
        connection.execute("UPDATE home.token SET expires_at = now() WHERE id = %s", (expired.id,))
    said = [
        client.get("/api/v1/status", headers={"Authorization": f"Bearer {token}"})
        for token in (revoked.token, expired.token, "rung_unknown")
    ]
    assert [answer.status_code for answer in said] == [401, 401, 401]
    assert len({answer.text for answer in said}) == 1


def test_a_token_in_the_address_is_refused_also_beside_a_good_header(three: tuple[str, ...], ask: Ask) -> None:
    for query in ("token=x", "access_token=x", "since=rung_0_1", "environment=rung_x"):
        no(ask("read", f"/api/v1/history?{query}"), 400, "in the address")


def test_reading_does_not_apply(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    no(ask("read", APPLY, json={"digest": digest(ask)}), 403, "may not apply on staging")
    assert nothing_was_asked(services)


def test_applying_does_not_force(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    body = {"digest": digest(ask), "force": True, "reason": "nobody reads it"}
    no(ask("apply:staging", APPLY, json=body), 403, "may not force past the gate on staging")
    assert nothing_was_asked(services)


# --- what is asked ---


def test_what_does_not_come_as_json_starts_nothing(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    body = json.dumps({"digest": digest(ask)})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        no(ask("apply:staging", APPLY, data=body, content_type=kind), 415, "JSON")
    assert nothing_was_asked(services)


WRONG = [
    ("", 400, "not one JSON document"),
    ("{", 400, "not one JSON document"),
    ("[" * 30000, 400, "not one JSON document"),
    ("1" * 5000, 400, "not one JSON document"),
    ("\udcff", 400, "not one JSON document"),
    ('{"digest": "a", "digest": "b"}', 400, "not one JSON document"),
    ("[]", 400, "not a JSON object"),
    ('{"digest": "a", "role": "admin"}', 400, "no field 'role'"),
    ('{"digest": "a", "env": "production"}', 400, "no field 'env'"),
    ("{}", 422, "digest is missing"),
    ('{"digest": 1}', 422, "digest must be a text"),
    ('{"digest": null}', 422, "digest must be a text"),
    ('{"digest": "a", "force": 1}', 422, "force must be true or false"),
    ('{"digest": "\\u0000"}', 422, "digest must be"),
    ('{"digest": "\\ud800"}', 422, "digest must be"),
    ('{"digest": "' + "x" * 501 + '"}', 422, "at most 500"),
    ('{"digest": "a", "force": true, "until_blocked": true}', 422, "exclude each other"),
    ('{"digest": "a", "force": true, "reason": " "}', 422, "needs a reason"),
    ("x" * (BODY_LIMIT + 1), 413, "more than"),
]


def test_a_body_that_makes_no_sense_starts_nothing(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    for body, status, said in WRONG:
        data = body.encode(errors="surrogateescape")
        no(ask("force:staging", APPLY, data=data, content_type="application/json"), status, said)
    assert nothing_was_asked(services)


def test_parameters_that_make_no_sense_are_not_ignored(three: tuple[str, ...], ask: Ask) -> None:
    twice = "environment=staging&environment=production"
    for query, said in {
        twice: "'environment' is there 2 times",
        "env=staging": "no parameter 'env'",
        "actor=" + "x" * 501: "too long",
    }.items():
        no(ask("read", f"/api/v1/history?{query}"), 400, said)


def test_an_environment_in_the_address_of_a_command_is_not_overridden(
    three: tuple[str, ...], ask: Ask, services: Services
) -> None:
    no(ask("apply:*", f"{APPLY}?environment=production", json={"digest": digest(ask)}), 400, "no parameter")
    assert nothing_was_asked(services)


def test_what_changes_something_is_not_done_by_reading(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = ask("apply:staging", APPLY, method=method, headers={"X-HTTP-Method-Override": "POST"})
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert nothing_was_asked(services)


def test_an_environment_that_the_token_does_not_know_reads_like_one_that_is_not_there(
    three: tuple[str, ...], ask: Ask
) -> None:
    hidden, absent = (ask("plan:staging", f"/api/v1/environments/{name}/plan") for name in ("production", "nowhere"))
    no(hidden, 404)
    assert hidden.text.replace("production", "nowhere") == absent.text
    no(ask("plan:staging", "/api/v1/history?environment=production"), 404)
    no(ask("read", "/api/v1/nothing"), 404)


# --- what is answered ---


def said(document: object) -> Any:
    """As a program reads it."""
    return json.loads(json.dumps(document, default=plain))


def test_status_and_plan_are_what_the_commands_print(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    status = ask("read", "/api/v1/status")
    assert status.content_type == "application/json; charset=utf-8"
    assert status.json == said(matrix_json(services.compare.last_known()))
    assert [one["behind"] for one in status.json["environments"]] == [0, 1, 3]
    plan = ask("read", "/api/v1/environments/production/plan")
    assert plan.json == said(look_json(services.compare.look("production")))
    assert [step["blocked"] for step in plan.json["pending"]] == [False, True, False]


def test_the_environments_say_what_the_token_may_do_there(three: tuple[str, ...], ask: Ask) -> None:
    def found(scope: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = ask(scope, "/api/v1/environments").json["environments"]
        return listed

    assert found("apply:production") == [{"name": "production", "protected": True, "may": ["look", "apply", "stop"]}]
    assert [(one["name"], one["may"]) for one in found("read")] == [
        ("local", ["look"]),
        ("staging", ["look"]),
        ("production", ["look"]),
    ]


def test_the_newest_runs_are_listed_first_and_only_where_the_token_may_look(
    three: tuple[str, ...], ask: Ask, services: Services
) -> None:
    first = ask("apply:staging", APPLY, json={"digest": digest(ask)}).json["run_id"]
    body = {"digest": digest(ask, "production"), "until_blocked": True, "confirm": "production"}
    second = ask("apply:production", "/api/v1/environments/production/apply", json=body).json["run_id"]
    runs = ask("read", "/api/v1/runs").json["runs"]
    assert [one["run_id"] for one in runs] == [second, first]
    assert runs[1] == ask("read", f"/api/v1/runs/{first}").json
    for query, there in {"limit=1": [second], "environment=staging": [first], "environment=local": []}.items():
        assert [one["run_id"] for one in ask("read", f"/api/v1/runs?{query}").json["runs"]] == there
    assert [one["run_id"] for one in ask("plan:staging", "/api/v1/runs").json["runs"]] == [first]
    no(ask("plan:staging", "/api/v1/runs?environment=production"), 404)
    for wrong in ("0", "101", "-1", "x"):
        no(ask("read", f"/api/v1/runs?limit={wrong}"), 400, "from 1 to 100")


def test_the_history_takes_the_filters_of_the_page_and_refuses_what_they_do_not_take(
    three: tuple[str, ...], ask: Ask, services: Services
) -> None:
    services.runs.execute(ask("apply:staging", APPLY, json={"digest": digest(ask)}).json["run_id"])
    assert ask("read", "/api/v1/history?kind=files&from=2020-01-01&zone=Europe/Berlin").json["rows"]
    assert ask("read", "/api/v1/history?to=2020-01-01").json["rows"] == []
    assert ask("read", "/api/v1/history?kind=decisions").json["rows"] == []
    for query, said in {
        "kind=filez": "Did you mean files?",
        "outcome=aplied": "Did you mean applied?",
        "from=yesterday": "takes a day such as",
        "zone=Berlin": "not a time zone",
    }.items():
        no(ask("read", f"/api/v1/history?{query}"), 400, said)


def test_a_token_for_one_environment_hears_of_no_other(three: tuple[str, ...], ask: Ask) -> None:
    status = ask("plan:staging", "/api/v1/status")
    assert [one["name"] for one in status.json["environments"]] == ["staging"]
    assert "production" not in status.text + ask("plan:staging", "/api/v1/history").text


def test_a_plan_that_is_not_the_one_that_was_read_starts_nothing(
    three: tuple[str, ...], ask: Ask, services: Services
) -> None:
    answer = ask("apply:staging", APPLY, json={"digest": "of another day"})
    no(answer, 409, "The plan has changed")
    assert "Read the plan again" in answer.json["advice"]
    no(ask("apply:*", "/api/v1/environments/production/apply", json={"digest": digest(ask, "production")}), 409)
    assert nothing_was_asked(services)


def test_a_protected_environment_wants_its_name(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    path, body = "/api/v1/environments/production/apply", {"digest": digest(ask, "production"), "until_blocked": True}
    no(ask("apply:production", path, json=body), 409, "production is protected")
    assert ask("apply:production", path, json=body | {"confirm": "production"}).status_code == 202


def test_asking_twice_makes_one_run_that_can_be_watched_and_stopped(
    three: tuple[str, ...], ask: Ask, services: Services
) -> None:
    body = {"digest": digest(ask)}
    first, second = (ask("apply:staging", APPLY, json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 200)
    run_id = first.json["run_id"]
    assert (second.json["run_id"], second.json["already"]) == (run_id, True)
    assert first.headers["Location"] == f"/api/v1/runs/{run_id}"
    run = ask("read", first.headers["Location"]).json
    assert (run["state"], run["environment"], run["outcome"]) == ("queued", "staging", None)
    assert run["actor"]["door"] == "api"
    assert re.fullmatch(r"ci \(token [0-9a-f]{10}\)", run["actor"]["name"])
    no(ask("read", f"/api/v1/runs/{run_id}/stop", data=b""), 403, "may not stop a run on staging")
    no(ask("apply:production", f"/api/v1/runs/{run_id}"), 404)
    no(ask("apply:staging", f"/api/v1/runs/{run_id}/stop", json={"why": "no"}), 400)
    assert services.runs.newest()[0].stop_asked_by is None
    stopped = ask("apply:staging", f"/api/v1/runs/{run_id}/stop", data=b"")
    assert (stopped.status_code, stopped.json["outcome"]) == (202, "cancelled")
    assert stopped.json["result"]["applied"] == []


def test_events_go_on_where_the_program_left_off(three: tuple[str, ...], ask: Ask, services: Services) -> None:
    run_id = ask("force:staging", APPLY, json={"digest": digest(ask)}).json["run_id"]
    services.runs.execute(run_id)
    events = ask("read", f"/api/v1/runs/{run_id}/events").json
    numbers = [one["sequence"] for one in events["events"]]
    assert numbers == list(range(1, events["next"] + 1))
    assert events["events"][-1]["event"] == "ended"
    later = ask("read", f"/api/v1/runs/{run_id}/events?since={events['next'] - 1}").json
    assert later["events"] == events["events"][-1:]
    nothing = ask("read", f"/api/v1/runs/{run_id}/events?since={events['next']}").json
    assert nothing == {"events": [], "next": events["next"]}
    for wrong in ("-1", "x", "1.5", "٣", str(2**31)):
        no(ask("read", f"/api/v1/runs/{run_id}/events?since={wrong}"), 400, "whole number")
    rows = ask("read", "/api/v1/history?environment=staging&outcome=applied&file=005").json["rows"]
    assert [(row["filename"], row["run_id"], row["door"]) for row in rows] == [("005_create_tasks.sql", run_id, "api")]
    assert "sql" not in rows[0]
    assert ask("plan:staging", "/api/v1/history").json["rows"]
    assert ask("plan:production", "/api/v1/history").json["rows"] == []


# --- the page about it ---


def examples() -> list[list[str]]:
    text = "\n".join(re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("curl ")]


def test_every_example_of_the_page_works(three: tuple[str, ...], ask: Ask, app: Flask, services: Services) -> None:
    known = {"$RUNG": "", "$TOKEN": services.tokens.add("ci", ["apply:staging", "audit"], "a test").token}
    known["$DIGEST"] = digest(ask)
    asked = set()
    for words in examples():
        filled = [re.sub(r"\$[A-Z]+", lambda found: known[found[0]], word) for word in words[1:]]
        (path,) = [word for word in filled if word.startswith("/")]
        name, _, token = filled[filled.index("-H") + 1].partition(": ")
        body = filled[filled.index("--json") + 1] if "--json" in filled else None
        post = body is not None or "POST" in filled
        answer = app.test_client().open(
            path,
            method="POST" if post else "GET",
            headers={name: token},
            data=body,
            content_type="application/json" if body else None,
        )
        assert answer.status_code in (200, 202), (path, answer.text)
        known["$RUN"] = answer.json.get("run_id", known.get("$RUN", ""))
        asked.add(app.url_map.bind("").match(path.partition("?")[0], method="POST" if post else "GET")[0])
    assert asked == {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/api")}
