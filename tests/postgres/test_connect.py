"""Connecting: one sentence for every way it can fail, and never a secret."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import BadDatabaseUrl, MissingVariable, Unreachable
from dashboard.core.run import Outcome
from dashboard.postgres import embedded
from dashboard.postgres.connect import connect, dial, unreachable
from dashboard.services.apply import apply
from tests.conftest import FAST
from tests.oracle import ORDER, ask, three_files
from tests.wire import wire_to


def at(url: str) -> Environment:
    return Environment("staging", 1, Secret(url))


def failure(url: str) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        dial(at(url), purpose="test")
    assert caught.value.advice
    return caught.value


def changed(environment: Environment, **parts: str) -> str:
    """The environment's address with another user, password, host or database."""
    assert environment.url
    url = urlsplit(environment.url.reveal())
    user, password = parts.get("user", url.username), parts.get("password", url.password)
    return f"postgresql://{user}:{password}@{parts.get('host', '127.0.0.1')}:{url.port}/{parts.get('database', url.path[1:])}"


@pytest.mark.fault(56)
def test_a_wrong_password_is_named_and_never_shown(environment: Environment) -> None:
    said = failure(changed(environment, password="hunter2-s3cret"))
    assert "does not accept the password of user postgres" in said.reason
    assert "127.0.0.1:" in said.reason
    assert "database test_" in said.reason
    assert "hunter2" not in str(said) + said.advice


@pytest.mark.fault(56)
def test_a_missing_database_is_named(environment: Environment) -> None:
    assert "has no database nowhere (user postgres)" in failure(changed(environment, database="nowhere")).reason


@pytest.mark.fault(56)
def test_a_missing_role_is_named(environment: Environment) -> None:
    # With password authentication the server does not tell a missing role from a wrong password, on purpose.
    said = failure(changed(environment, user="nobody_here", password="x")).reason
    assert "user nobody_here" in said


def test_a_port_where_nobody_listens(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = failure(f"postgresql://u:secretpass@127.0.0.1:{port}/d").reason
    assert said == f"nothing listens at 127.0.0.1:{port} (database d, user u)"


@pytest.mark.fault(28)
def test_a_host_that_cannot_be_resolved() -> None:
    assert "the host name of db.invalid:5432 cannot be resolved" in failure("postgresql://u@db.invalid/d").reason


@pytest.mark.fault(26)
def test_a_black_hole_is_given_up_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        began = time.monotonic()
        said = failure(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d").reason
    assert "did not answer in time" in said
    assert time.monotonic() - began < 5


@pytest.mark.fault(57)
def test_tls_that_the_server_does_not_speak(environment: Environment) -> None:
    said = failure(changed(environment) + "?sslmode=require").reason
    assert "does not speak TLS" in said


@pytest.mark.fault(45)
def test_a_role_without_connections_left(environment: Environment) -> None:
    ask(environment, "DROP ROLE IF EXISTS crowded")
    ask(environment, "CREATE ROLE crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    said = failure(changed(environment, user="crowded", password="x"))
    ask(environment, "DROP ROLE crowded")
    assert "has no connection left for user crowded" in said.reason


def test_a_role_that_may_not_log_in(environment: Environment) -> None:
    ask(environment, "DROP ROLE IF EXISTS sleeper")
    ask(environment, "CREATE ROLE sleeper NOLOGIN PASSWORD 'x'")
    said = failure(changed(environment, user="sleeper", password="x"))
    ask(environment, "DROP ROLE sleeper")
    assert "does not let user sleeper into database" in said.reason


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('FATAL:  role "x" does not exist', "has no role app"),
        ("FATAL:  the database system is starting up", "is starting up"),
        ("FATAL:  the database system is shutting down", "is shutting down"),
        ("FATAL:  sorry, too many clients already", "has no connection left"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x", database "d", no encryption', "without TLS"),
        (
            'FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x", database "d", SSL encryption',
            "from this machine",
        ),
        ('server certificate for "a" does not match host name "b"', "is for another host name"),
        ("SSL error: certificate verify failed", "not signed by an authority"),
        ("SSL error: certificate has expired", "has expired"),
        ('root certificate file "/x/root.crt" does not exist', "certificate file"),
        ("could not connect: No route to host", "no way through the network"),
        ("FATAL:  unsupported startup parameter: options", "the pooler"),
        ("something nobody has heard of", "refused the connection"),
    ],
)
def test_what_servers_and_libpq_say_in_our_words(said: str, told: str) -> None:
    fault = unreachable("staging", {"host": "db", "port": "6432", "user": "app", "dbname": "shop"}, said)
    assert told in fault.reason
    assert all(part in fault.reason for part in ("db:6432", "app", "shop"))
    assert fault.advice


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "S3cr3tS3cr3t",
        "mysql://app:S3cr3t@db/shop",
        "postgresql://app:S3cr3t et@db/shop",
        "postgresql://app:S3cr3t%zz@db/shop",
        "postgresql://app:S3cr3t@db:notaport/shop",
        "postgresql://app:S3/cr3t@db/shop?nonsense=S3cr3t",
        "postgresql://[app:S3cr3t@db/shop",
        "host=db password='S3cr3t",
        "postgresql://app:S3cr3t@db/shop?sslmode=S3cr3t",
        "postgresql://app@S3cr3t@[::/shop",
        "postgresql://app:half@S3cr3t@db/shop",
        "postgresql://app:S3/S3cr3t@db/shop",
        "postgresql://app:12/S3cr3t@db/shop",
        "postgresql://app:12?S3cr3t@db/shop",
    ],
)
def test_an_address_that_cannot_be_read_is_never_repeated(url: str) -> None:
    with pytest.raises((BadDatabaseUrl, Unreachable)) as caught:
        dial(at(url), purpose="test")
    whole = str(caught.value) + str(caught.value.__dict__) + caught.value.advice + repr(caught.value.__cause__)
    assert "3cr" not in whole
    assert "staging" in str(caught.value)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(MissingVariable, match="STAGING_URL"):
        dial(Environment("staging", 1, None, variable="STAGING_URL"), purpose="test")


def test_the_session_says_who_it_is(environment: Environment) -> None:
    with dial(environment, purpose="control") as connection:
        row = connection.execute("SELECT current_setting('application_name')").fetchone()
    assert row == ("rung control",)


@pytest.mark.fault(89)
def test_what_the_owner_set_up_for_everybody_does_not_reach_our_sessions(environment: Environment) -> None:
    for setting in ("search_path = trojan, pg_catalog", "DateStyle = German", "statement_timeout = '1s'"):
        name = environment.url and urlsplit(environment.url.reveal()).path[1:]
        ask(environment, f"ALTER DATABASE {name} SET {setting}")
    ask(environment, "CREATE SCHEMA trojan")
    year = "SELECT timestamptz '1999-01-01'"
    ask(environment, f"CREATE FUNCTION trojan.now() RETURNS timestamptz LANGUAGE sql AS $${year}$$")
    with connect(environment, purpose="test") as connection:
        row = connection.execute("SELECT now() > '2020-01-01', current_setting('statement_timeout')").fetchone()
    assert row == (True, "0")


def test_a_connection_outside_autocommit_is_possible(environment: Environment) -> None:
    with connect(environment, purpose="test", autocommit=False) as connection:
        connection.execute("CREATE TABLE public.kept_back (id int)")
        connection.rollback()
    with pytest.raises(psycopg.errors.UndefinedTable):
        ask(environment, "SELECT FROM public.kept_back")


@pytest.mark.fault(56)
def test_a_wrong_password_is_tried_once(environment: Environment) -> None:
    """An account is locked after a few of them."""
    assert environment.url
    with wire_to(environment.url) as wire:
        failure(changed(replace(environment, url=wire.url), password="hunter2-s3cret"))
        tried = wire.links
        result = apply(
            replace(environment, url=Secret(changed(replace(environment, url=wire.url), password="x"))),
            three_files,
            ORDER,
        )
    assert result.outcome is Outcome.UNREACHABLE
    assert (tried, wire.links) == (1, 2)


@pytest.mark.fault(27)
def test_of_several_hosts_the_dead_ones_are_passed_over(environment: Environment) -> None:
    assert environment.url
    url = urlsplit(environment.url.reveal())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    places = f"127.0.0.1:{dead},127.0.0.1:{url.port}"
    several = f"postgresql://{url.username}:{url.password}@{places}{url.path}"
    with dial(at(several), purpose="test") as connection:
        assert connection.info.port == url.port


@pytest.mark.fault(45)
def test_a_server_without_connections_left_is_named_and_others_go_on(
    cluster_place: Callable[[str], Path],
) -> None:
    folder = cluster_place("crowded")
    crowded = embedded.start(folder, settings=FAST | {"max_connections": "6", "superuser_reserved_connections": "0"})
    url = crowded.url("postgres").reveal()
    with ExitStack() as stack:
        stack.callback(embedded.remove, folder)
        for _ in range(6):
            stack.enter_context(psycopg.connect(url))
        said = failure(url)
    assert "has no connection left for user postgres" in said.reason
    assert "max_connections" in said.advice
