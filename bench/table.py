"""The measured groups as plain text, and as JSON."""

from collections.abc import Sequence
from typing import Any

from bench.measure import Bound, Group, Line

_WIDTH = 58
_HEAD = f"{'':{_WIDTH}}  {'median':>10}  {'min':>10}  {'max':>10}  {'ratio':>6}  {'bound':<24}"


def as_text(about: Sequence[str], groups: Sequence[Group]) -> str:
    """The whole table, with the verdict at the end."""
    lines = [*about, "", _HEAD.rstrip()]
    for group in groups:
        lines += ["", f"{group.title}  [{group.name}]", *(_line(line) for line in group.lines)]
        lines += [f"    {note}" for note in group.notes]
    over = [line for group in groups for line in group.lines if line.over]
    held = sum(line.bound is not None for group in groups for line in group.lines)
    lines += ["", f"{held - len(over)} of {held} bounds kept" + "".join(f"\n  over: {line.what}" for line in over)]
    return "\n".join(lines)


def as_json(about: Sequence[str], groups: Sequence[Group]) -> dict[str, Any]:
    return {
        "about": list(about),
        "groups": [
            {
                "name": group.name,
                "title": group.title,
                "lines": [_line_as_json(line) for line in group.lines],
                "notes": list(group.notes),
            }
            for group in groups
        ],
        "over": any(group.over for group in groups),
    }


def _line(line: Line) -> str:
    figures = (_figure(value, line.unit) for value in (line.median, min(line.samples), max(line.samples)))
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    cells = "  ".join(f"{figure:>10}" for figure in figures)
    return f"  {line.what:{_WIDTH - 2}}  {cells}  {ratio:>6}  {_verdict(line)}".rstrip()


def _verdict(line: Line) -> str:
    if line.bound is None:
        return ""
    return f"{_bound(line.bound, line)}  {'OVER' if line.over else 'ok'}"


def _bound(bound: Bound, line: Line) -> str:
    unit = "x" if line.floor is not None else line.unit
    aim = "" if bound.aim is None else f" (aim {bound.aim:g})"
    return f"<= {bound.limit:g} {unit}".rstrip() + aim


def _figure(value: float, unit: str) -> str:
    digits = {"s": 3, "ms": 1, "KB": 1}.get(unit, 2)
    return f"{value:.{digits}f} {unit}".rstrip()


def _line_as_json(line: Line) -> dict[str, Any]:
    return {
        "what": line.what,
        "unit": line.unit,
        "samples": list(line.samples),
        "median": line.median,
        "min": min(line.samples),
        "max": max(line.samples),
        "floor": line.floor.what if line.floor else None,
        "ratio": line.ratio,
        "limit": line.bound.limit if line.bound else None,
        "aim": line.bound.aim if line.bound else None,
        "over": line.over,
    }
