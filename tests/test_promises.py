"""Every promise in docs/promises.md names tests that exist, and every row of the fault matrix is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "promises.md").read_text()
ROWS = range(1, 93)
REASONS = ("Not here: ", "Not promised: ")


class Promise(NamedTuple):
    """One item of a list, and the line below it."""

    label: str
    text: str
    proof: str

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`(tests/[^`]+)`", self.proof)

    @property
    def row(self) -> int | None:
        """Its number in the fault matrix."""
        return int(self.label) if self.label.isdigit() else None


def promises() -> Iterator[Promise]:
    for label, text, proof in re.findall(r"^- \*\*([^*]+)\*\* (.+)\n  <br><sub>(.+)</sub>$", PAGE, re.MULTILINE):
        yield Promise(label, text, proof)


PROMISES = list(promises())


def numbers(*nodes: ast.expr) -> set[int]:
    """Rows that `pytest.mark.fault(n)` names in these expressions."""
    calls = (call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call))
    faults = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "fault")
    return {argument.value for call in faults for argument in call.args if isinstance(argument, ast.Constant)}  # type: ignore[misc]  # numbers


def collected() -> dict[str, set[int]]:
    """The id of every test, and the rows of the matrix that it is marked with."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        body = ast.parse(path.read_text()).body
        whole = [
            one.value for one in body if isinstance(one, ast.Assign) and "pytestmark" in ast.unparse(one.targets[0])
        ]
        for one in body:
            if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"):
                name = f"{path.relative_to(ROOT).as_posix()}::{one.name}"
                found[name] = numbers(*one.decorator_list, *whole)
    return found


TESTS = collected()


def test_the_page_has_its_promises() -> None:
    labels = [promise.label for promise in PROMISES]
    moments = [*(f"K{number}" for number in range(14)), "N1", "N2", "N3"]
    assert [label for label in labels if re.fullmatch(r"[KN]\d+", label)] == moments


def test_no_item_of_the_page_is_without_its_line_of_proof() -> None:
    assert len(PROMISES) == len(re.findall(r"^- ", PAGE, re.MULTILINE))


def test_every_row_of_the_fault_matrix_is_there_once_and_in_order() -> None:
    assert [promise.row for promise in PROMISES if promise.row] == list(ROWS)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.label)
def test_every_promise_names_tests_that_exist_or_says_why_there_is_none(promise: Promise) -> None:
    assert promise.text.endswith(".")
    assert [name for name in promise.tests if name not in TESTS] == []
    if promise.row and not promise.tests:
        assert promise.proof.startswith(REASONS)
        assert len(promise.proof) > 40, "say why"
    else:
        assert promise.tests


@pytest.mark.parametrize("promise", [one for one in PROMISES if one.row], ids=lambda promise: promise.label)
def test_a_row_names_exactly_the_tests_that_are_marked_with_it(promise: Promise) -> None:
    assert sorted(promise.tests) == sorted(name for name, rows in TESTS.items() if promise.row in rows)


def test_no_test_is_marked_with_a_row_that_is_not_there() -> None:
    assert set().union(*TESTS.values()) <= set(ROWS)
