import socket
import time
from collections.abc import Iterator

import pytest

from tests.cli.conftest import CANARY, Checkout
from tests.cli.test_migrate import on_a_terminal


@pytest.fixture
def three(checkout: Checkout) -> Checkout:
    """Local has both files, staging the first one, production none."""
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint, was text);")
    checkout.rung("migrate", code=0)
    checkout.rung("migrate", "--env", "staging", code=0)
    checkout.write("002_b.sql", "CREATE TABLE b (id bigint);")
    checkout.rung("migrate", code=0)
    return checkout


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that lets everybody in and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield listening.getsockname()[1]


def cells(said: str, first: str) -> list[str]:
    """The row that begins with this, cut at two spaces and more."""
    (line,) = (line for line in said.splitlines() if line.startswith(first))
    return line.replace("   ", "  ").split("  ")


def test_the_environments_stand_side_by_side(three: Checkout) -> None:
    said = three.rung("status", code=0).out
    assert said.split()[:5] == ["migration", "local", "staging", "production", "gone"]
    assert [cell.strip() for cell in cells(said, "002_b.sql") if cell.strip()] == [
        "002_b.sql", "applied", "pending", "pending", "-",
    ]  # fmt: skip
    for headline in ("up to date", "1 behind", "2 behind", "not reachable"):
        assert headline in said.splitlines()[1]
    assert said.index("002_b.sql") < said.index("001_a.sql")


def test_an_environment_that_does_not_answer_is_a_column_with_its_reason(three: Checkout) -> None:
    said = three.rung("status", PRODUCTION_URL="", code=0).out
    assert "gone is not reachable: nothing listens at 127.0.0.1:" in said
    assert "production is not reachable: Environment production takes its address from $PRODUCTION_URL, and" in said
    assert said.count("What to do: ") == 2


def test_silent_servers_are_all_waited_for_at_the_same_time(three: Checkout, silent_port: int) -> None:
    silent = f"postgresql://app:{CANARY}@127.0.0.1:{silent_port}/app"
    began = time.monotonic()
    said = three.rung("status", STAGING_URL=silent, PRODUCTION_URL=silent, GONE_URL=silent, code=0).out
    assert time.monotonic() - began < 3 * 3 - 1
    assert said.count("did not answer in time") == 3
    assert "up to date" in said


def test_what_all_agree_on_is_left_out_unless_asked_for(checkout: Checkout) -> None:
    for number in range(1, 10):
        checkout.write(f"{number:03}_x.sql", f"SELECT {number};")
    for name in ("local", "staging", "production"):
        checkout.rung("migrate", "--env", name, code=0)
    said = checkout.rung("status", code=0).out
    assert "009_x.sql" in said
    assert "004_x.sql" not in said
    assert "… and 4 more on which all agree (--all shows them)" in said
    assert "001_x.sql" in checkout.rung("status", "--all", code=0).out


def test_a_ladder_nobody_climbed_yet_does_not_run_off_the_screen(checkout: Checkout) -> None:
    for number in range(1, 100):
        checkout.write(f"{number:03}_x.sql", "SELECT 1;")
    said = checkout.rung("status", code=0).out
    assert said.count("_x.sql") == 40
    assert "… and 59 more on which they differ" in said
    assert checkout.rung("status", "--all", code=0).out.count("_x.sql") == 99


def test_edited_blocked_and_missing_are_words_in_the_table(three: Checkout) -> None:
    three.write("001_a.sql", "CREATE TABLE a (id int);")
    (three.folder / "migrations" / "002_b.sql").unlink()
    three.write("003_c.sql", "ALTER TABLE a DROP COLUMN was;")
    said = three.rung("status", code=0).out
    for word in ("edited", "missing file", "blocked"):
        assert word in said, word


@pytest.mark.parametrize(("words", "code"), [(("--exit-code",), 4), ((), 0)])
def test_the_exit_code_speaks_only_when_asked(three: Checkout, words: tuple[str, ...], code: int) -> None:
    three.rung("status", *words, code=code)


def test_the_exit_code_tells_behind_from_up_to_date(three: Checkout) -> None:
    everywhere = dict.fromkeys(("STAGING_URL", "PRODUCTION_URL", "GONE_URL"), three.variables["LOCAL_URL"])
    three.rung("status", "--exit-code", **everywhere, code=0)
    three.rung("status", "--exit-code", **everywhere | {"GONE_URL": three.variables["STAGING_URL"]}, code=3)


def test_json_is_one_document(three: Checkout) -> None:
    document = three.rung("status", "--json", code=0).json
    assert [environment["behind"] for environment in document["environments"]] == [0, 1, 2, 0]
    assert document["environments"][0]["headline"] == "up to date"
    assert document["environments"][0]["last_applied"].startswith("20")
    assert "nothing listens" in document["environments"][3]["not_reachable"]["reason"]
    assert document["migrations"][0] == {
        "filename": "002_b.sql",
        "states": {"local": "applied", "staging": "pending", "production": "pending", "gone": None},
        "notes": {},
    }


def test_on_a_terminal_it_has_colours_and_still_words(three: Checkout) -> None:
    code, said = on_a_terminal(three, "status", COLUMNS="120")
    assert code == 0
    assert "\x1b[32mapplied" in said
    assert "pending" in said


def test_no_folder_is_said(three: Checkout) -> None:
    assert "no migrations folder" in three.rung("status", "--dir", "nowhere", code=2).err


def test_a_name_in_a_strangers_ledger_cannot_break_the_table(three: Checkout) -> None:
    three.do("INSERT INTO _migrations_applied VALUES (E'003_x\\n\\x1b[2J.sql', now())")
    said = three.rung("status", code=0).out
    assert "003_x⟨U+000A⟩⟨U+001B⟩[2J.sql" in said
