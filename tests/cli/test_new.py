"""The command; what it writes into the folder is tested with the service."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Checkout


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


def test_a_file_that_is_still_the_template_is_not_recorded_as_applied(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    path = checkout.folder / "migrations" / "002_add_user_preferences.sql"
    checkout.rung("new", "add user preferences", code=0)
    assert path.exists()
    for command in ("migrate", "check"):
        said = checkout.rung(command, code=3)
        assert "002_add_user_preferences.sql:4:1" in said.out + said.err
        assert "it is still the template, with no statement in it" in said.out + said.err
    path.write_text(path.read_text().replace("-- CREATE TABLE IF NOT EXISTS …", "-- nothing to do, on purpose"))
    said = checkout.rung("migrate", code=0)
    assert "it has no statement; it is recorded as applied" in said.out
