"""Places in a text: character offsets become lines, columns and an excerpt with a caret."""

import re
from bisect import bisect_right
from functools import cached_property

_LINE_END = re.compile(r"\r\n|\r|\n")
_WIDEST = 120  # characters of an excerpt's line


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
