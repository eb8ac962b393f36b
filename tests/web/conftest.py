"""Real pages of real services on a real home, with three real environments."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from werkzeug.serving import make_server

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.environment import Environment, Policies, Secret
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import Cast
from tests.conftest import Write

FILES = {
    "001_create_users.sql": "BEGIN;\nCREATE TABLE users (id int PRIMARY KEY, is_admin boolean);\nCOMMIT;\n",
    "002_create_teams.sql": "CREATE TABLE teams (id int PRIMARY KEY);\n",
    "003_add_email.sql": "-- where to write to\nALTER TABLE users ADD COLUMN email text;\n",
    "004_drop_is_admin.sql": "ALTER TABLE users DROP COLUMN is_admin;\n",
    "005_create_tasks.sql": "CREATE TABLE tasks (id int PRIMARY KEY);\n",
}
LEDGER = (
    "CREATE TABLE IF NOT EXISTS public._migrations_applied"
    " (filename text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT pg_catalog.now())"
)
NOWHERE = Secret("postgresql://rung@127.0.0.1:1/nowhere")

Applied = Callable[..., None]


@pytest.fixture
def names(folder_path: Path, write: Write) -> tuple[str, ...]:
    """Five files, of which the fourth is destructive."""
    for name, text in FILES.items():
        write(folder_path, name, text)
    return tuple(FILES)


@pytest.fixture
def settings(environments: tuple[Environment, ...], folder_path: Path, home_url: Secret) -> Settings:
    *others, production = environments
    protected = replace(production, policies=Policies(protected=True))
    return Settings(folder_path.parent, folder_path, (*others, protected), home_url, "RUNG_HOME_URL")


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    built = build(settings)
    yield built
    built.close()


@pytest.fixture
def app(services: Services) -> Flask:
    made = create_app(services)
    made.testing = False  # an error has to become a page, as it does for people
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Flask:
    """The pages with no database behind them, for what must not need one."""
    made = create_app(build(Settings(tmp_path, tmp_path, (Environment("local", 0, NOWHERE),), NOWHERE)))
    made.testing = False
    return made


@pytest.fixture
def cast(app: Flask, services: Services) -> Cast:
    return Cast(app, services)


@pytest.fixture
def signed_in(cast: Cast) -> None:
    """Everybody of the cast has signed in before the test begins, for what counts on their rows."""
    for role in Role:
        cast.of(role)


@pytest.fixture
def filled(settings: Settings) -> Applied:
    """`filled("local", *names)`: another tool's ledger has these files, and the database what they make."""

    def fill(environment: str, *names: str) -> None:
        url = settings.environment(environment).url
        assert url is not None
        with psycopg.connect(url.reveal(), autocommit=True) as connection:
            connection.execute(LEDGER.encode())
            for name in names:
                with suppress(psycopg.errors.UndefinedTable):  # where a test leaves out the file before
                    connection.execute(FILES.get(name, "").encode())
                connection.execute("INSERT INTO public._migrations_applied (filename) VALUES (%s)", (name,))

    return fill


@pytest.fixture
def applied(filled: Applied, services: Services) -> Applied:
    """`applied("local", *names)`: another tool's ledger has these files; and home has looked."""

    def fill(environment: str, *names: str) -> None:
        filled(environment, *names)
        services.compare.live()

    return fill


@pytest.fixture
def three(names: tuple[str, ...], filled: Applied, services: Services) -> tuple[str, ...]:
    """Local has all files, staging lacks the last, production lacks the last three (one of them destructive)."""
    filled("local", *names)
    filled("staging", *names[:4])
    filled("production", *names[:2])
    services.compare.live()
    return names


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The pages behind a real port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with serving(app) as there:
        yield there
