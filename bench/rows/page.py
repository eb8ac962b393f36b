"""The matrix page, inside the server: three environments, and twenty, with a long ladder each, as home has them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg

from bench.files import sample_files, write_files
from bench.ground import Ground, environment, expect_applied
from bench.measure import Bound, Group, Line, take_turns
from dashboard import bootstrap, settings
from dashboard.core.access import Role
from dashboard.core.environment import Secret
from dashboard.core.migration import SIZE_LIMIT, Folder
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.folder import read_folder
from dashboard.services.apply import apply
from dashboard.web import create_app

Behind = Mapping[str, int]
"""Environment -> how many files it lacks; in this order, so that each database begins as a copy of the one before."""

BEHIND: Behind = {"production": 6, "staging": 3, "local": 0}
TWENTY: Behind = {f"customer_{n:02}": (20 - n) // 3 for n in range(1, 20)} | {"local": 0}

NOTES = (
    "A signed-in request through Flask's test client, from the request to the last byte of the answer, as it is sent",
    "to a browser. Home is a real database that holds the last pictures. After a change: a row of one ledger came or",
    "went, and home has the new picture, so that this process plans, compares and draws anew.",
)
_READER = "bench@example.com"
Get = Callable[[], bytes]


def measure(ground: Ground) -> Group:
    return _matrix(ground, "page", BEHIND, Bound(30), Bound(60))


def measure_twenty(ground: Ground) -> Group:
    return _matrix(ground, "twenty", TWENTY, Bound(80), None)


def _matrix(ground: Ground, name: str, behind: Behind, time_bound: Bound, size_bound: Bound | None) -> Group:
    folder = ground.folder / name
    write_files(folder / "migrations", sample_files(ground.sizes.page_files))
    with databases(ground, folder, behind) as variables, _services(folder, variables) as services:
        get = _signed_in(services)

        def changed() -> float:
            _come_or_go(Secret(variables["LOCAL_URL"]))
            services.compare.live()
            return _milliseconds(get)

        taken = take_turns({"changed": changed, "same": lambda: _milliseconds(get)}, ground.sizes.page_views)
        kilobytes = len(get()) / 1000
    return Group(
        name,
        f"Matrix page, {len(behind)} environments with {ground.sizes.page_files:,} files",
        (
            Line("in the server", taken["same"], "ms", bound=time_bound),
            Line("in the server, first view after a change", taken["changed"], "ms"),
            Line("as it is sent", (kilobytes,), "KB", bound=size_bound),
        ),
        NOTES,
    )


def _milliseconds(get: Get) -> float:
    started = time.perf_counter()
    get()
    return (time.perf_counter() - started) * 1000


@contextlib.contextmanager
def databases(ground: Ground, folder: Path, behind: Behind = BEHIND) -> Iterator[dict[str, str]]:
    """Home, the environments at their places on the ladder, and rung.toml; gives the variables with their addresses."""
    (folder / "rung.toml").write_text(_rung_toml(behind), encoding="utf-8")
    ladder = read_folder(folder / "migrations", SIZE_LIMIT).migrations
    with contextlib.ExitStack() as stack:
        variables = {"HOME_URL": stack.enter_context(ground.database()).reveal()}
        url: Secret | None = None
        for name, lacks in behind.items():
            url = stack.enter_context(ground.database(copy_of=url))
            files = Folder(ladder[: len(ladder) - lacks])
            _apply(url, files)
            expect_applied(url, len(files.migrations))
            variables[f"{name.upper()}_URL"] = url.reveal()
        yield variables


def _rung_toml(behind: Behind) -> str:
    tables = (f'[environments.{name}]\nurl = "${name.upper()}_URL"\n' for name in reversed(behind))
    return "\n".join(('migrations = "migrations"\nhome = "$HOME_URL"\n', *tables))


def _apply(url: Secret, files: Folder) -> None:
    apply(environment(url), lambda: files, Order(Actor(ActorKind.PERSON, _READER, Door.CLI)))


def _come_or_go(url: Secret) -> None:
    """Take one row out of a ledger, or put it back."""
    one = "00002_create_things_0.sql"
    with psycopg.connect(url.reveal()) as connection:
        gone = connection.execute("DELETE FROM public._migrations_applied WHERE filename = %s", (one,)).rowcount
        if not gone:
            connection.execute("INSERT INTO public._migrations_applied VALUES (%s, pg_catalog.now())", (one,))


@contextlib.contextmanager
def _services(folder: Path, variables: dict[str, str]) -> Iterator[bootstrap.Services]:
    chosen = settings.load(variables, start=folder)
    bootstrap.prepare_home(chosen)
    services = bootstrap.build(chosen)
    try:
        services.compare.live()
        yield services
    finally:
        services.close()


def session_of(services: bootstrap.Services) -> str:
    """The token of somebody who has signed in."""
    services.accounts.add(_READER, None, Role.VIEWER)
    return services.accounts.redeem(services.accounts.make_link(_READER)) or ""


def _signed_in(services: bootstrap.Services) -> Get:
    """A way to get the page as somebody who is signed in."""
    client = create_app(services).test_client()
    client.set_cookie("rung", session_of(services))

    def get() -> bytes:
        answer = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, answer.status
        assert answer.content_encoding == "gzip"
        data: bytes = answer.data
        return data

    return get
