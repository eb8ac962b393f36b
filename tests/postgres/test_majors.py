"""Majors: the runner's core journey on every PostgreSQL that is here.

The embedded one and Debian's are always tried. RUNG_TEST_POSTGRES_BINS names a folder with more: every `bin` below it
that holds an `initdb` is a version.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import errors

from dashboard.core.environment import Environment, Policies, Policy
from dashboard.core.errors import Unusable
from dashboard.core.picture import Picture
from dashboard.core.run import Outcome, Result
from dashboard.postgres import embedded, facts
from dashboard.postgres.connect import connect
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import LOG, ORDER, ask, assert_consistent, folder_of, ledger, noted, three_files, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.fault(60)]


def programs() -> dict[str, Path | None]:
    """What to try, by a name for people. None: the embedded one."""
    found: dict[str, Path | None] = {"embedded": None}
    found |= {f"Debian's {path.parent.name}": path for path in embedded.debian_programs()}
    more = os.environ.get("RUNG_TEST_POSTGRES_BINS")
    if more:
        folders = sorted(initdb.parent for initdb in Path(more).glob("**/bin/initdb"))
        found |= {str(folder.relative_to(more)): folder for folder in folders}
    return found


@pytest.fixture(scope="module", params=programs().items(), ids=lambda item: item[0])
def running(request: pytest.FixtureRequest, cluster_place: Callable[[str], Path]) -> Iterator[EmbeddedServer]:
    folder = cluster_place("major")
    yield embedded.start(folder, settings=FAST, programs=request.param[1])
    embedded.remove(folder)


@pytest.fixture
def major(running: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An environment on a fresh database of that server."""
    name = f"db_{abs(hash(request.node.name))}"
    running.create_database(name)
    yield Environment("local", 0, running.url(name))
    with suppress(errors.SyntaxError):  # before 13 there is no way to drop a database that others use
        running.drop_database(name)


FILES = ("001_log.sql", "002_middle.sql", "003_end.sql")


def test_three_files_run_once(major: Environment) -> None:
    assert apply(major, three_files, ORDER).applied == FILES
    assert apply(major, three_files, ORDER).outcome is Outcome.NOTHING
    assert_consistent(major, FILES)
    taken = take_picture(major)
    assert isinstance(taken, Picture)
    assert int(taken.server_version.partition(".")[0]) >= facts.OLDEST
    assert taken.unwritable is None


def test_a_failed_file_leaves_nothing_and_runs_when_it_is_put_right(major: Environment) -> None:
    result = apply(major, lambda: three_files("SELECT nonsense;"), ORDER)
    assert (result.outcome, result.applied) == (Outcome.FAILED, FILES[:1])
    assert result.problem
    assert result.problem.sqlstate == "42703"
    assert_consistent(major, FILES[:1])
    assert apply(major, three_files, ORDER).applied == FILES[1:]


def test_a_file_outside_a_transaction_runs_goes_on_and_an_invalid_index_is_named(major: Environment) -> None:
    build = "CREATE UNIQUE INDEX CONCURRENTLY once ON public.log (entry);\n"
    text = LOG + "INSERT INTO public.log VALUES ('twice'), ('twice');\n" + build + noted("001_a.sql")
    first = apply(major, lambda: folder_of(("001_a.sql", text)), ORDER)
    assert first.outcome is Outcome.FAILED
    taken = take_picture(major)
    assert isinstance(taken, Picture)
    (left,) = taken.unfinished
    assert (left.statements_done, left.left) == (2, ("public.once",))


def test_a_statement_that_is_cancelled_is_rolled_back(major: Environment) -> None:
    slow, asked = three_files("SELECT pg_sleep(60);"), threading.Event()

    def stop() -> str | None:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return "somebody" if asked.is_set() or ask(major, sleeping) else None

    result = apply(major, lambda: slow, ORDER, stop=stop)
    assert result.outcome is Outcome.CANCELLED
    assert_consistent(major, FILES[:1])


def test_two_runs_at_once_apply_each_file_once(major: Environment) -> None:
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(apply(major, three_files, ORDER))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.outcome for result in results) == [Outcome.APPLIED] + [Outcome.NOTHING] * 3
    assert_consistent(major, FILES)


def test_a_session_that_is_ended_in_the_middle_of_a_file_leaves_nothing_half(major: Environment) -> None:
    def end(event: object) -> None:
        if getattr(event, "name", "") == "file_started" and getattr(event, "filename", "") == "002_middle.sql":
            threading.Thread(target=kill, daemon=True).start()

    def kill() -> None:
        sleeping = "FROM pg_stat_activity WHERE application_name = 'rung work' AND wait_event = 'PgSleep'"
        wait_until(lambda: ask(major, f"SELECT pg_terminate_backend(pid) {sleeping}"))

    result = apply(major, lambda: three_files("SELECT pg_sleep(30);"), ORDER, end)
    assert result.outcome is Outcome.FAILED, result
    assert_consistent(major, FILES[:1])


def test_a_table_that_somebody_holds_is_waited_for(major: Environment) -> None:
    apply(major, lambda: folder_of((FILES[0], LOG + noted(FILES[0]))), ORDER)
    with connect(major, purpose="test", autocommit=False) as other:
        other.execute("LOCK TABLE public.log IN ACCESS EXCLUSIVE MODE")

        def give_way(event: object) -> None:
            if getattr(event, "name", "") == "file_retrying":
                other.rollback()

        result = apply(major, three_files, ORDER, give_way)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert_consistent(major, FILES)


def test_a_copy_is_noticed(major: Environment, running: EmbeddedServer) -> None:
    apply(major, three_files, ORDER)
    assert major.url
    name = major.url.reveal().rpartition("/")[2]
    wait_until(
        lambda: (
            not ask(
                replace(major, url=running.url("postgres")),
                f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'",
            )
        )
    )
    running.create_database(f"{name}_copy", name)
    copy = replace(major, url=running.url(f"{name}_copy"))
    more = folder_of(*((one.filename, one.text) for one in three_files().migrations), ("004_a.sql", noted("004_a.sql")))
    assert apply(copy, lambda: more, ORDER).outcome is Outcome.REFUSED
    nightly = replace(copy, policies=Policies(moved=Policy.WARN))
    assert apply(nightly, lambda: more, ORDER).applied == ("004_a.sql",)
    assert ledger(copy)[-1] == "004_a.sql"


def test_what_is_older_than_anything_that_was_tried_is_refused_by_a_sentence() -> None:
    with pytest.raises(Unusable, match="its server is PostgreSQL 11, and Rung needs 12 or newer"):
        facts.refuse_old(Environment("local", 0, None), 110022)
