"""SQL text becomes statements with kind, line and transaction mode. The only door to the SQL parser."""

from dataclasses import dataclass, field
from typing import Any

from dashboard.core.migration import Migration, Refusal


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file, as the parser cut it.

    Attributes
    ----------
    index: 1-based among the statements that run.
    text: exactly what is sent to the server: from its first keyword, without the semicolon.
    line, column: 1-based place of its first keyword in the file.
    offset: 0-based character offset of `text` in the migration's text.
    kind: PostgreSQL's command words, upper case: `CREATE TABLE`, `CREATE INDEX CONCURRENTLY`, `DO`.
    transactional: False where PostgreSQL refuses it inside a transaction block.
    tree: the parser's node, for the rules; nothing else looks inside.

    """

    index: int
    text: str
    line: int
    column: int
    offset: int
    kind: str
    transactional: bool
    tree: Any = field(repr=False, compare=False)

    @property
    def first_line(self) -> str:
        """The statement's first line, shortened to 120 characters, for people."""
        line = self.text.lstrip().split("\n", 1)[0].rstrip()
        return line if len(line) <= 120 else line[:119] + "…"


@dataclass(frozen=True, slots=True)
class Script:
    """A migration's text, cut into statements.

    Attributes
    ----------
    transactional: True: one transaction holds them all. False: each runs alone, in autocommit.
    begin: the statement that opens the file's transaction; carries the options of the file's own BEGIN, if it has one
        (`BEGIN ISOLATION LEVEL SERIALIZABLE`).
    notes: sentences for people: "its own BEGIN and COMMIT are left out", "no statement, recorded as applied".

    """

    filename: str
    statements: tuple[Statement, ...]
    transactional: bool = True
    begin: str = "BEGIN"
    notes: tuple[str, ...] = ()


def parse(migration: Migration) -> Script | Refusal:
    """Cut a migration into statements, or say with line, column and caret why it cannot be."""
    raise NotImplementedError
