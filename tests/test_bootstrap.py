"""The wiring: nothing is opened, and nothing heavy loaded, before it is used."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.bootstrap import build
from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import NoHome
from dashboard.core.record import HistoryFilter
from dashboard.settings import Settings

HEAVY = {"flask", "procrastinate", "structlog", "argon2", "psycopg_pool", "postgast", "click", "rich", "asyncio"}


def loaded_by(code: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter has loaded after this."""
    ask = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_building_the_services_loads_not_even_the_driver() -> None:
    code = """
from pathlib import Path
from dashboard.bootstrap import build
from dashboard.core.environment import Environment, Secret
from dashboard.settings import Settings
services = build(Settings(Path(), Path(), (Environment("local", 0, Secret("postgresql://127.0.0.1:1/x")),), Secret("postgresql://127.0.0.1:1/home")))
"""
    assert loaded_by(code) & (HEAVY | {"psycopg"}) == set()


def test_comparing_loads_the_driver_and_nothing_else_that_is_heavy() -> None:
    loaded = loaded_by("import dashboard.services.compare, dashboard.services.history")
    assert "psycopg" in loaded
    assert loaded & (HEAVY - {"asyncio"}) == set()  # psycopg itself loads asyncio


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path, (Environment("local", 0, Secret("postgresql://rung@127.0.0.1:1/nowhere")),))


def test_without_home_what_needs_it_says_so_and_the_rest_works(settings: Settings) -> None:
    services = build(settings)
    with pytest.raises(NoHome, match="a run from the browser needs it"):
        _ = services.runs
    with pytest.raises(NoHome, match="signing in needs it"):
        _ = services.accounts
    with pytest.raises(NoHome, match="the history of all environments needs it"):
        services.history.page(HistoryFilter())
    assert services.compare.live().columns[0].headline == "not reachable"
    services.close()


def test_services_are_made_once(settings: Settings) -> None:
    services = build(replace(settings, home=Secret("postgresql://rung@127.0.0.1:1/home")))
    assert services.runs is services.runs
    assert services.accounts is services.accounts
    assert services.compare is services.compare
