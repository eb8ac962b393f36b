"""Plants the defects, one at a time, in a copy of the package, and sees whether the suite goes red."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PASSED, FAILED = 0, 1  # pytest's exit codes


class BadMutant(Exception):
    """The mutant itself is wrong: its text is not there once, or its tests are red or cannot be run anyway."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one. `seconds`: of the suite."""

    mutant: Mutant
    killed: bool
    seconds: float


@contextmanager
def copy() -> Iterator[Path]:
    """A folder with package and tests; the working tree is never touched."""
    with tempfile.TemporaryDirectory(prefix="rung-mutant-") as name:
        place = Path(name)
        for part in ("dashboard", "tests"):
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "README.md", "docs"):
            (place / part).symlink_to(ROOT / part)
        yield place


def plant(mutant: Mutant, place: Path) -> None:
    path = place / "dashboard" / mutant.file
    text = path.read_text()
    for old, new in mutant.edits:
        if (times := text.count(old)) != 1:
            wrong = f"{mutant.name}: {mutant.file} has its text {times} times, not once: {old!r}"
            raise BadMutant(wrong)
        text = text.replace(old, new)
    path.write_text(text)


def suite(place: Path, tests: Iterable[str], patience: float, *options: str) -> tuple[int, str]:
    """Pytest's exit code and output; `FAILED` where it does not end in time."""
    command = [sys.executable, "-m", "pytest", *tests, "-x", "-q", "-p", "no:cacheprovider", *options]
    variables = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in variables if name.startswith("PYTEST_")]:
        del variables[name]
    with subprocess.Popen(
        command, cwd=place, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        try:
            said, _ = running.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return FAILED, "it did not end in time"
    return running.returncode, said


def try_out(mutant: Mutant) -> Fate:
    """Raises BadMutant. Whether its tests pass without it is for `check_healthy`."""
    with copy() as place:
        plant(mutant, place)
        began = time.monotonic()
        code, said = suite(place, mutant.tests, mutant.patience)
    if code not in (PASSED, FAILED):
        wrong = f"{mutant.name}: its tests cannot be run:\n{said}"
        raise BadMutant(wrong)
    return Fate(mutant, code == FAILED, time.monotonic() - began)


def check_healthy(mutants: Iterable[Mutant] = MUTANTS) -> None:
    """All their tests pass while nothing is planted, and none of them is skipped. Raises BadMutant."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with copy() as place:
        code, said = suite(place, tests, 600)
    if code != PASSED or " skipped" in said.splitlines()[-1]:
        wrong = f"the tests are not green without any mutant:\n{said}"
        raise BadMutant(wrong)


def main(words: list[str]) -> int:
    """Try all of them, or those whose names hold one of these words; 1 where one survives."""
    chosen = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    try:
        check_healthy(chosen)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            fates = [_told(fate) for fate in pool.map(try_out, chosen)]
    except BadMutant as wrong:
        print(wrong, file=sys.stderr)
        return 2
    survivors = [fate for fate in fates if not fate.killed]
    print(f"{len(fates) - len(survivors)} of {len(fates)} deliberate defects were noticed.")
    return 1 if survivors else 0


def _told(fate: Fate) -> Fate:
    word = "killed  " if fate.killed else "SURVIVED"
    print(f"{word} {fate.seconds:5.1f} s  {fate.mutant.name}: {fate.mutant.why}", flush=True)
    return fate


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
