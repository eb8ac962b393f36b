import contextlib
import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.postgres import embedded, whole
from dashboard.postgres.home.pool import Home
from dashboard.services.prepare import prepare
from tests import browser_setup, canaries, servers
from tests.databases import Database, Databases

if TYPE_CHECKING:  # heavy, and needed by browser tests only
    from playwright.sync_api import Browser, BrowserContext, Page

# A shell ignores these for what it starts in the background, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Nothing a test makes has to survive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # it would sit in a template that is about to be copied
    "max_connections": "200",
    "max_wal_size": "256MB",
}
IN_MEMORY = Path("/dev/shm")  # a database is three hundred files, and some disks take a third of a second for them

MakeDatabase = Callable[..., Secret]
Write = Callable[[Path, str, str], Path]


@pytest.fixture(scope="session", autouse=True)
def no_secret_comes_out() -> Iterator[canaries.Canaries]:
    """All that comes out in this session; at its end, none of it may hold a secret that a test used."""
    with canaries.watching() as watching:
        yield watching
    assert not watching.found, "\n".join(watching.found)


@pytest.fixture(autouse=True)
def _no_secret_from_here_on(no_secret_comes_out: canaries.Canaries, request: pytest.FixtureRequest) -> None:
    no_secret_comes_out.begin(request.node.nodeid)


@pytest.fixture(scope="session")
def cluster_place(worker_id: str) -> Callable[[str], Path]:
    """Name -> a folder for a test's own cluster: outside any home for root, private for everybody else."""
    _remove_what_dead_sessions_left()
    return lambda name: _place(f"tests-{os.getpid()}-{worker_id}-{name}")


@pytest.fixture(scope="session")
def server(cluster_place: Callable[[str], Path]) -> Iterator[embedded.EmbeddedServer]:
    """One embedded cluster for this process; every test has databases of its own in it."""
    with _running(cluster_place("main")) as running:
        yield running


@pytest.fixture(scope="session")
def debian_server(cluster_place: Callable[[str], Path]) -> Iterator[embedded.EmbeddedServer]:
    """The newest server that Debian's packages brought (15 on bookworm), for what differs between versions."""
    found = embedded.debian_programs()
    if not found:
        pytest.skip("no server of Debian's packages below /usr/lib/postgresql")
    with _running(cluster_place("debian"), found[0]) as running:
        yield running


@pytest.fixture(scope="session")
def server_with(cluster_place: Callable[[str], Path]) -> Iterator[Callable[[Path], embedded.EmbeddedServer]]:
    """Folder of programs -> a running cluster of theirs, one of each for this process."""
    with contextlib.ExitStack() as clusters:

        @functools.cache
        def start(programs: Path) -> embedded.EmbeddedServer:
            return clusters.enter_context(_running(cluster_place(f"with-{servers.label(programs)}"), programs))

        yield start


@pytest.fixture(scope="session", params=servers.others(), ids=servers.label)
def other_server(
    request: pytest.FixtureRequest, server_with: Callable[[Path], embedded.EmbeddedServer]
) -> embedded.EmbeddedServer:
    """Every other PostgreSQL that is here, one after the other: mark what uses it `slow`."""
    return server_with(request.param)


@pytest.fixture(scope="session")
def template(server: embedded.EmbeddedServer) -> str:
    """The name of the empty database that every test's database is a copy of; leave it empty."""
    server.create_database("template_empty", "template0")
    return "template_empty"


@pytest.fixture(scope="session")
def databases(server: embedded.EmbeddedServer) -> Iterator[Databases]:
    """Copies of the templates."""
    kept = Databases(server)
    yield kept
    kept.close()


@pytest.fixture
def make_database(databases: Databases, template: str) -> Iterator[MakeDatabase]:
    """`make_database()` or `make_database("a_template")` -> the address of a fresh database, dropped afterwards."""
    made: list[Database] = []

    def make(copied: str = template) -> Secret:
        made.append(databases.give(copied))
        return databases.server.url(made[-1].name)

    yield make
    for database in made:
        databases.take_back(database)


@pytest.fixture
def database(make_database: MakeDatabase) -> Secret:
    """The address of a fresh empty database."""
    return make_database()


@pytest.fixture
def environment(database: Secret) -> Environment:
    return Environment("local", 0, database)


@pytest.fixture
def environments(make_database: MakeDatabase) -> tuple[Environment, ...]:
    """Local, staging and production, each on a fresh empty database."""
    names = ("local", "staging", "production")
    return tuple(Environment(name, place, make_database()) for place, name in enumerate(names))


@pytest.fixture(scope="session")
def home_template(server: embedded.EmbeddedServer, template: str) -> str:
    """The name of a home that was prepared once; leave it as it is."""
    server.create_database("template_home", template)
    prepare(server.url("template_home"), None)
    return "template_home"


@pytest.fixture
def home_url(make_database: MakeDatabase, home_template: str) -> Secret:
    """The address of a home that is ready for use and knows nothing yet."""
    return make_database(home_template)


@pytest.fixture
def home(home_url: Secret) -> Iterator[Home]:
    opened = Home(home_url)
    yield opened
    opened.close()


@pytest.fixture
def in_home(home_url: Secret) -> Iterator[psycopg.Connection[Any]]:
    """A way into home past Rung: to look, and to turn clocks back."""
    with psycopg.connect(home_url.reveal(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def folder_path(tmp_path: Path) -> Path:
    """An empty migrations folder."""
    path = tmp_path / "migrations"
    path.mkdir()
    return path


@pytest.fixture
def write() -> Write:
    """`write(folder_path, "001_a.sql", "SELECT 1")`: the text goes to the disk as it is, line ends too."""

    def write_file(folder: Path, name: str, text: str) -> Path:
        path = folder / name
        path.write_bytes(text.encode())
        return path

    return write_file


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A real Chromium. Without one the test is skipped, or fails where CI says that all must run."""
    program = browser_setup.find(os.environ)
    if program is None:
        missing = "no Chromium could be found or got: see tests/browser_setup.py"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=[*root, "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def profile(browser: "Browser") -> Iterator["BrowserContext"]:
    """What the pages of all tests share. Its first page stays: a new profile costs three times what a page does."""
    context = browser.new_context()
    context.new_page()
    yield context
    context.close()


@pytest.fixture
def page(profile: "BrowserContext") -> Iterator["Page"]:
    """A page of a browser in which nobody is signed in or has allowed anything. No address of a test comes again."""
    yield profile.new_page()
    for opened in profile.pages[1:]:
        opened.close()
    profile.clear_cookies()
    profile.clear_permissions()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test has counted: `record_property("told", "…")`; a print would be lost where tests pass in a worker."""
    for report in terminalreporter.stats.get("passed", []):
        for name, told in report.user_properties:
            if name == "told":
                terminalreporter.write_line(str(told))


@contextlib.contextmanager
def _running(folder: Path, programs: Path | None = None) -> Iterator[embedded.EmbeddedServer]:
    running = embedded.start(folder, settings=FAST, programs=programs)
    try:
        yield running
    finally:
        embedded.remove(folder)


def _place(name: str) -> Path:
    folder = f"rung-tests-{os.geteuid()}"
    if _is_roomy(IN_MEMORY):
        ours = IN_MEMORY / folder
        ours.mkdir(mode=0o711, exist_ok=True)  # the server of root is somebody else, and has to pass
        if ours.stat().st_uid == os.geteuid():
            return ours / name
    return embedded.place(name, Path(tempfile.gettempdir()) / folder)


def _is_roomy(folder: Path) -> bool:
    """A container may have 64 MB there, and a cluster needs more."""
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 3 * 1024**3


def _remove_what_dead_sessions_left() -> None:
    """A test run that was killed could not stop its server."""
    for folder in _place("any").parent.glob("tests-*"):
        owner = folder.name.split("-")[1]
        if not _alive(int(owner)):
            with contextlib.suppress(OSError):  # another session tidies up at the same moment
                embedded.remove(folder)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@pytest.fixture
def one_file_a_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file goes out before the one before it has landed; usually several do."""
    monkeypatch.setattr(whole, "FILES", 1)
