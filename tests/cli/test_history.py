import re

import pytest

from tests.cli.conftest import Checkout


@pytest.fixture
def tried(checkout: Checkout) -> Checkout:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    checkout.write("002_b.sql", "SELECT 1/0;")
    checkout.rung("migrate", RUNG_ACTOR="ada@example.com", code=1)
    return checkout


def test_everything_that_was_tried_is_shown_newest_first(tried: Checkout) -> None:
    lines = tried.rung("history", code=0).out.splitlines()
    assert lines[0].split() == ["when", "what", "file", "who", "took"]
    assert "failed (22012): division by zero" in lines[1]
    assert "002_b.sql" in lines[1]
    assert "applied" in lines[2]
    assert "ada@example.com (person, cli)" in lines[2]
    assert "UTC" in lines[2]


def test_a_limit_cuts_the_oldest(tried: Checkout) -> None:
    assert len(tried.rung("history", "--limit", "1", code=0).out.splitlines()) == 2
    tried.rung("history", "--limit", "0", code=2)


def test_an_environment_nobody_touched_says_so(tried: Checkout) -> None:
    assert tried.rung("history", "--env", "staging", code=0).out == "staging: nothing was tried here by Rung yet.\n"


def test_looking_changes_nothing(tried: Checkout) -> None:
    tried.rung("history", "--env", "staging", code=0)
    tried.rung("history", "--env", "staging", "--verify", code=0)
    assert tried.ask("SELECT to_regnamespace('rung') IS NULL", "staging")


def test_an_environment_that_does_not_answer_ends_with_4(tried: Checkout) -> None:
    assert "nothing listens" in tried.rung("history", "--env", "gone", code=4).err
    document = tried.rung("history", "--env", "gone", "--verify", "--json", code=4).json
    assert document["error"] == "Unreachable"
    assert document["exit_code"] == 4


def test_rows_cut_off_the_end_are_found_with_a_hash_that_was_kept(tried: Checkout) -> None:
    kept = tried.rung("history", "--verify", "--json", code=0).json["head"]
    assert kept in tried.rung("history", "--verify", code=0).out
    tried.rung("history", "--verify", "--head", kept.upper(), code=0)
    tried.do(
        "ALTER TABLE rung.history DISABLE TRIGGER ALL",
        "DELETE FROM rung.history WHERE id = 3",
        "ALTER TABLE rung.history ENABLE TRIGGER ALL",
    )
    tried.rung("history", "--verify", code=0)
    assert "rows from 3 on were cut off" in tried.rung("history", "--verify", "--head", kept, code=1).err
    document = tried.rung("history", "--verify", "--head", kept, "--json", code=1).json
    assert (document["ok"], document["first_bad_id"]) == (False, 3)
    assert "rows from 1 on" in tried.rung("history", "--env", "staging", "--verify", "--head", kept, code=1).err


def test_a_head_that_is_none_or_without_a_check_is_refused(tried: Checkout) -> None:
    assert "64 digits" in tried.rung("history", "--verify", "--head", "abc", code=2).err
    assert "give both" in tried.rung("history", "--head", "0" * 64, code=2).err


@pytest.mark.parametrize("words", [(), ("--verify",)])
def test_a_role_that_may_not_read_it_is_told_what_to_grant(tried: Checkout, words: tuple[str, ...]) -> None:
    tried.do("CREATE ROLE reader LOGIN PASSWORD 'reads'")
    try:
        as_reader = re.sub("//[^@]*@", "//reader:reads@", tried.variables["LOCAL_URL"])
        said = tried.rung("history", *words, LOCAL_URL=as_reader, code=4)
    finally:
        tried.do("DROP ROLE reader")
    assert "role reader may not read what Rung keeps there" in said.err
    assert "What to do: As the owner: GRANT" in said.err


def test_a_history_that_somebody_keeps_locked_is_not_waited_for_long(tried: Checkout) -> None:
    with tried.connect() as other, other.transaction():
        other.execute("LOCK TABLE rung.history")
        said = tried.rung("history", "--verify", code=4)
    assert "keeps its ledger or its history locked" in said.err


def test_json_holds_every_column(tried: Checkout) -> None:
    document = tried.rung("history", "--json", code=0).json
    assert document["environment"] == "local"
    newest, oldest, identified = document["rows"]
    assert identified["event"] == "identified"
    assert (newest["event"], newest["sqlstate"], newest["sql"]) == ("failed", "22012", "SELECT 1/0;")
    assert oldest["actor"] == "ada@example.com"
    assert newest["previous_hash"] == oldest["own_hash"]


def test_a_whole_chain_is_confirmed(tried: Checkout) -> None:
    said = tried.rung("history", "--verify", code=0)
    assert said.out.startswith("local: 3 rows")
    document = tried.rung("history", "--verify", "--json", code=0).json
    assert (document["environment"], document["ok"], document["rows"], document["first_bad_id"]) == (
        "local",
        True,
        3,
        None,
    )
    assert len(document["head"]) == 64


def test_a_changed_row_is_named_and_ends_with_1(tried: Checkout) -> None:
    tried.do(
        "ALTER TABLE rung.history DISABLE TRIGGER ALL",
        "UPDATE rung.history SET actor = 'nobody' WHERE id = 1",
        "ALTER TABLE rung.history ENABLE TRIGGER ALL",
    )
    assert "1" in tried.rung("history", "--verify", code=1).err
    assert tried.rung("history", "--verify", "--json", code=1).json["first_bad_id"] == 1
