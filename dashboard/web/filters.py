"""The filters of the history as an address has them: read, refused with a reason, told in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from dashboard.core.record import Happening, HistoryFilter
from dashboard.core.words import joined

LONGEST = 300  # characters of a value
LABELS = {
    "environment": "environment",
    "kind": "kind",
    "outcome": "what",
    "actor": "who",
    "file": "file",
    "from": "from",
    "to": "to",
}
NAMES = (*LABELS, "zone")
KINDS: dict[str, tuple[str, ...]] = {
    "files": (Happening.APPLIED, Happening.FAILED, Happening.ADOPTED),
    "statements": (Happening.STARTED, Happening.STATEMENT_DONE),
    "decisions": (Happening.RESOLVED,),
    "remarks": (Happening.IDENTIFIED, Happening.NOTE),
}


class BadFilter(BadRequest):
    """The address asks for something that the history cannot give."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for.

    Attributes
    ----------
    values: the filters that were given, without empty ones; fit to make another address of.
    complaints: what is wrong with them; where there is something, nothing may be shown as the answer.
    zone: in which days begin and end; `zone_name` is what people call it.

    """

    values: dict[str, str]
    wanted: HistoryFilter
    complaints: tuple[str, ...]
    zone: tzinfo
    zone_name: str

    @property
    def chosen(self) -> dict[str, str]:
        """Without the time zone where no day depends on it."""
        dated = "from" in self.values or "to" in self.values
        return {name: value for name, value in self.values.items() if name != "zone" or dated}

    def without(self, name: str) -> dict[str, str]:
        """The filters with one fewer."""
        return {other: value for other, value in self.chosen.items() if other != name}

    def told(self) -> dict[str, str]:
        """Filter -> what it asks for, in words."""
        days = f" ({self.zone_name})"
        return {
            name: f"{LABELS[name]} {value}" + (days if name in ("from", "to") else "")
            for name, value in self.values.items()
            if name in LABELS
        }


def read_filters(given: MultiDict[str, str], known: Sequence[str], *, extra: tuple[str, ...] = ()) -> Filters:
    """`known`: the environments that whoever asks may look at. `extra`: what else the address may hold."""
    _refuse_strangers(given, extra)
    values = {name: given[name].strip() for name in NAMES if given.get(name, "").strip()}
    complaints: list[str] = []
    zone, zone_name = _zone(values.get("zone", "UTC"), complaints)
    first, last = _day(values, "from", complaints), _day(values, "to", complaints)
    if first and last and last < first:
        complaints.append(f"{last} is before {first}: the first day comes first.")
    _check(values, known, complaints)
    wanted = HistoryFilter(
        environment=values.get("environment"),
        actor=values.get("actor"),
        outcome=values.get("outcome"),
        filename=values.get("file"),
        events=KINDS.get(values.get("kind", ""), ()),
        since=_midnight(first, zone) if first else None,
        until=_midnight(last + timedelta(days=1), zone) if last else None,
        among=tuple(known),
    )
    return Filters(values, wanted, tuple(complaints), zone, zone_name)


def _refuse_strangers(given: MultiDict[str, str], extra: tuple[str, ...]) -> None:
    """A filter that is misspelled or given twice must never look like an answer."""
    for name, values in given.lists():
        if name not in (*NAMES, *extra):
            wrong = f"The history has no filter called {name[:40]}. It has {joined(NAMES)}."
        elif len(values) > 1:
            wrong = f"The filter {name} is given {len(values)} times; it takes one value."
        elif len(values[0]) > LONGEST:
            wrong = f"The filter {name} is longer than {LONGEST} characters."
        else:
            continue
        raise BadFilter(wrong)


def _check(values: dict[str, str], known: Sequence[str], complaints: list[str]) -> None:
    choices: dict[str, Sequence[str]] = {
        "environment": known,
        "kind": tuple(KINDS),
        "outcome": tuple(map(str, Happening)),
    }
    for name, there in choices.items():
        value = values.get(name)
        if value and value not in there:
            near = get_close_matches(value, there, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            called = "an environment" if name == "environment" else f"a value of “{LABELS[name]}”"
            complaints.append(f"{value} is not {called} here; there is {joined(tuple(there)) or 'none'}.{meant}")


def _zone(name: str, complaints: list[str]) -> tuple[tzinfo, str]:
    try:
        return (UTC, "UTC") if name == "UTC" else (ZoneInfo(name), name)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        complaints.append(f"{name} is not a time zone that is known here. Write it like Europe/Berlin, or UTC.")
        return UTC, "UTC"


def _day(values: dict[str, str], name: str, complaints: list[str]) -> date | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        complaints.append(f"“{LABELS[name]}” takes a day such as 2026-11-03, and {value} is none.")
        return None
    if not 1970 <= day.year <= 9000:  # what a calendar, a time zone and PostgreSQL all can reckon with
        complaints.append(f"“{LABELS[name]}” takes a day between 1970 and 9000, and {value} is none.")
        return None
    return day


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
