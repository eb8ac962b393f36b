import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import folder as ours
from dashboard.core.errors import NoFolder, UnusableFolder
from dashboard.core.migration import SIZE_LIMIT, Refusal
from dashboard.folder import FolderReader, read_folder
from tests.conftest import Write

NOBODY = 65534


def refused(folder_path: Path, size_limit: int = SIZE_LIMIT) -> Refusal:
    """The only thing the folder holds, which cannot be used."""
    found = read_folder(folder_path, size_limit)
    assert found.migrations == ()
    (refusal,) = found.refusals
    assert refusal.advice
    return refusal


def names(folder_path: Path) -> list[str]:
    found = read_folder(folder_path)
    assert found.refusals == ()
    return [migration.filename for migration in found.migrations]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    return path


# --- what must not be read ---


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoFolder, match="nowhere"):
        read_folder(tmp_path / "nowhere")


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoFolder):
        read_folder(tmp_path / "file")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder in a place everybody can get to; root, who may read everything, becomes somebody else meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "migrations"
        folder.mkdir()
        user = os.geteuid()
        if user == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        yield folder
        os.seteuid(user)


def test_a_folder_that_may_not_be_read_is_said(closed: Path) -> None:
    closed.chmod(0)
    with pytest.raises(UnusableFolder, match="Permission denied"):
        read_folder(closed)
    closed.chmod(0o700)


@pytest.mark.fault(75)
def test_a_file_that_may_not_be_read_is_refused_by_name(closed: Path, write: Write) -> None:
    write(closed, "001_a.sql", "SELECT 1;").chmod(0)
    assert (refused(closed).filename, refused(closed).code) == ("001_a.sql", "unreadable")


@pytest.mark.fault(75)
def test_a_named_pipe_is_refused_and_nothing_waits_for_it(folder_path: Path) -> None:
    os.mkfifo(folder_path / "001_pipe.sql")
    began = time.monotonic()
    refusal = refused(folder_path)
    assert time.monotonic() - began < 1
    assert refusal.code == "not-a-regular-file"
    assert "named pipe" in refusal.message


@pytest.mark.fault(75)
def test_a_folder_with_such_a_name_is_refused(folder_path: Path) -> None:
    (folder_path / "001_x.sql").mkdir()
    assert "a folder" in refused(folder_path).message


def test_a_socket_is_refused(folder_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("001_x.sql")
        assert "a socket" in refused(folder_path).message


@pytest.mark.fault(75)
@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/tty"])
def test_a_link_to_a_device_is_refused_without_opening_it(folder_path: Path, device: str) -> None:
    (folder_path / "001_x.sql").symlink_to(device)
    assert refused(folder_path).code == "not-a-regular-file"


@pytest.mark.fault(75)
def test_a_link_that_leaves_the_folder_is_refused(folder_path: Path, outside: Path, write: Write) -> None:
    target = write(outside, "secret.txt", "root:x:0")
    (folder_path / "001_a.sql").symlink_to(target)
    assert refused(folder_path).code == "leaves-folder"


def test_a_link_that_leaves_by_way_of_a_folder_is_refused(folder_path: Path, outside: Path, write: Write) -> None:
    write(outside, "002_a.sql", "SELECT 1;")
    (folder_path / "below").symlink_to(outside)
    (folder_path / "001_a.sql").symlink_to(folder_path / "below" / "002_a.sql")
    assert refused(folder_path).code == "leaves-folder"


def test_a_folder_next_door_whose_name_begins_alike_is_outside(folder_path: Path, write: Write) -> None:
    beside = folder_path.with_name(folder_path.name + "_old")
    beside.mkdir()
    (folder_path / "001_a.sql").symlink_to(write(beside, "001_a.sql", "SELECT 1;"))
    assert refused(folder_path).code == "leaves-folder"


@pytest.mark.fault(75)
def test_a_link_to_itself_is_refused(folder_path: Path) -> None:
    (folder_path / "001_a.sql").symlink_to("001_a.sql")
    assert refused(folder_path).code == "broken-link"


def test_a_link_to_nothing_is_refused(folder_path: Path) -> None:
    (folder_path / "001_a.sql").symlink_to("gone.sql")
    assert refused(folder_path).code == "broken-link"


@pytest.mark.fault(73)
def test_a_file_over_the_limit_is_refused_before_it_is_read(folder_path: Path) -> None:
    with (folder_path / "001_huge.sql").open("wb") as file:
        file.truncate(2**40)  # a sparse file: a terabyte nobody can read into memory
    refusal = refused(folder_path)
    assert refusal.code == "too-large"
    assert "1,099,511,627,776" in refusal.message
    assert "max_file_size" in refusal.advice


def test_the_limit_itself_still_passes(folder_path: Path, write: Write) -> None:
    write(folder_path, "001_a.sql", "x" * 100)
    assert len(read_folder(folder_path, 100).migrations) == 1
    assert refused(folder_path, 99).code == "too-large"


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("001_a\x1b[2J.sql", "001_a⟨U+001B⟩[2J.sql"),
        ("001_a\nb.sql", "001_a⟨U+000A⟩b.sql"),
        ("001_\u202elqs.a.sql", "001_⟨U+202E⟩lqs.a.sql"),
        ("001_'; DROP--.sql", "001_'; DROP--.sql"),
        ("001_<b>.sql", "001_<b>.sql"),
        ("001_%s{}.sql", "001_%s{}.sql"),
        ("add users.sql", "add users.sql"),
        ("1.5_a.sql", "1.5_a.sql"),
    ],
)
def test_a_name_outside_the_pattern_is_refused_and_shown_on_one_harmless_line(
    folder_path: Path, write: Write, name: str, shown: str
) -> None:
    write(folder_path, name, "SELECT 1;")
    refusal = refused(folder_path)
    assert (refusal.filename, refusal.code) == (shown, "bad-name")


@pytest.mark.fault(76)
def test_a_name_that_is_not_utf_8_is_refused_and_can_be_printed(folder_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder_path) + b"/001_\xff.sql")).touch()
    refused(folder_path).filename.encode("utf-8")


@pytest.mark.fault(65)
def test_a_file_that_never_stops_changing_is_refused(
    folder_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder_path, "001_a.sql", "SELECT 1;")
    real = os.pread

    def writing_meanwhile(descriptor: int, length: int, offset: int) -> bytes:
        data = real(descriptor, length, offset)
        with path.open("a") as file:
            file.write("\n-- more")
        return data

    monkeypatch.setattr(os, "pread", writing_meanwhile)
    assert refused(folder_path).code == "changing"


@pytest.mark.fault(65)
@pytest.mark.slow
def test_a_file_is_read_whole_or_not_at_all_while_somebody_writes_it(folder_path: Path, write: Write) -> None:
    versions = {mark * 200_000 for mark in "ab"}
    path = write(folder_path, "001_a.sql", "a" * 200_000)
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            for text in sorted(versions):
                path.write_text(text)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        seen = [read_folder(folder_path) for _ in range(200)]
    finally:
        done.set()
        writer.join()
    for found in seen:
        assert all(migration.text in versions | {""} for migration in found.migrations)
        assert all(refusal.code == "changing" for refusal in found.refusals)


# --- what is read ---


def test_hidden_files_and_others_are_left_alone(folder_path: Path, write: Write) -> None:
    for name in (".001_a.sql", "README.md", "001_a.sql~", "001_a.sql.swp", "001_a.SQL.bak", "002_b.sql"):
        write(folder_path, name, "SELECT 1;")
    (folder_path / ".git").mkdir()
    assert names(folder_path) == ["002_b.sql"]


@pytest.mark.fault(76)
def test_the_longest_name_a_disk_takes_is_fine(folder_path: Path, write: Write) -> None:
    name = "001_" + "x" * (255 - 8) + ".sql"
    write(folder_path, name, "SELECT 1;")
    assert names(folder_path) == [name]


def test_an_empty_folder_is_no_fault(folder_path: Path) -> None:
    assert names(folder_path) == []


@pytest.mark.fault(70)
def test_files_come_by_number_then_by_name(folder_path: Path, write: Write) -> None:
    for name in ("10_b.sql", "9_z.sql", "010_a.sql", "20260101120000_late.sql", "0_first.sql"):
        write(folder_path, name, "SELECT 1;")
    found = names(folder_path)
    assert found == ["0_first.sql", "9_z.sql", "010_a.sql", "10_b.sql", "20260101120000_late.sql"]


@pytest.mark.fault(68)
def test_names_that_differ_in_case_or_in_zeros_only_are_duplicates(folder_path: Path, write: Write) -> None:
    for name in ("003_users.sql", "003_Users.sql", "3_users.sql"):
        write(folder_path, name, "SELECT 1;")
    (group,) = read_folder(folder_path).duplicates
    assert len(group) == 3


@pytest.mark.fault(68)
def test_composed_and_decomposed_letters_are_both_refused_by_name(folder_path: Path, write: Write) -> None:
    for name in ("001_\u00e9t\u00e9.sql", "001_e\u0301te\u0301.sql"):
        write(folder_path, name, "SELECT 1;")
    assert [refusal.code for refusal in read_folder(folder_path).refusals] == ["bad-name", "bad-name"]


def test_a_link_inside_the_folder_is_fine(folder_path: Path, write: Write) -> None:
    (folder_path / "..data").mkdir()
    write(folder_path / "..data", "001_a.sql", "SELECT 1;")
    (folder_path / "001_a.sql").symlink_to("..data/001_a.sql")
    assert names(folder_path) == ["001_a.sql"]


def test_the_folder_itself_may_be_a_link(folder_path: Path, tmp_path: Path, write: Write) -> None:
    write(folder_path, "001_a.sql", "SELECT 1;")
    (folder_path / "002_b.sql").symlink_to("001_a.sql")
    (tmp_path / "link").symlink_to(folder_path)
    assert names(tmp_path / "link") == ["001_a.sql", "002_b.sql"]


# --- reading again ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened."""
    seen: list[str] = []
    real = os.open

    def remember(path: Path, *how: int) -> int:
        seen.append(Path(path).name)
        return real(path, *how)

    monkeypatch.setattr(ours.os, "open", remember)
    return seen


def test_only_files_that_changed_are_opened_again(folder_path: Path, write: Write, opened: list[str]) -> None:
    for name in ("001_a.sql", "002_b.sql", "003_c.sql"):
        write(folder_path, name, "SELECT 1;")
    reader = FolderReader(folder_path)
    first = reader.read()
    assert len(opened) == 3
    assert reader.read() == first
    assert len(opened) == 3
    write(folder_path, "002_b.sql", "SELECT 2;")
    assert [migration.text for migration in reader.read().migrations] == ["SELECT 1;", "SELECT 2;", "SELECT 1;"]
    assert opened[3:] == ["002_b.sql"]


def test_a_file_replaced_with_its_old_size_and_time_is_noticed(folder_path: Path, write: Write) -> None:
    path = write(folder_path, "001_a.sql", "SELECT 1;")
    reader = FolderReader(folder_path)
    reader.read()
    times = path.stat()
    other = write(folder_path, ".new", "SELECT 2;")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(path)
    assert reader.read().migrations[0].text == "SELECT 2;"


def test_added_and_removed_files_are_noticed(folder_path: Path, write: Write) -> None:
    write(folder_path, "001_a.sql", "SELECT 1;")
    reader = FolderReader(folder_path)
    reader.read()
    (folder_path / "001_a.sql").unlink()
    write(folder_path, "002_b.sql", "SELECT 1;")
    assert [migration.filename for migration in reader.read().migrations] == ["002_b.sql"]


def test_a_link_whose_target_changes_is_noticed(folder_path: Path, write: Write) -> None:
    write(folder_path, ".one", "SELECT 1;")
    write(folder_path, ".two", "SELECT 2;")
    link = folder_path / "001_a.sql"
    link.symlink_to(".one")
    reader = FolderReader(folder_path)
    assert reader.read().migrations[0].text == "SELECT 1;"
    link.unlink()
    link.symlink_to(".two")
    assert reader.read().migrations[0].text == "SELECT 2;"


def test_a_refused_file_is_looked_at_again(folder_path: Path, write: Write) -> None:
    os.mkfifo(folder_path / "001_a.sql")
    reader = FolderReader(folder_path)
    assert reader.read().refusals
    (folder_path / "001_a.sql").unlink()
    write(folder_path, "001_a.sql", "SELECT 1;")
    assert not reader.read().refusals


@pytest.mark.fault(74)
def test_ten_thousand_files_are_read_in_no_time(folder_path: Path, write: Write) -> None:
    for number in range(10_000):
        write(folder_path, f"{number:05}_a.sql", "SELECT 1;")
    reader = FolderReader(folder_path)
    began = time.process_time()
    assert len(reader.read().migrations) == 10_000
    assert time.process_time() - began < 2
