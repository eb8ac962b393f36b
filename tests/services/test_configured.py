"""A configuration that changed is noticed at the next start, once, and without a secret."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import note_configuration
from dashboard.core.audit import AuditFilter, AuditRow, Deed
from dashboard.core.environment import Environment, Policies, Secret
from dashboard.core.oidc import Issuer
from dashboard.postgres.home.pool import Home
from dashboard.services.audit import Audit
from dashboard.settings import Settings

SECRET = "s3cr%20t-canary"
LOCAL = Environment("local", 0, Secret(f"postgresql://rung:{SECRET}@db.example:5433/app?sslmode=require"))
STAGING = Environment("staging", 1, None, "STAGING_URL")


@pytest.fixture
def settings(home_url: Secret) -> Settings:
    return Settings(Path(), Path(), (LOCAL, STAGING), home_url)


def rows(home: Home) -> list[AuditRow]:
    return list(reversed(Audit(home).page(AuditFilter(deed=Deed.CONFIGURED)).rows))


def with_local(settings: Settings, **changed: object) -> Settings:
    return replace(settings, environments=(replace(LOCAL, **changed), STAGING))  # type: ignore[arg-type]  # fields of it


def test_a_start_goes_on_where_the_audit_takes_no_rows_or_home_is_away(
    settings: Settings, in_home: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")
    note_configuration(settings)
    note_configuration(replace(settings, home=Secret("postgresql://rung@127.0.0.1:1/home")))
    assert caplog.text.count("the configuration is not in the audit") == 2


def test_the_same_configuration_is_told_once_and_every_change_of_it(settings: Settings, home: Home) -> None:
    moved = Secret("postgresql://rung:x@db.example:5433/other")
    versions = [
        settings,
        with_local(settings, policies=Policies(protected=True)),
        with_local(settings, policies=Policies(stuck_sessions=9)),
        with_local(settings, url=moved),
        with_local(settings, name="here"),
        replace(settings, environments=(replace(STAGING, position=0), replace(LOCAL, position=1))),
        settings,
    ]
    for number, version in enumerate(versions, start=1):
        note_configuration(version)
        note_configuration(version)
        assert len(rows(home)) == number
    assert rows(home)[0].detail == "local db.example:5433/app; staging without an address"
    assert rows(home)[1].detail.startswith("local (protected) ")
    assert rows(home)[0].subject == rows(home)[-1].subject
    assert Audit(home).verify().ok


def test_another_password_is_no_change_and_no_password_is_told(settings: Settings, home: Home) -> None:
    note_configuration(settings)
    note_configuration(
        with_local(settings, url=Secret("postgresql://rung:another@db.example:5433/app?sslmode=require"))
    )
    (row,) = rows(home)
    assert "s3cr" not in str(row)
    assert (row.who, row.address) == ("nobody", "")


def test_another_issuer_is_another_configuration_and_another_label_is_not(settings: Settings, home: Home) -> None:
    issuer = Issuer("https://accounts.example.com", "rung", Secret("s3cr3t"))
    note_configuration(settings)
    for oidc in (issuer, replace(issuer, label="Acme"), replace(issuer, domains=("example.com",))):
        note_configuration(replace(settings, oidc=oidc))
    without, first, narrower = (row.detail for row in rows(home))
    assert "signs people in" not in without
    assert first == narrower
    assert first.endswith("https://accounts.example.com signs people in")
