"""A migration: file name and bytes become a number, a name, a text and two hashes, or a refusal that says where."""

import hashlib
import re
from dataclasses import dataclass

HASH_VERSION = 1  # 1: SHA-256, hex; stored with every hash so that a later formula never looks like an edit
SIZE_LIMIT = 20 * 1024 * 1024
PLACEHOLDER = "-- CREATE TABLE IF NOT EXISTS …"  # what a new file has in the place of statements

_NAME = re.compile(r"(?P<number>[0-9]+)_(?P<slug>[A-Za-z0-9][A-Za-z0-9._-]*)\.sql")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file of the folder; its identity is its file name.

    Attributes
    ----------
    filename: `017_add_user_preferences.sql`.
    number: 17; any number of digits, timestamps too.
    slug: `add_user_preferences`.
    text: the content, decoded as UTF-8, a byte-order mark left out, line ends as they are.
    size: bytes on disk.
    raw_hash: SHA-256 of the bytes on disk, hex.
    normalised_hash: the same of the bytes without byte-order mark and with every line end as LF.

    """

    filename: str
    number: int
    slug: str
    text: str
    size: int
    raw_hash: str
    normalised_hash: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file of the folder cannot be used.

    Attributes
    ----------
    code: a stable word for tests and JSON, such as `nul-byte`.
    message: one sentence without the file name.
    line, column: 1-based; None where there is no place in the text. Columns count characters.
    byte: 0-based offset in the file on disk; None where it does not apply.
    excerpt: the line of the file with a caret below it; may be empty.

    """

    filename: str
    code: str
    message: str
    advice: str
    line: int | None = None
    column: int | None = None
    byte: int | None = None
    excerpt: str = ""


def order_of(migration: Migration) -> tuple[int, str]:
    """The order of the folder: number, then name."""
    return (migration.number, migration.filename)


def number_of(filename: str) -> int:
    """The number a file name starts with; -1 where the name is not one of ours (a ledger may hold such names)."""
    digits = re.match(r"[0-9]+", filename)
    return int(digits.group()) if digits else -1


def read_migration(filename: str, data: bytes, *, size_limit: int = SIZE_LIMIT) -> Migration | Refusal:
    """Make a migration of a file's name and bytes, or say why not. Looks at no SQL: `script.py` does."""
    name = _NAME.fullmatch(filename)
    if name is None:
        return Refusal(
            filename,
            "bad-name",
            "its name is not <number>_<slug>.sql",
            "Rename it, for example to 017_add_user_preferences.sql (letters, digits, dots, dashes, underscores).",
        )
    refusal = _unusable(filename, data, size_limit)
    if refusal is not None:
        return refusal
    body = data.removeprefix(_BOM)
    return Migration(
        filename=filename,
        number=int(name["number"]),
        slug=name["slug"],
        text=body.decode(),
        size=len(data),
        raw_hash=hashlib.sha256(data).hexdigest(),
        normalised_hash=hashlib.sha256(body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).hexdigest(),
    )


def too_large(filename: str, size: int, size_limit: int) -> Refusal:
    """The refusal of a file that is not even read."""
    return Refusal(
        filename,
        "too-large",
        f"it has {size:,} bytes and the limit is {size_limit:,}",
        "Load bulk data another way, split the file, or raise max_file_size in rung.toml.",
    )


def _unusable(filename: str, data: bytes, size_limit: int) -> Refusal | None:
    if len(data) > size_limit:
        return too_large(filename, len(data), size_limit)
    nul = data.find(b"\x00")
    if nul >= 0:
        return Refusal(
            filename,
            "nul-byte",
            "it holds a NUL byte, and PostgreSQL would silently ignore everything after it",
            "Remove the byte; an editor that saves as UTF-16 also produces them.",
            line=data.count(b"\n", 0, nul) + 1,
            byte=nul,
        )
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return Refusal(
            filename,
            "not-utf-8",
            f"it is not UTF-8: byte 0x{data[wrong.start]:02x} cannot stand there",
            "Save the file as UTF-8.",
            line=data.count(b"\n", 0, wrong.start) + 1,
            byte=wrong.start,
        )
    return None


@dataclass(frozen=True, slots=True)
class Folder:
    """What the migrations folder holds: usable files in their order, and those that cannot be used."""

    migrations: tuple[Migration, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def duplicates(self) -> tuple[tuple[Migration, ...], ...]:
        """Groups of files that share a number, in order."""
        groups: dict[int, list[Migration]] = {}
        for migration in self.migrations:
            groups.setdefault(migration.number, []).append(migration)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)
