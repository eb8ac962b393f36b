"""Who may do what: every route times every role, from the URL map itself. What is not listed here is forbidden."""

import itertools
import re
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.routing import Rule

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.oidc import Issuer
from dashboard.settings import Settings
from dashboard.web import create_app, security
from tests.cast import EMAILS, Cast, words

OPEN = {
    "first.show",
    "first.make",
    "signin.show",
    "signin.sign_in",
    "signin.show_link",
    "signin.redeem",
    "oidc.leave",
    "oidc.go",
    "oidc.arrive",
    "static",
    "health.show",
    "health.ready",
    "metrics.show",
}
LOOKERS = {Role.VIEWER, Role.OPERATOR, Role.ADMIN}
OWN = {
    "account.show",
    "account.change_password",
    "account.end_session",
    "oidc.connect",
    "signin.sign_out",
    "theme.choose",
}
MAY = {
    "matrix.show": LOOKERS,
    "matrix.fragment": LOOKERS,
    "environment.show": LOOKERS,
    "environment.fragment": LOOKERS,
    "environment.apply": {Role.OPERATOR, Role.ADMIN},
    "environment.resolve": {Role.ADMIN},
    "rehearsal.ask": {Role.OPERATOR, Role.ADMIN},
    "rehearsal.show": LOOKERS,
    "rehearsal.fragment": LOOKERS,
    "rehearsal.stop": LOOKERS,  # by the rehearsal's own environment: see test_rehearsal.py
    "migration.show": LOOKERS,
    "run.show": LOOKERS,
    "run.fragment": LOOKERS,
    "run.stop": LOOKERS,  # by the run's own environment: see test_run.py
    "printed.show": LOOKERS,
    "history.show": LOOKERS,
    "history.check": LOOKERS,
    "export.as_csv": LOOKERS,
    "export.as_json": LOOKERS,
    "export.audit_as_csv": {Role.ADMIN},
    "export.audit_as_json": {Role.ADMIN},
    "audit.show": {Role.ADMIN},
    "audit.check": {Role.ADMIN},
    "theme.choose": LOOKERS,
    "signin.sign_out": LOOKERS,
    "people.show": {Role.ADMIN},
    "people.invite": {Role.ADMIN},
    "people.reset": {Role.ADMIN},
    "people.change_role": {Role.ADMIN},
    "people.admit": {Role.ADMIN},
    "account.show": LOOKERS,
    "account.change_password": LOOKERS,  # each their own
    "account.end_session": LOOKERS,
    "oidc.connect": LOOKERS,
}


SCOPES = ("read", "audit", "plan:staging", "apply:staging", "force:staging", "apply:production")
ELSEWHERE = {"apply:production", "audit"}  # lend nothing on staging
ANY = set(SCOPES)  # each shown what its environments have
TOKENS = {
    "api.status": ANY,
    "api.description": ANY,
    "api.environments": ANY,
    "api.plan": {"read", "plan:staging", "apply:staging", "force:staging"},
    "api.apply": {"apply:staging", "force:staging"},
    "api.runs": ANY,
    "api.run": {"read", "plan:staging", "apply:staging", "force:staging"},
    "api.events": {"read", "plan:staging", "apply:staging", "force:staging"},
    "api.stop": {"read", "plan:staging", "apply:staging", "force:staging"},  # by the run's environment: see test_api.py
    "api.history": ANY,
    "api.audit": {"audit"},
}
VALUES = {
    "name": "staging",
    "filename": "001_create_users.sql",
    "run_id": "018f2b6e-0000-7000-8000-000000000000",
    "token": "x",
    "rehearsal_id": "018f2b6e-0000-7000-8000-000000000000",
}
NOBODY_IS_HERE = {
    "printed.show",
    "rehearsal.show",
    "rehearsal.fragment",
    "rehearsal.stop",
    "run.show",
    "run.fragment",
    "run.stop",
    "api.run",
    "api.events",
    "api.stop",
}  # no such run: 404 for who may ask


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With an issuer, so that all routes lead somewhere."""
    return replace(settings, oidc=Issuer("http://127.0.0.1:1", "rung"))


def rules(app: Flask) -> list[Rule]:
    """Those of people; the API's are opened by tokens alone."""
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint not in OPEN | TOKENS.keys()]


def api_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api")]


def path_of(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES[found[1]], rule.rule)


def methods_of(rule: Rule) -> set[str]:
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


def test_every_route_stands_in_this_table(app: Flask) -> None:
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == OPEN | MAY.keys() | TOKENS.keys()
    assert {rule.endpoint for rule in api_rules(app)} == TOKENS.keys()


def test_a_view_that_does_not_say_who_may_use_it_stops_the_start(services: Services) -> None:
    app = create_app(services)
    app.add_url_rule("/forgotten", view_func=lambda: "secret")
    with pytest.raises(AssertionError, match="do not say who may use them"):
        security.refuse_unmarked(app)


def test_nobody_gets_in_without_signing_in(app: Flask, three: tuple[str, ...], cast: Cast) -> None:
    for rule in rules(app):
        for method in methods_of(rule):
            answer = cast.anybody.client.open(path_of(rule), method=method)
            if method == "GET" and not path_of(rule).startswith("/fragments/"):
                assert (answer.status_code, answer.location.split("?")[0]) == (302, "/sign-in"), rule
            else:
                assert answer.status_code == 401, rule
            assert "002_create_teams" not in answer.text


def test_each_role_may_do_what_the_table_says(app: Flask, three: tuple[str, ...], cast: Cast) -> None:
    for rule, role in itertools.product(rules(app), Role):
        if rule.endpoint == "signin.sign_out":
            continue
        for method in methods_of(rule):
            person = cast.of(role)
            form = {"csrf": person.token()} if method == "POST" else None
            status = person.client.open(path_of(rule), method=method, data=form).status_code
            if role not in MAY[rule.endpoint]:
                assert status == 403, (rule, role)
            elif rule.endpoint in NOBODY_IS_HERE:
                assert status == 404, (rule, role)
            else:
                assert status in (200, 303, 409), (rule, role)


def test_a_refusal_says_who_may(three: tuple[str, ...], cast: Cast) -> None:
    answer = cast.viewer.post("/environments/staging/apply")
    assert answer.status_code == 403
    assert "viewer@example.com may not apply on staging. Operators and admins may." in words(answer)


def test_a_role_for_one_environment_ends_there(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    services.accounts.set_role(EMAILS[Role.OPERATOR], Role.VIEWER, "production")
    assert cast.operator.post("/environments/production/apply").status_code == 403
    assert cast.operator.post("/environments/staging/apply").status_code == 409  # allowed; the form is empty


def test_an_environment_one_may_not_look_at_reads_like_one_that_is_not_there(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "staging")
    hidden, absent = cast.viewer.get("/environments/production"), cast.viewer.get("/environments/nowhere")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert words(hidden).replace("production", "nowhere") == words(absent)


def test_a_role_that_was_lowered_counts_at_once(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    assert cast.operator.post("/environments/staging/apply").status_code == 409
    services.accounts.set_role(EMAILS[Role.OPERATOR], Role.VIEWER)
    assert cast.operator.post("/environments/staging/apply").status_code == 403


def test_somebody_without_any_role_sees_nothing(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None)
    answer = cast.viewer.get("/")
    assert answer.status_code == 403
    assert "staging" not in answer.text
    assert "no role yet, so there is nothing to see. Ask an admin" in words(answer)
    assert 'href="/account">To your account' in answer.text


def test_somebody_without_any_role_reaches_what_is_their_own_and_nothing_else(
    app: Flask, three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None)
    page = cast.viewer.get("/account")
    assert "no role yet: ask an admin for one" in words(page)
    assert re.findall(r'<li><a href="([^"]+)"', page.text) == ["/account"]
    for rule in rules(app):
        if rule.endpoint == "signin.sign_out":
            continue
        for method in methods_of(rule):
            form = {"csrf": cast.viewer.token("/account")} if method == "POST" else None
            status = cast.viewer.client.open(path_of(rule), method=method, data=form).status_code
            assert status in ((200, 303, 409) if rule.endpoint in OWN else (403, 404)), rule
    assert cast.viewer.post("/sign-out", page="/account").location == "/sign-in"


# --- the API ---


def test_the_api_takes_no_cookie(app: Flask, three: tuple[str, ...], cast: Cast) -> None:
    for rule, person in itertools.product(api_rules(app), (cast.anybody, cast.admin)):
        for method in methods_of(rule):
            answer = person.client.open(path_of(rule), method=method)
            assert (answer.status_code, answer.mimetype) == (401, "application/problem+json"), rule
            assert "002_create_teams" not in answer.text


def test_each_scope_may_do_what_the_table_says(app: Flask, three: tuple[str, ...], services: Services) -> None:
    client = app.test_client()
    for scope in SCOPES:
        token = services.tokens.add("table", [scope], "a test").token
        for rule in api_rules(app):
            for method in methods_of(rule):
                answer = client.open(path_of(rule), method=method, headers={"Authorization": f"Bearer {token}"})
                if (
                    scope in ELSEWHERE and "/environments/staging/" in path_of(rule)
                ) or rule.endpoint in NOBODY_IS_HERE:
                    assert answer.status_code == 404, (rule, scope)
                elif scope not in TOKENS[rule.endpoint]:
                    assert answer.status_code == 403, (rule, scope)
                else:
                    assert answer.status_code in (200, 415), (rule, scope)  # 415: allowed, and nothing was sent
                if scope in ELSEWHERE and rule.endpoint != "api.audit":
                    assert "staging" not in answer.text.replace("'staging'", ""), rule


def test_a_token_opens_no_page(app: Flask, three: tuple[str, ...], services: Services) -> None:
    token = services.tokens.add("ci", ["force:*"], "a test").token
    answer = app.test_client().get("/", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.location) == (302, "/sign-in")
