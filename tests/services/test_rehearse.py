import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import CannotRehearse
from dashboard.core.migration import SIZE_LIMIT, Folder
from dashboard.core.rehearsal import FileTrace, Rehearsal, StatementTrace
from dashboard.folder import read_folder
from dashboard.postgres import embedded, scratch
from dashboard.services.compare import Compare
from dashboard.services.rehearse import rehearse, sizes
from tests.oracle import folder_of

SCHEMA = """
CREATE TYPE mood AS ENUM ('calm', 'glad');
CREATE TABLE users (id bigserial PRIMARY KEY, email text, legacy_role text, mood mood);
CREATE INDEX users_by_lower ON users (lower(email));
CREATE TABLE posts (id bigint PRIMARY KEY, user_id bigint REFERENCES users);
CREATE VIEW roles AS SELECT id, legacy_role FROM users;
INSERT INTO users (email) SELECT 'same@example.org' FROM generate_series(1, 3);
"""
FILES = (
    (
        "001_widen.sql",
        "ALTER TABLE users ALTER COLUMN email TYPE varchar(50);\nALTER TABLE posts ADD COLUMN title text;",
    ),
    ("002_index.sql", "CREATE INDEX CONCURRENTLY posts_by_user ON posts (user_id);"),
    ("003_roles.sql", "SET search_path = public;\nALTER TABLE users DROP COLUMN legacy_role CASCADE;"),
    ("004_unique.sql", "CREATE UNIQUE INDEX users_by_email ON users (email);"),
    ("005_typo.sql", "CREATE TABLE tags (id bigint);\nALTER TABLE postz ADD COLUMN tag bigint;"),
    ("006_never.sql", "CREATE TABLE never (id bigint);"),
)


def tried(environment: Environment, *files: tuple[str, str]) -> Rehearsal:
    look = Compare((environment,), lambda: folder_of(*files), None).look(environment.name)
    return rehearse(look, lambda _: None)


def ask(environment: Environment, sql: str) -> list[tuple[object, ...]]:
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def original(server: embedded.EmbeddedServer) -> Environment:
    server.create_database("original")
    environment = Environment("production", 0, server.url("original"))
    ask(environment, SCHEMA)
    return environment


@pytest.fixture(scope="module")
def done(original: Environment) -> Rehearsal:
    return tried(original, *FILES)


def file(done: Rehearsal, name: str) -> FileTrace:
    return next(one for one in done.files if one.filename == name)


def statement(done: Rehearsal, name: str, index: int = 1) -> StatementTrace:
    return file(done, name).statements[index - 1]


def test_the_first_file_that_does_not_go_through_is_told_with_its_place_and_ends_it(done: Rehearsal) -> None:
    assert [one.filename for one in done.files] == [name for name, _ in FILES[:5]]
    failed = done.failed
    assert failed is not None
    assert failed.problem is not None
    assert not failed.inconclusive
    assert (failed.filename, failed.problem.line, failed.problem.sqlstate) == ("005_typo.sql", 2, "42P01")
    assert "throwaway copy" in failed.problem.advice


def test_the_environment_is_as_it_was(original: Environment, done: Rehearsal) -> None:
    assert done.files
    columns = ask(original, "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' ORDER BY 1")
    assert columns == [("email",), ("id",), ("legacy_role",), ("mood",)]
    assert ask(original, "SELECT to_regclass('rung.history'), to_regclass('_migrations_applied')") == [(None, None)]


def test_a_rewrite_its_lock_and_the_index_it_builds_again_are_seen(done: Rehearsal) -> None:
    rewrite = statement(done, "001_widen.sql")
    assert rewrite.rewritten == ("public.users",)
    assert rewrite.built == ("public.users_by_lower", "public.users_pkey")
    (lock,) = (lock for lock in rewrite.locks if lock.relation == "public.users")
    assert (lock.words, lock.stops, lock.since) == ("ACCESS EXCLUSIVE", "reads and writes", 1)
    assert not rewrite.gone  # the index is made anew, by the same name


def test_a_lock_is_told_of_the_statement_that_took_it(done: Rehearsal) -> None:
    later = statement(done, "001_widen.sql", 2)
    assert "public.users" not in {lock.relation for lock in later.locks}
    assert later.rewritten == ()


@pytest.mark.slow
def test_a_concurrent_build_is_watched_while_it_runs(done: Rehearsal) -> None:
    build = statement(done, "002_index.sql")
    assert build.sampled
    assert build.built == ("public.posts_by_user",)
    assert {(lock.relation, lock.stops) for lock in build.locks} == {("public.posts", "")}


def test_what_cascade_takes_and_what_a_session_keeps_are_told(done: Rehearsal) -> None:
    assert statement(done, "003_roles.sql", 2).gone == ("column public.users.legacy_role", "view public.roles")
    assert file(done, "003_roles.sql").left == ("search_path is public",)


def test_a_copy_has_no_rows_and_says_nothing_of_those_that_are_there(done: Rehearsal) -> None:
    assert file(done, "004_unique.sql").problem is None  # there are duplicates in the environment
    assert statement(done, "004_unique.sql").scanned == ("public.users",)


def test_the_schema_afterwards_is_told_object_by_object(done: Rehearsal) -> None:
    told = {(change.sign, change.kind, change.name) for change in done.changes}
    assert ("~", "column", "public.users.email") in told
    assert ("+", "index", "public.posts_by_user") in told
    assert ("-", "view", "public.roles") in told
    assert not any(name.startswith(("public.tags", "public.never")) for _, _, name in told)


def test_estimates_rest_on_the_sizes_of_the_environment(original: Environment, done: Rehearsal) -> None:
    known = sizes(original, done)
    assert known["public.users"].heap == 8192
    assert known["public.posts"].heap == 0


def test_what_depends_on_rows_is_told_as_undecided(original: Environment) -> None:
    raising = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM users) THEN RAISE 'no users'; END IF; END $$;"
    done = tried(original, ("001_raise.sql", raising))
    assert done.failed
    assert done.failed.inconclusive


@pytest.mark.parametrize(
    "outside",
    [
        "CREATE DATABASE another;",
        "ALTER SYSTEM SET work_mem = '1GB';",
        "COPY users FROM PROGRAM 'cat /etc/passwd';",
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;",
    ],
)
def test_what_reaches_outside_is_refused_by_name_before_anything_is_copied(
    original: Environment, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_ask", lambda _: pytest.fail("the environment was asked"))
    done = tried(original, ("001_fine.sql", "CREATE TABLE fine (id int);"), ("002_outside.sql", outside))
    assert done.problem
    assert (done.problem.filename, done.problem.line) == ("002_outside.sql", 1)
    assert "outside" in done.problem.message
    assert not done.files


def test_what_hides_in_a_body_finds_no_superuser_there(original: Environment, tmp_path: Path) -> None:
    """What no review can read is tried all the same: the role of the copy may do nothing to the machine."""
    out = tmp_path / "out"
    command = f"COPY users TO PROGRAM 'touch {out}'".encode().hex()
    hidden = f"DO $do$ BEGIN EXECUTE convert_from(decode('{command}', 'hex'), 'utf8'); END $do$;"
    done = tried(original, ("001_hidden.sql", hidden))
    assert done.failed
    assert done.failed.problem
    assert done.failed.problem.sqlstate == "42501"
    assert not out.exists()


def test_roles_that_files_name_are_there_and_so_are_their_memberships(
    server: embedded.EmbeddedServer, make_role: Callable[[str], Secret]
) -> None:
    url = make_role("migrator")
    environment = Environment("production", 0, url)
    done = tried(environment, ("001_grant.sql", "CREATE TABLE t (id int);\nGRANT SELECT ON t TO migrator;"))
    assert done.failed is None, done.failed


def test_a_schema_that_cannot_be_read_is_told_in_one_sentence(
    server: embedded.EmbeddedServer, make_role: Callable[[str], Secret]
) -> None:
    url = make_role("stranger")
    with psycopg.connect(_as_owner(server, url), autocommit=True) as owner:
        owner.execute("CREATE TABLE secret (id int)")
    with pytest.raises(CannotRehearse, match=r"production's schema can be made: .*permission denied"):
        tried(Environment("production", 0, url), ("001_a.sql", "CREATE TABLE a (id int);"))


def test_nothing_is_left_behind_not_even_by_one_that_was_killed(original: Environment) -> None:
    place = embedded.place(f"{scratch._NAME}-{_dead_process()}-left", Path("/tmp"))  # its place on disk
    left = embedded.start(place)
    assert left.answers()
    url = left.url("postgres")
    tried(original, ("001_a.sql", "CREATE TABLE a (id int);"))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.reveal())
    assert not list(place.parent.glob(f"{scratch._NAME}-{os.getpid()}-*"))
    assert not place.exists()


def test_nothing_to_do_is_not_tried(original: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_ask", lambda _: pytest.fail("the environment was asked"))
    assert tried(original).files == ()


def test_the_sample_app_goes_through(server: embedded.EmbeddedServer) -> None:
    server.create_database("sample_rehearsed")
    environment = Environment("local", 0, server.url("sample_rehearsed"))

    def read() -> Folder:
        return read_folder(Path("migrations"), SIZE_LIMIT)

    done = rehearse(Compare((environment,), read, None).look("local"), lambda _: None)
    assert done.failed is None, done.failed
    assert len(done.files) == len(read().migrations)


def _dead_process() -> int:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def _as_owner(server: embedded.EmbeddedServer, url: Secret) -> str:
    return server.url(url.reveal().rpartition("/")[2]).reveal()


@pytest.fixture
def make_role(server: embedded.EmbeddedServer) -> Callable[[str], Secret]:
    """Role -> its address of a database of its own, in which it may make what it likes."""

    def make(role: str) -> Secret:
        server.create_database(f"of_{role}")
        with psycopg.connect(server.url(f"of_{role}").reveal(), autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p4ss'")
            owner.execute(f"GRANT ALL ON SCHEMA public TO {role}")
        host = server.url("x").reveal().rpartition("@")[2].rpartition("/")[0]
        return Secret(f"postgresql://{role}:p4ss@{host}/of_{role}")

    return make


def test_a_new_table_is_one_change_with_all_that_belongs_to_it(original: Environment) -> None:
    text = "CREATE TABLE notes (id serial PRIMARY KEY, user_id bigint REFERENCES users);\nCREATE INDEX n ON notes (user_id);"
    done = tried(original, ("001_notes.sql", text), ("002_posts.sql", "DROP TABLE posts;"))
    assert [(change.sign, change.kind, change.name) for change in done.changes] == [
        ("+", "index", "public.n"),
        ("+", "table", "public.notes"),
        ("-", "table", "public.posts"),
    ]
    assert done.changes[1].after.splitlines() == [
        "id integer NOT NULL DEFAULT nextval('public.notes_id_seq'::regclass)",
        "user_id bigint",
        "CONSTRAINT notes_pkey PRIMARY KEY (id)",
        "CONSTRAINT notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id)",
    ]


@pytest.mark.slow
def test_five_files_on_three_hundred_tables_take_less_than_ten_seconds(server: embedded.EmbeddedServer) -> None:
    server.create_database("wide")
    environment = Environment("production", 0, server.url("wide"))
    tables = [
        f"CREATE TABLE t{number} (id serial PRIMARY KEY, name text UNIQUE, made timestamptz,"
        f" above int REFERENCES t{max(0, number - 1)}); CREATE INDEX by_made_{number} ON t{number} (made);"
        for number in range(300)
    ]
    ask(environment, "".join(tables))
    changes = ("ADD COLUMN more text", "ALTER name TYPE varchar(90)", "ADD CHECK (id > 0)", "DROP COLUMN made CASCADE")
    files = [(f"{n:03}_change.sql", f"ALTER TABLE t{n} {change};") for n, change in enumerate(changes, 1)]
    done = tried(environment, *files, ("005_index.sql", "CREATE INDEX CONCURRENTLY by_name ON t9 (name, id);"))
    assert done.failed is None, done.failed
    assert len(done.files) == 5
    assert done.seconds < 10, done.seconds
