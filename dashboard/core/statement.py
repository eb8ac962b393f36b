"""A statement: a piece of SQL text with its place, its kind and its tree."""

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from dashboard.core.commands import command_of, runs_in_transaction
from dashboard.core.masking import masked
from dashboard.core.parser import Span, read_tree, split
from dashboard.core.text import Places


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file, as the parser cut it.

    Attributes
    ----------
    index: 1-based among the statements that run.
    text: exactly what is sent to the server: from its first keyword to its last word, without the semicolon.
    line, column: 1-based place of its first keyword in the file.
    offset: 0-based character offset of `text` in the migration's text.
    kind: PostgreSQL's command words, upper case: `CREATE TABLE`, `CREATE INDEX CONCURRENTLY`, `DO`.
    transactional: False where PostgreSQL refuses it inside a transaction block.
    tree: the parser's node (see `tree.py`), for the rules; None where the statement is nested too deeply to be read.

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
    def in_brief(self) -> str:
        """The statement on one line, up to its first comment, shortened to 120 characters, for people; no password."""
        first, *others = (line.strip() for line in masked(self.text).lstrip()[:1000].splitlines() or [""])
        line = first if "--" in first else " ".join((first, *takewhile(lambda other: "--" not in other, others)))
        return line if len(line) <= 120 else line[:119] + "…"

    def line_at(self, location: int | None) -> int:
        """The line in the file of a byte offset that a node of `tree` carries; the first one for None."""
        if location is None or location < 0:
            return self.line
        before = self.text.encode()[:location].decode(errors="ignore")
        return self.line + len(Places(before)) - 1


def parse_fragment(sql: str, first_line: int = 1) -> tuple[Statement, ...]:
    """Cut a piece of SQL that stands inside another statement (a body, a literal) and starts at that line of the file.

    Raises SyntaxFault.
    """
    return cut(sql, Places(sql), first_line)


def cut(text: str, places: Places, first_line: int = 1) -> tuple[Statement, ...]:
    """Cut a text into statements; `places` are those of the text people see. Raises SyntaxFault."""
    return tuple(_statement(text, places, span, first_line) for span in split(text))


def _statement(text: str, places: Places, span: Span, first_line: int) -> Statement:
    start, end = span
    sql = text[start:end]
    tree = read_tree(sql)
    return Statement(
        index=0,
        text=sql,
        line=places.line(start) + first_line - 1,
        column=places.column(start),
        offset=start,
        kind=command_of(tree) if tree else _first_words(sql),
        transactional=runs_in_transaction(tree) if tree else True,  # what nests so deeply holds expressions
        tree=tree,
    )


def _first_words(sql: str) -> str:
    words = re.findall(r"[A-Za-z]+", sql[:200])
    return " ".join(words[: 2 if words and words[0].upper() in ("CREATE", "ALTER") else 1]).upper()
