import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Secret
from dashboard.core.errors import EmbeddedServerFault
from dashboard.postgres import embedded
from dashboard.postgres.embedded import EmbeddedServer
from tests.conftest import FAST


@pytest.fixture
def folder(cluster_place: Callable[[str], Path], request: pytest.FixtureRequest) -> Iterator[Path]:
    """A place for one cluster, which is stopped and removed whatever the test did to it."""
    path = cluster_place(f"{abs(hash(request.node.nodeid))}")
    yield path
    embedded.remove(path)


def ask(url: Secret, question: str) -> object:
    with psycopg.connect(url.reveal()) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def pid_of(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split("\n")[0])


def test_a_folder_without_programs_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerFault, match="holds no initdb"):
        embedded.start(folder, programs=tmp_path)


def test_a_setting_that_postgresql_refuses_is_told_with_its_own_words(folder: Path) -> None:
    with pytest.raises(EmbeddedServerFault, match=r"unrecognized configuration parameter .*no_such_thing"):
        embedded.start(folder, settings=FAST | {"no_such_thing": "1"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a server user that cannot look into private folders")
def test_root_is_told_when_the_server_cannot_get_to_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedServerFault, match="cannot be used by user"):
        embedded.start(tmp_path / "cluster")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_the_server_of_root_is_not_root(server: EmbeddedServer) -> None:
    assert Path(f"/proc/{pid_of(server.folder)}").stat().st_uid != 0


def test_permissions_of_what_is_not_ours_stay(tmp_path: Path, folder: Path) -> None:
    wheel = embedded._wheel_programs()
    assert wheel is not None
    watched = [tmp_path, Path.home(), *wheel.parents, *folder.parent.parents, wheel / "postgres"]
    before = [stat.S_IMODE(path.stat().st_mode) for path in watched]
    embedded.start(folder, settings=FAST)
    assert [stat.S_IMODE(path.stat().st_mode) for path in watched] == before


def test_nobody_else_reads_the_cluster_or_its_password(server: EmbeddedServer) -> None:
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.folder / "password").stat().st_mode) == 0o600


def test_a_wrong_password_is_refused(server: EmbeddedServer) -> None:
    right = server.url("postgres").reveal()
    password = (server.folder / "password").read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(right.replace(password, "guess"))


def test_it_listens_on_the_loopback_address_only(server: EmbeddedServer) -> None:
    assert ask(server.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"
    assert ask(server.url("postgres"), "SHOW unix_socket_directories") == ""


def test_data_survives_stop_and_start(folder: Path) -> None:
    first = embedded.start(folder, settings=FAST)
    first.create_database("kept")
    first.stop()
    first.stop()  # a second time does nothing
    second = embedded.start(folder, settings=FAST)
    assert "kept" in second.databases()
    assert ask(second.url("kept"), "SELECT current_database()") == "kept"


def test_starting_again_joins_the_running_server(folder: Path) -> None:
    first = embedded.start(folder, settings=FAST)
    assert embedded.start(folder, settings=FAST) == first


def test_two_starters_at_once_share_one_server(folder: Path) -> None:
    started: list[EmbeddedServer] = []
    starters = [
        threading.Thread(target=lambda: started.append(embedded.start(folder, settings=FAST))) for _ in range(3)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(started) == 3
    assert len(set(started)) == 1


def test_a_killed_server_starts_again_with_its_data(folder: Path) -> None:
    first = embedded.start(folder, settings=FAST)
    first.create_database("kept")
    os.kill(pid_of(folder), signal.SIGKILL)
    assert "kept" in embedded.start(folder, settings=FAST).databases()


def test_a_pid_file_that_names_a_stranger_is_not_believed(folder: Path) -> None:
    first = embedded.start(folder, settings=FAST)
    text = (folder / "data" / "postmaster.pid").read_text()
    first.stop()
    user = {"user": folder.stat().st_uid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **user) as stranger:  # type: ignore[call-overload]
        (folder / "data" / "postmaster.pid").write_text(text.replace(text.split("\n")[0], str(stranger.pid), 1))
        try:
            assert ask(embedded.start(folder, settings=FAST).url("postgres"), "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.terminate()


def test_a_creation_that_was_cut_off_starts_from_the_beginning(folder: Path) -> None:
    embedded.start(folder, settings=FAST).stop()
    (folder / "data").rename(folder / "unfinished")
    assert ask(embedded.start(folder, settings=FAST).url("postgres"), "SELECT 1") == 1


def test_stopping_ends_open_sessions(folder: Path) -> None:
    running = embedded.start(folder, settings=FAST)
    with psycopg.connect(running.url("postgres").reveal()) as connection:
        running.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_the_server_outlives_the_process_that_started_it_and_its_interrupt_key(folder: Path) -> None:
    program = (
        "import sys, pathlib; from dashboard.postgres import embedded;"
        "embedded.start(pathlib.Path(sys.argv[1]), settings={'fsync': 'off'}); print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"ready\n"
        os.killpg(starter.pid, signal.SIGINT)  # what Ctrl-C does
    assert ask(embedded.start(folder).url("postgres"), "SELECT 1") == 1


def test_a_database_is_a_copy_of_its_template(server: EmbeddedServer, database: Secret) -> None:
    with psycopg.connect(database.reveal()) as connection:
        connection.execute("CREATE TABLE kept (id integer)")
        name = connection.info.dbname
    server.create_database("copy", name)
    assert ask(server.url("copy"), "SELECT to_regclass('kept')::text") == "kept"
    server.drop_database("copy")
    server.drop_database("copy")  # a second time does nothing
    assert "copy" not in server.databases()


def test_a_database_is_dropped_under_its_sessions(server: EmbeddedServer) -> None:
    server.create_database("busy name")
    with psycopg.connect(server.url("busy name").reveal()) as connection:
        server.drop_database("busy name")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_starting_the_second_time_is_quick(folder: Path) -> None:
    embedded.start(folder, settings=FAST).stop()
    before = time.monotonic()
    embedded.start(folder, settings=FAST)
    assert time.monotonic() - before < 5


def test_the_servers_of_debian_run_too(debian_server: EmbeddedServer) -> None:
    assert str(ask(debian_server.url("postgres"), "SHOW server_version")).split(".")[0].isdigit()


def test_debians_newest_server_comes_first(tmp_path: Path) -> None:
    for version in ("9.6", "13", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        if version != "17":
            (tmp_path / version / "bin" / "initdb").touch()
    assert [found.parent.name for found in embedded.debian_programs(tmp_path)] == ["15", "13"]
