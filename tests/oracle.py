"""The oracle: whether effects, ledger and history tell the same story; and what the runner's tests share."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from dashboard.core.environment import Environment
from dashboard.core.events import Event
from dashboard.core.migration import Folder, Migration, read_migration
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.postgres import history
from dashboard.postgres.connect import connect

ORDER = Order(Actor(ActorKind.PERSON, "somebody", Door.CLI), lock_wait=20)
LOG = "CREATE TABLE public.log (entry text NOT NULL);\n"  # what the first file of such a folder begins with


def noted(name: str) -> str:
    """SQL by which a file leaves its trace."""
    return f"INSERT INTO public.log VALUES ('{name}');\n"


def folder_of(*files: tuple[str, str]) -> Folder:
    """A folder without a disk: name and text of each file."""
    migrations = [read_migration(name, text.encode()) for name, text in files]
    assert all(isinstance(migration, Migration) for migration in migrations), migrations
    return Folder(tuple(migration for migration in migrations if isinstance(migration, Migration)))


def three_files(middle: str = "") -> Folder:
    """Three files that leave traces."""
    return folder_of(
        ("001_log.sql", LOG + noted("001_log.sql")),
        ("002_middle.sql", noted("002_middle.sql") + middle),
        ("003_end.sql", noted("003_end.sql")),
    )


class Seen(list[Event]):
    """A reporter that keeps what it hears."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self if isinstance(event, kinds)]


def ask(environment: Environment, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows, over a connection of the test's own."""
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def wait_until(true: Callable[[], Any], patience: float = 20) -> Any:
    """The first answer that counts as true; fails when none comes in time."""
    until = time.monotonic() + patience
    while not (answer := true()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return answer


def ledger(environment: Environment) -> list[str]:
    if ask(environment, "SELECT to_regclass('public._migrations_applied')") == [(None,)]:
        return []
    rows = ask(environment, "SELECT filename, applied_at FROM _migrations_applied ORDER BY applied_at;")
    return [row[0] for row in rows]


def events(environment: Environment) -> list[tuple[str, str | None]]:
    """Event and file of every row of the history, oldest first."""
    return [(row[0], row[1]) for row in ask(environment, "SELECT event, filename FROM rung.history ORDER BY id")]


def assert_consistent(environment: Environment, expected: Sequence[str], *, invalid: Sequence[str] = ()) -> None:
    """Every file's effect exactly once, the ledger says the same, nothing is left behind, the history holds.

    expected: the files that are in, in order. invalid: INVALID indexes that the test can explain.
    """
    assert ledger(environment) == list(expected)
    has_log = ask(environment, "SELECT to_regclass('public.log') IS NOT NULL") == [(True,)]
    traces = ask(environment, "SELECT entry FROM public.log ORDER BY entry") if has_log else []
    assert [entry for (entry,) in traces] == sorted(expected)
    wait_until(lambda: not _left_behind(environment))
    names = ask(environment, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    assert [name for (name,) in names] == sorted(invalid)
    with connect(environment, purpose="test") as connection:
        report = history.verify(connection)
        rows = history.rows_since(connection, 0, 10_000)
    assert report.ok, report.what
    recorded = [row.filename for row in rows if row.event in ("applied", "adopted")]
    assert sorted(filter(None, recorded)) == sorted(expected)


def _left_behind(environment: Environment) -> list[tuple[Any, ...]]:
    """Locks of ours and transactions of ours that outlive the run."""
    return ask(
        environment,
        """
        SELECT 'advisory lock', pid FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL
        SELECT state, pid FROM pg_stat_activity WHERE datname = current_database()
           AND application_name LIKE 'rung %%' AND state LIKE 'idle in transaction%%'
        """.replace("%%", "%"),
    )
