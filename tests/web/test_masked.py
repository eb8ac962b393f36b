"""A password that a migration hands over is executed as it is, and shown and kept nowhere."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from dashboard.bootstrap import Services
from dashboard.core.plan import State
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.settings import Settings
from tests.cast import Cast
from tests.conftest import Write

SECRET = "c4nary-p4ssw0rd"
ROLE = "rung_test_masked"
GOOD = f"""CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRET}';
DO $x$ BEGIN EXECUTE 'ALTER ROLE {ROLE} PASSWORD ''{SECRET}'''; END $x$;
"""
BAD = f"""ALTER ROLE {ROLE} PASSWORD '{SECRET}';
DO $$ BEGIN EXECUTE 'ALTER ROLE rung_nobody_is_called_so PASSWORD ''{SECRET}'''; END $$;
"""
ORDER = Order(Actor(ActorKind.PERSON, "lead@example.com", Door.WEB), force=True, reason="a test")


@pytest.fixture
def staging(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    url = settings.environment("staging").url
    assert url
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        yield connection
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")


@pytest.fixture
def ran(
    staging: psycopg.Connection[Any],
    folder_path: Path,
    write: Write,
    services: Services,
    caplog: pytest.LogCaptureFixture,
) -> str:
    """A run that applied one such file and failed in another."""
    write(folder_path, "001_role.sql", GOOD)
    write(folder_path, "002_fails.sql", BAD)
    services.compare.live()
    with caplog.at_level("DEBUG"):
        run_id = services.runs.ask("staging", ORDER).run_id
        services.runs.execute(run_id)
    view = services.runs.show(run_id)
    assert view
    assert view.outcome is Outcome.FAILED, view.result
    return run_id


def test_it_is_executed_as_it_is_and_hashed_as_it_is(
    ran: str, settings: Settings, staging: psycopg.Connection[Any], services: Services
) -> None:
    url = settings.environment("staging").url
    assert url
    psycopg.connect(url.reveal(), user=ROLE, password=SECRET).close()
    stored = staging.execute("SELECT rolpassword LIKE 'SCRAM%%' FROM pg_authid WHERE rolname = %s", (ROLE,)).fetchone()
    assert stored == (True,)
    (row,) = (one for one in services.history.live("staging") if one.filename == "001_role.sql")
    assert row.raw_hash == hashlib.sha256(GOOD.encode()).hexdigest()
    assert row.sql == GOOD.replace(SECRET, "*" * len(SECRET))
    assert services.history.verify("staging").ok


def test_no_database_of_ours_and_no_log_holds_it(
    ran: str, staging: psycopg.Connection[Any], in_home: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    records = [str(vars(record)) for record in caplog.get_records("setup")]
    assert any("run ended" in record for record in records)
    assert SECRET not in str(records)
    for connection, schemas in ((staging, ["rung", "public"]), (in_home, ["home", "rung"])):
        tables = connection.execute(
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY (%s)", (schemas,)
        ).fetchall()
        assert tables
        for (table,) in tables:
            assert SECRET not in str(connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()), table


def test_no_page_no_file_and_no_answer_shows_it(ran: str, cast: Cast, app: Flask, services: Services) -> None:
    token = services.tokens.add("ci", ["read", "audit"], "a test").token
    pages = {
        "/",
        "/environments/staging",
        "/environments/production",
        "/migrations/001_role.sql",
        "/migrations/002_fails.sql",
        f"/runs/{ran}",
        f"/fragments/runs/{ran}",
        f"/runs/{ran}/print",
        "/history",
        "/history.csv",
        "/history.json",
        "/audit",
        "/audit.json",
    }
    for path in sorted(pages):
        answer = cast.admin.get(path)
        assert answer.status_code == 200, path
        assert SECRET not in re.sub(r"<[^>]*>|&#\d+;", "", answer.text), path
        assert SECRET not in answer.text, path
    assert "PASSWORD" in cast.admin.read("/migrations/002_fails.sql")
    answers = ("status", "environments/staging/plan", "runs", f"runs/{ran}", f"runs/{ran}/events", "history", "audit")
    for path in answers:
        answer = app.test_client().get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, path
        assert SECRET not in answer.text, path


def test_another_password_is_an_edit_and_the_page_says_what_cannot_be_shown(
    ran: str, cast: Cast, folder_path: Path, write: Write, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    def state() -> State:
        plan = services.compare.look("staging").plan
        assert plan
        return next(entry.state for entry in plan.entries if entry.filename == "001_role.sql")

    assert state() is State.APPLIED
    other = "an0ther-p4sswrd"
    write(folder_path, "001_role.sql", GOOD.replace(SECRET, other))
    assert state() is State.EDITED
    services.compare.live()
    page = cast.admin.get("/environments/staging").text
    assert "Only a password in it was changed" in page
    assert other not in page
    write(folder_path, "001_role.sql", GOOD.replace(SECRET, other) + "-- a remark\n")
    services.compare.live()
    in_home.execute("UPDATE home.history SET sql = %s WHERE filename = '001_role.sql'", (GOOD,))  # as it once was kept
    page = cast.admin.get("/environments/staging").text
    assert "a remark" in page
    assert other not in page
    assert SECRET not in page
