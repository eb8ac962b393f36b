"""Every deliberate defect of the runner turns its tests red."""

from pathlib import Path

import pytest

from tests.mutants import harness
from tests.mutants.harness import BadMutant
from tests.mutants.mutants import MUTANTS, Mutant
from tests.test_promises import PAGE, TESTS

ROOT = Path(__file__).parents[2]


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 24


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_is_there_exactly_once_and_its_tests_exist(mutant: Mutant, tmp_path: Path) -> None:
    path = tmp_path / "dashboard" / mutant.file
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / "dashboard" / mutant.file).read_text())
    harness.plant(mutant, tmp_path)
    compile(path.read_text(), mutant.file, "exec")
    assert set(mutant.tests) <= TESTS.keys()


def test_a_text_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dashboard").mkdir()
    (tmp_path / "dashboard" / "folder.py").write_text("nothing of it")
    gone = Mutant("gone", "", "folder.py", (("inside = ", "inside = 1 or "),), ())
    with pytest.raises(BadMutant, match="0 times"):
        harness.plant(gone, tmp_path)


def test_the_page_states_the_score() -> None:
    assert f"{len(MUTANTS)} of {len(MUTANTS)} deliberate defects were noticed." in PAGE


@pytest.mark.slow
def test_the_tests_of_all_of_them_are_green_without_any() -> None:
    harness.check_healthy()


@pytest.mark.slow
def test_tests_that_are_red_anyway_are_an_error() -> None:
    ill = Mutant("ill", "", "folder.py", (), ("tests/no_such_file.py::test_nothing",))
    with pytest.raises(BadMutant, match="not green"):
        harness.check_healthy([ill])


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_goes_red(mutant: Mutant) -> None:
    assert harness.try_out(mutant).killed, mutant.why
