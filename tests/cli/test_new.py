import subprocess
from pathlib import Path

import pytest

from dashboard.core.errors import BadName, BadPattern, UnusableFolder
from dashboard.core.migration import Migration, read_migration
from dashboard.core.script import Script, parse
from dashboard.services.new import Patterns, new_migration, slug_of
from tests.cli.conftest import Checkout

NOW = "20261103140211"
NOTHING = Patterns()


def made(folder: Path, description: str = "add x", patterns: Patterns = NOTHING) -> str:
    return new_migration(folder, description, patterns, NOW).name


# --- what cannot be made ---


@pytest.mark.parametrize("description", ["", "  ", "!!!", "———"])
def test_a_description_without_a_word_is_refused(folder_path: Path, description: str) -> None:
    with pytest.raises(BadName):
        made(folder_path, description)
    assert list(folder_path.iterdir()) == []


@pytest.mark.parametrize(
    "patterns",
    [
        Patterns(tables=("a b",)),
        Patterns(tables=("a; DROP TABLE b",)),
        Patterns(columns=("users.theme",)),
        Patterns(columns=("theme:text",)),
        Patterns(columns=("users.theme:text; DROP TABLE a",)),
        Patterns(indexes=("users",)),
        Patterns(foreign_keys=("tasks.user_id",)),
        Patterns(foreign_keys=("tasks.user_id:users",)),
    ],
)
def test_a_pattern_without_its_form_is_refused_with_an_example(folder_path: Path, patterns: Patterns) -> None:
    with pytest.raises(BadPattern, match="such as"):
        made(folder_path, "x", patterns)
    assert list(folder_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "migrations").touch()
    with pytest.raises(UnusableFolder, match="cannot be written to"):
        made(tmp_path / "migrations")


# --- names and numbers ---


@pytest.mark.parametrize(
    ("description", "slug"),
    [
        ("add user preferences", "add_user_preferences"),
        ("add_user_preferences", "add_user_preferences"),
        ("  Add: user-preferences!  ", "add_user_preferences"),
        ("don't lose e-mails", "dont_lose_e_mails"),
        ("Größe der Räume ändern", "grosse_der_raume_andern"),
        ("2nd try", "2nd_try"),
        ("../../etc/passwd", "etc_passwd"),
        ("x" * 200, "x" * 80),
    ],
)
def test_the_description_becomes_the_name(description: str, slug: str) -> None:
    assert slug_of(description) == slug


@pytest.mark.parametrize(
    ("there", "number"),
    [
        ([], "001"),
        (["001_a.sql"], "002"),
        (["0009_a.sql"], "0010"),
        (["1_a.sql", "9_b.sql"], "10"),
        (["001_a.sql", "999_b.sql"], "1000"),
        (["003_a.sql", "001_b.sql", "notes.md", "x.sql"], "004"),
        (["016_a.sql", "017-wrong-name.sql"], "017"),
        (["007_A.SQL"], "008"),
        (["20250101000000_a.sql"], NOW),
        (["20270101000000_a.sql"], "20270101000001"),
        (["0_a.sql"], "1"),
    ],
)
def test_the_number_is_the_next_one_as_the_folder_writes_them(folder_path: Path, there: list[str], number: str) -> None:
    for name in there:
        (folder_path / name).touch()
    assert made(folder_path) == f"{number}_add_x.sql"


def test_the_folder_is_made(tmp_path: Path) -> None:
    assert made(tmp_path / "db" / "migrations") == "001_add_x.sql"


# --- what stands in it ---


def text_of(folder: Path, patterns: Patterns, description: str = "add user preferences") -> str:
    path = new_migration(folder, description, patterns, NOW)
    migration = read_migration(path.name, path.read_bytes())
    assert isinstance(migration, Migration)
    assert isinstance(parse(migration), Script)
    return migration.text


def test_the_frame_is_the_one_people_write(folder_path: Path) -> None:
    text = text_of(folder_path, NOTHING)
    assert text.startswith("BEGIN;\n\n-- add user preferences\n")
    assert text.endswith("\n\nCOMMIT;\n")


def test_a_description_of_several_lines_stays_in_its_comment(folder_path: Path) -> None:
    assert "-- add x DROP TABLE users;\n" in text_of(folder_path, NOTHING, "add x\nDROP TABLE users;")


def test_each_pattern_becomes_one_statement(folder_path: Path) -> None:
    text = text_of(
        folder_path,
        Patterns(
            tables=("user_preferences",),
            columns=("users.theme:varchar(20)", "app.users.scores:numeric(10,2)[]"),
            indexes=("user_preferences.user_id", "app.tasks.team_id,state"),
            foreign_keys=("user_preferences.user_id:users.id",),
        ),
    )
    assert "CREATE TABLE IF NOT EXISTS user_preferences (" in text
    assert "ALTER TABLE users\nADD COLUMN IF NOT EXISTS theme varchar(20);" in text
    assert "ALTER TABLE app.users\nADD COLUMN IF NOT EXISTS scores numeric(10,2)[];" in text
    assert "CREATE INDEX IF NOT EXISTS idx_user_preferences_user_id\nON user_preferences (user_id);" in text
    assert "CREATE INDEX IF NOT EXISTS idx_app_tasks_team_id_state\nON app.tasks (team_id, state);" in text
    assert "ADD CONSTRAINT fk_user_preferences_user_id\nFOREIGN KEY (user_id) REFERENCES users (id);" in text


def test_a_statement_that_needs_another_comes_after_it(folder_path: Path) -> None:
    text = text_of(
        folder_path,
        Patterns(("tasks",), ("tasks.user_id:bigint",), ("tasks.user_id",), ("tasks.user_id:users.id",)),
    )
    places = [text.index(part) for part in ("CREATE TABLE", "ADD COLUMN", "FOREIGN KEY", "CREATE INDEX")]
    assert places == sorted(places)


# --- the command ---


def test_it_prints_the_path_and_what_comes_next(checkout: Checkout) -> None:
    said = checkout.rung("new", "add users", "--table", "users", code=0)
    path, next_step = said.out.splitlines()
    assert Path(path) == checkout.folder / "migrations" / "001_add_users.sql"
    for step in ("rung check", "rung migrate", "commit"):
        assert step in next_step
    assert "CREATE TABLE IF NOT EXISTS users" in Path(path).read_text()
    checkout.rung("migrate", code=0)
    assert checkout.ledger() == ["001_add_users.sql"]


def test_every_pattern_is_an_option_and_may_come_twice(checkout: Checkout) -> None:
    words = (
        "--table",
        "a",
        "--table",
        "b",
        "--column",
        "a.b_id:bigint",
        "--foreign-key",
        "a.b_id:b.id",
        "--index",
        "a.b_id",
    )
    checkout.rung("new", "all of it", *words, code=0)
    checkout.rung("migrate", code=0)
    assert checkout.ask("SELECT count(*) FROM pg_constraint WHERE conname = 'fk_a_b_id'") == 1
    assert checkout.ask("SELECT to_regclass('idx_a_b_id') IS NOT NULL")


def test_a_new_file_needs_no_database(checkout: Checkout) -> None:
    (checkout.folder / "rung.toml").unlink()
    checkout.rung("new", "one", code=0)
    checkout.rung("new", "two", RUNG_MIGRATIONS="sql", code=0)
    checkout.rung("new", "three", "--dir", "other", code=0)
    found = sorted(str(path.relative_to(checkout.folder)) for path in checkout.folder.rglob("*.sql"))
    assert found == ["migrations/001_one.sql", "other/001_three.sql", "sql/001_two.sql"]


def test_it_works_from_a_folder_below(checkout: Checkout) -> None:
    (checkout.folder / "server").mkdir()
    checkout.end(checkout.begin("new", "x", cwd=checkout.folder / "server"), code=0)
    assert (checkout.folder / "migrations" / "001_x.sql").exists()


def test_json_names_the_file(checkout: Checkout) -> None:
    document = checkout.rung("new", "x", "--json", code=0).json
    assert document == {"path": str(checkout.folder / "migrations" / "001_x.sql"), "filename": "001_x.sql"}


@pytest.mark.parametrize("words", [(), ("!",), ("x", "--column", "nope")])
def test_a_wrong_word_ends_with_2_and_makes_nothing(checkout: Checkout, words: tuple[str, ...]) -> None:
    checkout.rung("new", *words, code=2)
    assert list((checkout.folder / "migrations").iterdir()) == []


def test_many_at_the_same_moment_get_different_numbers(checkout: Checkout) -> None:
    started: list[subprocess.Popen[str]] = [checkout.begin("new", f"by number {number}") for number in range(8)]
    for process in started:
        checkout.end(process, code=0)
    numbers = sorted(path.name[:3] for path in (checkout.folder / "migrations").iterdir())
    assert numbers == [f"{number:03}" for number in range(1, 9)]
