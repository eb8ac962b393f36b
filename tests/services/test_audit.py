"""The audit: one row for each act, append-only, chained; and nothing is done that it cannot remember."""

import subprocess
import sys
import threading
import uuid
from typing import Any

import psycopg
import pytest

from dashboard.core.access import Role
from dashboard.core.audit import Deed, Report, Source
from dashboard.core.environment import Environment
from dashboard.core.errors import HomeNotReady
from dashboard.core.migration import Folder
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.postgres.home.pool import Home
from dashboard.services.accounts import Accounts
from dashboard.services.audit import Audit
from dashboard.services.runs import Runs

LEAD, PASSWORD, FROM = "lead@example.com", "correct horse battery", "192.0.2.7"
ADMIN = Source("admin@example.com", FROM)
ORDER = Order(Actor(ActorKind.PERSON, LEAD, Door.WEB), force=True, reason="agreed with Ada")


@pytest.fixture
def audit(home: Home) -> Audit:
    return Audit(home)


@pytest.fixture
def accounts(home: Home) -> Accounts:
    return Accounts(home)


@pytest.fixture
def runs(home: Home, environments: tuple[Environment, ...]) -> Runs:
    return Runs(environments, lambda: Folder(()), home, lambda name: None)


def told(audit: Audit) -> list[tuple[str, ...]]:
    """Oldest first."""
    rows = reversed(audit.newest(100))
    return [(row.deed, row.who, row.address, row.environment, row.subject, row.outcome, row.detail) for row in rows]


def fill(audit: Audit, rows: int) -> None:
    for number in range(rows):
        audit.write(Report(Deed.RESOLVE_ASKED_FOR, ADMIN, "staging", f"{number:03}_a.sql"))


def close(in_home: psycopg.Connection[Any]) -> None:
    """Take away the right to add rows, from whoever it is."""
    in_home.execute(
        "CREATE TRIGGER closed BEFORE INSERT ON home.audit FOR EACH STATEMENT EXECUTE FUNCTION home.refuse_change()"
    )


# --- it cannot be written ---


def test_what_cannot_be_remembered_is_not_queued_and_reading_goes_on(
    audit: Audit, runs: Runs, in_home: psycopg.Connection[Any]
) -> None:
    close(in_home)
    with pytest.raises(HomeNotReady, match="audit cannot be written, so nothing is done"):
        runs.ask("staging", ORDER)
    assert runs.running() == ()
    assert in_home.execute("SELECT count(*) FROM home.procrastinate_jobs").fetchone() == (0,)
    assert audit.newest() == ()
    assert audit.verify().ok


def test_nobody_comes_in_and_nobody_is_let_in_unremembered(
    accounts: Accounts, in_home: psycopg.Connection[Any]
) -> None:
    accounts.add(LEAD, PASSWORD, Role.VIEWER)
    close(in_home)
    with pytest.raises(HomeNotReady):
        accounts.sign_in(LEAD, PASSWORD)
    with pytest.raises(HomeNotReady):
        accounts.add("new@example.com", PASSWORD, Role.ADMIN)
    with pytest.raises(HomeNotReady):
        accounts.set_role(LEAD, Role.ADMIN)
    assert [(one.email, one.roles) for one in accounts.everybody()] == [(LEAD, {"*": "viewer"})]
    assert in_home.execute("SELECT count(*) FROM home.session").fetchone() == (0,)


# --- it is changed ---


@pytest.mark.parametrize("verb", ["UPDATE home.audit SET who = 'x'", "DELETE FROM home.audit", "TRUNCATE home.audit"])
def test_the_server_changes_no_row(audit: Audit, in_home: psycopg.Connection[Any], verb: str) -> None:
    fill(audit, 1)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        in_home.execute(verb.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        in_home.execute(b"SET session_replication_role = replica; " + verb.encode())


def test_its_owner_has_no_right_to_change_rows(in_home: psycopg.Connection[Any]) -> None:
    in_home.execute("ALTER TABLE home.audit OWNER TO pg_monitor")  # a superuser's rights are not asked about
    rights = ("INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE")
    has = "SELECT has_table_privilege('pg_monitor', 'home.audit', %s)"
    found = {right for right in rights if in_home.execute(has, (right,)).fetchone() == (True,)}
    assert found == {"INSERT", "SELECT"}


@pytest.mark.parametrize(
    ("change", "first_bad", "what"),
    [
        ("UPDATE home.audit SET who = 'me' WHERE id = 3", 3, "row 3 was changed"),
        ("UPDATE home.audit SET at = at + interval '1 microsecond' WHERE id = 3", 3, "row 3 was changed"),
        ("DELETE FROM home.audit WHERE id = 2", 3, "row 3 stands where row 2 should"),
        ("DELETE FROM home.audit WHERE id = 1", 2, "row 2 stands where row 1 should"),
        ("UPDATE home.audit SET id = -id WHERE id IN (3, 4)", -4, "row -4 was changed"),
        (
            "INSERT INTO home.audit SELECT 0, at, who, address, deed, '', '', '', '', 1, 'x', '' FROM home.audit LIMIT 1",
            0,
            "row 0 was changed",
        ),
        ("UPDATE home.audit SET chain_version = 2 WHERE id = 5", 5, "row 5 is of form 2"),
    ],
)
def test_a_change_past_the_trigger_is_named_by_its_row(
    audit: Audit, in_home: psycopg.Connection[Any], change: str, first_bad: int, what: str
) -> None:
    fill(audit, 5)
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute(change.encode())
    report = audit.verify()
    assert (report.ok, report.first_bad_id) == (False, first_bad)
    assert report.what.startswith(what)


def test_rows_cut_off_the_end_show_against_a_head_that_was_kept(audit: Audit, in_home: psycopg.Connection[Any]) -> None:
    fill(audit, 3)
    kept = audit.verify().head
    assert kept
    fill(audit, 2)
    assert audit.verify(kept).ok
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("DELETE FROM home.audit WHERE id >= 3")
    assert audit.verify().ok
    report = audit.verify(kept)
    assert (report.ok, report.first_bad_id) == (False, 3)
    assert f"no row has the hash {kept}: rows from 3 on were cut off" in report.what
    fill(audit, 2)
    assert not audit.verify(kept).ok


def test_a_chain_that_is_broken_is_named_first_whatever_head_was_kept(
    audit: Audit, in_home: psycopg.Connection[Any]
) -> None:
    fill(audit, 3)
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("UPDATE home.audit SET who = 'me' WHERE id = 2")
    assert audit.verify("0" * 64).first_bad_id == 2


# --- it is written ---


def test_fifty_writers_at_once_make_one_chain(home: Home, audit: Audit) -> None:
    assert home.environment.url
    homes = [Home(home.environment.url, size=10) for _ in range(5)]
    together = threading.Barrier(50)
    wrong: list[Exception] = []

    def write(one: Home) -> None:
        try:
            together.wait(30)
            fill(Audit(one), 2)
        except Exception as fault:  # noqa: BLE001  # the test looks at it
            wrong.append(fault)

    threads = [threading.Thread(target=write, args=(one,)) for one in homes * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in homes:
        one.close()
    assert wrong == []
    report = audit.verify()
    assert (report.ok, report.rows) == (True, 100), report.what


WRITER = """
import sys
from dashboard.core.audit import Deed, Report, Source
from dashboard.core.environment import Secret
from dashboard.postgres.home.pool import Home
from dashboard.services.audit import Audit
audit = Audit(Home(Secret(sys.stdin.readline().strip())))
while True:
    audit.write(Report(Deed.RUN_ASKED_FOR, Source("a process")))
    print("one", flush=True)
"""


def test_processes_that_are_killed_while_they_write_leave_a_whole_chain(home: Home, audit: Audit) -> None:
    assert home.environment.url
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = 0
    for one in writers:
        assert one.stdin
        one.stdin.write(home.environment.url.reveal() + "\n")
        one.stdin.flush()
    for one in writers:
        assert one.stdout
        for _ in range(100):
            told += one.stdout.readline() == "one\n"
    assert [one.poll() for one in writers] == [None] * 3
    for one in writers:
        one.kill()
        one.communicate()
    fill(audit, 1)
    report = audit.verify()
    assert report.ok, report.what
    assert report.rows > told == 300


def test_every_act_on_accounts_leaves_exactly_one_row(audit: Audit, accounts: Accounts) -> None:
    accounts.add(LEAD, PASSWORD, Role.VIEWER, by=ADMIN)
    accounts.set_role(LEAD, Role.OPERATOR, "staging", by=ADMIN)
    accounts.set_role(LEAD, None, by=ADMIN)
    link = accounts.make_link(LEAD, minutes=5, by=ADMIN)
    assert accounts.redeem(link, address=FROM)
    assert accounts.redeem(link, address=FROM) is None
    assert accounts.sign_in(LEAD, "wrong horse", address=FROM) is None
    assert accounts.sign_in("a secret typed into the wrong field", PASSWORD, address=FROM) is None
    session = accounts.sign_in(LEAD, PASSWORD, address=FROM)
    assert session
    accounts.sign_out(session, address=FROM)
    accounts.sign_out(session, address=FROM)
    accounts.sign_out_everywhere(LEAD, by=ADMIN)
    accounts.set_password(LEAD, PASSWORD + "!", by=ADMIN)
    assert told(audit) == [
        ("account added", *_by(ADMIN), "", LEAD, "done", "as viewer"),
        ("role changed", *_by(ADMIN), "", LEAD, "done", "operator on staging"),
        ("role changed", *_by(ADMIN), "", LEAD, "done", "no role on all"),
        ("link made", *_by(ADMIN), "", LEAD, "done", "good for 5 minutes"),
        ("link redeemed", LEAD, FROM, "", "", "done", ""),
        ("link refused", "nobody", FROM, "", "", "refused", ""),
        ("sign-in refused", LEAD, FROM, "", "", "refused", ""),
        ("sign-in refused", "nobody", FROM, "", "", "refused", ""),
        ("sign-in", LEAD, FROM, "", "", "done", ""),
        ("sign-out", LEAD, FROM, "", "", "done", ""),
        ("sessions ended", *_by(ADMIN), "", LEAD, "done", "1 of them"),
        ("password changed", *_by(ADMIN), "", LEAD, "done", ""),
    ]
    assert audit.verify().ok


def _by(source: Source) -> tuple[str, str]:
    return source.who, source.address


def test_a_run_that_is_asked_for_twice_and_stopped_leaves_a_row_each(audit: Audit, runs: Runs) -> None:
    run_id = runs.ask("staging", ORDER, address=FROM).run_id
    assert runs.ask("staging", ORDER, address=FROM).already
    runs.ask_to_stop(run_id, "admin@example.com", address=FROM)
    runs.ask_to_stop(run_id, "admin@example.com", address=FROM)
    runs.ask_to_stop(str(uuid.uuid4()), "admin@example.com", address=FROM)
    assert told(audit) == [
        ("run asked for", LEAD, FROM, "staging", run_id, "done", "forced: agreed with Ada"),
        ("stop asked for", *_by(ADMIN), "staging", run_id, "done", ""),
        ("run ended", *_by(ADMIN), "staging", run_id, "cancelled", f"{ADMIN.who} stopped it before a worker took it"),
    ]


def test_odd_signs_are_kept_as_far_as_the_server_takes_them(audit: Audit) -> None:
    audit.write(Report(Deed.SIGN_IN, Source("a\0b\ud800\nc", "x" * 1000)))
    row = audit.newest(1)[0]
    assert (row.who, len(row.address)) == ("a\N{REPLACEMENT CHARACTER}b?\nc", 500)
    assert audit.verify().ok
