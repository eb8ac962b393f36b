"""What docs/auditors.md tells people to run finds what it says it finds."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from dashboard.bootstrap import build
from dashboard.core.environment import Environment, Secret
from dashboard.core.record import HistoryFilter
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web.export import json_lines, values_of
from tests.conftest import Write

DOCS = (Path(__file__).parents[1] / "docs" / "auditors.md").read_text()
SQL, PYTHON = (re.findall(rf"```{kind}\n(.*?)```", DOCS, re.DOTALL)[0] for kind in ("sql", "python"))


@pytest.fixture
def settings(environment: Environment, folder_path: Path, home_url: Secret, write: Write) -> Settings:
    """One environment where four rows of history were written, a failure among them."""
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    write(folder_path, "002_b.sql", "SELECT 'Zoë' || 1/0;")
    made = Settings(folder_path.parent, folder_path, (environment,), home_url, "RUNG_HOME_URL")
    services = build(made)
    apply(environment, services.folder.read, Order(Actor(ActorKind.PERSON, "Zoë", Door.CLI), force=True, reason="—"))
    write(folder_path, "002_b.sql", "CREATE INDEX CONCURRENTLY a_id ON a (id);")
    apply(environment, services.folder.read, Order(Actor(ActorKind.PERSON, "Zoë", Door.CLI)))
    services.close()
    return made


def bad_rows(environment: Environment, *changes: str) -> list[int]:
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True, client_encoding="latin1") as connection:
        connection.execute("ALTER TABLE rung.history DISABLE TRIGGER history_append_only")
        for change in changes:
            connection.execute(change.encode())
        setting, question = SQL.split(";", 1)
        connection.execute(setting.encode())
        return [row for (row,) in connection.execute(question.strip().rstrip(";").encode())]


def test_the_query_of_the_page_finds_nothing_in_a_whole_chain(settings: Settings, environment: Environment) -> None:
    assert bad_rows(environment) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE rung.history SET reason = 'another' WHERE id = 2", [2]),
        ("UPDATE rung.history SET sql_text = 'SELECT 1' WHERE id = 2", [2]),
        ("UPDATE rung.history SET finished_at = finished_at + interval '1 microsecond' WHERE id = 3", [3]),
        ("DELETE FROM rung.history WHERE id = 2", [3]),
    ],
)
def test_the_query_of_the_page_finds_what_was_changed(
    settings: Settings, environment: Environment, change: str, found: list[int]
) -> None:
    bad = bad_rows(environment, change)
    assert bad[: len(found)] == found


def test_the_program_of_the_page_follows_an_export(
    settings: Settings, environment: Environment, tmp_path: Path
) -> None:
    services = build(settings)
    services.compare.live()
    head = services.history.verify(environment.name).head
    rows = list(services.history.export(HistoryFilter(), 100) or ())
    now = rows[0].row.finished_at
    services.close()
    program = tmp_path / "check.py"
    program.write_text(PYTHON)

    def run(name: str, *texts: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / name).write_text("".join(texts))
        return subprocess.run([sys.executable, program, tmp_path / name], capture_output=True, text=True, check=False)

    whole = run("whole.json", *json_lines(map(values_of, rows), {}, now))
    assert whole.stdout == f"{len(rows)} rows, head {head}\n", whole.stderr
    without = run("without.json", *json_lines(map(values_of, [*rows[:1], *rows[2:]]), {}, now))
    assert without.returncode == 1
    assert "does not follow" in without.stderr
