"""The main job, as a team lead and a developer do it: the demo as a process, a real Chromium, a shell."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from dashboard.postgres import embedded
from dashboard.services import demo

RUNG = (sys.executable, "-m", "dashboard")

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class RunningDemo:
    link: str
    address: str
    folder: Path
    variables: dict[str, str]
    cookies: list[Any] = field(default_factory=list)

    def sign_in(self, page: Page) -> None:
        """By the link, which works once; and after that by the cookie of the first time."""
        page.context.add_cookies(self.cookies)
        page.goto(self.address if self.cookies else self.link)
        if not self.cookies:
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(self.address + "/")
            self.cookies.extend(page.context.cookies())

    def rung(self, *words: str, code: int = 0) -> str:
        """`rung …` in another shell, pointed at the demo's databases."""
        command, *rest = words
        done = subprocess.run(
            [*RUNG, command, "--config", str(self.folder / "rung.toml"), *rest],
            capture_output=True, text=True, timeout=60, env=self.variables, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def history(self, environment: str, filename: str) -> dict[str, Any]:
        """The newest row about a file in an environment's own history."""
        with psycopg.connect(self.url(environment)) as connection:
            found = connection.execute(
                "SELECT to_jsonb(h) FROM rung.history h WHERE filename = %s AND event = 'applied' ORDER BY id DESC LIMIT 1",
                (filename,),
            ).fetchone()
        assert found is not None
        row: dict[str, Any] = found[0]
        return row

    def url(self, environment: str) -> str:
        text = (self.folder / ".env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())[f"RUNG_DEMO_{environment.upper()}_URL"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningDemo]:
    """`rung demo`, started as a person does, ended with Ctrl-C."""
    with _demo(tmp_path) as demo:
        yield demo


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """The same for several: one of them may change staging, nobody production."""
    with _demo(tmp_path_factory.mktemp("shared")) as demo:
        yield demo


@contextmanager
def _demo(tmp_path: Path) -> Iterator[RunningDemo]:
    folder = tmp_path / "data" / "rung" / "demo"
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    variables = kept | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    process = subprocess.Popen(
        [*RUNG, "demo", "--port", "0", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=variables,
    )  # fmt: skip
    try:
        link = _printed_link(process)
        yield RunningDemo(link, link.split("/sign-in")[0], folder, variables)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        embedded.remove(demo.cluster_of(folder))


def _printed_link(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        found = re.search(r"https?://\S+/sign-in/\S+", line)
        if found:
            return found.group()
    raise AssertionError("no link: " + "".join(seen))


def test_a_lead_brings_staging_up_to_date_and_reads_what_happened(shared: RunningDemo, page: Page) -> None:
    shared.sign_in(page)
    expect(page.get_by_role("columnheader", name=re.compile("staging"))).to_contain_text("3 behind")
    expect(page.get_by_role("columnheader", name=re.compile("production"))).to_contain_text("6 behind")

    page.get_by_role("columnheader", name=re.compile("staging")).get_by_role("link").first.click()
    page.get_by_role("button", name="Apply 3 pending to staging").click()
    expect(page).to_have_url(re.compile(r"/runs/"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("applied", timeout=30_000, ignore_case=True)

    page.goto(shared.address + "/")
    expect(page.get_by_role("columnheader", name=re.compile("staging"))).to_contain_text("up to date")
    page.goto(shared.address + "/history?environment=staging")
    expect(page.get_by_role("row", name=re.compile("020_create_invitations"))).to_contain_text("admin@example.com")

    row = shared.history("staging", "020_create_invitations.sql")
    assert (row["actor"], row["door"]) == ("admin@example.com", "web")


def test_production_names_the_destructive_file_and_refuses_it(shared: RunningDemo, page: Page) -> None:
    shared.sign_in(page)
    page.get_by_role("columnheader", name=re.compile("production")).get_by_role("link").first.click()
    expect(page.get_by_text("016_drop_is_admin.sql").first).to_be_visible()
    expect(page.get_by_text(re.compile("is_admin")).first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Apply 6 pending to production"))).to_have_count(0)


def test_button_command_and_deploy_leave_rows_that_differ_in_actor_and_door_only(
    running: RunningDemo, page: Page
) -> None:
    running.rung("migrate", "--env", "production", "--force", "--reason", "no code reads is_admin any more")
    running.rung("start", "--env", "staging", "--", sys.executable, "-c", "print('the app')")
    files = running.folder / "migrations"
    (files / "021_by_button.sql").write_text("CREATE TABLE by_button (id bigint);\n")
    by_door = {
        "cli": running.history("production", "020_create_invitations.sql"),
        "deploy": running.history("staging", "020_create_invitations.sql"),
    }

    running.sign_in(page)
    page.goto(running.address + "/environments/local")
    page.get_by_role("button", name="Apply 1 pending to local").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("applied", timeout=30_000, ignore_case=True)
    by_door["web"] = running.history("local", "021_by_button.sql")

    assert {door: row["door"] for door, row in by_door.items()} == {"cli": "cli", "deploy": "deploy", "web": "web"}
    assert by_door["web"]["actor"] == "admin@example.com"
    same = ("event", "hash_version", "host", "tool_version", "sqlstate", "message", "line")
    assert len({tuple(row[name] for name in same) for row in by_door.values()}) == 1
    assert len({frozenset(row) for row in by_door.values()}) == 1
    assert by_door["cli"]["reason"] == "no code reads is_admin any more"


def test_a_developer_does_it_all_from_a_shell(running: RunningDemo) -> None:
    assert "3 behind" in running.rung("status")
    made = running.rung("new", "add project colour", "--column", "projects.colour:text")
    assert "021_add_project_colour.sql" in made
    assert "021_add_project_colour.sql" in running.rung("check", "--env", "local")
    running.rung("migrate", "--env", "local")
    assert "Nothing to do" in running.rung("migrate", "--env", "local")

    refused = running.rung("migrate", "--env", "production", code=3)
    assert "016_drop_is_admin.sql" in refused
    assert "is_admin" in refused
    assert "--force" in refused
    running.rung("check", "--env", "production", code=3)
    running.rung("migrate", "--env", "production", "--force", "--reason", "no code reads it")
    rows = json.loads(running.rung("history", "--env", "production", "--json"))
    assert any("no code reads it" in json.dumps(row) for row in rows["rows"])
    running.rung("history", "--env", "production", "--verify")
