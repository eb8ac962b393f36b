"""Migration files as teams write them: tables, columns, indexes, foreign keys; most in BEGIN and COMMIT."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file. `body`: its statements; `wrapped`: whether its text has a BEGIN and COMMIT of its own around them."""

    name: str
    body: str
    wrapped: bool

    @property
    def text(self) -> str:
        return f"BEGIN;\n\n{self.body}\nCOMMIT;\n" if self.wrapped else self.body


_USERS = """\
CREATE TABLE IF NOT EXISTS users (
  id SERIAL PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  created_at TIMESTAMPTZ DEFAULT NOW()
);
"""

# Each works on the table of its own five files: `{group}` is that table's number.
_PATTERNS = (
    (
        "create_things_{group}",
        """\
-- Things of user {group}
CREATE TABLE IF NOT EXISTS things_{group} (
  id SERIAL PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  theme VARCHAR(20) DEFAULT 'light',
  notifications_enabled BOOLEAN DEFAULT true,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX IF NOT EXISTS idx_things_{group}_user_id ON things_{group}(user_id);
""",
    ),
    (
        "add_note_to_things_{group}",
        """\
ALTER TABLE things_{group}
ADD COLUMN IF NOT EXISTS note TEXT;
""",
    ),
    (
        "index_theme_of_things_{group}",
        """\
CREATE INDEX IF NOT EXISTS idx_things_{group}_theme
ON things_{group}(theme);
""",
    ),
    (
        "add_parent_to_things_{group}",
        """\
ALTER TABLE things_{group}
ADD COLUMN IF NOT EXISTS parent_id INTEGER;
ALTER TABLE things_{group}
ADD CONSTRAINT fk_things_{group}_parent
FOREIGN KEY (parent_id) REFERENCES things_{group}(id);
""",
    ),
    (
        "create_messages_{group}",
        """\
CREATE TABLE messages_{group} (
  id SERIAL PRIMARY KEY,
  thing_id INTEGER NOT NULL REFERENCES things_{group}(id),
  body TEXT NOT NULL,
  created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE INDEX IF NOT EXISTS idx_messages_{group}_thing ON messages_{group}(thing_id);
CREATE INDEX IF NOT EXISTS idx_messages_{group}_created ON messages_{group}(created_at);
""",
    ),
)


def sample_files(count: int) -> tuple[SampleFile, ...]:
    """The first `count` files of an endless ladder; every fifth has no BEGIN and COMMIT of its own."""
    return (SampleFile("00001_create_users.sql", _USERS, wrapped=True), *map(_file, range(2, count + 1)))


def _file(number: int) -> SampleFile:
    group, place = divmod(number - 2, len(_PATTERNS))
    slug, body = _PATTERNS[place]
    name = f"{number:05}_{slug.format(group=group)}.sql"
    return SampleFile(name, body.format(group=group), wrapped=number % 5 != 0)


def write_files(folder: Path, files: tuple[SampleFile, ...]) -> Path:
    """Put the files into `folder`, made when absent."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_text(file.text, encoding="utf-8")
    return folder


def psql_script(files: tuple[SampleFile, ...]) -> str:
    """The same statements for one psql session: per file one transaction, with its row of the ledger in it."""
    transactions = "".join(
        f"BEGIN;\nINSERT INTO _migrations_applied (filename) VALUES ('{file.name}');\n{file.body}COMMIT;\n"
        for file in files
    )
    return (
        "CREATE TABLE IF NOT EXISTS _migrations_applied\n"
        f"  (filename TEXT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW());\n{transactions}"
    )
