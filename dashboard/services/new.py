"""New: make the next migration file from a template."""

import fcntl
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dashboard.core.errors import BadName, BadPattern, UnusableFolder
from dashboard.core.migration import PLACEHOLDER

_WORD = re.compile(r"[a-z0-9]+")
_LONGEST = 80  # characters of a slug; names stay readable in a table
_TIMESTAMP = 14  # digits of 20261103140211


@dataclass(frozen=True, slots=True)
class Patterns:
    """What the file is to hold: each entry becomes one statement. All empty: an empty frame with a hint.

    Attributes
    ----------
    tables: names, such as `user_preferences`.
    columns: `table.column:type`.
    indexes: `table.column`, with more columns after commas.
    foreign_keys: `child.column:parent.column`.

    """

    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    foreign_keys: tuple[str, ...] = ()


def new_migration(folder: Path, description: str, patterns: Patterns, timestamp: str) -> Path:
    """Write the next file and return its path; the folder is made when it is missing.

    `timestamp`: fourteen digits of now, used where the folder numbers its files by time. Never overwrites a file, and
    two calls at the same moment never take the same number.
    Raises BadName: the description leaves no word to name the file by. BadPattern: one does not have its form.
    UnusableFolder: it may not be written to.
    """
    slug = slug_of(description)
    text = _text(description, patterns)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            path = folder / f"{next_number(_numbers(folder), timestamp)}_{slug}.sql"
            _write(path, text.encode(errors="replace"))
    except OSError as wrong:
        raise UnusableFolder(str(folder), "written to", wrong.strerror or type(wrong).__name__) from None
    return path


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: half a file could be half a migration."""
    file = path.open("xb")  # a name that is taken is not ours to remove
    try:
        with file:
            file.write(data)
    except OSError:
        path.unlink()
        raise


def slug_of(description: str) -> str:
    """`Add user preferences!` becomes `add_user_preferences`, and `Größe` `grosse`. Raises BadName."""
    letters = unicodedata.normalize("NFKD", description.casefold().replace("'", ""))
    words = _WORD.findall("".join(letter for letter in letters if not unicodedata.combining(letter)))
    slug = "_".join(words)[:_LONGEST].strip("_")
    if not slug:
        raise BadName(description)
    return slug


def next_number(numbers: Sequence[str], timestamp: str) -> str:
    """The number after the highest, as wide as the folder writes them; a timestamp where the folder uses those."""
    if not numbers:
        return "001"
    highest = max(numbers, key=int)
    if len(highest) >= _TIMESTAMP:
        return max(timestamp, str(int(highest) + 1), key=int)
    return str(int(highest) + 1).zfill(max(map(len, numbers)))


def _numbers(folder: Path) -> list[str]:
    found = (re.match(r"([0-9]+)_.*\.sql$", path.name, re.IGNORECASE) for path in folder.iterdir())
    return [number[1] for number in found if number]


def _text(description: str, patterns: Patterns) -> str:
    statements = [
        *map(_table, patterns.tables),
        *map(_column, patterns.columns),
        *map(_foreign_key, patterns.foreign_keys),
        *map(_index, patterns.indexes),
    ]
    body = "\n\n".join(statements) if statements else PLACEHOLDER
    return f"BEGIN;\n\n-- {' '.join(description.split())}\n{body}\n\nCOMMIT;\n"


def _table(name: str) -> str:
    (table,) = _parts(name, r"([\w.]+)", "--table takes a name, such as user_preferences")
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (\n"
        "  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
        "  -- columns here\n"
        "  created_at TIMESTAMPTZ NOT NULL DEFAULT now()\n"
        ");"
    )


def _column(pattern: str) -> str:
    table, column, kind = _parts(
        pattern, r"([\w.]+)\.(\w+):(\w[\w ,()\[\]]*)", "--column takes table.column:type, such as users.theme:text"
    )
    return f"ALTER TABLE {table}\nADD COLUMN IF NOT EXISTS {column} {kind};"


def _index(pattern: str) -> str:
    table, columns = _parts(
        pattern, r"([\w.]+)\.(\w+(?:,\w+)*)", "--index takes table.column, such as users.email or tasks.team_id,state"
    )
    names = columns.split(",")
    name = "_".join(("idx", table.replace(".", "_"), *names))
    return f"CREATE INDEX IF NOT EXISTS {name}\nON {table} ({', '.join(names)});"


def _foreign_key(pattern: str) -> str:
    child, column, parent, key = _parts(
        pattern,
        r"([\w.]+)\.(\w+):([\w.]+)\.(\w+)",
        "--foreign-key takes child.column:parent.column, such as tasks.user_id:users.id",
    )
    name = f"fk_{child.replace('.', '_')}_{column}"
    return f"ALTER TABLE {child}\nADD CONSTRAINT {name}\nFOREIGN KEY ({column}) REFERENCES {parent} ({key});"


def _parts(text: str, form: str, expected: str) -> tuple[str, ...]:
    found = re.fullmatch(form, text.strip(), re.ASCII)
    if found is None:
        raise BadPattern(text, expected)
    return found.groups()
