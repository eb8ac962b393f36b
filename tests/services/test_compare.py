"""Compare: pictures asked now, pictures remembered, and one look for all viewers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import NoHome, UnknownEnvironment, Unreachable
from dashboard.core.matrix import Matrix
from dashboard.core.plan import State
from dashboard.folder import FolderReader
from dashboard.postgres.home.pool import Home
from dashboard.services.compare import Compare
from tests.conftest import Write

LEDGER = "CREATE TABLE _migrations_applied (filename text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
NOWHERE = "postgresql://rung@127.0.0.1:1/nowhere"


def run(environment: Environment, *statements: str) -> None:
    assert environment.url is not None
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def applied(environment: Environment, *names: str) -> None:
    values = ", ".join(f"('{name}')" for name in names)
    run(environment, LEDGER, f"INSERT INTO _migrations_applied (filename) VALUES {values}")


@pytest.fixture
def reader(folder_path: Path, write: Write) -> FolderReader:
    for number in range(1, 4):
        write(folder_path, f"00{number}_t{number}.sql", f"CREATE TABLE t{number} (id int);")
    return FolderReader(folder_path)


@pytest.fixture
def compare(environments: tuple[Environment, ...], reader: FolderReader, home: Home) -> Compare:
    applied(environments[0], "001_t1.sql", "002_t2.sql", "003_t3.sql")
    applied(environments[1], "001_t1.sql")
    return Compare(environments, reader.read, home)


def moments(matrix: Matrix) -> dict[str, datetime]:
    """When each environment was seen last."""
    return {column.environment.name: column.taken_at for column in matrix.columns if column.taken_at}


def dead(environment: Environment) -> Environment:
    return replace(environment, url=Secret(NOWHERE))


@pytest.fixture
def deaf() -> Iterator[Secret]:
    """The address of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield Secret(f"postgresql://rung@127.0.0.1:{listening.getsockname()[1]}/deaf")


def heads(matrix: Matrix) -> list[str]:
    return [column.headline for column in matrix.columns]


# --- without home ---


def test_without_home_everything_is_asked_live(environments: tuple[Environment, ...], reader: FolderReader) -> None:
    applied(environments[0], "001_t1.sql", "002_t2.sql", "003_t3.sql")
    matrix = Compare(environments, reader.read, None).live()
    assert heads(matrix) == ["up to date", "3 behind", "3 behind"]
    assert [row.filename for row in matrix.rows] == ["003_t3.sql", "002_t2.sql", "001_t1.sql"]


def test_without_home_nothing_is_remembered(environments: tuple[Environment, ...], reader: FolderReader) -> None:
    compare = Compare(environments, reader.read, None)
    with pytest.raises(NoHome):
        compare.last_known()
    with pytest.raises(NoHome):
        compare.refresh(5)


def test_an_unknown_environment_is_named_with_the_known_ones(compare: Compare) -> None:
    for ask in (compare.look, compare.last_look):
        with pytest.raises(UnknownEnvironment, match="'moon'; this configuration has local, staging, production"):
            ask("moon")


@pytest.mark.fault(47)
def test_a_home_that_is_away_does_not_keep_the_command_line_from_looking(
    environments: tuple[Environment, ...], reader: FolderReader
) -> None:
    away = Home(Secret(NOWHERE))
    compare = Compare(environments, reader.read, away)
    assert heads(compare.live()) == ["3 behind"] * 3
    assert compare.look("staging").plan is not None
    with pytest.raises(Unreachable, match="Rung's own database cannot be reached"):
        compare.last_known()


# --- remembering ---


def test_before_anybody_asked_nothing_is_known(compare: Compare) -> None:
    assert heads(compare.last_known()) == ["not asked yet"] * 3


def test_a_look_is_remembered_for_everybody(
    compare: Compare, environments: tuple[Environment, ...], reader: FolderReader, home_url: Secret
) -> None:
    assert compare.refresh(5)
    other = Home(home_url)
    matrix = Compare(environments, reader.read, other).last_known()
    other.close()
    assert heads(matrix) == ["up to date", "2 behind", "3 behind"]
    assert [cell and cell.state for cell in matrix.rows[-1].cells] == [State.APPLIED, State.APPLIED, State.PENDING]
    assert matrix.columns[0].taken_at is not None


def test_what_the_command_line_saw_is_remembered_too(compare: Compare) -> None:
    compare.live()
    assert heads(compare.last_known()) == ["up to date", "2 behind", "3 behind"]
    assert not compare.refresh(60)


def test_last_known_never_asks_an_environment(compare: Compare, environments: tuple[Environment, ...]) -> None:
    compare.refresh(5)
    run(environments[1], "DROP TABLE _migrations_applied")
    assert heads(compare.last_known())[1] == "2 behind"
    assert compare.last_look("staging").picture is not None
    assert compare.refresh(0)
    assert heads(compare.last_known())[1] == "3 behind"


def test_a_new_file_counts_at_once_without_asking_again(compare: Compare, folder_path: Path, write: Write) -> None:
    compare.refresh(5)
    write(folder_path, "004_t4.sql", "CREATE TABLE t4 (id int);")
    assert heads(compare.last_known()) == ["1 behind", "3 behind", "4 behind"]


# --- dead environments ---


@pytest.mark.fault(48)
def test_a_dead_environment_keeps_its_last_picture_and_says_since_when(
    compare: Compare, environments: tuple[Environment, ...], reader: FolderReader, home: Home
) -> None:
    compare.refresh(5)
    local, staging, production = environments
    later = Compare((local, dead(staging), production), reader.read, home)
    later.refresh(0)
    first = later.last_look("staging").not_reachable
    later.refresh(0)
    look = later.last_look("staging")
    assert first is not None
    assert look.not_reachable == first
    assert first.since is not None
    assert "nothing listens at 127.0.0.1:1" in first.reason
    assert look.plan is not None
    assert len(look.plan.steps) == 2
    assert heads(later.last_known()) == ["up to date", "not reachable", "3 behind"]
    compare.refresh(0)
    assert compare.last_look("staging").not_reachable is None


def test_a_live_look_at_a_dead_environment_still_shows_what_was_known(
    compare: Compare, environments: tuple[Environment, ...], reader: FolderReader, home: Home
) -> None:
    compare.refresh(5)
    local, staging, production = environments
    look = Compare((local, dead(staging), production), reader.read, home).look("staging")
    assert look.not_reachable is not None
    assert look.not_reachable.since is not None
    assert look.picture is not None


@pytest.mark.fault(48)
def test_a_dead_environment_holds_up_nobody(
    environments: tuple[Environment, ...], reader: FolderReader, home: Home, deaf: Secret
) -> None:
    local, staging, production = environments
    compare = Compare((local, replace(staging, url=deaf), replace(production, url=deaf)), reader.read, home)
    looking = threading.Thread(target=lambda: compare.refresh(5))
    begun = time.monotonic()
    looking.start()
    wait_until(lambda: heads(compare.last_known())[0] == "3 behind")
    assert looking.is_alive()  # still at the deaf ones
    quick = time.monotonic()
    compare.last_known()
    assert time.monotonic() - quick < 0.5
    looking.join()
    assert time.monotonic() - begun < 5  # both at once, 3 s each
    assert heads(compare.last_known()) == ["3 behind", "not reachable", "not reachable"]


def wait_until(true: Callable[[], bool], patience: float = 10) -> None:
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_an_environment_without_address_says_which_variable_is_missing(
    environments: tuple[Environment, ...], reader: FolderReader, home: Home
) -> None:
    compare = Compare((replace(environments[0], url=None, variable="STAGING_URL"),), reader.read, home)
    compare.refresh(5)
    silent = compare.last_look("local").not_reachable
    assert silent is not None
    assert "STAGING_URL" in silent.reason


# --- many viewers ---


def test_many_viewers_cause_one_look(
    environments: tuple[Environment, ...], reader: FolderReader, home_url: Secret
) -> None:
    homes = [Home(home_url) for _ in range(5)]
    viewers = [Compare(environments, reader.read, home) for home in homes]
    asked: list[bool] = []
    threads = [
        threading.Thread(target=lambda c=compare: asked.append(c.refresh(60))) for compare in viewers for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for home in homes:
        home.close()
    assert len(asked) == 50
    # Each environment was asked once; a claim may hold some of them only, so two viewers may share the work.
    assert 1 <= sum(asked) <= 3


def test_only_what_is_older_is_asked_again(compare: Compare, in_home: psycopg.Connection[Any]) -> None:
    compare.refresh(5)
    in_home.execute("UPDATE home.picture SET asked_at = asked_at - interval '1 minute' WHERE environment = 'staging'")
    before = moments(compare.last_known())
    assert compare.refresh(30)
    after = moments(compare.last_known())
    assert [name for name in after if after[name] != before[name]] == ["staging"]


def test_who_says_the_same_again_was_heard_and_is_not_planned_or_kept_anew(
    compare: Compare, environments: tuple[Environment, ...], home: Home, reader: FolderReader
) -> None:
    compare.live()
    reading = Compare(environments, reader.read, home)  # another process
    first, plan = reading.last_known(), reading.last_look("staging").plan
    compare.live()
    again = reading.last_known()
    assert all(later > sooner for later, sooner in zip(moments(again).values(), moments(first).values(), strict=True))
    assert again.rows is first.rows
    assert reading.last_look("staging").plan is plan
    applied(environments[2], "001_t1.sql")
    compare.live()
    assert heads(reading.last_known()) == ["up to date", "2 behind", "2 behind"]
    assert reading.last_look("staging").plan is plan, "only production said something else"


def test_pictures_of_an_earlier_version_tell_their_own_moment(
    compare: Compare, in_home: psycopg.Connection[Any]
) -> None:
    before = moments(compare.live())
    in_home.execute("UPDATE home.picture SET taken_at = NULL, said = NULL")
    assert moments(compare.last_known()) == before
    assert compare.refresh(0)
    assert all(moment > before[name] for name, moment in moments(compare.last_known()).items())


def test_a_question_that_died_is_asked_again_after_a_while(compare: Compare, in_home: psycopg.Connection[Any]) -> None:
    in_home.execute("INSERT INTO home.picture (environment, asked_at) VALUES ('local', now() - interval '10 seconds')")
    assert compare.refresh(5)
    assert heads(compare.last_known())[0] == "up to date"


def test_a_moment_that_lies_ahead_does_not_stop_the_looking(compare: Compare, in_home: psycopg.Connection[Any]) -> None:
    compare.refresh(5)
    in_home.execute("UPDATE home.picture SET asked_at = now() + interval '1 day'")
    assert compare.refresh(5)


def test_an_old_answer_that_comes_late_is_dropped(
    compare: Compare, home: Home, environments: tuple[Environment, ...]
) -> None:
    from dashboard.postgres.home import pictures

    with home.connection() as connection:
        early = pictures.claim(connection, ["local"], 0)["local"]
        old = compare.live().columns[0]
        picture = pictures.load(connection, "local")
        assert picture is not None
        pictures.keep(connection, replace(picture[1], server_version="old"), early)
    assert old.server_version != "old"
    assert compare.last_known().columns[0].server_version == old.server_version
