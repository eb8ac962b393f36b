"""The platform ends a process in the middle of a run: in time, with a word in the history, and another one goes on."""

import http.client
import signal
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.life.conftest import FIRST, do, let_in, until
from tests.life.people import Person
from tests.life.render import HOST, WEB, WORKER, Instance, Render

PROMISED = 20.0  # seconds from SIGTERM to the end of a process
GATED = """\
CREATE TABLE IF NOT EXISTS b (id bigint);
DO $$ BEGIN WHILE EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;
INSERT INTO b VALUES (1);
"""
# One process for pages and worker, as the free plan has it.
ALONE: Mapping[str, Any] = WEB | {"startCommand": WEB["startCommand"].removesuffix(" --no-worker")}


@pytest.fixture
def staging(render: Render) -> str:
    """The address of staging, whose second file waits until the gate is opened."""
    url = render.given["STAGING_DATABASE_URL"]
    do(url, "CREATE TABLE gate (id bigint)", "INSERT INTO gate VALUES (1)")
    return url


@pytest.fixture
def checkout(render: Render) -> Path:
    return render.checkout("first", FIRST | {"002_gated.sql": GATED})


def begun(render: Render, checkout: Path, staging: str) -> tuple[Person, str]:
    """Somebody who is signed in, and the run they started, which is at the gate."""
    lead = let_in(render, checkout)
    run = lead.click("staging", lead.button("staging"))
    at_the_gate(staging)
    return lead, run


def at_the_gate(staging: str) -> None:
    busy = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%FROM gate)%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()"
    until(lambda: do(staging, busy), 60)


def goes_on(render: Render, checkout: Path, staging: str, lead: Person, run: str) -> None:
    """Another worker takes the run up; each file ran once, whatever was tried."""
    render.boot(WORKER, checkout)
    at_the_gate(staging)
    do(staging, "DELETE FROM gate")
    until(lambda: "Applied 2 files to staging" in lead.get(run).text)
    assert do(staging, "SELECT count(*) FROM b") == [(1,)]
    applied = "SELECT filename FROM rung.history WHERE event = 'applied' ORDER BY id"
    assert do(staging, applied) == [("001_a.sql",), ("002_gated.sql",)]
    assert do(render.home, "SELECT attempt > 1 FROM home.run") == [(True,)]


def said_in_the_history(staging: str) -> str:
    """What the attempt that was cut short left behind."""
    told = do(
        staging,
        "SELECT event || ': ' || coalesce(message, '') FROM rung.history WHERE filename = '002_gated.sql' ORDER BY id",
    )
    return "\n".join(str(row[0]) for row in told)


@pytest.mark.slow
def test_a_worker_told_to_end_stops_a_long_file_in_time_and_says_why(
    render: Render, checkout: Path, staging: str
) -> None:
    assert render.deploy(checkout).ended == "live"
    worker = render.boot(WORKER, checkout)
    lead, run = begun(render, checkout, staging)
    assert worker.retire() < PROMISED
    assert "the worker, which has to end" in said_in_the_history(staging)
    assert "Applying 2 files to staging" in lead.get(run).text
    assert do(staging, "SELECT to_regclass('b')") == [(None,)]
    goes_on(render, checkout, staging, lead, run)


@pytest.mark.slow
def test_pages_and_worker_in_one_end_together_in_time_whoever_is_still_reading(
    render: Render, checkout: Path, staging: str
) -> None:
    alone = served(render, checkout)
    lead, run = begun(render, checkout, staging)
    with (
        closing(http.client.HTTPConnection("127.0.0.1", alone.port)) as reading,
        closing(http.client.HTTPConnection("127.0.0.1", alone.port)) as writing,
    ):
        reading.request("GET", "/sign-in", headers={"Host": HOST})
        reading.getresponse().read()  # and it stays open, as a browser's does
        writing.putrequest("POST", "/sign-in", skip_host=True)
        writing.putheader("Host", HOST)
        writing.putheader("Content-Length", "100")
        writing.endheaders(b"email=")  # and the rest never comes
        assert alone.retire() < PROMISED
    assert "the worker, which has to end" in said_in_the_history(staging)
    next_one = served(render, checkout)
    lead.port = next_one.port
    at_the_gate(staging)
    do(staging, "DELETE FROM gate")
    until(lambda: "Applied 2 files to staging" in lead.get(run).text)


def served(render: Render, checkout: Path) -> Instance:
    made = render.boot(ALONE, checkout)
    until(lambda: render.is_healthy(made, 1))
    render.front.serving = made.port
    return made


@pytest.mark.slow
def test_a_worker_that_is_killed_is_missed_and_another_takes_the_run_up(
    render: Render, checkout: Path, staging: str
) -> None:
    assert render.deploy(checkout).ended == "live"
    worker = render.boot(WORKER, checkout)
    lead, run = begun(render, checkout, staging)
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()
    begun_again = time.monotonic()
    goes_on(render, checkout, staging, lead, run)
    assert time.monotonic() - begun_again < 60
