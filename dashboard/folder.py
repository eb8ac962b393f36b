"""The migrations folder becomes a Folder: each file is opened once, judged by what was opened, and read whole."""

import errno
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from dashboard.core.errors import NoFolder, UnusableFolder
from dashboard.core.migration import SIZE_LIMIT, Folder, Migration, Refusal, order_of, read_migration, too_large
from dashboard.core.text import visible

_TRIES = 3  # for a file that somebody is writing at this moment
# A write sets the file's time when it begins, and the clock for that ticks every few milliseconds: what was written
# within this time may be half of a file, and nothing about it tells.
_SETTLED = 0.02  # seconds

Stamp = tuple[int, int, int, int, int]  # device, inode, size, mtime and ctime in nanoseconds


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: Stamp
    found: Migration | Refusal


class FolderReader:
    """Reads the folder again and again, and only those files again that changed. Safe to use from several threads."""

    def __init__(self, path: Path, size_limit: int = SIZE_LIMIT) -> None:
        self._path = path
        self._size_limit = size_limit
        self._seen: tuple[dict[str, _Read], Folder] = ({}, Folder(()))

    def read(self) -> Folder:
        """What the folder holds now; the same object where nothing changed. Raises NoFolder, UnusableFolder."""
        known, folder = self._seen
        read = {entry.name: self._look(entry, known.get(entry.name)) for entry in _entries(self._path)}
        if read != known:
            folder = _folder_of([one.found for one in read.values()])
            self._seen = (read, folder)
        return folder

    def _look(self, entry: os.DirEntry[str], known: _Read | None) -> _Read:
        if known is not None and known.stamp == _stamp_now(entry):
            return known
        return _Read(*_open(self._path / entry.name, self._size_limit))


def _folder_of(found: list[Migration | Refusal]) -> Folder:
    return Folder(
        migrations=tuple(sorted((one for one in found if isinstance(one, Migration)), key=order_of)),
        refusals=tuple(one for one in found if isinstance(one, Refusal)),
    )


def read_folder(path: Path, size_limit: int = SIZE_LIMIT) -> Folder:
    """What the folder holds: files ending in `.sql` that are not hidden. Raises NoFolder, UnusableFolder."""
    return FolderReader(path, size_limit).read()


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            ours = [e for e in entries if e.name.endswith(".sql") and not e.name.startswith(".")]
        return sorted(ours, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        raise NoFolder(str(path)) from None
    except OSError as wrong:
        raise UnusableFolder(str(path), "read", wrong.strerror or type(wrong).__name__) from None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _stamp_now(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        return _stamp(entry.stat())
    except OSError:
        return None


_NEVER: Stamp = (0, 0, 0, 0, 0)  # no file has it, so the next look opens it again


def _open(path: Path, size_limit: int) -> tuple[Stamp, Migration | Refusal]:
    """Opening some devices does something, so a first look comes before; what was opened is what counts."""
    shown = visible(path.name, keep="")
    try:
        refusal = _not_regular(shown, path.stat())
        if refusal is not None:
            return _NEVER, refusal
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)  # a FIFO would wait
    except OSError as wrong:
        return _NEVER, _unreadable(path, shown, wrong)
    try:
        refusal = _not_regular(shown, os.fstat(descriptor)) or _leaves(path, shown, descriptor)
        return (_NEVER, refusal) if refusal else _read(shown, descriptor, size_limit)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, shown: str, wrong: OSError) -> Refusal:
    if wrong.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
        return Refusal(
            shown,
            "broken-link",
            "it is a symbolic link that leads nowhere",
            "Put the file itself into the folder, or remove the link.",
        )
    return Refusal(
        shown,
        "unreadable",
        f"it cannot be read ({wrong.strerror})",
        "Give the user that runs Rung the right to read it.",
    )


def _not_regular(shown: str, status: os.stat_result) -> Refusal | None:
    if stat.S_ISREG(status.st_mode):
        return None
    return Refusal(
        shown,
        "not-a-regular-file",
        f"it is {_kind(status.st_mode)}, not a regular file",
        "Take it out of the folder, or rename it so that it does not end in .sql.",
    )


def _leaves(path: Path, shown: str, descriptor: int) -> Refusal | None:
    if not path.is_symlink():
        return None
    root, target = os.path.realpath(path.parent), os.path.realpath(path)
    inside = os.path.commonpath((root, target)) == root
    if inside and os.path.samestat(os.fstat(descriptor), Path(target).stat()):
        return None
    return Refusal(
        shown,
        "leaves-folder",
        "it is a symbolic link to a file outside the migrations folder",
        "Put the file itself into the folder.",
    )


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    )
    return next((word for test, word in kinds if test(mode)), "something else")


def _unsettled(status: os.stat_result) -> float:
    """Seconds until what was last written counts as whole; 0 where it does, or where the clocks disagree."""
    age = time.time() - status.st_mtime
    return _SETTLED - age if 0 <= age < _SETTLED else 0


def _read(shown: str, descriptor: int, size_limit: int) -> tuple[Stamp, Migration | Refusal]:
    for _ in range(_TRIES):
        before = os.fstat(descriptor)
        if pause := _unsettled(before):
            time.sleep(pause)
            continue
        if before.st_size > size_limit:
            return _stamp(before), too_large(shown, before.st_size, size_limit)
        data = os.pread(descriptor, before.st_size + 1, 0)
        if _stamp(os.fstat(descriptor)) == _stamp(before) and len(data) == before.st_size:
            return _stamp(before), read_migration(shown, data, size_limit=size_limit)
    return _NEVER, Refusal(
        shown, "changing", "it changes while it is being read", "Try again when whoever writes it has finished."
    )
