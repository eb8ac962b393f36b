from tests.cli.conftest import Checkout


def test_it_tells_what_each_statement_does_and_changes_nothing(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    checkout.rung("migrate", code=0)
    checkout.write("002_b.sql", "ALTER TABLE a ALTER COLUMN id SET NOT NULL;\nCREATE INDEX a_by_id ON a (id);")
    said = checkout.rung("rehearse", code=0)
    assert "  ok       002_b.sql\n           line 1: ALTER TABLE a ALTER COLUMN id SET NOT NULL\n" in said.out
    assert "               locks public.a (ACCESS EXCLUSIVE), stops reads and writes\n" in said.out
    assert "               takes under a second there (rough: builds an index over public.a (empty))\n" in said.out
    assert "  + index public.a_by_id: CREATE INDEX a_by_id ON public.a USING btree (id)\n" in said.out
    assert checkout.ask("SELECT to_regclass('a_by_id')") is None
    document = checkout.rung("rehearse", "--json", code=0).json
    assert document["files"][0]["statements"][1]["built"] == ["public.a_by_id"]


def test_a_file_that_would_fail_is_told_and_ends_with_1(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);\nALTER TABLE b ADD COLUMN id bigint;")
    said = checkout.rung("rehearse", code=1)
    assert "  fails    001_a.sql" in said.out
    assert 'relation "b" does not exist' in said.out


def test_what_reaches_outside_ends_with_3(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "CREATE DATABASE another;")
    said = checkout.rung("rehearse", code=3)
    assert "CREATE DATABASE reaches outside of the database" in said.err


def test_an_environment_that_does_not_answer_ends_with_4(checkout: Checkout) -> None:
    checkout.write("001_a.sql", "SELECT 1;")
    checkout.rung("rehearse", "--env", "gone", code=4)
