"""The mirror follows every environment's history, and keeps what a replaced database forgot."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.migration import Folder, Migration, read_migration
from dashboard.core.record import HistoryFilter
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.postgres import history
from dashboard.postgres.connect import connect
from dashboard.postgres.home import mirror
from dashboard.postgres.home.pool import Home
from dashboard.services.apply import apply

RUN = str(uuid.uuid4())
LEAD = Actor(ActorKind.PERSON, "Lead@example.com", Door.WEB)


class Target:
    """An environment, called otherwise by those who run files on it."""

    def __init__(self, environment: Environment) -> None:
        assert environment.url is not None
        self.environment = environment
        self.writer = psycopg.connect(environment.url.reveal(), autocommit=True)
        self.reader = connect(environment, purpose="history")

    def write(self, *numbers: int, actor: Actor = LEAD, run_id: str = RUN, text: str = "SELECT 1;") -> None:
        """One row of history for each file."""
        read = [read_migration(f"{number:03}_t.sql", text.encode()) for number in numbers]
        folder = Folder(tuple(one for one in read if isinstance(one, Migration)))
        apply(replace(self.environment, name="prod"), lambda: folder, Order(actor), run_id=run_id)

    def forget(self, after: int) -> None:
        """What a restore from a backup does to the newest rows. The first row says which database it is."""
        self.writer.execute("ALTER TABLE rung.history DISABLE TRIGGER history_append_only")
        self.writer.execute("DELETE FROM rung.history WHERE id > %s", (after + 1,))

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@pytest.fixture
def target(environment: Environment) -> Iterator[Target]:
    made = Target(environment)
    yield made
    made.close()


def follow(home: Home, target: Target) -> None:
    mirror.follow(home, "production", partial(history.rows_since, target.reader))


def told(home: Home, wanted: HistoryFilter | None = None) -> list[str]:
    """File numbers, newest first; with a cross where the environment forgot it."""
    with home.connection() as connection:
        page = mirror.page(connection, wanted or HistoryFilter(), None, 1000)
    files = [row for row in page.rows if row.row.event != "identified"]
    return [f"{row.row.filename or ''}"[:3] + ("x" if row.gone_since else "") for row in files]


def test_an_environment_without_history_adds_nothing(home: Home, environment: Environment) -> None:
    with connect(environment, purpose="history") as connection:
        mirror.follow(home, "production", partial(history.rows_since, connection))
    assert told(home) == []


def test_what_is_new_is_copied_and_nothing_twice(home: Home, target: Target) -> None:
    target.write(1, 2)
    follow(home, target)
    follow(home, target)
    target.write(3)
    follow(home, target)
    assert told(home) == ["003", "002", "001"]


def test_a_copy_is_the_row_under_our_own_name_for_the_environment(home: Home, target: Target) -> None:
    target.write(1)
    follow(home, target)
    original = history.rows_since(target.reader, 1, 10)[0]
    with home.connection() as connection:
        assert mirror.row(connection, "production", 2) == replace(original, environment="production")
        assert mirror.row(connection, "production", 3) is None
        page = mirror.page(connection, HistoryFilter(), None, 10)
    assert page.rows[0].row == replace(original, environment="production", sql=None)


def test_more_rows_than_a_batch_are_copied(home: Home, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "BATCH", 3)
    target.write(*range(1, 9))
    follow(home, target)
    assert len(told(home)) == 8


def test_a_restored_database_forgets_and_the_copy_does_not(home: Home, target: Target) -> None:
    target.write(1, 2, 3, 4, 5)
    follow(home, target)
    target.forget(after=2)
    target.write(6)
    follow(home, target)
    assert told(home) == ["006", "005x", "004x", "003x", "002", "001"]


def test_a_restore_without_anything_new_is_seen_too(home: Home, target: Target) -> None:
    target.write(1, 2, 3)
    follow(home, target)
    target.forget(after=1)
    follow(home, target)
    assert told(home) == ["003x", "002x", "001"]


def test_a_database_put_in_the_place_of_another_is_copied_anew(
    home: Home, target: Target, environments: tuple[Environment, ...]
) -> None:
    target.write(1, 2, 3)
    follow(home, target)
    other = Target(environments[1])
    other.write(7, 8, 9, 10)
    follow(home, other)
    assert told(home) == ["010", "009", "008", "007", "003x", "002x", "001x"]
    follow(home, target)  # the address was wrong for a while
    assert told(home) == ["010x", "009x", "008x", "007x", "003", "002", "001"]
    other.close()


def test_a_database_that_lost_its_whole_history_keeps_it_here(home: Home, target: Target) -> None:
    target.write(1, 2)
    follow(home, target)
    target.writer.execute("DROP SCHEMA rung CASCADE")
    follow(home, target)
    assert told(home) == ["002x", "001x"]


def test_many_followers_at_once_copy_everything_once(home: Home, target: Target) -> None:
    import threading

    target.write(*range(1, 21))
    readers = [connect(target.environment, purpose="history") for _ in range(6)]
    threads = [
        threading.Thread(target=mirror.follow, args=(home, "production", partial(history.rows_since, reader)))
        for reader in readers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.close()
    assert len(told(home)) == 20


# --- pages ---


def test_pages_go_on_where_the_last_one_ended_whatever_comes_in(home: Home, target: Target) -> None:
    target.write(*range(1, 8))
    follow(home, target)
    seen: list[str | None] = []
    before = None
    for late in range(10, 20):
        with home.connection() as connection:
            page = mirror.page(connection, HistoryFilter(), before, 3)
        seen += [row.row.filename for row in page.rows if row.row.filename]
        target.write(late)
        follow(home, target)
        before = page.older
        if before is None:
            break
    assert seen == [f"{number:03}_t.sql" for number in range(7, 0, -1)]


@pytest.mark.parametrize(
    "cursor", ["", "~", "x~1", "2026-01-01~1", "2026-01-01T00:00:00+00:00~9223372036854775808", "'; --", "9" * 99]
)
def test_a_cursor_that_is_none_of_ours_is_the_first_page(home: Home, target: Target, cursor: str) -> None:
    target.write(1)
    follow(home, target)
    with home.connection() as connection:
        assert len(mirror.page(connection, HistoryFilter(), cursor, 10).rows) == 2


def test_filters_choose_rows(home: Home, target: Target) -> None:
    target.write(1, 2)
    target.write(3, actor=Actor(ActorKind.DEPLOY, "team-app", Door.DEPLOY), run_id=str(uuid.uuid4()))
    target.write(4, text="SELECT 1/0;")
    follow(home, target)
    assert told(home, HistoryFilter(environment="production")) == ["004", "003", "002", "001"]
    assert told(home, HistoryFilter(environment="prod")) == []
    assert told(home, HistoryFilter(outcome="failed")) == ["004"]
    assert told(home, HistoryFilter(actor="TEAM")) == ["003"]
    assert told(home, HistoryFilter(actor="lead@", outcome="applied")) == ["002", "001"]
    assert told(home, HistoryFilter(filename="02_T")) == ["002"]
    assert told(home, HistoryFilter(filename="%")) == []
    assert told(home, HistoryFilter(actor="', true) --\0")) == []
    with home.connection() as connection:
        assert [one.row.actor for one in mirror.of_file(connection, "003_t.sql", 10)] == ["team-app"]
        of_run = [one.row.filename for one in mirror.of_run(connection, RUN)]
        assert of_run == [None, "001_t.sql", "002_t.sql", "004_t.sql"]
        assert mirror.applied_in(connection, RUN) == ("001_t.sql", "002_t.sql")
