"""Every assertion in docs/security.md names tests that exist, or says why it is not here; none is left out."""

import re
from pathlib import Path

import pytest

from tests.test_promises import collected

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
NUMBERS = range(1, 80)
REASONS = ("Not here: ", "Not yet: ")

LINES = {
    int(number): (text, re.findall(r"`(tests/[^`]+)`", proof))
    for number, text, proof in re.findall(r"^- \*\*(\d+)\*\* (.+)$(?:\n  <br><sub>(.+)</sub>$)?", PAGE, re.MULTILINE)
}


def test_no_assertion_is_missing_or_there_twice() -> None:
    assert list(LINES) == list(NUMBERS)
    assert len(re.findall(r"^- \*\*\d+\*\* ", PAGE, re.MULTILINE)) == len(NUMBERS)


@pytest.fixture(scope="module")
def known() -> set[str]:
    return set(collected())


@pytest.mark.parametrize("number", NUMBERS)
def test_an_assertion_names_tests_that_exist_or_says_why_it_is_not_here(number: int, known: set[str]) -> None:
    text, tests = LINES[number]
    assert set(tests) <= known
    assert bool(tests) is not text.startswith(REASONS)
    assert len(text) > 20, "say what or why"
