"""What changed between two texts of a file, line by line."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import takewhile

from dashboard.core.words import count
from dashboard.web.pages import ChangedLine

AROUND = 2  # unchanged lines shown on each side of a change
MOST = 500  # lines from the first change to the last; beyond that a comparison takes too long for a page
SHOWN = 200  # lines of a comparison


@lru_cache(maxsize=64)
def difference(old: str, new: str) -> tuple[ChangedLine, ...]:
    """Changed lines with a little of what stands around them; empty where too much lies between them to compare."""
    before, after = old.splitlines(), new.splitlines()
    skipped = max(0, _alike(before, after) - AROUND)
    before, after = before[skipped:], after[skipped:]
    left = max(0, _alike(before[AROUND:][::-1], after[AROUND:][::-1]) - AROUND)
    before, after = before[: len(before) - left], after[: len(after) - left]
    if max(len(before), len(after)) > MOST:
        return ()
    lines = tuple(_lines(before, after, skipped)) or (ChangedLine("gap", "", "Only the ends of lines differ."),)
    rest = len(lines) - SHOWN
    return lines if rest <= 0 else (*lines[:SHOWN], ChangedLine("gap", "", count(rest, "more line")))


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines are the same at the start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _lines(before: list[str], after: list[str], skipped: int) -> Iterator[ChangedLine]:
    groups = list(SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(AROUND))
    for place, group in enumerate(groups):
        if place:
            left_out = group[0][3] - groups[place - 1][-1][4]
            yield ChangedLine("gap", "", f"{count(left_out, 'line')} unchanged")
        for kind, first, last, from_, to in group:
            if kind == "equal":
                yield from _part("same", after, from_, to, skipped)
            else:
                yield from _part("removed", before, first, last, skipped)
                yield from _part("added", after, from_, to, skipped)


def _part(kind: str, lines: list[str], first: int, last: int, skipped: int) -> Iterator[ChangedLine]:
    for place in range(first, last):
        yield ChangedLine(kind, str(skipped + place + 1), lines[place])
