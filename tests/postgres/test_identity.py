"""Identity: a database that was restored, copied or made anew under the same name is noticed before anything runs."""

import subprocess
import threading
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from psycopg import errors, sql

from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.core.migration import Folder
from dashboard.core.picture import Identity, Picture, picture_from_json, picture_to_json
from dashboard.core.run import Outcome
from dashboard.postgres import facts, observe, session
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.postgres.observe import take_picture
from dashboard.services.apply import apply
from dashboard.services.resolve import Ending
from dashboard.services.same_database import accept
from tests.conftest import MakeDatabase
from tests.oracle import ORDER, ask, folder_of, noted, three_files
from tests.wire import Chunk, Cut, wire_to

MORE = ("004_more.sql", noted("004_more.sql"))


def name_of(environment: Environment) -> str:
    assert environment.url
    return urlsplit(environment.url.reveal()).path[1:]


def identified(environment: Environment) -> list[str]:
    rows = ask(environment, "SELECT message FROM rung.history WHERE event = 'identified' ORDER BY id")
    return [row[0] for row in rows]


def oid(environment: Environment) -> int:
    [(number,)] = ask(environment, "SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
    return int(number)


def four_files() -> Folder:
    return folder_of(*((one.filename, one.text) for one in three_files().migrations), MORE)


def picture(environment: Environment) -> Picture:
    taken = take_picture(environment)
    assert isinstance(taken, Picture), taken
    return taken


@pytest.fixture
def copied(environment: Environment, make_database: MakeDatabase) -> Environment:
    """A database that was applied to, and a copy of it under the address of the same environment."""
    apply(environment, three_files, ORDER)
    return replace(environment, url=make_database(name_of(environment)))


def test_the_first_run_writes_down_which_database_it_is_and_later_ones_do_not(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    apply(environment, four_files, ORDER)
    [(system,)] = ask(environment, "SELECT system_identifier::text FROM pg_control_system()")
    assert identified(environment) == [f"system identifier {system}, database oid {oid(environment)}"]


def test_a_history_of_before_gets_the_row_with_its_next_run(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    ask(environment, "ALTER TABLE rung.history DISABLE TRIGGER ALL")
    ask(environment, "UPDATE rung.history SET event = 'note' WHERE event = 'identified'")
    assert picture(environment).moved is None
    assert apply(environment, three_files, ORDER).outcome is Outcome.NOTHING
    assert identified(environment) == []
    assert apply(environment, four_files, ORDER).outcome is Outcome.APPLIED
    assert len(identified(environment)) == 1


@pytest.mark.fault(92)
def test_a_copy_is_refused_by_name_with_what_it_was_and_what_it_is(
    environment: Environment, copied: Environment
) -> None:
    result = apply(copied, four_files, ORDER)
    assert result.outcome is Outcome.REFUSED
    assert result.problem
    said = result.problem.message
    assert said.startswith("local is not the database that it was at the last run (")
    assert "by somebody): it was restored, copied or replaced." in said
    assert f"database oid {oid(environment)}. It is: system identifier" in said
    assert f"database oid {oid(copied)}." in said
    assert "rung resolve --env local --same-database" in said
    assert 'moved = "warn"' in said
    assert len(ask(copied, "SELECT entry FROM log")) == 3


@pytest.mark.fault(92)
def test_a_dump_restored_under_the_same_name_is_another_database(
    server: EmbeddedServer, environment: Environment
) -> None:
    assert environment.url
    apply(environment, three_files, ORDER)
    address = environment.url.reveal()
    dump = subprocess.run([server.programs / "pg_dump", address], check=True, capture_output=True).stdout
    server.drop_database(name_of(environment))
    server.create_database(name_of(environment), "template0")
    assert picture(environment).history_id == 0  # dropped and made anew: there is nothing to compare with
    subprocess.run([server.programs / "psql", "-qX", address], input=dump, check=True, capture_output=True)
    result = apply(environment, four_files, ORDER)
    assert result.outcome is Outcome.REFUSED
    assert result.problem
    assert "restored, copied or replaced" in result.problem.message


def test_a_database_that_was_dropped_and_made_anew_is_a_first_run(
    server: EmbeddedServer, environment: Environment
) -> None:
    apply(environment, three_files, ORDER)
    server.drop_database(name_of(environment))
    server.create_database(name_of(environment), "template0")
    assert apply(environment, three_files, ORDER).outcome is Outcome.APPLIED
    assert identified(environment) == [str(picture_identity(environment))]


def picture_identity(environment: Environment) -> Identity:
    [(system,)] = ask(environment, "SELECT system_identifier::text FROM pg_control_system()")
    return Identity(system, oid(environment))


def test_where_it_happens_every_night_it_is_a_notice_and_the_run_writes_it_down(copied: Environment) -> None:
    nightly = replace(copied, policies=Policies(moved=Policy.WARN))
    result = apply(nightly, four_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert any("is not the database that it was" in note for note in result.notes)
    assert identified(copied)[-1].startswith(f"{picture_identity(copied)}; before: system identifier")
    assert picture(copied).moved is None
    assert not any("is not the database" in note for note in apply(nightly, four_files, ORDER).notes)


@pytest.mark.fault(32)
def test_another_server_at_the_same_address_does_not_decide_what_became_of_a_commit(
    environment: Environment,
    server: EmbeddedServer,
    debian_server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection is cut while a file flies, and the address leads to somebody else from then on."""
    monkeypatch.setattr(session, "_FIND_OUT", 2.0)
    apply(environment, three_files, ORDER)
    name, gone = name_of(environment), threading.Event()
    both_servers = [replace(environment, url=one.url("postgres")) for one in (server, debian_server)]
    for there in both_servers:
        ask(there, "DROP ROLE IF EXISTS twin")
        ask(there, "CREATE ROLE twin SUPERUSER LOGIN PASSWORD 'twin'")
    debian_server.create_database(name)

    def cut(chunk: Chunk) -> None:
        if b"INSERT INTO public.log VALUES ('004_more.sql')" in chunk.data:
            gone.set()
        if gone.is_set():
            raise Cut

    assert environment.url
    with wire_to(environment.url) as wire:
        wire.before = cut
        places = f"127.0.0.1:{urlsplit(wire.url.reveal()).port},127.0.0.1:{debian_server.port}"
        result = apply(replace(environment, url=Secret(f"postgresql://twin:twin@{places}/{name}")), four_files, ORDER)
    debian_server.drop_database(name)
    for there in both_servers:
        ask(there, "DROP ROLE twin")
    assert result.outcome is Outcome.UNKNOWN, result
    assert result.problem
    assert "could not be asked since whether it is applied" in result.problem.message


def test_somebody_may_say_that_it_is_the_one_that_is_meant(copied: Environment) -> None:
    accepted = accept(copied, ORDER.actor, "restored after the fire")
    assert accepted.ending is Ending.RESOLVED, accepted.problem
    assert str(picture_identity(copied)) in accepted.said
    rows = ask(copied, "SELECT reason, actor FROM rung.history WHERE event = 'identified' ORDER BY id DESC LIMIT 1")
    assert rows == [("restored after the fire", "somebody")]
    assert apply(copied, four_files, ORDER).outcome is Outcome.APPLIED
    again = accept(copied, ORDER.actor, "twice")
    assert again.ending is Ending.REFUSED
    assert again.problem
    assert "it is the database that it was" in again.problem.message


def test_a_picture_of_a_moved_database_survives_home(copied: Environment) -> None:
    taken = picture(copied)
    assert taken.moved
    assert picture_from_json(picture_to_json(taken)) == taken


def test_a_role_that_may_not_ask_which_cluster_it_is_goes_by_the_database_alone(environment: Environment) -> None:
    assert environment.url
    ask(environment, "DROP ROLE IF EXISTS narrow")
    ask(environment, "CREATE ROLE narrow LOGIN PASSWORD 'narrow'")
    ask(environment, f"GRANT CREATE ON DATABASE {name_of(environment)} TO narrow")
    ask(environment, "GRANT USAGE, CREATE ON SCHEMA public TO narrow")
    ask(environment, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    narrow = replace(
        environment, url=Secret(f"postgresql://narrow:narrow@{environment.url.reveal().partition('@')[2]}")
    )
    try:
        result = apply(narrow, three_files, ORDER)
        assert result.outcome is Outcome.APPLIED, result.problem
        assert identified(environment) == [f"system identifier not readable, database oid {oid(environment)}"]
        assert apply(narrow, four_files, ORDER).outcome is Outcome.APPLIED
        assert len(identified(environment)) == 1
        assert picture(environment).moved is None  # who may ask knows more, and nothing that contradicts
    finally:
        ask(environment, "DROP OWNED BY narrow CASCADE; DROP ROLE narrow")


def test_the_comparison_costs_no_round_trip(environment: Environment) -> None:
    apply(environment, three_files, ORDER)
    assert environment.url
    with wire_to(environment.url) as wire:
        pieces: list[bytes] = []
        wire.before = lambda chunk: pieces.append(chunk.data)
        assert apply(replace(environment, url=wire.url), three_files, ORDER).outcome is Outcome.NOTHING
    assert sum(piece[:1] == b"Q" for piece in pieces) == 1


@pytest.mark.parametrize("text", ["", "nonsense", "system identifier x, database oid y"])
def test_a_row_that_nobody_can_read_is_no_identity(text: str) -> None:
    assert Identity.read(text) is None


def test_a_cluster_is_another_one_only_where_both_are_known() -> None:
    here = Identity("1", 5)
    assert here.differs(Identity("2", 5))
    assert here.differs(Identity("1", 6))
    assert not here.differs(Identity(None, 5))
    assert Identity.read(str(Identity(None, 7))) == Identity(None, 7)


def test_a_server_that_keeps_it_to_itself_is_asked_without(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some managed servers have no such function."""
    monkeypatch.setattr(facts, "_SYSTEM", sql.SQL("(SELECT s.system_identifier::text FROM nowhere.pg_control() AS s)"))
    with pytest.raises(errors.InvalidSchemaName), observe.dial(environment, purpose="test") as connection:
        observe._ask(connection, environment, [facts.query(environment)])
    result = apply(environment, three_files, ORDER)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert "not readable" in identified(environment)[0]
