"""How long a statement may take on tables of a known size: a range, and what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from dashboard.core.rehearsal import StatementTrace

_MB = 1_000_000
# Bytes a second, on slow and on fast machines. Rough on purpose: what is told is a range.
_READ = (200 * _MB, 600 * _MB)
_BUILD = (20 * _MB, 80 * _MB)
_REWRITE = (50 * _MB, 150 * _MB)
_LEARNED_FROM = 3  # statements that ran
_MARGIN = 1.5  # the next one may be so much slower or faster than all that were seen


@dataclass(frozen=True, slots=True)
class Size:
    """How large a table is. Bytes; `rows` is the server's estimate, None where it never counted."""

    heap: int
    toast: int = 0
    indexes: int = 0
    rows: int | None = None

    @property
    def whole(self) -> int:
        return self.heap + self.toast + self.indexes


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, at least and at most. `basis`: what is read or written, as a sentence without its end."""

    least: float
    most: float
    basis: str


@dataclass(frozen=True, slots=True)
class Speed:
    """How an environment compares with the rough rates: what its statements took, as parts of the middle of the range.

    Attributes
    ----------
    least, most: of the quickest and of the slowest statement; None where too few were seen.
    statements: how many ran after they had been rehearsed.

    """

    least: float | None = None
    most: float | None = None
    statements: int = 0


ROUGH = Speed()


def speed_of(ran: Sequence[tuple[Estimate, float]]) -> Speed:
    """What (rough estimate, seconds that it really took) pairs say of an environment."""
    parts = sorted(seconds / _middle(expected) for expected, seconds in ran if expected.least > 0)
    if len(parts) < _LEARNED_FROM:
        return Speed(statements=len(parts))
    return Speed(parts[0], parts[-1], len(parts))


def estimate(trace: StatementTrace, sizes: Mapping[str, Size], speed: Speed = ROUGH) -> Estimate | None:
    """How long a rehearsed statement would take on tables of these sizes; None where it does not grow with them."""
    rough = _rough(trace, sizes)
    if rough is None or speed.least is None or speed.most is None:
        return rough
    middle = _middle(rough)
    basis = f"{rough.basis}; at the speed of {speed.statements} statements that ran there"
    return Estimate(middle * speed.least / _MARGIN, middle * speed.most * _MARGIN, basis)


def _middle(rough: Estimate) -> float:
    return sqrt(rough.least * rough.most)


def _rough(trace: StatementTrace, sizes: Mapping[str, Size]) -> Estimate | None:
    least = most = 0.0
    basis = []
    for name in trace.rewritten:
        size = sizes.get(name, Size(0))
        least += (size.heap + size.toast) / _REWRITE[1] + size.indexes / _BUILD[1]
        most += (size.heap + size.toast) / _REWRITE[0] + size.indexes / _BUILD[0]
        basis.append(f"writes {name} anew ({amount(size.whole)})")
    for name in (name for name in trace.scanned if name not in trace.rewritten):
        size = sizes.get(name, Size(0))
        rates = _BUILD if trace.built else _READ
        least, most = least + size.heap / rates[1], most + size.heap / rates[0]
        what = "builds an index over" if trace.built else "reads all of"
        basis.append(f"{what} {name} ({amount(size.heap)})")
    return Estimate(least, most, ", ".join(basis)) if basis else None


def amount(count: int) -> str:
    """Bytes for people.

    >>> amount(41_300_000_000), amount(8192), amount(0)
    ('41 GB', '8.2 kB', 'empty')
    """
    if count == 0:
        return "empty"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"


def seconds(least: float, most: float) -> str:
    """A range for people.

    >>> seconds(0.01, 0.2), seconds(2.2, 9.1), seconds(400, 1300)
    ('under a second', '2 to 9 s', '7 to 22 minutes')
    """
    if most < 1:
        return "under a second"
    divisor, unit = (60, "minutes") if most >= 120 else (1, "s")
    low, high = round(least / divisor), max(1, round(most / divisor))
    return f"{low} to {high} {unit}" if low != high else f"about {high} {unit}"
