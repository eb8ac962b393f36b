"""What holds for every address: taken from the URL map itself, so that a new one is tried too."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from flask import Flask
from psycopg import sql
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.audit import AuditFilter, Deed
from dashboard.core.environment import Secret
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.settings import Settings
from dashboard.web import create_app, security
from tests.cast import EMAILS, Cast
from tests.web.test_security import POLICY

if TYPE_CHECKING:  # heavy, and needed by one test
    from playwright.sync_api import Browser

READING, OTHERS = ("GET", "HEAD"), ("PUT", "DELETE", "PATCH")
BROKEN = ("/broken", "/api/broken")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
FIGURES = "a token of the tests, for figures"
# What reading may leave behind: pictures of environments, when somebody was last seen, and its rows of the audit.
LOOKED = ("home.picture", "home.history", "home.chain_check")
SEEN = {"home.session": "seen_at", "home.token": "used_at"}
LOOKING = "deed NOT IN ('plan shown', 'token used', 'exported')"


@dataclass
class Walk:
    """Everybody's addresses, with things in them that are there, and an admin and a program that may do anything."""

    app: Flask
    cast: Cast
    values: dict[str, str]
    token: str

    def rules(self) -> Iterator[tuple[Rule, str]]:
        for rule in self.app.url_map.iter_rules():
            if rule.rule not in BROKEN:
                yield rule, re.sub(r"<(?:\w+:)?(\w+)>", lambda found: self.values[found[1]], rule.rule)

    def taken(self, path: str) -> set[str]:
        """The methods of all rules of this address."""
        return set().union(*(rule.methods or set() for rule, there in self.rules() if there == path))

    def ask(self, path: str, method: str, **how: Any) -> TestResponse:
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.token}"} | how.pop("headers", {})
            return self.app.test_client().open(path, method=method, headers=headers, **how)
        return self.cast.admin.client.open(path, method=method, **how)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, metrics_token=Secret(FIGURES))


@pytest.fixture
def app(app: Flask) -> Flask:
    """With two addresses that fail."""

    def fail() -> str:
        raise ZeroDivisionError

    app.add_url_rule("/broken", view_func=security.open_to_all(fail))
    app.add_url_rule("/api/broken", "broken_for_programs", security.open_to_all(fail))
    return app


@pytest.fixture
def walk(app: Flask, cast: Cast, services: Services, three: tuple[str, ...]) -> Walk:
    digest = services.compare.look("staging").plan.digest  # type: ignore[union-attr]  # it is reachable
    order = Order(Actor(ActorKind.AGENT, "ci", Door.API), expected_digest=digest)
    values = {
        "name": "staging",
        "filename": three[-1],
        "run_id": services.runs.ask("staging", order).run_id,
        "rehearsal_id": services.rehearsals.ask("staging", digest, "a test"),
        "token": services.accounts.make_link(EMAILS[Role.VIEWER]),
    }
    return Walk(app, cast, values, services.tokens.add("ci", ["force:*", "audit"], "a test").token)


def contents(url: Secret) -> dict[str, Any]:
    """Every row of every table of a database, but for what looking leaves behind."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        found = {".".join(name): rows(connection, *name) for name in names if ".".join(name) not in LOOKED}
        assert found or not names
        return found


def rows(connection: psycopg.Connection[Any], schema: str, table: str) -> Any:
    query = sql.SQL("SELECT pg_catalog.to_jsonb(t) - {seen}::text FROM {table} AS t WHERE {which} ORDER BY 1").format(
        table=sql.Identifier(schema, table),
        seen=sql.Literal(SEEN.get(f"{schema}.{table}", "")),
        which=sql.SQL(LOOKING if f"{schema}.{table}" == "home.audit" else "true"),
    )
    return [row for (row,) in connection.execute(query)]


@pytest.fixture
def everything(settings: Settings, home_url: Secret) -> Any:
    """`everything()`: home and all environments, to compare with later."""
    urls = [home_url, *(one.url for one in settings.environments if one.url)]
    return lambda: [contents(url) for url in urls]


# --- methods ---


def test_no_view_both_shows_and_does(app: Flask) -> None:
    assert not [rule for rule in app.url_map.iter_rules() if {"GET", "POST"} <= (rule.methods or set())]


@pytest.mark.usefixtures("signed_in")
def test_no_address_changes_anything_by_another_method_than_post(walk: Walk, everything: Any) -> None:
    before = everything()
    token = walk.cast.admin.token()
    for (rule, path), method in itertools.product(walk.rules(), (*READING, *OTHERS)):
        answer = walk.ask(
            path, method, query_string={"csrf": token}, data={"csrf": token} if method in OTHERS else None
        )
        if method not in walk.taken(path):
            assert answer.status_code == 405, (rule, method)
        assert answer.status_code < 500, (rule, method)
    assert everything() == before


@pytest.mark.usefixtures("signed_in")
def test_no_header_and_no_field_turns_one_method_into_another(walk: Walk, everything: Any) -> None:
    """Not to be done, and not even to be noticed: as a header or field that nobody has heard of."""
    before = everything()
    token = walk.cast.admin.token()
    for (rule, path), method in itertools.product(walk.rules(), ("POST", "DELETE")):
        known, unknown = {"_method": method, "csrf": token}, {"_other": method, "csrf": token}
        headers = dict.fromkeys(OVERRIDES, method)
        answers = [walk.ask(path, "GET", headers=headers, query_string=field) for field in (known, unknown)]
        assert answers[0].status_code == answers[1].status_code, (rule, method)
        in_body = walk.ask(path, "GET", headers=headers, data=known)
        assert in_body.status_code == walk.ask(path, "GET").status_code, (rule, method)
    assert everything() == before


def test_no_header_and_no_field_makes_reading_of_a_form(walk: Walk) -> None:
    """A form that said it only reads would get by without its token."""
    for rule, path in walk.rules():
        if "POST" in (rule.methods or ()) and "/api/" not in path:
            answer = walk.ask(path, "POST", headers=dict.fromkeys(OVERRIDES, "GET"), data={"_method": "GET"})
            assert answer.status_code == (404 if rule.endpoint == "first.make" else 403), rule


# --- what every answer carries ---


def check(answer: TestResponse, told: object) -> None:
    """That a browser may do nothing with it but what we say, and has nothing to guess."""
    assert answer.headers["Content-Security-Policy"] == POLICY, told
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"], told
    for name, value in security.HEADERS.items():
        assert answer.headers.getlist(name) == [value], (told, name)
    kind = answer.headers.get("Content-Type", "")
    if answer.data:
        assert re.fullmatch(r"(text/[a-z]+|application/(problem\+)?json|image/svg\+xml)(; .+)?", kind), (told, kind)
        assert "charset=utf-8" in kind.lower() or kind == "image/svg+xml", (told, kind)
    if kind.startswith("text/html"):
        assert not re.search(r"<style|<[^>]* (style|on[a-z]+)=|<script(?! src=\")|javascript:", answer.text), told


def test_every_answer_of_every_address_carries_our_headers(walk: Walk) -> None:
    """Also where something is done: for an admin with a form of theirs, for a program, and for a stranger."""
    stranger, token = walk.app.test_client(), walk.cast.admin.token()
    for rule, path in walk.rules():
        for method in ("HEAD", "GET", "POST", "OPTIONS"):
            check(stranger.open(path, method=method), (rule, method, "stranger"))
            if path != "/sign-out":  # or the rest would be asked by a stranger
                check(walk.ask(path, method, data={"csrf": token}), (rule, method))


def test_static_files_exports_and_figures_carry_them_too(walk: Walk) -> None:
    page = walk.cast.admin.get("/").text
    statics = set(re.findall(r'"(/static/[^"]+)"', page))
    assert len(statics) > 2
    exports = [path for rule, path in walk.rules() if rule.endpoint.startswith("export.")]
    assert len(exports) == 4
    for path in (*statics, *exports):
        answer = walk.cast.admin.get(path)
        assert answer.status_code == 200, path
        check(answer, path)
    figures = walk.app.test_client().get("/metrics", headers={"Authorization": f"Bearer {FIGURES}"})
    assert figures.status_code == 200
    check(figures, "figures")


def test_every_kind_of_error_carries_them_too(walk: Walk, settings: Settings) -> None:
    admin, stranger = walk.cast.admin, walk.app.test_client()
    bearer = {"Authorization": f"Bearer {walk.token}"}
    lost = create_app(build(replace(settings, home=Secret("postgresql://rung@127.0.0.1:1/nowhere"))))
    answers = [
        (400, admin.get("/history?actor=%00")),
        (400, stranger.get("/sign-in", headers={"Host": "evil.example"})),
        (401, stranger.get("/fragments/ladder")),
        (401, stranger.get("/api/v1/status")),
        (302, stranger.get("/")),
        (403, admin.client.post("/environments/staging/apply")),
        (404, admin.get("/nowhere")),
        (404, stranger.get("/static/nothing.js")),
        (404, stranger.get("/api/v1/nowhere", headers=bearer)),
        (405, admin.get("/sign-out")),
        (405, stranger.put("/api/v1/status", headers=bearer)),
        (409, admin.post("/environments/production/apply")),
        (413, admin.client.post("/sign-in", data={"password": "x" * 1_000_000})),
        (415, stranger.post("/api/v1/environments/staging/apply", headers=bearer)),
        (500, stranger.get("/broken")),
        (500, stranger.get("/api/broken")),
        (503, lost.test_client(use_cookies=False).get("/", headers={"Cookie": "rung=x"})),
        (503, lost.test_client().get("/api/v1/status", headers=bearer)),
        (503, lost.test_client().get("/readyz")),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.request
        check(answer, answer.request)


# --- somebody of another environment ---

NEVER_THERE = {"history.check"}  # a viewer may ask whether the record is whole


def tries(walk: Walk, digest: str) -> Iterator[tuple[Rule, str, dict[str, str]]]:
    """Everything that can be asked of production, as its own forms would ask it."""
    form = {"digest": digest, "mode": "all", "confirm": "production", "reason": "because"}
    decision = {"filename": "005_create_tasks.sql", "decision": "drop and retry", "shown": "0" * 64}
    for rule, path in walk.rules():
        if "POST" in (rule.methods or ()) and rule.arguments & {"name", "run_id"} and rule.endpoint not in NEVER_THERE:
            yield rule, path, form | decision


def test_an_operator_of_staging_does_nothing_to_production_by_any_door(
    walk: Walk, services: Services, everything: Any
) -> None:
    digest = services.compare.look("production").plan.digest  # type: ignore[union-attr]  # it is reachable
    order = Order(Actor(ActorKind.AGENT, "ci", Door.API), expected_digest=digest)
    walk.values |= {"name": "production", "run_id": services.runs.ask("production", order).run_id}
    services.accounts.set_role(EMAILS[Role.OPERATOR], Role.VIEWER)
    services.accounts.set_role(EMAILS[Role.OPERATOR], Role.OPERATOR, "staging")
    csrf, operator = walk.cast.operator.token(), walk.cast.operator.client
    lends = {"ci-read": ["read", "force:staging"], "ci-blind": ["force:staging"]}
    programs = {name: services.tokens.add(name, scopes, "a test") for name, scopes in lends.items()}
    before, asked = everything(), []
    for rule, path, form in tries(walk, digest):
        if path.startswith("/api/"):
            body = {"digest": digest} if path.endswith("/apply") else None
            for name, made in programs.items():
                headers = {"Authorization": f"Bearer {made.token}"}
                answer = walk.app.test_client().post(path, json=body, headers=headers)
                assert answer.status_code == (403 if name == "ci-read" else 404), (rule, name)
                asked.append((f"{name} (token {made.id})", f"POST {path}"))
        else:
            assert operator.post(path, data=form | {"csrf": csrf}).status_code == 403, rule
            asked.append((EMAILS[Role.OPERATOR], f"POST {path}"))
    assert {path.rpartition("/")[2] for _, path in asked} == {"apply", "resolve", "rehearse", "stop"}
    refused = services.audit.page(AuditFilter(deed=Deed.REFUSED), limit=50).rows
    assert [(row.who, row.subject) for row in reversed(refused)] == asked
    assert {(row.deed, row.outcome) for row in refused} == {("refused", "refused")}
    assert all(row.environment == "production" or walk.values["run_id"] in row.subject for row in refused)
    after = everything()
    for one in (*before, *after):
        one.pop("home.audit", None)
    assert after == before


# --- other hosts ---


def html_pages(walk: Walk) -> dict[str, str]:
    """Path -> text of every page that an admin can open."""
    asked = {path: walk.ask(path, "GET") for rule, path in walk.rules() if "GET" in (rule.methods or ())}
    return {path: one.text for path, one in asked.items() if one.mimetype == "text/html" and one.status_code == 200}


def test_no_page_and_no_file_of_it_names_another_host_to_load_from(walk: Walk) -> None:
    pages = html_pages(walk)
    assert len(pages) > 12
    for path, text in pages.items():
        loaded = re.findall(r'(?:\s(?:src|srcset|action|formaction|poster|data|ping)|<link[^>]*\shref)="([^"]*)"', text)
        assert len(loaded) > 3 or path.startswith("/fragments/"), path
        assert not [one for one in loaded if not re.match(r"/(?!/)|#|$", one)], path
        assert not re.search(r"<base|<iframe|http-equiv|preconnect|prefetch", text), path
    for asset in {one for text in pages.values() for one in re.findall(r'"(/static/[^"]+)"', text)}:
        text = walk.cast.admin.get(asset).text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"@import|url\(\s*['\"]?(?!['\"]?(?:/static/|data:|#))|https?://", text), asset


@pytest.mark.slow  # a Chromium, and all pages in it
def test_a_browser_that_opens_every_page_asks_no_other_host(walk: Walk, address: str, browser: "Browser") -> None:
    asked: list[str] = []
    cookie = walk.cast.admin.client.get_cookie("rung")
    assert cookie
    context = browser.new_context()
    context.add_cookies([{"name": "rung", "value": cookie.value, "url": address}])
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    try:
        for path in html_pages(walk):
            page.goto(address + path)
    finally:
        context.close()
    assert len(asked) > 20
    assert not [url for url in asked if not url.startswith(f"{address}/")]
