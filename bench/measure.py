"""What is measured: subjects that take turns, their samples, and the bound they are held to."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Turn = Callable[[], float]
"""Does the work once and returns what it took; setting up and clearing away are not in the figure."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a line must keep to, and what we are after. On the ratio where a line has a floor, else on the median."""

    limit: float
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    samples: one per round, in `unit` (s, ms, KB, or nothing for a count).
    floor: the same work done the shortest way, in the same rounds; gives the line its ratio.

    """

    what: str
    samples: tuple[float, ...]
    unit: str = "s"
    floor: "Line | None" = None
    bound: Bound | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios round by round, so that a machine whose speed drifts does not bend it."""
        if self.floor is None:
            return None
        return statistics.median(mine / its for mine, its in zip(self.samples, self.floor.samples, strict=True))

    @property
    def over(self) -> bool:
        measured = self.median if self.ratio is None else self.ratio
        return self.bound is not None and measured > self.bound.limit


@dataclass(frozen=True, slots=True)
class Group:
    """One row of the bench: a title, its lines, and what somebody must know to read them."""

    name: str
    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        return any(line.over for line in self.lines)


def take_turns(subjects: Mapping[str, Turn], rounds: int) -> dict[str, tuple[float, ...]]:
    """Every subject once per round, after a round that does not count; who begins changes from round to round."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in subjects.values():
        turn()
    for number in range(rounds):
        for name in _rotated(list(subjects), number):
            samples[name].append(subjects[name]())
    return {name: tuple(taken) for name, taken in samples.items()}


def _rotated(names: list[str], by: int) -> Iterator[str]:
    start = by % len(names)
    yield from names[start:]
    yield from names[:start]
