"""Standbys: refused as a target, waited for while they start, and what a failover that lost a commit shows."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.picture import NotReachable, Picture
from dashboard.core.run import Outcome
from dashboard.postgres import embedded, history
from dashboard.postgres.connect import connect
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.postgres.home import mirror
from dashboard.postgres.home.pool import Home
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from dashboard.services.compare import Compare
from tests.conftest import FAST
from tests.oracle import ORDER, ask, assert_consistent, folder_of, ledger, three_files, wait_until

pytestmark = [pytest.mark.slow]

Stand = Callable[..., "Standby"]


class Standby:
    """A copy of the primary that follows it, in a folder of its own."""

    def __init__(self, primary: EmbeddedServer, folder: Path) -> None:
        self.folder, self.programs, self.primary = folder, primary.programs, primary
        self.owner = embedded._system_user() if embedded.os.geteuid() == 0 else None
        embedded._make_folder(folder, self.owner)
        source = primary.url("postgres").reveal().rpartition("/")[0]
        self._run("pg_basebackup", "-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast", "-d", source)
        shutil.copy2(primary.folder / "password", folder / "password")
        self.port = embedded._free_port()

    def configure(self, **settings: str) -> None:
        with (self.folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Without waiting until it lets anybody in."""
        words = f"--port={self.port} --listen_addresses=127.0.0.1 --unix_socket_directories= --fsync=off --max_connections=200"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "start", "--no-wait", "--log", log, "--options", words)

    def promote(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "promote", "--wait")

    def environment(self, name: str) -> Environment:
        return Environment("local", 0, EmbeddedServer(self.folder, self.port, self.programs).url(name))

    def _run(self, program: str, *words: str) -> None:
        done = embedded._run(self.programs / program, *words, folder=self.folder, owner=self.owner)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def primary(cluster_place: Callable[[str], Path]) -> Iterator[EmbeddedServer]:
    folder = cluster_place("primary")
    yield embedded.start(folder, settings=FAST)
    embedded.remove(folder)


@pytest.fixture
def stand(primary: EmbeddedServer, cluster_place: Callable[[str], Path]) -> Iterator[Stand]:
    """`stand()` -> a new standby of the primary, not started."""
    with ExitStack() as stack:

        def make() -> Standby:
            folder = cluster_place("standby")
            stack.callback(embedded.remove, folder)
            return Standby(primary, folder)

        yield make


def there(primary: EmbeddedServer) -> Environment:
    return Environment("local", 0, primary.url("postgres"))


def answers(environment: Environment) -> bool:
    try:
        return bool(ask(environment, "SELECT true"))
    except psycopg.Error:
        return False


@pytest.mark.fault(30)
def test_a_standby_is_refused_before_planning_and_can_be_looked_at(primary: EmbeddedServer, stand: Stand) -> None:
    apply(there(primary), three_files, ORDER)
    standby = stand()
    standby.start()
    target = standby.environment("postgres")
    wait_until(lambda: answers(target))
    result = apply(target, lambda: folder_of(("009_new.sql", "SELECT 1;")), ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.plan is None
    assert result.problem
    assert result.problem.message == "local cannot take migrations: it is a standby (in recovery)"
    assert "primary" in result.problem.advice
    taken = take_picture(target)
    assert isinstance(taken, Picture)
    assert len(taken.ledger) == 3
    assert taken.moved is None  # the same cluster, the same database


@pytest.mark.fault(29)
def test_a_server_that_is_starting_up_is_waited_for(primary: EmbeddedServer, stand: Stand) -> None:
    apply(there(primary), three_files, ORDER)
    standby = stand()
    once = standby.folder / "data" / "waited"
    standby.configure(restore_command=f"test -e {once} || {{ touch {once}; sleep 1; }}; false", primary_conninfo="")
    standby.start()
    wait_until(lambda: is_up(standby))
    taken = take_picture(standby.environment("postgres"))
    assert isinstance(taken, Picture), taken


def is_up(standby: Standby) -> bool:
    """It lets nobody in yet, but it listens."""
    with embedded.socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", standby.port)) == 0


@pytest.mark.fault(29)
def test_a_server_that_takes_long_to_start_is_given_up_with_a_sentence(primary: EmbeddedServer, stand: Stand) -> None:
    standby = stand()
    standby.configure(restore_command="sleep 30; false", primary_conninfo="")
    standby.start()
    wait_until(lambda: is_up(standby))
    began = time.monotonic()
    taken = take_picture(standby.environment("postgres"))
    assert isinstance(taken, NotReachable)
    assert f"127.0.0.1:{standby.port} is starting up" in taken.reason
    assert 2 < time.monotonic() - began < 6
    assert primary.answers()


def test_a_standby_that_lets_nobody_in_is_named(stand: Stand) -> None:
    standby = stand()
    standby.configure(hot_standby="off")
    standby.start()
    wait_until(lambda: is_up(standby))

    def refused() -> NotReachable | None:
        taken = take_picture(standby.environment("postgres"))
        return taken if isinstance(taken, NotReachable) and "lets nobody in" in taken.reason else None

    wait_until(refused)


def fail_over(primary: EmbeddedServer, standby: Standby, *, losing: Callable[[], object]) -> Environment:
    """The standby hears no more of the primary, which does something else, and dies; then it takes over."""
    target = standby.environment("postgres")
    assert primary.answers()
    ask(target, "ALTER SYSTEM SET primary_conninfo = ''")
    ask(target, "SELECT pg_reload_conf()")
    wait_until(lambda: not ask(target, "SELECT pid FROM pg_stat_wal_receiver"))
    losing()
    primary.stop()
    standby.promote()
    return target


@pytest.mark.fault(33)
def test_a_failover_that_lost_a_commit_shows_the_file_as_pending_and_home_what_is_missing(
    primary: EmbeddedServer, stand: Stand, home: Home
) -> None:
    files = three_files().migrations
    apply(there(primary), lambda: folder_of(*((one.filename, one.text) for one in files[:2])), ORDER)
    standby = stand()
    standby.start()
    target = standby.environment("postgres")
    wait_until(lambda: answers(target) and len(ledger(target)) == 2)
    compare = Compare([there(primary)], three_files, home)

    def last() -> None:
        assert apply(there(primary), three_files, ORDER).applied == (files[2].filename,)
        compare.look("local")

    fail_over(primary, standby, losing=last)
    look = Compare([target], three_files, home).look("local")
    assert look.picture
    assert look.picture.moved is None
    assert look.plan
    assert [step.migration.filename for step in look.plan.steps] == [files[2].filename]
    with home.connection() as connection:
        kept = mirror.of_file(connection, files[2].filename, 10)
    assert [(one.row.event, one.gone_since is not None) for one in kept] == [("applied", True)]
    assert apply(target, three_files, ORDER).applied == (files[2].filename,)
    assert_consistent(target, [one.filename for one in files])


@pytest.mark.fault(32)
def test_a_failover_in_the_middle_of_a_run_ends_it_and_the_next_run_sees_the_new_truth(
    primary: EmbeddedServer, stand: Stand
) -> None:
    apply(there(primary), lambda: folder_of(("000_first.sql", "SELECT 1;")), ORDER)
    standby = stand()
    standby.start()
    target = standby.environment("postgres")
    wait_until(lambda: answers(target))
    results = []
    slow = folder_of(
        *((one.filename, one.text) for one in three_files("SELECT pg_sleep(60);").migrations),
    )
    password = (primary.folder / "password").read_text()
    places = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = Secret(f"postgresql://postgres:{password}@{places}/postgres?target_session_attrs=read-write")
    environment = replace(target, url=url)
    run = threading.Thread(target=lambda: results.append(apply(environment, lambda: slow, ORDER)))
    run.start()
    sleeping = "SELECT pid FROM pg_stat_activity WHERE application_name = 'rung work' AND wait_event = 'PgSleep'"
    wait_until(lambda: ask(there(primary), sleeping))
    primary.stop()
    standby.promote()
    run.join(90)
    assert results, "it does not end"
    assert results[0].outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNREACHABLE)
    assert results[0].problem
    result = apply(environment, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    with connect(target, purpose="test") as connection:
        assert history.verify(connection).ok
