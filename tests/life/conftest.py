import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Secret
from tests.conftest import MakeDatabase
from tests.life.people import Person
from tests.life.render import HOST, Render

FIRST = {"001_a.sql": "CREATE TABLE a (id bigint);"}


@pytest.fixture
def render(tmp_path: Path, home_url: Secret, make_database: MakeDatabase) -> Iterator[Render]:
    """A workspace in which nothing runs yet."""
    given = {name: make_database().reveal() for name in ("STAGING_DATABASE_URL", "PRODUCTION_DATABASE_URL")}
    made = Render(tmp_path, home_url.reveal(), given)
    yield made
    made.close()


def let_in(render: Render, checkout: Path) -> Person:
    """As docs/render.md says: an account and a link, from a shell of the web service."""
    assert render.run(".venv/bin/rung user add lead@example.com --role admin", checkout).returncode == 0
    said = render.run(".venv/bin/rung user link lead@example.com", checkout).stdout
    found = re.search(rf"https://{HOST}/\S+", said)
    assert found, said
    lead = Person(render.front.port, HOST)
    lead.open_link(found.group())
    return lead


def until(true: Callable[[], Any], patience: float = 30) -> Any:
    """Ask until the answer is something; that answer."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = true()
        if answer:
            return answer
        time.sleep(0.05)
    pytest.fail("it never came true")


def do(url: str, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
