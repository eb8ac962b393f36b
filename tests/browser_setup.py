"""Find a Chromium for the browser tests, or get one: the system's, Debian's package when root, Playwright's download.

`make test` runs this file before the tests. Run by hand, it prints the program it found.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 900  # seconds for a download


def find(variables: Mapping[str, str]) -> str | None:
    """A Chromium that is here and starts: $RUNG_CHROMIUM, the system's, or the one Playwright downloaded earlier."""
    return next((program for program in _candidates(variables) if starts(program)), None)


def setup(variables: Mapping[str, str], tell: Callable[[str], None]) -> str | None:
    """Find a Chromium, getting one when there is none; None when every way failed."""
    ways = {"Debian's package": _from_debian, "Playwright's download": _from_playwright}
    found = find(variables)
    for name, way in ways.items():
        if found is None:
            tell(f"No Chromium here; trying {name} …")
            tell(way(variables))
            found = find(variables)
    return found


def starts(program: str) -> bool:
    """Whether it starts at all: a program of that name may be a stub that asks for another package."""
    try:
        done = subprocess.run([program, "--version"], check=False, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"Chrom" in done.stdout


def _candidates(variables: Mapping[str, str]) -> Iterator[str]:
    if variables.get("RUNG_CHROMIUM"):
        yield variables["RUNG_CHROMIUM"]
    for name in NAMES:
        program = shutil.which(name, path=variables.get("PATH"))
        if program:
            yield program
    yield from _of_playwright(variables)


def _of_playwright(variables: Mapping[str, str]) -> Iterator[str]:
    ask = "from playwright.sync_api import sync_playwright as p\nwith p() as o: print(o.chromium.executable_path)"
    done = subprocess.run([sys.executable, "-c", ask], check=False, capture_output=True, text=True, env=dict(variables))
    if done.returncode == 0:
        yield done.stdout.strip()


def _from_debian(variables: Mapping[str, str]) -> str:
    program = shutil.which("apt-get", path=variables.get("PATH"))
    if os.geteuid() != 0 or program is None:
        return "  only root can, and only where apt-get is"
    quiet = dict(variables) | {"DEBIAN_FRONTEND": "noninteractive"}
    updated = _try([program, "-qq", "update"], quiet)
    return _try([program, "-qq", "install", "-y", "--no-install-recommends", "chromium"], quiet) or updated


def _from_playwright(variables: Mapping[str, str]) -> str:
    return _try([sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"], variables)


def _try(command: list[str], variables: Mapping[str, str]) -> str:
    """Run it; what it said last where it failed, else nothing."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE, env=dict(variables)
        )
    except subprocess.TimeoutExpired:
        return f"  gave up after {PATIENCE} seconds"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"  failed: {lines[-1] if lines else done.returncode}" if done.returncode else ""


def main() -> int:
    found = setup(os.environ, lambda sentence: print(sentence, file=sys.stderr) if sentence else None)
    if found:
        print(found)
        return 0
    print(
        "No Chromium could be found or got. Install one (Debian: apt-get install chromium) or set RUNG_CHROMIUM.",
        "The browser tests are SKIPPED." if not os.environ.get("CI") else "CI runs all tests, so this is an error.",
        sep="\n",
        file=sys.stderr,
    )
    return 1 if os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
