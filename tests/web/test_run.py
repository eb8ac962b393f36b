"""One run: waiting, running, ended, and one that a command made."""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web.progress import FileProgress
from dashboard.web.run import _statements as statements_of
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write
from tests.oracle import wait_until
from tests.web.conftest import Applied

PERSON = Actor(ActorKind.PERSON, "operator@example.com", Door.WEB)
DEPLOY = Order(Actor(ActorKind.DEPLOY, "srv-42", Door.DEPLOY))


@pytest.fixture
def folder(applied: Applied, write: Write, folder_path: Path) -> Path:
    """Two files, and staging has none of them."""
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);\nCREATE INDEX a_id ON a (id);\n")
    write(folder_path, "002_b.sql", "CREATE TABLE b (id int);\n")
    applied("staging")
    return folder_path


def ask(services: Services, **how: object) -> str:
    return services.runs.ask("staging", Order(PERSON, **how)).run_id  # type: ignore[arg-type]  # words of the test


def run(services: Services, **how: object) -> str:
    run_id = ask(services, **how)
    services.runs.execute(run_id)
    return run_id


def shown(page: str) -> list[tuple[str, str]]:
    """The files of the page with their words."""
    return re.findall(r'(?s)data-key="([^"]+\.sql)">.*?<span class="word">([^<]+)</span>', page)


# --- what goes wrong ---


def test_a_failure_says_what_the_command_says(folder: Path, write: Write, cast: Cast, services: Services) -> None:
    write(folder, "002_b.sql", "CREATE TABLE b (id int);\nALTER TABLE nowhere\n  ADD COLUMN x int;\n")
    page = cast.viewer.get(f"/runs/{run(services)}")
    text = words(page)
    assert "Failed at 002_b.sql" in text
    assert "1 of 2 files applied" in text
    assert 'ERROR 42P01: relation "nowhere" does not exist' in text
    assert "What to do:" in text
    assert "002_b.sql:2" in text
    assert 'href="/migrations/002_b.sql#L2"' in page.text
    assert shown(page.text) == [("001_a.sql", "applied"), ("002_b.sql", "failed")]
    assert 'data-pace="still"' in page.text
    assert "<title>failed · staging · Rung</title>" in page.text


def statements(page: str) -> list[str]:
    return re.findall(r'<span class="unseen">([a-z ]+): </span><code>', page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CREATE TABLE b (id int);\nALTER TABLE nowhere ADD COLUMN x int;\n", ["rolled back", "failed"]),
        ("VACUUM a;\nVACUUM nowhere;\n", ["done", "failed"]),  # each for itself
    ],
)
def test_what_a_failure_took_back_does_not_look_done(
    folder: Path, write: Write, cast: Cast, services: Services, text: str, shown: list[str]
) -> None:
    write(folder, "002_b.sql", text)
    page = cast.viewer.get(f"/runs/{run(services)}").text
    assert re.findall(r'<span class="unseen">([a-z ]+): </span><code>', page) == ["done", "done", *shown]


def test_what_stands_at_its_file_is_not_noted_once_more(
    folder: Path, cast: Cast, services: Services, write: Write
) -> None:
    write(folder, "002_b.sql", "-- nothing to do any more\n")
    said = cast.viewer.read(f"/runs/{run(services)}")
    assert said.casefold().count("it has no statement") == 1


def test_a_failed_run_leads_to_what_has_to_be_decided(
    folder: Path, write: Write, cast: Cast, services: Services
) -> None:
    write(folder, "001_a.sql", "CREATE TABLE a AS SELECT 1 AS id FROM generate_series(1, 2);\n")
    write(folder, "002_b.sql", "CREATE UNIQUE INDEX CONCURRENTLY b ON a (id);\n")
    page = cast.viewer.get(f"/runs/{run(services)}").text
    assert '<a class="button" href="/environments/staging#cases">Decide about 002_b.sql</a>' in page
    assert 'id="cases"' in cast.viewer.get("/environments/staging").text


def test_a_failed_run_that_left_nothing_behind_leads_to_its_environment(
    folder: Path, write: Write, cast: Cast, services: Services
) -> None:
    write(folder, "002_b.sql", "ALTER TABLE nowhere ADD COLUMN x int;\n")
    page = cast.viewer.get(f"/runs/{run(services)}").text
    assert '<a class="button" href="/environments/staging">What staging needs now</a>' in page


def test_a_refusal_names_the_file_and_what_would_be_lost(
    folder: Path, write: Write, cast: Cast, services: Services
) -> None:
    write(folder, "003_drop.sql", "DROP TABLE a_long_gone_table;\n")
    text = cast.viewer.read(f"/runs/{run(services)}")
    assert "Refused: nothing ran on staging" in text
    assert "003_drop.sql" in text
    assert "a_long_gone_table" in text


def test_a_plan_that_changed_is_said_to_have_changed(folder: Path, cast: Cast, services: Services) -> None:
    assert "The plan has changed: nothing ran on staging" in cast.viewer.read(
        f"/runs/{run(services, expected_digest='0' * 64)}"
    )


def test_an_error_with_markup_in_it_is_only_text(folder: Path, write: Write, cast: Cast, services: Services) -> None:
    write(folder, "002_b.sql", """DO $$ BEGIN RAISE EXCEPTION '<img src=x onerror=alert(1)> {{7*7}}'; END $$;""")
    page = cast.viewer.get(f"/runs/{run(services)}")
    assert "<img" not in page.text
    assert "<img src=x onerror=alert(1)> {{7*7}}" in words(page)


@pytest.mark.parametrize("run_id", ["x", "..", "' OR 1=1 --", "018f2b6e-0000-7000-8000-000000000000", "é"])
def test_a_run_that_is_not_there_is_not_found(folder: Path, cast: Cast, run_id: str) -> None:
    assert cast.viewer.get(f"/runs/{run_id}").status_code == 404
    assert cast.viewer.get(f"/fragments/runs/{run_id}").status_code == 404


# --- what is in the way ---


@contextlib.contextmanager
def executing(services: Services, run_id: str) -> Iterator[None]:
    worker = threading.Thread(target=services.runs.execute, args=(run_id,))
    worker.start()
    yield
    worker.join(60)


@contextlib.contextmanager
def somebody(settings: Settings, application: str) -> Iterator[psycopg.Connection[Any]]:
    url = settings.environment("staging").url
    assert url
    with psycopg.connect(url.reveal(), application_name=application, autocommit=True) as connection:
        yield connection


def test_a_statement_that_waits_says_for_whom_and_who_is_stuck_behind_it(
    folder: Path, write: Write, cast: Cast, services: Services, settings: Settings
) -> None:
    write(folder, "001_a.sql", "SET LOCAL lock_timeout = '60s';\nALTER TABLE shop ADD COLUMN more int;\n")
    run_id = ask(services)
    read = lambda: cast.viewer.read(f"/runs/{run_id}")  # noqa: E731  # several times
    with somebody(settings, "<nightly dump>") as holder, somebody(settings, "till") as other:
        holder.execute("CREATE TABLE shop (id int)")
        holder.execute("BEGIN; SELECT * FROM shop")
        with executing(services, run_id):
            wait_until(lambda: "Waits for a lock held by 1 session" in read())
            reader = threading.Thread(target=other.execute, args=("SELECT * FROM shop",))
            reader.start()
            text = wait_until(lambda: text if "1 session stuck behind it" in (text := read()) else "")
            assert "001_a.sql waits for <nightly dump> (process" in text
            assert "idle in transaction transaction open for" in text
            assert re.search(r"till process \d+ user \w+ waited", text)
            reader.join(60)
            holder.execute("ROLLBACK")
    text = read()
    assert "Applied 2 files to staging" in text
    assert "Attempt 1 of 6 did not go through (57014): it was cancelled while it waited for a lock" in text
    assert "Waits for a lock" not in text


def test_a_long_index_build_has_a_meter(
    folder: Path, write: Write, cast: Cast, services: Services, settings: Settings
) -> None:
    with somebody(settings, "till") as connection:
        connection.execute("CREATE TABLE wide (it text STORAGE PLAIN)")
        connection.execute("INSERT INTO wide SELECT repeat('x', 5000) FROM generate_series(1, 100)")
        slow = "AS 'SELECT pg_sleep(0.02); SELECT $1'"
        connection.execute(f"CREATE FUNCTION public.slow(text) RETURNS text LANGUAGE sql IMMUTABLE {slow}".encode())
    write(folder, "001_a.sql", "CREATE INDEX ON wide (left(slow(it), 9));\n")
    run_id = ask(services)
    with executing(services, run_id):
        page = wait_until(lambda: page if "<progress" in (page := cast.viewer.get(f"/runs/{run_id}").text) else "")
        assert re.search(r'<progress max="100" value="\d+" aria-label="CREATE INDEX: building index[^"]*">', page)
        assert re.search(r"[\d,]+ of [\d,]+ blocks", page)
    assert "<progress" not in cast.viewer.get(f"/runs/{run_id}").text


# --- what goes well ---


def test_a_run_that_waits_says_so_and_can_be_stopped(folder: Path, cast: Cast, services: Services) -> None:
    run_id = ask(services)
    page = cast.operator.get(f"/runs/{run_id}")
    assert "Waiting to start on staging" in words(page)
    assert 'data-pace="fast"' in page.text
    assert cast.operator.post(f"/runs/{run_id}/stop").location == f"/runs/{run_id}"
    text = cast.viewer.read(f"/runs/{run_id}")
    assert "Stopped before anything was applied" in text
    assert "operator@example.com asked to stop it" in text


def test_a_run_that_somebody_stopped_in_a_file_is_no_failure(
    folder: Path, write: Write, cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    write(folder, "001_a.sql", "CREATE TABLE a (id int);\nSELECT pg_sleep(60);\n")
    run_id = ask(services)
    with executing(services, run_id):
        wait_until(lambda: ("001_a.sql", "running") in shown(cast.viewer.get(f"/runs/{run_id}").text))
        cast.operator.post(f"/runs/{run_id}/stop")
    from_home = cast.viewer.get(f"/runs/{run_id}").text
    assert ("001_a.sql", "cancelled") in shown(from_home)
    services.compare.look_again("staging")
    needs = cast.viewer.get("/environments/staging")
    assert "001_a.sql pending Cancelled by operator@example.com" in words(needs)
    assert "failed" not in words(needs)
    in_home.execute("DELETE FROM home.run")  # what is left is the environment's own history
    from_history = cast.viewer.get(f"/runs/{run_id}").text
    assert shown(from_history) == [("001_a.sql", "cancelled")]
    for page in (from_home, from_history):
        live = page.partition("<h1>")[2]
        assert "Cancelled by operator@example.com" in live
        assert '<p class="said">ERROR' not in live
        assert not re.search(r'class="[^"]*\bdanger\b', live)


def test_a_run_that_no_worker_takes_asks_for_one(
    folder: Path, cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    run_id = ask(services)
    in_home.execute("UPDATE home.run SET requested_at = requested_at - interval '1 minute'")
    assert "No worker has taken this run for 1 min. Is `rung worker` running?" in cast.viewer.read(f"/runs/{run_id}")


def test_a_viewer_cannot_stop_a_run(folder: Path, cast: Cast, services: Services) -> None:
    run_id = ask(services)
    assert "Stop this run" not in cast.viewer.read(f"/runs/{run_id}")
    assert cast.viewer.post(f"/runs/{run_id}/stop").status_code == 403
    assert services.runs.running()[0].stop_asked_by is None


def test_the_end_can_be_read_from_across_the_room(folder: Path, cast: Cast, services: Services) -> None:
    page = cast.viewer.get(f"/runs/{run(services)}")
    assert re.search(r'(?s)<header class="banner good">.*?<h1>Applied 2 files to staging</h1>', page.text)
    assert shown(page.text) == [("001_a.sql", "applied"), ("002_b.sql", "applied")]
    assert "CREATE INDEX a_id ON a (id)" in words(page)
    assert "Stop this run" not in words(page)


def test_nothing_to_do_is_a_good_end(folder: Path, cast: Cast, services: Services, settings: Settings) -> None:
    apply(settings.environment("staging"), services.folder.read, DEPLOY)
    assert "Nothing to do on staging" in cast.viewer.read(f"/runs/{run(services)}")


def test_a_forced_run_shows_its_reason(
    folder: Path, write: Write, cast: Cast, services: Services, settings: Settings
) -> None:
    apply(settings.environment("staging"), services.folder.read, DEPLOY)
    write(folder, "003_drop.sql", "DROP TABLE b;\n")
    run_id = run(services, force=True, reason="nobody reads it <any more>")
    assert "Forced, because: nobody reads it <any more>" in cast.viewer.read(f"/runs/{run_id}")


def test_the_piece_is_what_the_page_holds_and_is_not_sent_twice(folder: Path, cast: Cast, services: Services) -> None:
    run_id = run(services)
    piece = cast.viewer.get(f"/fragments/runs/{run_id}")
    assert "Applied 2 files to staging" in words(piece)
    version = re.search(r'data-version="([^"]+)"', piece.text)
    assert version
    assert cast.viewer.get(f"/fragments/runs/{run_id}?seen={version[1]}").status_code == 204


def test_a_run_of_a_command_is_told_from_the_history(
    folder: Path, cast: Cast, services: Services, settings: Settings
) -> None:
    result = apply(settings.environment("staging"), services.folder.read, DEPLOY)
    services.compare.live()
    page = cast.viewer.get(f"/runs/{result.run_id}")
    assert "Applied 2 files to staging" in words(page)
    assert "srv-42 (deploy)" in words(page)
    assert shown(page.text) == [("001_a.sql", "applied"), ("002_b.sql", "applied")]


def test_a_failed_run_of_a_command_shows_its_error(
    folder: Path, write: Write, cast: Cast, services: Services, settings: Settings
) -> None:
    write(folder, "002_b.sql", "SELECT 1/0;\n")
    result = apply(settings.environment("staging"), services.folder.read, DEPLOY)
    services.compare.live()
    text = cast.viewer.read(f"/runs/{result.run_id}")
    assert "Failed at 002_b.sql" in text
    assert "ERROR 22012: division by zero" in text


def test_the_run_of_an_environment_one_may_not_look_at_is_not_there(
    folder: Path, cast: Cast, services: Services
) -> None:
    run_id = run(services)
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    hidden, absent = cast.viewer.get(f"/runs/{run_id}"), cast.viewer.get("/runs/x")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert words(hidden).replace(run_id, "x") == words(absent)


def test_a_statement_whose_end_nobody_saw_is_not_called_not_run() -> None:
    file = FileProgress("001_a.sql", "running", transactional=False, first_lines=("A", "B", "C"), done={1: 0.1})
    seen, _, _ = statements_of(file, {}, over=True)
    assert [one.sign.word for one in seen] == ["done", "begun, its end is not known", "not run"]
    whole, _, _ = statements_of(replace(file, transactional=True), {}, over=True)
    assert [one.sign.word for one in whole] == ["rolled back", "not run", "not run"]
