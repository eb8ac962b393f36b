"""`rung check --probe`, and its forms for other programs."""

import json

import pytest

from tests.cli.conftest import Checkout

TWO = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text)",
    "INSERT INTO users VALUES (1, 'a@example.org'), (2, 'a@example.org')",
)


@pytest.fixture
def twice(checkout: Checkout) -> Checkout:
    """Two rows with one address, and a file that wants them to differ."""
    checkout.do(*TWO)
    checkout.write("001_unique.sql", "-- one each\nCREATE UNIQUE INDEX CONCURRENTLY by_email ON users (email);\n")
    return checkout


def test_a_file_that_the_rows_will_refuse_ends_with_3_and_says_which(twice: Checkout) -> None:
    twice.rung("check", code=0)
    said = twice.rung("check", "--probe", code=3).out
    assert "Will fail on local: 1 value of email occurs more than once in users (id = 1 and id = 2)" in said
    assert "will fail: 001_unique.sql line 2: " in said
    assert "What to do: Decide which of those rows stay" in said
    assert "example.org" not in said


def test_once_the_rows_agree_it_passes(twice: Checkout) -> None:
    twice.do("DELETE FROM users WHERE id = 2")
    said = twice.rung("check", "--probe", code=0).out
    assert "local, asked for its rows: Safe to apply: 1 file, brief locks only" in said
    assert "will pass: 001_unique.sql line 2: no two rows of users have the same email (read in full (8.2 kB))" in said


def test_the_document_has_the_answers(twice: Checkout) -> None:
    said = twice.rung("check", "--probe", "--json", code=3).json
    assert said["exit_code"] == 3
    assert said["verdict"].startswith("Will fail on local: ")
    (answer,) = said["probes"]
    assert (answer["outcome"], answer["line"], answer["keys"]) == ("will fail", 2, ["id = 1", "id = 2"])
    assert twice.rung("check", "--probe", "--format", "json", code=3).json == said


def test_an_environment_that_does_not_answer_is_not_called_safe(twice: Checkout) -> None:
    assert "would run" not in twice.rung("check", "--probe", "--env", "gone", code=4).out


def test_a_workflow_gets_annotations_with_file_and_line(twice: Checkout) -> None:
    twice.write("002_drops.sql", "\nDROP TABLE users;")
    lines = twice.rung("check", "--probe", "--format", "github", code=3).out.splitlines()
    assert lines[0].startswith(
        "::error file=migrations/002_drops.sql,line=2,title=Rung%3A drop-table::local: destructive"
    )
    assert "%0ASafer: " in lines[0]
    (rows,) = [line for line in lines if "rows-will-fail" in line]
    assert rows.startswith(
        "::error file=migrations/001_unique.sql,line=2,title=Rung%3A rows-will-fail::local: will fail"
    )


def test_code_scanning_gets_one_document(twice: Checkout) -> None:
    document = json.loads(twice.rung("check", "--probe", "--format", "sarif", code=3).out)
    assert document["version"] == "2.1.0"
    (result,) = [one for one in document["runs"][0]["results"] if one["ruleId"] == "rows-will-fail"]
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("migrations/001_unique.sql", 2)
    assert {"id": "rows-will-fail"} in document["runs"][0]["tool"]["driver"]["rules"]


def test_the_limit_of_the_configuration_decides_what_is_read_in_full(twice: Checkout) -> None:
    path = twice.folder / "rung.toml"
    path.write_text("probe_limit = 100\n" + path.read_text())
    twice.do("DELETE FROM users WHERE id = 2")
    said = twice.rung("check", "--probe", code=0).out
    assert "not checked: 001_unique.sql line 2: the table is too large to be read in full" in said
    assert "1 statement could not be checked against the rows" in said
