import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import DemoFault
from dashboard.core.matrix import BEHIND
from dashboard.core.picture import Picture
from dashboard.core.plan import Plan, State, make_plan
from dashboard.core.safety.review import review
from dashboard.folder import read_folder
from dashboard.postgres import embedded
from dashboard.postgres.observe import take_picture
from dashboard.services import demo

RUNG = (sys.executable, "-m", "dashboard")
PATIENCE = 60


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a demo of this test lives, with its own HOME and data folder."""
    path = tmp_path / "data" / "rung" / "demo"
    yield path
    embedded.remove(demo.cluster_of(path))


@pytest.fixture
def variables(folder: Path) -> dict[str, str]:
    """The variables of a shell that knows nothing of ours, with its data below the test's folder."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(folder.parents[2]), "XDG_DATA_HOME": str(folder.parents[1])}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[demo.Demo]:
    """A demo as it was made; tests only look at it."""
    path = tmp_path_factory.mktemp("shared") / "rung" / "demo"
    try:
        with demo.opened(path) as made:
            yield made
    finally:
        embedded.remove(demo.cluster_of(path))


def plan_of(running: demo.Demo, name: str) -> Plan:
    environment = Environment(name, demo.ENVIRONMENTS.index(name), running.server.url(name))
    picture = take_picture(environment)
    assert isinstance(picture, Picture), picture
    return make_plan(environment, read_folder(running.folder / "migrations", 10**6), picture, review)


def names(plan: Plan, *states: State) -> list[str]:
    return [entry.filename for entry in plan.entries if entry.state in states]


def ask(url: Secret, question: str) -> object:
    with psycopg.connect(url.reveal()) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


# --- what it makes ---


def test_a_second_demo_in_the_same_folder_is_refused(running: demo.Demo) -> None:
    with pytest.raises(DemoFault, match="runs already"), demo.opened(running.folder):
        pass


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoFault, match="XDG_DATA_HOME"), demo.opened(tmp_path / "file" / "rung" / "demo"):
        pass


def test_a_server_that_cannot_start_again_leads_to_reset(folder: Path) -> None:
    cluster = demo.cluster_of(folder)
    cluster.parent.mkdir(parents=True, exist_ok=True)
    embedded.start(cluster).stop()
    (cluster / "whole").touch()  # all that it takes to pass for a demo that was made
    (cluster / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(DemoFault, match="incompatible") as caught, demo.opened(folder):
        pass
    assert "--reset" in caught.value.advice


@pytest.mark.slow
def test_a_demo_that_cannot_start_again_is_made_anew_by_reset(folder: Path) -> None:
    with demo.opened(folder) as running:
        cluster = running.server.folder
    (cluster / "data" / "PG_VERSION").write_text("9\n")
    with demo.opened(folder, reset=True) as again:
        assert again.made


def test_local_is_up_to_date_staging_three_behind_production_six_with_one_destructive_and_one_edited(
    running: demo.Demo,
) -> None:
    local, staging, production = (plan_of(running, name) for name in demo.ENVIRONMENTS)
    assert [len(names(plan, *BEHIND)) for plan in (local, staging, production)] == [0, 3, 6]
    assert not staging.gated
    assert not staging.stops
    assert [step.migration.filename for step in production.gated] == ["016_drop_is_admin.sql"]
    edited = [names(plan, State.EDITED) for plan in (local, staging, production)]
    assert edited == [[], [], ["012_archive_projects.sql"]]


def test_its_past_was_made_by_several_people_and_says_why_it_was_forced(running: demo.Demo) -> None:
    url = running.server.url("staging")
    actors = "SELECT array_agg(DISTINCT actor ORDER BY actor) FROM rung.history WHERE event = 'applied'"
    assert ask(url, actors) == ["lead@example.com", "team-app"]
    assert "is_admin" in str(ask(url, "SELECT reason FROM rung.history WHERE filename = '016_drop_is_admin.sql'"))


def test_the_team_in_it_is_at_work(running: demo.Demo) -> None:
    assert ask(running.server.url("staging"), "SELECT count(*) FROM users WHERE role = 'admin'") == 3
    assert ask(running.server.url("production"), "SELECT count(*) FROM messages") == 3000


@pytest.mark.slow
def test_what_people_did_in_it_is_kept_until_reset(folder: Path) -> None:
    with demo.opened(folder) as running:
        assert running.made
        with psycopg.connect(running.server.url("local").reveal()) as connection:
            connection.execute("CREATE TABLE mine ()")
        (folder / "migrations" / "021_mine.sql").write_text("SELECT 1;")
    with demo.opened(folder) as running:
        assert not running.made
        assert ask(running.server.url("local"), "SELECT to_regclass('mine')::text") == "mine"
        assert names(plan_of(running, "local"), *BEHIND) == ["021_mine.sql"]
    with demo.opened(folder, reset=True) as running:
        assert running.made
        assert ask(running.server.url("local"), "SELECT to_regclass('mine')::text") is None
        assert names(plan_of(running, "local"), *BEHIND) == []


@pytest.mark.slow
def test_a_start_that_was_cut_off_is_made_anew(folder: Path) -> None:
    with demo.opened(folder) as running:
        running.server.drop_database("production")
        (running.server.folder / "whole").unlink()
    with demo.opened(folder) as running:
        assert running.made
        assert len(names(plan_of(running, "production"), *BEHIND)) == 6


def test_only_the_owner_reads_its_addresses(running: demo.Demo) -> None:
    assert (running.folder / ".env").stat().st_mode & 0o077 == 0
    environments = tomllib.loads((running.folder / "rung.toml").read_text())["environments"]
    assert list(environments) == list(demo.ENVIRONMENTS)


# --- the command ---


@contextlib.contextmanager
def running_demo(
    command: tuple[str, ...], variables: dict[str, str], cwd: Path
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`rung demo` as a process and the link it printed; ended hard if the test did not end it."""
    process = subprocess.Popen(
        [*command, "demo", "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
        cwd=cwd,
        process_group=0,
    )
    too_long = threading.Timer(PATIENCE, process.terminate)
    too_long.start()
    try:
        yield process, printed_link(process)
    finally:
        too_long.cancel()
        process.terminate()
        process.communicate(timeout=PATIENCE)


def printed_link(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        found = re.search(r"https?://\S+/sign-in/\S+", line)
        if found:
            return found.group()
    pytest.fail("it printed no link:\n" + "".join(said))


def left_behind(folder: Path) -> list[str]:
    """Processes that were started with this test's folder among their words or variables."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
            if str(folder).encode() in told or str(demo.cluster_of(folder)).encode() in told:
                found.append(told.split(b"\0\0")[0].replace(b"\0", b" ").decode())
    return found


def server_runs(folder: Path) -> bool:
    return (demo.cluster_of(folder) / "data" / "postmaster.pid").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_it_shows_a_page_and_ends_without_leaving_a_process(
    ending: signal.Signals, folder: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    cwd = tmp_path / "anywhere"
    cwd.mkdir()
    with running_demo(RUNG, variables, cwd) as (process, link):
        with urllib.request.urlopen(link) as page:  # noqa: S310  # our own
            assert page.status == 200
        assert len(left_behind(folder)) > 3
        os.killpg(process.pid, ending) if ending == signal.SIGINT else process.send_signal(ending)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert left_behind(folder) == []
    assert list(cwd.iterdir()) == []


@pytest.mark.slow
def test_another_shell_uses_its_databases(folder: Path, variables: dict[str, str], tmp_path: Path) -> None:
    with running_demo(RUNG, variables, tmp_path) as (process, _):
        command = [*RUNG, "status", "--json", "--config", str(folder / "rung.toml")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "017_add_user_preferences.sql" in done.stdout
        again = subprocess.run([*RUNG, "demo"], check=False, capture_output=True, text=True, env=variables)
        assert again.returncode == 1
        assert "runs already" in again.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_a_port_that_is_taken_ends_it_and_says_where_the_reason_stands(folder: Path, variables: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*RUNG, "demo", "--no-browser", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, timeout=PATIENCE)
    assert done.returncode == 1
    assert str(folder / "log") in done.stderr
    assert "in use" in (folder / "log").read_text()
    assert left_behind(folder) == []


@pytest.mark.slow
def test_it_ends_cleanly_when_stopped_while_it_is_still_being_made(folder: Path, variables: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*RUNG, "demo", "--port", "0", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables
    )
    until = time.monotonic() + PATIENCE
    while not server_runs(folder) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in said, said
    assert not server_runs(folder)
    with demo.opened(folder) as running:
        assert len(names(plan_of(running, "production"), *BEHIND)) == 6
