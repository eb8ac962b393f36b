"""What Rung is built of: a list of all of it from what is installed, equal to the lock, each with a licence."""

import json
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ;\\]+)", re.MULTILINE)
LICENCES = ("MIT", "BSD", "Apache", "LGPL", "Mozilla", "MPL", "PSF")
BUILT_WITH = "hatchling"  # in the lock too: the wheel is built by what is known


@cache
def installed() -> dict[str, Distribution]:
    return {canonicalize_name(one.metadata["Name"]): one for one in distributions()}


def locked() -> dict[str, str]:
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    return {canonicalize_name(name): version for name, version in LOCKED.findall(text)}


def needed(name: str, extras: frozenset[str], known: set[str]) -> None:
    """Add what this package needs here, and what that needs."""
    known.add(name)
    for text in installed()[name].requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            other = canonicalize_name(wanted.name)
            if other not in known or wanted.extras:
                needed(other, frozenset(wanted.extras), known)


def test_the_lock_is_what_is_installed() -> None:
    assert locked().items() <= {name: one.version for name, one in installed().items()}.items()


def test_the_lock_names_all_that_is_needed_and_nothing_else() -> None:
    found: set[str] = set()
    for line in (ROOT / "requirements" / "runtime.in").read_text().splitlines():
        wanted = Requirement(line)
        needed(canonicalize_name(wanted.name), frozenset(wanted.extras), found)
    assert BUILT_WITH in found
    assert found == locked().keys()


def test_every_package_says_a_licence_that_we_know() -> None:
    for name in locked():
        one = installed()[name].metadata
        classes = [text for text in one.get_all("Classifier") or () if text.startswith("License")]
        said = " ".join(text for text in (one.get("License-Expression"), one.get("License"), *classes) if text)
        assert any(licence in said for licence in LICENCES), (name, said)
        assert "AGPL" not in said, name


@pytest.mark.slow  # pip takes its time
def test_the_documented_list_has_all_that_is_locked() -> None:
    command = [sys.executable, "-m", "pip", "inspect", "--local"]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    listed = [one["metadata"] for one in json.loads(made.stdout)["installed"]]
    assert locked().items() <= {canonicalize_name(one["name"]): one["version"] for one in listed}.items()


def test_the_documented_commands_are_said_with_the_lock_they_are_about() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    assert "pip inspect --local" in page
    assert "pip-audit --requirement requirements/runtime.txt --require-hashes --disable-pip" in page
