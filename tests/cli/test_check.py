import pytest

from tests.cli.conftest import Checkout

# Everything a look could leave behind: objects, rows, sequences, write-ahead log.
CATALOG = """
    SELECT md5(string_agg(o, ',' ORDER BY o)) FROM (
        SELECT concat(oid, relname, relfilenode, reltuples) FROM pg_class UNION ALL SELECT nspname FROM pg_namespace
        UNION ALL SELECT proname FROM pg_proc UNION ALL SELECT concat(datname, xact_commit - xact_commit) FROM pg_stat_database
    ) AS all_of_it(o)
"""
NEXT_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"


@pytest.fixture
def one(checkout: Checkout) -> Checkout:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint, was text);")
    return checkout


@pytest.mark.parametrize("applied", [False, True])
def test_it_changes_nothing_at_all(one: Checkout, applied: bool) -> None:
    if applied:
        one.rung("migrate", code=0)
    one.write("002_b.sql", "CREATE TABLE b (id bigint);")
    before = one.ask(CATALOG)
    first = one.ask(NEXT_TRANSACTION)
    one.rung("check", code=0)
    one.rung("check", "--env", "all", "--json")
    assert one.ask(CATALOG) == before
    assert one.ask(NEXT_TRANSACTION) == first  # nobody took a number to write with


def test_it_shows_what_would_run_in_order(one: Checkout) -> None:
    one.write("002_b.sql", "CREATE TABLE b (id bigint);")
    said = one.rung("check", code=0)
    assert "local: 2 files would run\n  run      001_a.sql\n  run      002_b.sql\n" in said.out
    one.rung("migrate", code=0)
    assert one.rung("check", code=0).out == "local: Nothing to do\n"


def test_a_renamed_file_is_said_to_run_nothing(one: Checkout) -> None:
    one.rung("migrate", code=0)
    (one.folder / "migrations" / "001_a.sql").rename(one.folder / "migrations" / "002_a.sql")
    assert one.rung("check", code=0).out.startswith("local: 1 renamed file would be recorded, and nothing run\n")


def test_a_destructive_file_is_shown_with_everything_and_ends_with_3(one: Checkout) -> None:
    one.rung("migrate", code=0)
    one.write("002_drops.sql", "-- no longer read\nALTER TABLE a DROP COLUMN was;")
    one.write("003_c.sql", "CREATE TABLE c (id bigint);")
    said = one.rung("check", code=3)
    assert "local: Stopped at 002_drops.sql: drops column was" in said.out
    assert "  waits    003_c.sql\n" in said.out
    assert "blocked  002_drops.sql" in said.out
    assert "line 2, destructive (drop-column)" in said.out
    assert "ALTER TABLE a DROP COLUMN was" in said.out
    assert "Safer: " in said.out


def test_a_finding_that_the_file_allows_stops_nothing_and_is_shown_and_kept(one: Checkout) -> None:
    one.rung("migrate", code=0)
    one.write(
        "002_drops.sql", '-- rung: allow drop-column because "moved by 001"\nALTER TABLE a DROP COLUMN IF EXISTS was;'
    )
    assert "Allowed, because moved by 001" in one.rung("check", code=0).out
    (step,) = one.rung("check", "--json", code=0).json["pending"]
    assert [(found["rule"], found["blocks"], found["acknowledged"]) for found in step["findings"]] == [
        ("drop-column", False, "moved by 001")
    ]
    assert "::notice file=migrations/002_drops.sql,line=2" in one.rung("check", "--format", "github", code=0).out
    document = one.rung("check", "--format", "sarif", code=0).json
    (result,) = document["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "inSource", "status": "accepted", "justification": "moved by 001"}]
    one.rung("migrate", code=0)
    newest = one.rung("history", "--json", code=0).json["rows"][0]
    assert newest["message"] == "drop-column on line 2 was allowed, because moved by 001"


def test_a_syntax_error_is_shown_with_its_caret(one: Checkout) -> None:
    one.write("002_b.sql", "CREATE TABEL b ();")
    said = one.rung("check", code=3)
    assert "002_b.sql:1:8" in said.out
    assert "CREATE TABEL b ();\n                      ^" in said.out
    assert "What to do: " in said.out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("001_b.sql", "SELECT 1;", "001_a.sql and 001_b.sql have the same number 1"),
        ("002_b.sql", "SELECT '\x00';", "NUL byte"),
        ("b.sql", "SELECT 1;", "b.sql: its name is not <number>_<slug>.sql"),
    ],
)
def test_what_stops_everything_is_named(one: Checkout, name: str, text: str, said: str) -> None:
    one.write(name, text)
    heard = one.rung("check", code=3)
    assert "local: Nothing may run\n  stop     " in heard.out
    assert heard.out.count(said) == 1
    assert "  run      " not in heard.out


def test_notices_are_shown_and_stop_nothing(one: Checkout) -> None:
    one.write("003_c.sql", "SELECT 1;")
    one.rung("migrate", code=0)
    one.write("002_late.sql", "SELECT 2;")
    one.write("001_a.sql", "CREATE TABLE a (id bigint, was text, more text);")
    (one.folder / "migrations" / "003_c.sql").unlink()
    said = one.rung("check", code=0)
    for notice in ("002_late.sql is out of order", "001_a.sql was edited", "003_c.sql is applied here and missing"):
        assert f"  note     {notice}" in said.out


def test_a_policy_turns_a_notice_into_a_stop(one: Checkout) -> None:
    with (one.folder / "rung.toml").open("a") as file:
        file.write('[environments.strict]\nurl = "$LOCAL_URL"\nedited = "refuse"\n')
    one.rung("migrate", code=0)
    one.write("001_a.sql", "CREATE TABLE a ();")
    assert "001_a.sql was edited" in one.rung("check", "--env", "strict", code=3).out
    one.rung("check", code=0)


def test_an_environment_that_does_not_answer_ends_with_4(one: Checkout) -> None:
    said = one.rung("check", "--env", "gone", code=4)
    assert said.out == ""
    assert "gone: not reachable: nothing listens at" in said.err


def test_all_asks_every_one_of_them(one: Checkout) -> None:
    one.rung("migrate", "--env", "staging", code=0)
    said = one.rung("check", "--env", "all", code=4)
    assert "local: 1 file would run" in said.out
    assert "staging: Nothing to do" in said.out
    assert "gone: not reachable" in said.err
    documents = one.rung("check", "--env", "all", "--json", code=4).json
    assert [document["environment"] for document in documents] == ["local", "staging", "production", "gone"]
    assert [document["exit_code"] for document in documents] == [0, 0, 0, 4]
    assert "nothing listens" in documents[3]["not_reachable"]["reason"]


def test_json_is_one_document(one: Checkout) -> None:
    one.rung("migrate", code=0)
    one.write("002_drops.sql", "ALTER TABLE a DROP COLUMN was;")
    document = one.rung("check", "--json", code=3).json
    keys = {"environment", "verdict", "digest", "stops", "notices", "pending", "files", "exit_code", "catalog_trouble"}
    assert set(document) == keys
    (pending,) = document["pending"]
    assert (pending["filename"], pending["blocked"], pending["transactional"]) == ("002_drops.sql", True, True)
    assert pending["findings"][0]["rule"] == "drop-column"
    assert [file["state"] for file in document["files"]] == ["applied", "blocked"]


def test_a_hidden_character_is_shown_as_what_it_is(one: Checkout) -> None:
    one.write("002_\u202elqs.sql", "SELECT 1;")
    assert "002_⟨U+202E⟩lqs.sql" in one.rung("check", code=3).out


# --- what the catalog says, without a question to the rows ---


def test_the_tables_that_are_there_are_named_with_their_size(one: Checkout) -> None:
    one.rung("migrate", code=0)
    one.write("002_index.sql", "CREATE INDEX by_was ON a (was);")
    said = one.rung("check", code=0).out
    assert "public.a holds 8.2 kB here" in said
    (step,) = one.rung("check", "--json", code=0).json["pending"]
    (finding,) = step["findings"]
    assert (finding["source"], finding["here"]["table"]) == ("catalog", "public.a")


def test_what_the_catalog_rules_out_ends_with_3(one: Checkout) -> None:
    one.do("CREATE TABLE a (id bigint)")
    heard = one.rung("check", code=3)
    assert (
        "local, asked for its catalog: Will fail on local: makes a, which is here already (001_a.sql line 1)"
        in heard.out
    )
    assert "blocked  001_a.sql" in heard.out
    document = one.rung("check", "--json", code=3).json
    assert (document["exit_code"], document["pending"][0]["blocked"]) == (3, True)
    assert "::error file=migrations/001_a.sql,line=1,title=Rung%3A already-there" in (
        one.rung("check", "--format", "github", code=3).out
    )
