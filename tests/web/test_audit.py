"""What is done in the browser is in the audit, with the peer's address."""

import hashlib
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from dashboard.bootstrap import Services, build
from dashboard.core.audit import AuditFilter, Deed
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.audit import STRANGERS
from dashboard.web import create_app
from tests.cast import Cast, words
from tests.conftest import Write
from tests.web.conftest import FILES

TEXT_HASH = hashlib.sha256(FILES["005_create_tasks.sql"].encode()).hexdigest()


def test_signing_out_is_told_with_the_address_of_the_peer_and_not_with_a_claimed_one(
    cast: Cast, services: Services
) -> None:
    cast.viewer.post("/sign-out", headers={"X-Forwarded-For": "203.0.113.9"})
    row = services.audit.newest(1)[0]
    assert (row.deed, row.who, row.address) == ("sign-out", cast.viewer.email, "127.0.0.1")


def test_a_run_that_a_program_asks_for_is_told_with_its_token_and_address(
    three: tuple[str, ...], app: Flask, services: Services
) -> None:
    token = services.tokens.add("ci", ["apply:staging"], "a test").token
    program, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    plan = program.get("/api/v1/environments/staging/plan", headers=headers).json
    assert plan is not None
    body = {"digest": plan["digest"]}
    answer = program.post("/api/v1/environments/staging/apply", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    row = services.audit.newest(1)[0]
    assert (row.deed, row.address, row.environment) == ("run asked for", "127.0.0.1", "staging")
    assert "ci" in row.who
    assert token not in row.who


def test_the_end_of_a_run_tells_the_log_the_heads_of_both_chains(
    three: tuple[str, ...], services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    digest = services.compare.look("staging").plan.digest  # type: ignore[union-attr]  # it is reachable
    order = Order(Actor(ActorKind.AGENT, "ci", Door.API), expected_digest=digest)
    run_id = services.runs.ask("staging", order).run_id
    with caplog.at_level("INFO", "rung.runs"):
        services.runs.execute(run_id)
    (line,) = [vars(one) for one in caplog.records if one.message == "chain heads"]
    assert (line["run_id"], line["environment"]) == (run_id, "staging")
    assert line["audit_head"] == services.audit.verify().head
    assert services.audit.verify(line["audit_head"]).ok
    assert line["history_head"] == services.history.verify("staging").head


def refused(services: Services) -> list[tuple[str, ...]]:
    """Oldest first."""
    rows = [row for row in reversed(services.audit.newest(100)) if row.deed == "refused"]
    return [(row.who, row.address, row.environment, row.subject, row.outcome, row.detail) for row in rows]


def test_each_refusal_is_told_once_with_who_and_what(
    three: tuple[str, ...], app: Flask, cast: Cast, services: Services
) -> None:
    made = services.tokens.add("ci", ["read"], "a test")
    path = "/api/v1/environments/staging/apply"
    answer = app.test_client().post(path, json={}, headers={"Authorization": f"Bearer {made.token}"})
    pages = [cast.viewer.post("/environments/staging/apply"), cast.operator.client.post("/environments/staging/apply")]
    stranger = cast.anybody.client.post("/environments/staging/apply")
    assert [one.status_code for one in (answer, *pages, stranger)] == [403, 403, 403, 401]
    rows = refused(services)
    place = ("127.0.0.1", "staging")
    assert [row[:5] for row in rows] == [
        (f"ci (token {made.id})", *place, f"POST {path}", "refused"),
        (str(cast.viewer.email), *place, "POST /environments/staging/apply", "refused"),
        (str(cast.operator.email), *place, "POST /environments/staging/apply", "refused"),
    ]
    assert all(row[5] for row in rows)
    assert made.token not in str(rows)


def test_it_stays_refused_where_the_audit_takes_no_rows(
    three: tuple[str, ...], cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    token = cast.viewer.token()
    in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    answer = cast.viewer.client.post("/environments/staging/apply", data={"csrf": token})
    assert answer.status_code == 403
    assert cast.viewer.get("/environments/staging").status_code == 200
    assert refused(services) == []


@pytest.mark.usefixtures("signed_in")
def test_nothing_is_asked_for_that_the_audit_cannot_remember_and_reading_goes_on(
    three: tuple[str, ...], app: Flask, cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    headers = {"Authorization": f"Bearer {services.tokens.add('ci', ['apply:staging'], 'a test').token}"}
    in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    here = "/environments/staging"
    shown = re.search(r'name="digest" value="([^"]+)"', cast.operator.get(here).text)
    assert shown
    refused = cast.operator.post(f"{here}/apply", {"digest": shown[1], "mode": "all"}, page=here)
    assert refused.status_code == 503
    assert "Rung's own audit cannot be written, so nothing is done" in words(refused)
    assert "INSERT on home.audit" in words(refused)
    told = app.test_client().post(f"/api/v1{here}/apply", json={"digest": shown[1]}, headers=headers)
    assert (told.status_code, told.mimetype) == (503, "application/problem+json")
    assert "audit cannot be written" in told.text
    for path in ("/", here, "/history", "/account"):
        assert cast.viewer.get(path).status_code == 200
    for path in ("status", "runs", "history", "environments/staging/plan"):
        assert app.test_client().get(f"/api/v1/{path}", headers=headers).status_code == 200
    assert cast.admin.get("/audit").status_code == 200
    assert services.runs.running() == ()


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site: cross-site"),
        ({"Origin": "https://evil.example"}, "Origin: https://evil.example"),
    ],
)
def test_a_form_from_another_site_starts_nothing_and_is_told_with_whose_session_it_used(
    three: tuple[str, ...], cast: Cast, services: Services, headers: dict[str, str], told: str
) -> None:
    answer = cast.operator.post("/environments/staging/apply", headers=headers)
    assert answer.status_code == 403
    assert services.runs.running() == ()
    ((who, address, environment, subject, outcome, detail),) = refused(services)
    assert (who, address, environment) == (cast.operator.email, "127.0.0.1", "staging")
    assert (subject, outcome) == ("POST /environments/staging/apply", "refused")
    assert told in detail


def test_a_token_of_another_session_starts_nothing_and_is_told_once(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    form = {"csrf": cast.admin.token()}
    assert cast.operator.client.post("/environments/staging/apply", data=form).status_code == 403
    assert services.runs.running() == ()
    assert [row[:3] for row in refused(services)] == [(cast.operator.email, "127.0.0.1", "staging")]


@pytest.mark.usefixtures("signed_in")
def test_a_form_from_another_site_keeps_no_session_awake(
    three: tuple[str, ...], cast: Cast, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("UPDATE home.session SET seen_at = seen_at - interval '20 minutes'")
    before = in_home.execute("SELECT array_agg(seen_at ORDER BY token_hash) FROM home.session").fetchone()
    cast.operator.client.post("/environments/staging/apply", headers={"Sec-Fetch-Site": "cross-site"})
    assert in_home.execute("SELECT array_agg(seen_at ORDER BY token_hash) FROM home.session").fetchone() == before


def test_a_token_that_is_not_taken_is_told_once_a_minute_for_each_address_and_by_its_id_alone(
    app: Flask, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = services.tokens.add("ci", ["read"], "a test")
    services.tokens.revoke(revoked.id)

    def ask(header: str, address: str) -> None:
        how = {"headers": {"Authorization": header}, "environ_base": {"REMOTE_ADDR": address}}
        assert app.test_client().get("/api/v1/status", **how).status_code == 401

    assert app.test_client().get("/api/v1/status").status_code == 401  # nothing was tried
    for _ in range(3):
        ask(f"Bearer {revoked.token}", "192.0.2.1")
    ask("Bearer made-up", "192.0.2.2")
    ask(f"Basic {revoked.token}", "192.0.2.3")
    called = f"token {revoked.id}", "what is no token of ours", f"token {revoked.id}"
    asked = ("", "GET /api/v1/status", "refused")
    assert refused(services) == [
        ("nobody", f"192.0.2.{number}", *asked, f"{name}: not known, expired or revoked")
        for number, name in enumerate(called, 1)
    ]
    left_out = [vars(one)["address"] for one in caplog.records if one.message == "not in the audit"]
    assert left_out == ["192.0.2.1"] * 2
    for number in range(40):
        ask("Bearer made-up", f"198.51.100.{number}")
    assert len(refused(services)) == STRANGERS


def test_strangers_cannot_fill_the_audit(
    three: tuple[str, ...], cast: Cast, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        answer = cast.anybody.client.post("/environments/staging/apply", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
    assert [row[0] for row in refused(services)] == ["nobody"] * 20
    assert sum("not in the audit" in record.message for record in caplog.records) == 10


def test_each_file_that_somebody_takes_out_is_told_once_with_what_was_asked_for(
    three: tuple[str, ...], cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    cast.viewer.client.head("/history.csv")
    cast.viewer.get("/history.csv?environment=nowhere")
    cast.viewer.get("/audit.csv")  # forbidden
    cast.viewer.get("/history.csv?environment=staging&outcome=failed")
    cast.admin.get("/audit.json")
    rows = services.audit.page(AuditFilter(deed=Deed.EXPORTED)).rows
    assert [(row.who, row.address, row.environment, row.subject, row.detail) for row in reversed(rows)] == [
        (cast.viewer.email, "127.0.0.1", "staging", "history as CSV", "environment staging; what failed"),
        (cast.admin.email, "127.0.0.1", "", "audit as JSON", "all rows"),
    ]
    in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    assert cast.admin.get("/audit.csv").status_code == 200


def test_a_superuser_is_told_of_on_the_page_and_in_the_audit(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    assert "is a superuser: a migration could read" in cast.viewer.get("/environments/production").text
    (row,) = services.audit.page(AuditFilter(deed=Deed.PLAN_SHOWN)).rows
    assert "is a superuser: a migration could read" in row.detail


def test_a_plan_that_somebody_sees_is_told_once_until_it_is_another(
    three: tuple[str, ...], app: Flask, cast: Cast, services: Services, folder_path: Path, write: Write
) -> None:
    def rows() -> list[tuple[str, ...]]:
        found = reversed(services.audit.page(AuditFilter(deed=Deed.PLAN_SHOWN)).rows)
        return [(row.who, row.environment, row.subject, row.detail.partition(":")[0]) for row in found]

    def digest() -> str:
        return services.compare.look("staging").plan.digest  # type: ignore[union-attr]  # it is reachable

    here, first = "/environments/staging", digest()
    for person in (cast.viewer, cast.operator):
        for path in (here, f"/fragments{here}", here, "/environments/local"):  # local has nothing to run
            assert person.get(path).status_code in (200, 204)
    other = build(services.settings)
    anew = create_app(other).test_client()
    anew.set_cookie("rung", cast.viewer.client.get_cookie("rung").value)  # type: ignore[union-attr]  # there is one
    assert anew.get(here).status_code == 200  # another process
    other.close()
    seen = [(one.email, "staging", first, "1 pending") for one in (cast.viewer, cast.operator)]
    assert [row[:3] for row in rows()] == [row[:3] for row in seen]
    assert TEXT_HASH[:12] in services.audit.page(AuditFilter(deed=Deed.PLAN_SHOWN)).rows[0].detail
    write(folder_path, "006_more.sql", "CREATE TABLE more (id int);")
    services.compare.live()
    cast.viewer.get(here)
    token = services.tokens.add("ci", ["read"], "a test")
    for _ in range(2):
        app.test_client().get(f"/api/v1{here}/plan", headers={"Authorization": f"Bearer {token.token}"})
    assert [row[:3] for row in rows()[2:]] == [
        (cast.viewer.email, "staging", digest()),
        (f"ci (token {token.id})", "staging", digest()),
    ]


@pytest.mark.usefixtures("signed_in")
def test_a_plan_is_shown_where_the_audit_takes_no_rows_and_told_when_it_does_again(
    three: tuple[str, ...], cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    assert cast.viewer.get("/environments/staging").status_code == 200
    in_home.execute("DROP TRIGGER shut ON home.audit")
    cast.viewer.get("/environments/staging")
    assert len(services.audit.page(AuditFilter(deed=Deed.PLAN_SHOWN)).rows) == 1
