"""The filters of the history and of the audit as an address has them: read, refused with a reason, told in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from dashboard.core.audit import DEEDS, OUTCOMES, AuditFilter, Deed
from dashboard.core.record import Happening, HistoryFilter
from dashboard.core.words import joined

LONGEST = 300  # characters of a value
KINDS: dict[str, tuple[str, ...]] = {
    "files": (Happening.APPLIED, Happening.FAILED, Happening.ADOPTED),
    "statements": (Happening.STARTED, Happening.STATEMENT_DONE),
    "decisions": (Happening.RESOLVED,),
    "remarks": (Happening.IDENTIFIED, Happening.NOTE),
}

Wanted = TypeVar("Wanted", HistoryFilter, AuditFilter)


class BadFilter(BadRequest):
    """The address asks for something that the record cannot give."""


@dataclass(frozen=True, slots=True)
class Record:
    """What can be asked of one record.

    Attributes
    ----------
    labels: filter -> what people call it; the time zone of the days comes beside them.
    choices: filter -> the values that it takes, where it does not take any text.

    """

    name: str
    labels: Mapping[str, str]
    choices: Mapping[str, Sequence[str]]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.labels, "zone")


HISTORY = Record(
    "history",
    {
        "environment": "environment",
        "kind": "kind",
        "outcome": "what",
        "actor": "who",
        "file": "file",
        "from": "from",
        "to": "to",
    },
    {"kind": tuple(KINDS), "outcome": tuple(map(str, Happening))},
)
AUDIT = Record(
    "audit",
    {
        "environment": "environment",
        "kind": "kind",
        "deed": "what",
        "outcome": "outcome",
        "who": "who",
        "from": "from",
        "to": "to",
    },
    {"kind": tuple(DEEDS), "deed": tuple(map(str, Deed)), "outcome": OUTCOMES},
)


@dataclass(frozen=True, slots=True)
class Filters(Generic[Wanted]):
    """What was asked for.

    Attributes
    ----------
    values: the filters that were given, without empty ones; fit to make another address of.
    complaints: what is wrong with them; where there is something, nothing may be shown as the answer.
    zone: in which days begin and end; `zone_name` is what people call it.

    """

    record: Record
    values: dict[str, str]
    wanted: Wanted
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
            name: f"{self.record.labels[name]} {value}" + (days if name in ("from", "to") else "")
            for name, value in self.values.items()
            if name in self.record.labels
        }


@dataclass(frozen=True, slots=True)
class _Read:
    """What every record's filters have."""

    values: dict[str, str]
    complaints: tuple[str, ...]
    zone: tzinfo
    zone_name: str
    since: datetime | None
    until: datetime | None


def read_filters(
    given: MultiDict[str, str], known: Sequence[str], *, extra: tuple[str, ...] = ()
) -> Filters[HistoryFilter]:
    """Of the history. `known`: the environments that whoever asks may look at. `extra`: what else is in the address."""
    read = _read(HISTORY, given, known, extra)
    wanted = HistoryFilter(
        environment=read.values.get("environment"),
        actor=read.values.get("actor"),
        outcome=read.values.get("outcome"),
        filename=read.values.get("file"),
        events=KINDS.get(read.values.get("kind", ""), ()),
        since=read.since,
        until=read.until,
        among=tuple(known),
    )
    return Filters(HISTORY, read.values, wanted, read.complaints, read.zone, read.zone_name)


def read_audit_filters(
    given: MultiDict[str, str], known: Sequence[str], *, extra: tuple[str, ...] = ()
) -> Filters[AuditFilter]:
    """Of the audit; see `read_filters`."""
    read = _read(AUDIT, given, known, extra)
    wanted = AuditFilter(
        environment=read.values.get("environment"),
        who=read.values.get("who"),
        deed=read.values.get("deed"),
        outcome=read.values.get("outcome"),
        deeds=tuple(map(str, DEEDS.get(read.values.get("kind", ""), ()))),
        since=read.since,
        until=read.until,
    )
    return Filters(AUDIT, read.values, wanted, read.complaints, read.zone, read.zone_name)


def _read(record: Record, given: MultiDict[str, str], known: Sequence[str], extra: tuple[str, ...]) -> _Read:
    _refuse_strangers(record, given, extra)
    values = {name: given[name].strip() for name in record.names if given.get(name, "").strip()}
    complaints: list[str] = []
    zone, zone_name = _zone(values.get("zone", "UTC"), complaints)
    first, last = (_day(record, values, name, complaints) for name in ("from", "to"))
    if first and last and last < first:
        complaints.append(f"{last} is before {first}: the first day comes first.")
    _check(record, values, known, complaints)
    since = _midnight(first, zone) if first else None
    until = _midnight(last + timedelta(days=1), zone) if last else None
    return _Read(values, tuple(complaints), zone, zone_name, since, until)


def _refuse_strangers(record: Record, given: MultiDict[str, str], extra: tuple[str, ...]) -> None:
    """A filter that is misspelled or given twice must never look like an answer."""
    for name, values in given.lists():
        if name not in (*record.names, *extra):
            wrong = f"The {record.name} has no filter called {name[:40]}. It has {joined(record.names)}."
        elif len(values) > 1:
            wrong = f"The filter {name} is given {len(values)} times; it takes one value."
        elif len(values[0]) > LONGEST:
            wrong = f"The filter {name} is longer than {LONGEST} characters."
        else:
            continue
        raise BadFilter(wrong)


def _check(record: Record, values: dict[str, str], known: Sequence[str], complaints: list[str]) -> None:
    for name, there in {"environment": known, **record.choices}.items():
        value = values.get(name)
        if value and value not in there:
            near = get_close_matches(value, there, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            called = "an environment" if name == "environment" else f"a value of “{record.labels[name]}”"
            complaints.append(f"{value} is not {called} here; there is {joined(tuple(there)) or 'none'}.{meant}")


def _zone(name: str, complaints: list[str]) -> tuple[tzinfo, str]:
    try:
        return (UTC, "UTC") if name == "UTC" else (ZoneInfo(name), name)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        complaints.append(f"{name} is not a time zone that is known here. Write it like Europe/Berlin, or UTC.")
        return UTC, "UTC"


def _day(record: Record, values: dict[str, str], name: str, complaints: list[str]) -> date | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        complaints.append(f"“{record.labels[name]}” takes a day such as 2026-11-03, and {value} is none.")
        return None
    if not 1970 <= day.year <= 9000:  # what a calendar, a time zone and PostgreSQL all can reckon with
        complaints.append(f"“{record.labels[name]}” takes a day between 1970 and 9000, and {value} is none.")
        return None
    return day


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
