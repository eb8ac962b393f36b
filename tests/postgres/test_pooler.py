"""Poolers: what works behind one, what is refused by name, and that nothing of ours stays behind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import Unusable
from dashboard.core.events import OutcomeUnknown
from dashboard.core.picture import Picture
from dashboard.core.run import Outcome
from dashboard.postgres import watch
from dashboard.postgres.connect import connect, dial
from dashboard.postgres.lock import Attempt
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, Seen, ask, assert_consistent, folder_of, noted, three_files
from tests.postgres.pgbouncer import PROGRAM, Bouncer, pgbouncer
from tests.wire import Chunk, Deafen, wire_to

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer: apt-get install pgbouncer")

Behind = Callable[..., Environment]
SYNC = b"S\x00\x00\x00\x04"  # the message


@pytest.fixture
def behind(environment: Environment) -> Iterator[Behind]:
    """`behind("transaction")` -> the same environment, through a PgBouncer in that mode."""
    with ExitStack() as stack:

        def make(mode: str, **how: object) -> Environment:
            assert environment.url
            bouncer: Bouncer = stack.enter_context(pgbouncer(environment.url, mode, **how))  # type: ignore[arg-type]
            return replace(environment, url=bouncer.url(environment.url))

        yield make


def made(environment: Environment) -> list[tuple[object, ...]]:
    return ask(environment, "SELECT to_regclass('public._migrations_applied'), to_regnamespace('rung')")


@pytest.mark.fault(51)
def test_session_mode_works_and_is_remarked(environment: Environment, behind: Behind) -> None:
    pooled = behind("session")
    result = apply(pooled, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert any("a pooler in session mode" in note for note in result.notes)
    assert_consistent(environment, [migration.filename for migration in three_files().migrations])
    assert apply(pooled, three_files, ORDER).outcome is Outcome.NOTHING


@pytest.mark.fault(51)
def test_in_session_mode_a_long_statement_is_watched_as_the_process_that_it_is(
    environment: Environment, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOST_AFTER", 0.3)
    seen = Seen()
    result = apply(behind("session"), lambda: three_files("SELECT pg_sleep(1.5);"), ORDER, seen)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert not seen.of(OutcomeUnknown)


@pytest.mark.parametrize(
    ("mode", "also"),
    [
        pytest.param("transaction", "", marks=pytest.mark.fault(52)),
        pytest.param("transaction", "server_round_robin = 1", marks=pytest.mark.fault(52)),
        pytest.param("statement", "", marks=pytest.mark.fault(53)),
    ],
)
def test_other_modes_are_refused_by_name_before_anything_is_written(
    environment: Environment, behind: Behind, mode: str, also: str
) -> None:
    pooled = behind(mode, also=also)
    with psycopg.connect(pooled.url.reveal() if pooled.url else "", autocommit=True) as other:
        other.execute("SELECT 1")  # there are two servers to choose from
        result = apply(pooled, three_files, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert result.problem.message.startswith(f"local cannot take migrations: its address leads to a pooler in {mode}")
    assert "Give the database's direct address" in result.problem.advice
    assert "s3cret" not in str(result)
    assert made(environment) == [(None, None)]


@pytest.mark.fault(52)
def test_the_lock_is_not_taken_through_one_before_it_is_known(environment: Environment, behind: Behind) -> None:
    """It would stay in a server process that is lent to somebody else next."""
    for mode in ("session", "transaction", "statement"):
        with dial(behind(mode), purpose="control") as connection:
            attempt = Attempt(connection, "public")
            attempt.hear(connection.execute(attempt.query).fetchall())
            assert attempt.held is None
            assert ask(environment, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_servers_that_take_turns_are_found_out_too(environment: Environment, behind: Behind) -> None:
    pooled = behind("transaction", also="server_round_robin = 1")
    assert pooled.url
    with ExitStack() as stack:
        others = [stack.enter_context(psycopg.connect(pooled.url.reveal())) for _ in range(5)]
        for other in others:
            other.execute("SELECT 1")  # all at once, so that five servers are there
        for other in others:
            other.rollback()
        for _ in range(5):
            taken = take_picture(pooled)
            assert isinstance(taken, Picture)
            assert taken.unwritable
            assert "transaction mode" in taken.unwritable.reason


def test_a_pool_of_one_is_refused_within_seconds(behind: Behind) -> None:
    result = apply(behind("session", size=1), three_files, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert "lends no second connection" in result.problem.message


def test_looking_through_a_transaction_pooler_leaves_nothing_in_its_servers(
    environment: Environment, behind: Behind
) -> None:
    apply(environment, three_files, ORDER)
    name = urlsplit(environment.url.reveal() if environment.url else "").path[1:]
    ask(environment, f"ALTER DATABASE {name} SET search_path = app, public")
    ask(environment, f"ALTER DATABASE {name} SET lock_timeout = '7s'")
    pooled = behind("transaction", size=1, also="ignore_startup_parameters = extra_float_digits")
    taken = take_picture(pooled)
    assert isinstance(taken, Picture)
    assert len(taken.ledger) == 3
    with pytest.raises(Unusable, match="pooler in transaction mode"):
        connect(pooled, purpose="history")
    query = "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('idle_session_timeout')"
    assert ask(pooled, query) == [("app, public", "7s", "0")]


def test_a_direct_address_costs_nothing_more(environment: Environment) -> None:
    assert environment.url
    with wire_to(environment.url) as wire:
        pieces: list[bytes] = []
        wire.before = lambda chunk: pieces.append(chunk.data)
        apply(replace(environment, url=wire.url), three_files, ORDER)
    assert not any(b"pooler check" in piece for piece in pieces)


@pytest.mark.fault(54)
def test_a_pooler_that_ends_all_sessions_in_the_middle_of_a_file_leaves_nothing_half(environment: Environment) -> None:
    assert environment.url
    name = urlsplit(environment.url.reveal()).path[1:]
    with pgbouncer(environment.url, "session") as bouncer:
        pooled = replace(environment, url=bouncer.url(environment.url))

        def end(event: object) -> None:
            if getattr(event, "name", "") == "statement_done" and getattr(event, "filename", "") == "002_middle.sql":
                bouncer.tell(f"KILL {name}")
                bouncer.tell(f"RESUME {name}")

        result = apply(pooled, lambda: three_files("SELECT pg_sleep(1);"), ORDER, end)
    assert result.outcome is Outcome.FAILED
    assert result.problem
    assert "a pooler on the way ended the session" in result.problem.message
    assert "it is not applied (checked)" in result.problem.message
    assert_consistent(environment, ["001_log.sql"])


@pytest.mark.fault(55)
def test_a_limit_of_the_pooler_is_named(environment: Environment, behind: Behind) -> None:
    pooled = behind("session", also="query_timeout = 1")
    result = apply(pooled, lambda: three_files("SELECT pg_sleep(5);"), ORDER)
    assert result.outcome in (Outcome.FAILED, Outcome.UNKNOWN)
    assert result.problem
    assert "a pooler on the way ended the session: query timeout" in result.problem.message
    assert "with the direct address of the database" in result.problem.advice
    assert_consistent(environment, ["001_log.sql"])


def test_settings_that_the_pooler_refuses_are_named(behind: Behind) -> None:
    pooled = behind("session")
    assert pooled.url
    asked = replace(pooled, url=Secret(f"{pooled.url.reveal()}?options=-cwork_mem%3D8MB"))
    result = apply(asked, three_files, ORDER)
    assert result.outcome is Outcome.UNREACHABLE
    assert result.problem
    assert "Take `options` out of the address" in result.problem.advice


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("", Outcome.APPLIED, "it is applied (checked)"),
        ("-- rung: no transaction\n", Outcome.FAILED, "the connection was lost while statement 1 ran"),
    ],
)
def test_a_pooler_that_loses_its_server_does_not_know_what_became_of_a_file(
    environment: Environment, text: str, outcome: Outcome, said: str
) -> None:
    """It says FATAL in the place of answers that it never got, and the server may have gone on."""
    apply(environment, lambda: folder_of(("001_log.sql", LOG)), ORDER)
    files = folder_of(("001_log.sql", LOG), ("002_more.sql", text + noted("002_more.sql")))

    said_before: dict[int, bytes] = {}
    doomed: set[int] = set()

    def before(chunk: Chunk) -> None:
        """Until the end of what it sends in one go, which is our rows too where the file has a transaction."""
        said_before[chunk.link] = said_before.get(chunk.link, b"") + chunk.data
        if chunk.data.endswith(SYNC):
            group = said_before.pop(chunk.link)
            if noted("002_more.sql").strip(";\n").encode() in group and not (text and b"rung.history" in group):
                wire.mute(chunk.link)  # an answer may come back before `after` is asked
                doomed.add(chunk.link)

    def after(chunk: Chunk) -> None:
        if chunk.link in doomed:
            doomed.clear()
            raise Deafen

    assert environment.url
    with wire_to(environment.url) as wire, pgbouncer(wire.url, "session") as bouncer:
        wire.before, wire.after = before, after
        result = apply(replace(environment, url=bouncer.url(environment.url)), lambda: files, ORDER)
    assert result.outcome is outcome, result.problem
    assert said in " ".join((*result.notes, result.problem.message if result.problem else ""))
    states = ask(environment, "SELECT event FROM rung.history WHERE filename = '002_more.sql' ORDER BY id")
    assert ("failed",) not in states
    again = apply(environment, lambda: files, ORDER)
    assert again.outcome is (Outcome.NOTHING if outcome is Outcome.APPLIED else Outcome.REFUSED)
