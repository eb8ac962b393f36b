"""What the rows stand on: a server of our own, fresh databases, folders of files, and the programs that are timed."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.files import SampleFile, write_files
from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.postgres import embedded

VARIABLE = "RUNG_BENCH_URL"
_RUNG_TOML = f"""\
migrations = "migrations"

[environments.local]
url = "${VARIABLE}"
"""

# Waiting for the disk would be the same for floor and subject, and hide the difference between them. So would ext4,
# which looks long for a place where a file was not deleted lately: every turn begins by dropping a database.
MEMORY, ROOM = Path("/dev/shm"), 3 * 1024**3  # noqa: S108  # bytes that a cluster may need
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
DURABLE = {"autovacuum": "off"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int = 7
    files: int = 200
    far_files: int = 50
    far_rounds: int = 5
    planned_files: int = 10_000
    planned_rounds: int = 5
    page_files: int = 1000
    page_views: int = 50
    paints: int = 10
    watchers: int = 200
    watched_seconds: float = 10


FULL = Sizes()
QUICK = Sizes(rounds=3, far_rounds=2, planned_rounds=2, page_views=15, paints=5, watched_seconds=4)


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything a row needs. `folder`: scratch, gone afterwards."""

    server: embedded.EmbeddedServer
    folder: Path
    sizes: Sizes = FULL
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @contextlib.contextmanager
    def database(self, copy_of: Secret | None = None) -> Iterator[Secret]:
        """A fresh database, empty or a copy, dropped afterwards."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        self.server.create_database(name, _libpq_variables(copy_of)["PGDATABASE"] if copy_of else None)
        try:
            yield self.server.url(name)
        finally:
            self.server.drop_database(name)

    def checkout(self, files: tuple[SampleFile, ...]) -> Path:
        """A folder with these files in `migrations/` and a rung.toml that takes the address from `VARIABLE`."""
        folder = self.folder / f"checkout-{next(self._numbers)}"
        write_files(folder / "migrations", files)
        (folder / "rung.toml").write_text(_RUNG_TOML, encoding="utf-8")
        return folder

    def psql(self, *words: str, url: Secret) -> float:
        """Seconds that one psql process takes; it reads no file of the user's and stops at the first error."""
        program = [str(self.server.programs / "psql"), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]
        return wall([*program, *words], variables=_libpq_variables(url))


@contextlib.contextmanager
def opened(sizes: Sizes, settings: Mapping[str, str]) -> Iterator[Ground]:
    """A ground with a cluster of its own, both removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="rung-bench-") as folder:
        place = _place(f"bench-{os.getpid()}", Path(folder), durable=settings == DURABLE)
        try:
            yield Ground(embedded.start(place, settings=settings), Path(folder), sizes)
        finally:
            embedded.remove(place)


def _place(name: str, folder: Path, *, durable: bool) -> Path:
    """In memory where there is room; what is to be durable lies on the disk."""
    if durable or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return embedded.place(name, folder)
    ours = MEMORY / f"rung-bench-{os.geteuid()}"
    ours.mkdir(mode=0o711, exist_ok=True)  # the server of root is somebody else, and has to pass
    return ours / name


def wall(command: Sequence[str], *, variables: Mapping[str, str], folder: Path | None = None) -> float:
    """Seconds from starting a process to its end. A failure is an error: it is quick, and would look good."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=_clean(variables), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return seconds


def migrate(checkout: Path, url: Secret) -> float:
    """Seconds that one `rung migrate` takes as a process of its own, interpreter and all."""
    rung = Path(sys.executable).with_name("rung")
    return wall([str(rung), "migrate"], variables={VARIABLE: url.reveal()}, folder=checkout)


def apply_inside(checkout: Path, url: Secret) -> float:
    """Seconds that one call of `services.apply` takes, timed inside a new interpreter that has imported everything."""
    command = [sys.executable, "-m", "bench.inside", str(checkout / "migrations")]
    variables = _clean({VARIABLE: url.reveal()})
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"apply did not end well: {done.stdout}{done.stderr}"
    return float(done.stdout)


def expect_applied(url: Secret, count: int) -> None:
    """The ledger must have exactly `count` rows: the time of a run that did less means nothing."""
    with psycopg.connect(url.reveal()) as connection:
        found = connection.execute("SELECT pg_catalog.count(*) FROM public._migrations_applied").fetchone()
    assert found == (count,), f"{count} files should be in the ledger, and it has {found}"


def environment(url: Secret, name: str = "local", position: int = 0) -> Environment:
    return Environment(name, position, url, policies=Policies(moved=Policy.WARN))  # it may be a copy of another


def _libpq_variables(url: Secret) -> dict[str, str]:
    known = psycopg.conninfo.conninfo_to_dict(url.reveal())
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {variable: str(known[name]) for name, variable in names.items()}


def _clean(variables: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's PG… or RUNG_… variables reaches what is timed."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(variables)
