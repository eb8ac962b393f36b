"""What a database answers may be as long and as broken as it likes: pages stay pages, and stay small."""

import resource
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Secret
from dashboard.postgres import embedded
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import Cast

LONG = 10_000_000  # characters of one name
MOST = 300_000  # bytes of a page
MORE = 400_000  # KiB of memory that the looking may cost; a picture is read, kept as JSON, and drawn
LEDGER = "CREATE TABLE public._migrations_applied (filename text NOT NULL, applied_at timestamptz DEFAULT now())"
PAGES = ("/", "/environments/staging", "/history", "/fragments/ladder", "/fragments/environments/staging")


def do(url: Secret | None, *statements: str) -> None:
    assert url
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def look_at_all(cast: Cast) -> list[str]:
    answers = [cast.admin.get(path) for path in PAGES]
    assert {answer.status_code for answer in answers} <= {200, 204}
    assert all(len(answer.data) < MOST for answer in answers), [len(answer.data) for answer in answers]
    return [answer.text for answer in answers]


def test_a_name_of_ten_megabytes_in_a_ledger_makes_no_page_large(
    settings: Settings, cast: Cast, services: Services, names: tuple[str, ...]
) -> None:
    url = settings.environment("staging").url
    do(url, LEDGER, f"INSERT INTO _migrations_applied (filename) VALUES (repeat('x', {LONG}))")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    services.compare.live()
    pages = look_at_all(cast)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MORE
    assert "staging" in pages[0]


@pytest.fixture
def broken(server: embedded.EmbeddedServer) -> Iterator[Secret]:
    """A database that takes any bytes for text."""
    with psycopg.connect(server.url("postgres").reveal(), autocommit=True) as connection:
        make = "CREATE DATABASE {} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        connection.execute(sql.SQL(make).format(sql.Identifier("test_broken_text")))
    yield server.url("test_broken_text")
    server.drop_database("test_broken_text")


def test_a_ledger_that_is_no_text_is_told_of_and_every_page_works(
    settings: Settings, broken: Secret, names: tuple[str, ...]
) -> None:
    others = [replace(one, url=broken) if one.name == "staging" else one for one in settings.environments]
    services = build(replace(settings, environments=tuple(others)))
    do(broken, LEDGER, r"INSERT INTO _migrations_applied VALUES (E'001_\xff\xfe.sql')")
    try:
        cast = Cast(create_app(services), services)
        services.compare.live()
        assert "that is not a ledger" in look_at_all(cast)[1]
    finally:
        services.close()
