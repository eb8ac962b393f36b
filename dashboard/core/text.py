"""Places in a text: offsets become lines, columns and an excerpt with a caret; what hides in a text is made visible."""

import re
from bisect import bisect_right
from functools import cached_property
from unicodedata import category

_LINE_END = re.compile(r"\r\n|\r|\n")
_WIDEST = 120  # characters of an excerpt's line
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, half a character, line and paragraph separators


def visible(text: str, *, keep: str = "\t\n\r") -> str:
    r"""The text with what turns its direction, hides in it or steers a terminal as `⟨U+202E⟩`.

    >>> visible("001_\x1b[2J.sql")
    '001_⟨U+001B⟩[2J.sql'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if category(c) in _HIDDEN and c not in keep else c for c in text)


class Places:
    r"""Where things stand in a text. Lines end with LF, CRLF or CR; lines and columns count from 1, in characters.

    >>> print(Places("SELECT 1;\nSELEC 2;").excerpt(10))
    SELEC 2;
    ^
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(end.end() for end in _LINE_END.finditer(self.text))]

    def __len__(self) -> int:
        """The number of lines."""
        return len(self._starts)

    def start_of(self, line: int) -> int:
        """The offset at which a line starts."""
        return self._starts[line - 1]

    def line(self, offset: int) -> int:
        """The line of a 0-based character offset."""
        return bisect_right(self._starts, offset)

    def column(self, offset: int) -> int:
        """The column of a 0-based character offset."""
        return offset - self._starts[self.line(offset) - 1] + 1

    def excerpt(self, offset: int) -> str:
        """The line around an offset, cut to 120 characters around it, and a caret below the place."""
        start = self._starts[self.line(offset) - 1]
        end = _LINE_END.search(self.text, start)
        line, caret = self.text[start : end.start() if end else len(self.text)], offset - start
        if len(line) > _WIDEST:
            cut = max(0, min(caret - _WIDEST // 2, len(line) - _WIDEST))
            line, caret = line[cut : cut + _WIDEST], caret - cut
        indent = "".join("\t" if character == "\t" else " " for character in line[:caret])
        return f"{line}\n{indent.ljust(caret)}^"
