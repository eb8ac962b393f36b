"""Home is down, full or read-only, or a target is: what still works, and what is refused before it starts."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Secret
from dashboard.core.run import Outcome
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import Cast, words
from tests.cli.conftest import Checkout
from tests.faults.test_network import black_hole
from tests.oracle import ORDER, ask, ledger, wait_until

PAGES = ("/", "/history", "/environments/staging", "/migrations/001_create_users.sql")
FRAGMENTS = ("/fragments/ladder", "/fragments/environments/staging")


def other(url: Secret) -> tuple[str, psycopg.Connection[object]]:
    """The name of a database, and a connection to its neighbour, from which it can be shut."""
    name = url.reveal().rpartition("/")[2]
    return name, psycopg.connect(url.reveal().removesuffix(name) + "postgres", autocommit=True)


def throw_out(connection: psycopg.Connection[object], name: str) -> None:
    """End everybody else's sessions there, and wait until they are over."""
    others = " FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    connection.execute(f"SELECT pg_terminate_backend(pid){others}".encode(), (name,))
    wait_until(lambda: connection.execute(f"SELECT pid{others}".encode(), (name,)).fetchone() is None)


@contextlib.contextmanager
def down(url: Secret) -> Iterator[None]:
    """Nobody gets into that database, and who is in is thrown out."""
    name, connection = other(url)
    with connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        throw_out(connection, name)
        yield
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def make_full(home: psycopg.Connection[object]) -> None:
    """Every table of home answers what a full disk answers."""
    home.execute(
        "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION "
        "'could not extend file \"base/1/1\": No space left on device' USING ERRCODE = 'disk_full'; END$$"
    )
    for (table,) in home.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'home'::regnamespace"
    ).fetchall():  # type: ignore[misc]  # one column
        home.execute(
            f"CREATE TRIGGER a_full BEFORE INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION public.full()".encode()
        )


def make_read_only(home: psycopg.Connection[object]) -> None:
    """A standby that was promoted too late, a provider that ran out of quota."""
    name = home.info.dbname
    home.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    throw_out(home, name)


# --- 37: home takes no more rows ---


@pytest.mark.fault(37)
@pytest.mark.parametrize("fill", [make_full, make_read_only])
def test_a_home_that_cannot_remember_a_run_starts_none_and_still_shows_its_pages(
    cast: Cast,
    three: tuple[str, ...],
    settings: Settings,
    in_home: psycopg.Connection[object],
    fill: Callable[[psycopg.Connection[object]], None],
) -> None:
    staging = settings.environment("staging")
    digest = cast.operator.get("/environments/staging").text.partition('name="digest" value="')[2].partition('"')[0]
    token = cast.operator.token("/environments/staging")
    assert digest
    fill(in_home)
    for page in (*PAGES, *FRAGMENTS):
        answer = cast.operator.get(page)
        assert answer.status_code == 200, (page, words(answer))
    asked = cast.operator.client.post(
        "/environments/staging/apply", data={"csrf": token, "digest": digest, "mode": "all"}
    )
    assert asked.status_code == 503, words(asked)
    assert "Rung's own database" in words(asked)
    assert "it takes no rows" in words(asked)
    assert in_home.execute("SELECT count(*) FROM home.procrastinate_jobs").fetchone() == (0,)
    assert ledger(staging) == list(three[:4])
    assert ask(staging, "SELECT to_regclass('public.tasks')") == [(None,)]


# --- 47: home is down while the targets are up ---


@pytest.mark.usefixtures("signed_in")
@pytest.mark.fault(47)
def test_without_home_the_pages_say_so_and_work_again_when_it_is_back(
    cast: Cast, three: tuple[str, ...], settings: Settings, services: Services
) -> None:
    assert settings.home
    staging = settings.environment("staging")
    with down(settings.home):
        for page in PAGES:
            answer = cast.operator.get(page)
            assert answer.status_code == 503, page
            assert "Rung's own database does not answer" in words(answer)
        result = apply(staging, services.folder.read, ORDER)
        assert result.outcome is Outcome.APPLIED, result.problem
        seen = services.compare.live()
        assert len(seen.columns) == 3
    assert ledger(staging) == list(three)
    services.compare.live()  # the next look, whoever makes it
    page = words(cast.operator.get("/history"))
    assert "005_create_tasks.sql" in page
    assert "somebody" in page


@pytest.mark.fault(47)
def test_without_home_the_command_works_and_says_no_word_about_it(checkout: Checkout, home_url: Secret) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id int);")
    with down(home_url):
        done = checkout.rung("migrate", "--env", "local", code=0, RUNG_HOME_URL=home_url.reveal())
        status = checkout.rung("status", RUNG_HOME_URL=home_url.reveal())
    assert "001_a.sql" in done.out
    assert checkout.ledger() == ["001_a.sql"]
    assert "001_a.sql" in status.out


# --- 48: a target is down while home is up ---


@pytest.mark.fault(48)
def test_a_target_that_is_away_is_a_column_with_its_reason_and_costs_the_others_nothing(
    cast: Cast, three: tuple[str, ...], settings: Settings, services: Services
) -> None:
    staging = settings.environment("staging")
    assert staging.url
    with down(staging.url):
        services.compare.live()
        for page in ("/", "/environments/staging", "/environments/local", "/history"):
            began = time.monotonic()
            answer = cast.viewer.get(page)
            assert (answer.status_code, time.monotonic() - began < 1) == (200, True), page
        away = words(cast.viewer.get("/environments/staging"))
    assert "does not let user" in away or "cannot be reached" in away
    assert apply(settings.environment("local"), services.folder.read, ORDER).outcome is Outcome.NOTHING


@pytest.mark.slow
@pytest.mark.fault(48)
def test_a_target_that_swallows_every_packet_holds_up_no_page(
    three: tuple[str, ...], settings: Settings, cast: Cast
) -> None:
    """The fragment asks the target and takes its three seconds; the page comes from home."""
    with black_hole() as nowhere:
        local, staging, production = settings.environments
        gone = replace(staging, url=Secret(f"postgresql://rung@{nowhere}/gone"))
        built = build(replace(settings, environments=(local, gone, production)))
        app = create_app(built)
        client = app.test_client()
        link = built.accounts.make_link("viewer@example.com")
        page = client.get(f"/sign-in/link/{link}").text
        token = page.partition('name="csrf" value="')[2].partition('"')[0]
        assert client.post(f"/sign-in/link/{link}", data={"csrf": token}).status_code == 303
        asking = threading.Thread(target=lambda: app.test_client().get("/fragments/ladder"))
        asking.start()
        times = []
        while asking.is_alive() or not times:
            began = time.monotonic()
            assert client.get("/").status_code == 200
            times.append(time.monotonic() - began)
        asking.join()
        built.close()
    assert max(times) < 1


# --- 46: many viewers ---


@pytest.mark.fault(46)
def test_a_hundred_viewers_who_poll_leave_connections_for_everybody_else(
    cast: Cast, three: tuple[str, ...], settings: Settings, services: Services
) -> None:
    """Each waits for its turn at home's eight connections; none keeps one while it waits for the next poll."""
    assert settings.home
    name, connection = other(settings.home)
    most, answers, over = 0, [], threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            counted = connection.execute(
                b"SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
            most = max(most, counted[0] if counted else 0)  # type: ignore[call-overload,index]  # one number
            time.sleep(0.005)

    def view() -> None:
        window = cast.app.test_client()  # of the same person
        window._cookies = dict(cast.viewer.client._cookies)
        answers.extend(window.get(page).status_code for page in ("/", "/fragments/ladder", "/environments/local"))

    watching = threading.Thread(target=watch)
    watching.start()
    viewers = [threading.Thread(target=view) for _ in range(100)]
    for viewer in viewers:
        viewer.start()
    result = apply(settings.environment("staging"), services.folder.read, ORDER)
    run = services.runs.ask("local", ORDER)
    for viewer in viewers:
        viewer.join()
    over.set()
    watching.join()
    connection.close()
    assert result.outcome is Outcome.APPLIED
    assert run.run_id
    assert set(answers) == {200}
    assert len(answers) == 300
    assert most <= 9, f"{most} connections to home"
