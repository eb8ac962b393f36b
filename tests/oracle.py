"""The oracle: whether effects, ledger and history tell the same story; and what the runner's tests share."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from dashboard.core.environment import Environment
from dashboard.core.events import Event
from dashboard.core.migration import Folder, Migration, read_migration
from dashboard.core.record import HistoryRow
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.postgres import history
from dashboard.postgres.connect import connect
from dashboard.postgres.home.pool import Home

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
    """Event and file of every row of the history, oldest first, but for the one that says which database it is."""
    query = "SELECT event, filename FROM rung.history WHERE event <> 'identified' ORDER BY id"
    return [(row[0], row[1]) for row in ask(environment, query)]


def assert_consistent(
    environment: Environment,
    expected: Sequence[str],
    *,
    invalid: Sequence[str] = (),
    home: Home | None = None,
    said: str = "",
) -> None:
    """Every file's effect exactly once, the ledger says the same, nothing is left behind, the history holds.

    expected: the files that are in, in order. invalid: INVALID indexes that the test can explain. home: it followed,
    and has the same history. said: what the runner's process printed; as little of the password is in it as elsewhere.
    """
    assert ledger(environment) == list(expected)
    has_log = ask(environment, "SELECT to_regclass('public.log') IS NOT NULL") == [(True,)]
    traces = ask(environment, "SELECT entry FROM public.log ORDER BY entry") if has_log else []
    assert [entry for (entry,) in traces] == sorted(expected)
    assert_tidy(environment, invalid=invalid)
    with connect(environment, purpose="test") as connection:
        report = history.verify(connection)
        rows = history.rows_since(connection, 0, 10_000)
    assert report.ok, report.what
    recorded = [row.filename for row in rows if row.event in ("applied", "adopted")]
    assert sorted(filter(None, recorded)) == sorted(expected)
    assert_no_secret(environment, said, *map(repr, rows))
    if home is not None:
        assert_mirrored(environment, home, rows)


def assert_nothing_half(environment: Environment, *, piecemeal: str = "", said: str = "") -> None:
    """After a death, before the next run: what is in is in whole, and once; and nothing is held any more.

    piecemeal: the one file that may be half in, because it cannot run in a transaction; what it was at may be left.
    """
    gone = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rung %'"
    wait_until(lambda: not ask(environment, gone))
    done = ledger(environment)
    has_log = ask(environment, "SELECT to_regclass('public.log') IS NOT NULL") == [(True,)]
    traces = [entry for (entry,) in ask(environment, "SELECT entry FROM public.log")] if has_log else []
    assert sorted({*traces, *done} - {piecemeal}) == sorted(set(done) - {piecemeal})
    assert len(traces) == len(set(traces))
    invalid = ask(environment, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    assert not invalid or (piecemeal and piecemeal not in done)
    if ask(environment, "SELECT to_regclass('rung.history') IS NOT NULL") == [(True,)]:
        with connect(environment, purpose="test") as connection:
            report = history.verify(connection)
            rows = history.rows_since(connection, 0, 10_000)
        assert report.ok, report.what
        assert sorted(row.filename or "" for row in rows if row.event == "applied") == sorted(done)
        said += "".join(map(repr, rows))
    assert_no_secret(environment, said)


def assert_tidy(environment: Environment, *, invalid: Sequence[str] = ()) -> None:
    """No lock and no open transaction of ours, and no INVALID index that nobody explains."""
    wait_until(lambda: not _left_behind(environment))
    names = ask(environment, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    assert [name for (name,) in names] == sorted(invalid)


def assert_mirrored(environment: Environment, home: Home, rows: Sequence[HistoryRow]) -> None:
    """Home has every row of the environment's history once, and no row that is not there; and no password."""
    with home.connection() as connection:
        found = connection.execute(
            "SELECT id, event, filename, own_hash FROM home.history"
            " WHERE environment = %s AND gone_since IS NULL ORDER BY id",
            (environment.name,),
        ).fetchall()
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'home'").fetchall()
        everything = [
            row
            for (table,) in tables
            for (row,) in connection.execute(sql.SQL("SELECT t::text FROM home.{} AS t").format(sql.Identifier(table)))
        ]
    assert found == [(row.id, row.event, row.filename, row.own_hash) for row in rows]
    assert_no_secret(environment, *everything)


def assert_no_secret(environment: Environment, *texts: str) -> None:
    """Neither the environment's password nor a longer piece of it stands in any of the texts, however it is written."""
    assert environment.url
    password = conninfo_to_dict(environment.url.reveal())["password"]
    assert isinstance(password, str)
    secrets = {password, quote(password, safe=""), repr(password)[1:-1], *re.findall(r"\w{6,}", password)}
    found = [text for text in texts if any(secret in text for secret in secrets)]
    assert not found, "a password in something that was said"  # without repeating it


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
