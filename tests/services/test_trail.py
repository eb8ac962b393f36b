"""What a run leaves in the audit, exactly once; and that nothing runs which it cannot remember."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.core.audit import AuditFilter, AuditRow
from dashboard.core.environment import Environment
from dashboard.core.errors import AuditShut
from dashboard.core.progress import RunState
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.folder import FolderReader
from dashboard.postgres.home.pool import Home
from dashboard.services.audit import Audit
from dashboard.services.compare import Compare
from dashboard.services.runs import Executed, Runs
from tests.conftest import Write
from tests.oracle import wait_until

LEAD, FROM = "lead@example.com", "192.0.2.7"
ORDER = Order(Actor(ActorKind.PERSON, LEAD, Door.WEB))
FILES = {"001_a.sql": "CREATE TABLE a (id int);", "002_b.sql": "SELECT pg_sleep(0.5);\nCREATE TABLE b (id int);"}

Shut = Callable[[], None]


@pytest.fixture
def audit(home: Home) -> Audit:
    return Audit(home)


@pytest.fixture
def runs(environments: tuple[Environment, ...], folder_path: Path, write: Write, home: Home) -> Runs:
    for name, text in FILES.items():
        write(folder_path, name, text)
    read = FolderReader(folder_path).read
    return Runs(environments, read, home, Compare(environments, read, home).look_again)


@pytest.fixture
def shut(in_home: psycopg.Connection[Any]) -> Shut:
    def close() -> None:
        in_home.execute("CREATE TRIGGER shut BEFORE INSERT ON home.audit EXECUTE FUNCTION home.refuse_change()")

    return close


def trail(audit: Audit) -> list[tuple[str, ...]]:
    """Oldest first, without what is said of moments."""
    rows = reversed(audit.newest(100))
    assert audit.verify().ok
    return [(row.deed, row.who, row.environment, row.subject, row.outcome) for row in rows]


def file_row(audit: Audit, filename: str) -> AuditRow:
    (row,) = (row for row in audit.page(AuditFilter(deed="file run")).rows if row.subject == filename)
    return row


# --- it cannot be remembered ---


def test_a_queued_run_is_refused_with_the_reason_and_the_target_is_not_touched(
    runs: Runs, audit: Audit, shut: Shut, environments: tuple[Environment, ...]
) -> None:
    run_id = runs.ask("staging", ORDER, address=FROM).run_id
    shut()
    assert runs.execute(run_id) is Executed.ENDED
    view = runs.show(run_id)
    assert view
    assert (view.state, view.outcome) == (RunState.ENDED, Outcome.REFUSED)
    assert view.result
    assert view.result.problem
    assert "audit cannot be written, so nothing is done" in view.result.problem.message
    assert "INSERT on home.audit" in view.result.problem.advice
    assert not has_table(environments[1], "a")
    assert len(audit.newest(10)) == 1
    with pytest.raises(AuditShut):
        runs.ask("local", ORDER)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE home.audit ADD CONSTRAINT no CHECK (false) NOT VALID",
        "ALTER TABLE home.audit RENAME TO elsewhere",
        """CREATE FUNCTION home.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';
        CREATE TRIGGER no BEFORE INSERT ON home.audit FOR EACH ROW EXECUTE FUNCTION home.no()""",
        "CREATE UNIQUE INDEX one_row_only ON home.audit ((true))",
    ],
)
def test_whatever_keeps_rows_out_keeps_runs_from_running(
    runs: Runs, in_home: psycopg.Connection[Any], damage: str, environments: tuple[Environment, ...]
) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    in_home.execute(damage.encode())
    runs.execute(run_id)
    view = runs.show(run_id)
    assert view
    assert view.outcome is Outcome.REFUSED
    assert not has_table(environments[1], "a")


def test_an_audit_that_shuts_while_a_run_goes_on_leaves_no_run_open(
    runs: Runs, shut: Shut, environments: tuple[Environment, ...], caplog: pytest.LogCaptureFixture
) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    working = threading.Thread(target=runs.execute, args=(run_id,))
    working.start()
    wait_until(lambda: any(one.event.name == "planned" for one in runs.events_since(run_id)))
    shut()
    working.join(20)
    view = runs.show(run_id)
    assert view
    assert (view.state, view.outcome) == (RunState.ENDED, Outcome.APPLIED)
    assert "the end of a run is not in the audit" in caplog.text


# --- it is remembered, once ---


def test_a_run_leaves_a_row_for_its_start_each_file_and_its_end(runs: Runs, audit: Audit) -> None:
    run_id = runs.ask("staging", ORDER, address=FROM).run_id
    runs.execute(run_id)
    runs.execute(run_id)  # over already
    assert trail(audit) == [
        ("run asked for", LEAD, "staging", run_id, "done"),
        ("run started", LEAD, "staging", run_id, "done"),
        ("file run", LEAD, "staging", "001_a.sql", "applied"),
        ("file run", LEAD, "staging", "002_b.sql", "applied"),
        ("run ended", LEAD, "staging", run_id, "applied"),
    ]
    row = file_row(audit, "001_a.sql")
    assert hashlib.sha256(FILES["001_a.sql"].encode()).hexdigest() in row.detail
    assert run_id in row.detail


def test_a_file_that_fails_has_its_row_and_what_never_ran_has_none(
    runs: Runs, audit: Audit, folder_path: Path, write: Write
) -> None:
    text = "SELECT 1/0;"
    write(folder_path, "002_b.sql", text)
    write(folder_path, "003_c.sql", "SELECT 1;")
    run_id = runs.ask("staging", ORDER).run_id
    runs.execute(run_id)
    assert trail(audit)[2:] == [
        ("file run", LEAD, "staging", "001_a.sql", "applied"),
        ("file run", LEAD, "staging", "002_b.sql", "failed"),
        ("run ended", LEAD, "staging", run_id, "failed"),
    ]
    assert hashlib.sha256(text.encode()).hexdigest() in file_row(audit, "002_b.sql").detail
    assert "division by zero" in audit.newest(1)[0].detail


@pytest.mark.usefixtures("one_file_a_flight")
def test_files_of_a_worker_that_left_are_told_once_by_the_one_that_took_the_run_up(
    runs: Runs, audit: Audit, environments: tuple[Environment, ...]
) -> None:
    run_id = runs.ask("staging", ORDER).run_id
    assert runs.execute(run_id, lambda: has_table(environments[1], "a")) is Executed.AGAIN
    assert runs.execute(run_id) is Executed.ENDED
    assert trail(audit)[1:] == [
        ("run started", LEAD, "staging", run_id, "done"),
        ("run taken up again", LEAD, "staging", run_id, "done"),
        ("file run", LEAD, "staging", "001_a.sql", "applied"),
        ("file run", LEAD, "staging", "002_b.sql", "applied"),
        ("run ended", LEAD, "staging", run_id, "applied"),
    ]


def test_files_are_told_also_where_the_environment_is_silent_at_the_end(
    environments: tuple[Environment, ...], runs: Runs, folder_path: Path, home: Home, audit: Audit
) -> None:
    blind = Runs(environments, FolderReader(folder_path).read, home, lambda name: None)
    run_id = blind.ask("staging", ORDER).run_id
    blind.execute(run_id)
    assert [row[3:] for row in trail(audit)[2:4]] == [("001_a.sql", "applied"), ("002_b.sql", "applied")]
    assert hashlib.sha256(FILES["002_b.sql"].encode()).hexdigest() in file_row(audit, "002_b.sql").detail


def has_table(environment: Environment, name: str) -> bool:
    assert environment.url is not None
    with psycopg.connect(environment.url.reveal()) as connection:
        return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone() == (True,)
