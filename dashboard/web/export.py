"""The history as a file: the rows of a filter, all of them, as CSV or JSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime

from flask import Blueprint, Response, request

from dashboard.core.access import Act
from dashboard.core.record import HistoryRow, Remembered
from dashboard.web import current
from dashboard.web.filters import BadFilter, Filters, read_filters
from dashboard.web.security import needs

views = Blueprint("export", __name__)

LIMIT = 100_000  # rows of one file
COLUMNS = (*(one.name for one in fields(HistoryRow) if one.name != "sql"), "gone_since")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may take for one to compute


@views.get("/history.csv")
@needs(Act.LOOK)
def as_csv() -> Response:
    _, rows = _asked()
    return _file(csv_lines(rows), "text/csv; charset=utf-8; header=present", "csv")


@views.get("/history.json")
@needs(Act.LOOK)
def as_json() -> Response:
    filters, rows = _asked()
    return _file(json_lines(rows, filters.chosen, current.now()), "application/json; charset=utf-8", "json")


def _asked() -> tuple[Filters, Iterator[Remembered]]:
    service = current.services().history
    filters = read_filters(request.args, [name for name in service.known_environments() if current.may_look(name)])
    if filters.complaints:
        raise BadFilter(" ".join(filters.complaints))
    rows = service.export(filters.wanted, LIMIT)
    if rows is None:
        wrong = f"These are more than {LIMIT:,} rows, the most for one file. Choose fewer days at a time."
        raise BadFilter(wrong)
    return filters, rows


def _file(lines: Iterator[str], kind: str, ending: str) -> Response:
    answer = Response((line.encode() for line in lines), content_type=kind)
    name = f"rung-history-{current.now().astimezone(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def csv_lines(rows: Iterable[Remembered]) -> Iterator[str]:
    """RFC 4180. A cell that a spreadsheet would compute begins with an apostrophe."""
    yield _csv_line(COLUMNS)
    for row in rows:
        yield _csv_line([_cell(value) for value in values_of(row).values()])


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def json_lines(rows: Iterable[Remembered], chosen: dict[str, str], now: datetime) -> Iterator[str]:
    """One object; `count` comes last, so that a file that was cut off is noticed."""
    head = {"format": 1, "exported_at": _utc(now), "filter": chosen}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "rows": ['
    number = 0
    for number, row in enumerate(rows, start=1):
        yield ("\n" if number == 1 else ",\n") + json.dumps(values_of(row), ensure_ascii=False)
    yield f'\n], "count": {number}}}\n'


def values_of(remembered: Remembered) -> dict[str, object]:
    """Column -> value, times in UTC to the microsecond, as `COLUMNS` has them."""
    values = {name: getattr(remembered.row, name) for name in COLUMNS[:-1]} | {"gone_since": remembered.gone_since}
    return {name: _utc(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
