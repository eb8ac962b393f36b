import re
from pathlib import Path

import pytest

import dashboard
from dashboard.cli import codes
from dashboard.cli.main import _COMMANDS
from dashboard.core import errors
from dashboard.core.run import Outcome
from tests.cli.conftest import Checkout


def test_help_lists_every_command(checkout: Checkout) -> None:
    said = checkout.rung("--help", code=0).out
    for name, words in _COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words)}$", said, re.MULTILINE)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_explains_itself(checkout: Checkout, name: str) -> None:
    said = checkout.end(checkout.begin(name, "--help"), code=0)
    assert said.out.startswith(f"Usage: rung {name}")


@pytest.mark.parametrize("words", [("check",), ("check", "--json"), ("new",), ("migrate", "--env", "gone")])
def test_a_fork_of_the_tests_says_what_a_process_of_its_own_says(checkout: Checkout, words: tuple[str, ...]) -> None:
    checkout.write("001_a.sql", "CREATE TABLE ä (id bigint);")
    forked = checkout.rung(*words, typed="")
    assert forked == checkout.end(checkout.begin(*words))
    assert forked.out + forked.err


def test_the_version_is_the_package_s(checkout: Checkout) -> None:
    assert checkout.rung("--version", code=0).out == f"rung {dashboard.__version__}\n"


def test_a_mistyped_command_is_answered_with_the_nearest_one(checkout: Checkout) -> None:
    assert "Did you mean 'migrate'?" in checkout.rung("mirgate", code=2).err
    assert "Did you mean" not in checkout.rung("xyz", code=2).err


@pytest.mark.parametrize(
    "words", [("migrate", "--forc"), ("migrate", "--force"), ("migrate", "--lock-wait", "x"), ("mirgate",), ("start",)]
)
def test_with_json_a_wrong_word_is_a_document_too(checkout: Checkout, words: tuple[str, ...]) -> None:
    document = checkout.rung(*words, "--json", code=2).json
    assert (document["error"], document["exit_code"]) == ("Usage", 2)
    assert document["message"]


def test_the_json_of_another_command_is_not_ours(checkout: Checkout) -> None:
    assert checkout.rung("start", "--nope", "--", "server", "--json", code=2).out == ""


@pytest.mark.parametrize("words", [("migrate",), ("check",), ("status",), ("history",), ("new", "x"), ("--help",)])
def test_nothing_is_coloured_or_moves_where_nobody_looks(checkout: Checkout, words: tuple[str, ...]) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    said = checkout.rung(*words, TERM="xterm-256color", FORCE_COLOR="1", CLICOLOR_FORCE="1", code=0)
    assert said.out
    assert "\x1b" not in said.out + said.err
    assert "\r" not in said.out + said.err


def test_a_folder_that_is_gone_below_one_s_feet_is_no_crash(checkout: Checkout, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    process = checkout.begin("status", cwd=gone)
    gone.rmdir()
    assert checkout.end(process).code in (1, 2)


def test_every_outcome_and_every_error_has_its_exit_code() -> None:
    assert set(codes.OF_OUTCOME) == set(Outcome)
    assert codes.code_of(errors.UnknownEnvironment("x", "y")) == codes.USAGE
    assert codes.code_of(errors.NoFolder("x")) == codes.USAGE
    assert codes.code_of(errors.Unreachable("x", "y", "z")) == codes.NOT_REACHABLE
    assert codes.code_of(errors.HomeNotReady("x")) == codes.FAILED
