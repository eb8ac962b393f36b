import re
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Secret
from dashboard.core.errors import BadName, BadPattern, UnusableFolder
from dashboard.core.migration import Migration
from dashboard.core.safety.review import review
from dashboard.folder import read_folder
from dashboard.services.new import Patterns, new_migration, next_number, slug_of

NOW = "20261103140211"
EMPTY = Patterns()
ALL = Patterns(
    tables=("user_preferences",),
    columns=("user_preferences.theme:varchar(20)", "user_preferences.price:numeric(10, 2)", "users.tags:text[]"),
    indexes=("user_preferences.theme", "user_preferences.theme,price"),
    foreign_keys=("user_preferences.id:users.id",),
)


def only(folder_path: Path) -> Migration:
    (migration,) = read_folder(folder_path).migrations
    return migration


# --- what cannot be made ---


@pytest.mark.parametrize("description", ["", "  ", "!?", "…", "变更", "\udcff"])
def test_a_description_without_a_word_is_refused(folder_path: Path, description: str) -> None:
    with pytest.raises(BadName):
        new_migration(folder_path, description, EMPTY, NOW)
    assert list(folder_path.iterdir()) == []


@pytest.mark.parametrize(
    "patterns",
    [
        Patterns(tables=("a b",)),
        Patterns(tables=("a; DROP TABLE b",)),
        Patterns(tables=("a--",)),
        Patterns(columns=("theme:text",)),
        Patterns(columns=("users.theme",)),
        Patterns(columns=("users.theme:text; DROP TABLE users",)),
        Patterns(indexes=("users",)),
        Patterns(indexes=("users.",)),
        Patterns(indexes=("users.a,",)),
        Patterns(foreign_keys=("tasks.user_id",)),
        Patterns(foreign_keys=("tasks.user_id:users",)),
    ],
)
def test_a_pattern_that_is_none_is_refused_with_its_form(folder_path: Path, patterns: Patterns) -> None:
    with pytest.raises(BadPattern, match="such as"):
        new_migration(folder_path, "x", patterns, NOW)
    assert list(folder_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path, below: str) -> None:
    (tmp_path / "migrations").touch()
    with pytest.raises(UnusableFolder, match="written to"):
        new_migration(tmp_path / "migrations" / below, "x", EMPTY, NOW)


def test_a_full_disk_leaves_no_half_file(folder_path: Path) -> None:
    """The limit on the size of a file is the disk of this process."""
    line = (
        "import resource, signal, sys; from pathlib import Path; from dashboard.services.new import *;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "new_migration(Path(sys.argv[1]), 'x', Patterns(), '0')"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", line, str(folder_path)], capture_output=True, text=True, check=False
    )
    assert "UnusableFolder" in done.stderr
    assert list(folder_path.iterdir()) == []


# --- its number ---


@pytest.mark.parametrize(
    ("numbers", "following"),
    [
        ([], "001"),
        (["001", "016"], "017"),
        (["016", "001"], "017"),
        (["999"], "1000"),
        (["9"], "10"),
        (["1", "2", "10"], "11"),
        (["0001"], "0002"),
        (["1", "002"], "003"),
        (["20200101000000"], NOW),
        ([NOW], "20261103140212"),
        (["20991231235959"], "20991231235960"),
        (["001", "20200101000000"], NOW),
        (["20200101000000123"], "20200101000000124"),
    ],
)
def test_the_number_follows_the_folders_own_way(numbers: list[str], following: str) -> None:
    assert next_number(numbers, NOW) == following


def test_whatever_has_a_number_counts(folder_path: Path) -> None:
    for name in ("003_a.sql", "007_B.SQL", "009_c.sql.bak", "010.sql", "readme.md", ".011_hidden.sql"):
        (folder_path / name).touch()
    (folder_path / "005_link.sql").symlink_to("nowhere")
    assert new_migration(folder_path, "x", EMPTY, NOW).name == "008_x.sql"


def test_two_at_once_get_two_numbers(folder_path: Path) -> None:
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        for _ in range(10):
            new_migration(folder_path, "the same", EMPTY, NOW)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_folder(folder_path)
    assert [migration.number for migration in found.migrations] == list(range(1, 81))
    assert found.refusals == ()


# --- its name ---


@pytest.mark.parametrize(
    ("description", "slug"),
    [
        ("add user preferences", "add_user_preferences"),
        ("add_user_preferences", "add_user_preferences"),
        ("Add  User-Preferences!", "add_user_preferences"),
        ("don't", "dont"),
        ("Größe für Café", "grosse_fur_cafe"),
        ("../../etc/passwd", "etc_passwd"),
        ("a" * 200, "a" * 80),
        ("017_add_x.sql", "017_add_x_sql"),
    ],
)
def test_a_description_becomes_a_slug(description: str, slug: str) -> None:
    assert slug_of(description) == slug


# --- its text ---


def test_an_empty_frame_has_a_place_to_write(folder_path: Path) -> None:
    path = new_migration(folder_path, "add  user\npreferences", EMPTY, NOW)
    assert path == folder_path / "001_add_user_preferences.sql"
    assert path.read_text() == "BEGIN;\n\n-- add user preferences\n-- CREATE TABLE IF NOT EXISTS …\n\nCOMMIT;\n"


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert new_migration(tmp_path / "db" / "migrations", "x", EMPTY, NOW).exists()


def test_letters_that_no_encoding_knows_do_no_harm(folder_path: Path) -> None:
    new_migration(folder_path, "add \udcff x", EMPTY, NOW)
    assert "-- add ? x\n" in only(folder_path).text


def test_every_pattern_writes_sql_that_runs_and_passes_the_gate(folder_path: Path, database: Secret) -> None:
    new_migration(folder_path, "all of it", ALL, NOW)
    migration = only(folder_path)
    (reviewed,) = review((migration,))
    assert reviewed.refusal is None
    assert not any(finding.blocks for finding in reviewed.findings)
    starts = re.findall(r"^(?:CREATE|ALTER) [A-Z]+", migration.text, re.MULTILINE)
    assert starts == ["CREATE TABLE", *["ALTER TABLE"] * 4, *["CREATE INDEX"] * 2]
    with psycopg.connect(database.reveal()) as connection:
        connection.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
        connection.execute(migration.text.encode())
