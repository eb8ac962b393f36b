"""The timeline: past runs of each environment along one axis of time, as a model that a template draws."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo

from dashboard.core.record import PastRun
from dashboard.core.words import count, joined
from dashboard.web.pages import Lane, Mark, Sign, Tick, Timeline

PLACES = 24  # where marks stand, beside each other and never upon each other, on a telephone too
TICKS = 6  # at most
SHORTEST = timedelta(minutes=2)
LANE, HEAD, FOOT = 46, 30, 26  # pixels: from lane to lane, down to a lane's rail, below the last one
MOST = 99  # runs that a mark counts

FAILED = Sign("failed", "failed", "danger")
UNFINISHED = Sign("unfinished", "not finished", "waiting")
CANCELLED = Sign("stopped", "cancelled", "waiting")
DECIDED = Sign("done", "decided", "changed")
APPLIED = Sign("applied", "applied", "good")
OTHER = Sign("notice", "no file", "unknown")
WORST_FIRST = (FAILED, UNFINISHED, CANCELLED, DECIDED, APPLIED, OTHER)

_MINUTES = (1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10080, 20160)
_MONTHS = (1, 3, 6, 12, 24, 60, 120, 600)
_DAY, _WEEK = 1440, 10080

RunHref = Callable[[str], str]
DaysHref = Callable[[str, date, date], str]
"""(environment, first day, last day) -> where all of these are listed."""


def sign_of(run: PastRun) -> Sign:
    if run.failed:
        return FAILED
    if run.cancelled:
        return CANCELLED
    if run.decided:
        return DECIDED
    if run.applied:
        return APPLIED
    return UNFINISHED if run.started else OTHER


def make_timeline(
    runs: Sequence[PastRun],
    names: Sequence[str],
    zone: tzinfo,
    hrefs: tuple[RunHref, DaysHref],
    *,
    zone_name: str = "UTC",
) -> Timeline | None:
    """`names`: the environments in their order; those that have no run get no lane. None where nothing ran."""
    if not runs:
        return None
    first, last = _edges([run.finished_at for run in runs])
    there = [name for name in names if any(run.environment == name for run in runs)]
    lanes = tuple(
        Lane(name, HEAD + place * LANE, tuple(_marks(_of(runs, name), first, last, zone, hrefs)))
        for place, name in enumerate(there)
    )
    axis = HEAD + (len(there) - 1) * LANE + FOOT
    signs = {sign_of(run) for run in runs}
    return Timeline(
        lanes,
        tuple(_ticks(first, last, zone)),
        axis + FOOT,
        axis,
        f"{count(len(runs), 'run')} from {_moment(runs, zone, min)} to {_moment(runs, zone, max)} ({zone_name})",
        tuple(sign for sign in WORST_FIRST if sign in signs),
    )


def _edges(moments: Sequence[datetime]) -> tuple[datetime, datetime]:
    first, last = min(moments).astimezone(UTC), max(moments).astimezone(UTC)
    short = max(SHORTEST - (last - first), timedelta()) / 2
    return first - short, last + short


def _of(runs: Sequence[PastRun], name: str) -> list[PastRun]:
    return sorted((run for run in runs if run.environment == name), key=lambda run: run.finished_at)


def _marks(
    runs: Sequence[PastRun], first: datetime, last: datetime, zone: tzinfo, hrefs: tuple[RunHref, DaysHref]
) -> Iterator[Mark]:
    places: dict[int, list[PastRun]] = {}
    for run in runs:
        share = (run.finished_at - first) / (last - first)
        places.setdefault(min(int(share * PLACES), PLACES - 1), []).append(run)
    for place, bundle in places.items():
        mark = _single(bundle[0], zone, hrefs[0]) if len(bundle) == 1 else _bundle(bundle, zone, hrefs[1])
        yield replace(mark, x=_percent((place + 0.5) / PLACES))


def _single(run: PastRun, zone: tzinfo, href: RunHref) -> Mark:
    sign, when = sign_of(run), _moment([run], zone, max)
    files = f" {count(run.applied, 'file')}" if run.applied and sign is APPLIED else ""
    what = f"{sign.word}{files}, by {run.actor}"
    return Mark("", sign, "", href(run.run_id), f"{run.environment}: {what}, {when}", when, what)


def _bundle(runs: Sequence[PastRun], zone: tzinfo, href: DaysHref) -> Mark:
    counted = Counter(sign_of(run).name for run in runs)
    found = [sign for sign in WORST_FIRST if counted[sign.name]]
    when = f"{_moment(runs, zone, min)} to {_moment(runs, zone, max)}"
    what = f"{count(len(runs), 'run')}: {joined([f'{counted[sign.name]} {sign.word}' for sign in found])}"
    environment = runs[0].environment
    days = [run.finished_at.astimezone(zone).date() for run in (runs[0], runs[-1])]
    number = str(len(runs)) if len(runs) <= MOST else f"{MOST}+"
    return Mark("", found[0], number, href(environment, days[0], days[1]), f"{environment}: {what}, {when}", when, what)


def _moment(runs: Sequence[PastRun], zone: tzinfo, pick: Callable[[Iterator[datetime]], datetime]) -> str:
    return f"{pick(run.finished_at for run in runs).astimezone(zone):%Y-%m-%d %H:%M}"


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"


# --- the axis ---


def _ticks(first: datetime, last: datetime, zone: tzinfo) -> Iterator[Tick]:
    """At whole hours, days, Mondays, months or years of the reader, whichever gives few enough."""
    here = first.astimezone(zone).replace(tzinfo=None), last.astimezone(zone).replace(tzinfo=None)
    for number, (moment, label) in enumerate(_chosen(*here)):
        share = (moment.replace(tzinfo=zone).astimezone(UTC) - first) / (last - first)
        if 0 <= share <= 1:
            yield Tick(_percent(share), label, minor=number % 2 == 1)


def _chosen(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    for minutes in _MINUTES:
        if (last - first) / timedelta(minutes=minutes) <= TICKS:
            return list(_by_minutes(first, last, minutes))
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next((step for step in _MONTHS if months / step <= TICKS), _MONTHS[-1])
    return list(_by_months(first, last, step))


def _by_minutes(first: datetime, last: datetime, minutes: int) -> Iterator[tuple[datetime, str]]:
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    if minutes >= _WEEK:
        day -= timedelta(days=day.weekday())
    step = timedelta(minutes=minutes)
    moment = day + step * -((day - first) // step)
    while moment <= last:
        midnight = moment.hour == moment.minute == 0
        yield moment, f"{moment.day} {moment:%b}" if midnight or minutes >= _DAY else f"{moment:%H:%M}"
        moment += step


def _by_months(first: datetime, last: datetime, step: int) -> Iterator[tuple[datetime, str]]:
    number = -(-(first.year * 12 + first.month - 1) // step) * step
    while (moment := datetime(number // 12, number % 12 + 1, 1)) <= last:  # noqa: DTZ001  # on the reader's wall
        yield moment, f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}"  # months of a year
        number += step
