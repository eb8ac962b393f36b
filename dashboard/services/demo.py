"""The demo: three sample databases, each brought to its place on the ladder by the runner that does everything else."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import dashboard
from dashboard.core.environment import Environment
from dashboard.core.errors import DemoFault, EmbeddedServerFault
from dashboard.core.migration import SIZE_LIMIT, Folder, Migration, read_migration
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.folder import read_folder
from dashboard.postgres import embedded
from dashboard.postgres.transport import DEMO
from dashboard.services.apply import apply

ENVIRONMENTS = ("local", "staging", "production")
DATABASES = ("home", *ENVIRONMENTS)
ADMIN = "admin@example.com"

_SAMPLE = Path(dashboard.__file__).parent / "sample"
_ROWS = Path(embedded.__file__).with_name("demo_rows.sql")

_DEVELOPER = Actor(ActorKind.PERSON, "dev@example.com", Door.CLI)
_LEAD = Actor(ActorKind.PERSON, "lead@example.com", Door.CLI)
_ASSISTANT = Actor(ActorKind.AGENT, "coding assistant", Door.CLI)
_DEPLOY = Actor(ActorKind.DEPLOY, "team-app", Door.DEPLOY)

_CONFIGURATION = """\
# The demo's environments; `rung demo` writes their addresses into .env beside this file at every start.
migrations = "migrations"
home = "$RUNG_DEMO_HOME_URL"
secret_key = "$RUNG_DEMO_SECRET_KEY"

[environments.local]
url = "$RUNG_DEMO_LOCAL_URL"

[environments.staging]
url = "$RUNG_DEMO_STAGING_URL"

[environments.production]
url = "$RUNG_DEMO_PRODUCTION_URL"
protected = true
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One run of the demo's past: the files up to number `upto`, and the reason of a forced one."""

    environment: str
    upto: int
    actor: Actor
    reason: str | None = None


_WHY = "014 moved is_admin to role; no code reads the column since the last release"

STORY = (
    Chapter("local", 9, _DEVELOPER),
    Chapter("local", 14, _DEVELOPER),
    Chapter("local", 16, _DEVELOPER, reason=_WHY),
    Chapter("local", 20, _ASSISTANT),
    Chapter("staging", 9, _DEPLOY),
    Chapter("staging", 14, _DEPLOY),
    Chapter("staging", 17, _LEAD, reason=_WHY),
    Chapter("production", 9, _DEPLOY),
    Chapter("production", 14, _DEPLOY),
)
_ROWS_AFTER = 9

# What production got under these names, before somebody edited the file.
_EARLIER_TEXTS = {
    ("production", "012_archive_projects.sql"): """\
BEGIN;

-- Finished projects leave the list
ALTER TABLE projects
ADD COLUMN IF NOT EXISTS archived_at TIMESTAMPTZ;

COMMIT;
"""
}


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs.

    Attributes
    ----------
    folder: `rung.toml`, `.env` (0600), a `log`, and the demo's own copy of the sample in `migrations/`.
    server: one cluster with the databases home, local, staging and production.
    made: whether this start made it, instead of finding it as it was left.

    """

    folder: Path
    server: embedded.EmbeddedServer
    made: bool


@contextlib.contextmanager
def opened(folder: Path, *, reset: bool = False, programs: Path | None = None) -> Iterator[Demo]:
    """The demo that lives in `folder`, running until the block ends; made first when it is not there, or not whole.

    Raises DemoFault when another process has it open, EmbeddedServerFault when the server does not start.
    """
    cluster = cluster_of(folder)
    with _alone(folder):
        made = reset or not (cluster / "whole").exists()
        if made:
            _remove(folder, cluster)
        try:
            server = _start(cluster, programs, made=made)
            _write_files(folder, server)
            if made:
                _make(folder, server)
            yield Demo(folder, server, made)
        finally:  # also when Ctrl-C comes while it starts
            embedded.stop(cluster)


def _start(cluster: Path, programs: Path | None, *, made: bool) -> embedded.EmbeddedServer:
    try:
        return embedded.start(cluster, settings={"cluster_name": DEMO}, programs=programs)
    except EmbeddedServerFault as fault:
        if made:
            raise
        raise DemoFault(str(fault).rstrip(".")) from fault  # what is there can be thrown away, and the advice says so


def cluster_of(folder: Path) -> Path:
    """Where the cluster of the demo in `folder` lives: inside it, but for root, whose folders the server cannot see."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return embedded.place(f"demo-{name}", folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with _lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFault("it runs already, in another terminal") from None  # noqa: TRY003  # one of several reasons
        yield


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder.with_name(f"{folder.name}.lock").open("a")
    except OSError as wrong:
        reason = f"{folder.parent} cannot be used ({wrong.strerror}); XDG_DATA_HOME may name another folder"
        raise DemoFault(reason) from None


def _remove(folder: Path, cluster: Path) -> None:
    embedded.remove(cluster)
    if folder.exists():
        shutil.rmtree(folder)


def _write_files(folder: Path, server: embedded.EmbeddedServer) -> None:
    """What a shell needs to use the demo's databases. What people changed stays; the addresses are new every time."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / "migrations").exists():
        shutil.copytree(_SAMPLE, folder / "migrations")
    if not (folder / "rung.toml").exists():
        (folder / "rung.toml").write_text(_CONFIGURATION, encoding="utf-8")
    lines = [f"{name}={value}\n" for name, value in variables(server).items()]
    env = folder / ".env"
    env.touch(mode=0o600)
    env.write_text("".join(lines), encoding="utf-8")


def variables(server: embedded.EmbeddedServer) -> Mapping[str, str]:
    """What `rung.toml` refers to, under names of the demo's own, so that a DATABASE_URL of the shell is never meant."""
    urls = {f"RUNG_DEMO_{name.upper()}_URL": server.url(name).reveal() for name in DATABASES}
    key = hashlib.sha256(b"pages" + (server.folder / "password").read_bytes()).hexdigest()  # the same at every start
    return urls | {"RUNG_DEMO_SECRET_KEY": key}


def _make(folder: Path, server: embedded.EmbeddedServer) -> None:
    for name in DATABASES:
        server.create_database(name)
    sample = read_folder(folder / "migrations", SIZE_LIMIT)
    for chapter in STORY:
        _live(chapter, sample, server)
        if chapter.upto == _ROWS_AFTER:
            server.run_file(chapter.environment, _ROWS)
    (server.folder / "whole").touch()


def _live(chapter: Chapter, sample: Folder, server: embedded.EmbeddedServer) -> None:
    place = ENVIRONMENTS.index(chapter.environment)
    environment = Environment(chapter.environment, place, server.url(chapter.environment))
    order = Order(chapter.actor, force=chapter.reason is not None, reason=chapter.reason)
    past = Folder(tuple(_as_it_was(m, chapter.environment) for m in sample.migrations if m.number <= chapter.upto))
    result = apply(environment, lambda: past, order)
    if result.outcome is not Outcome.APPLIED:
        said = result.problem.message if result.problem else "nothing was pending"
        reason = f"{chapter.environment} did not get to {chapter.upto:03}: {said}"
        raise DemoFault(reason)


def _as_it_was(migration: Migration, environment: str) -> Migration:
    text = _EARLIER_TEXTS.get((environment, migration.filename))
    earlier = read_migration(migration.filename, text.encode()) if text else migration
    return earlier if isinstance(earlier, Migration) else migration
