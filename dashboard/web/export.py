"""The history and the audit as files: the rows of a filter, all of them, as CSV or JSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TypeVar

from flask import Blueprint, Response, request

from dashboard.core.access import Act
from dashboard.core.audit import AuditFilter, AuditRow, Deed, Report, Source
from dashboard.core.record import HistoryFilter, HistoryRow, Remembered
from dashboard.web import current
from dashboard.web.filters import BadFilter, Filters, Wanted, read_audit_filters, read_filters
from dashboard.web.security import needs

views = Blueprint("export", __name__)

Row = TypeVar("Row", AuditRow, Remembered)
Values = dict[str, object]
"""Column -> value."""

LIMIT = 100_000  # rows of one file
COLUMNS = (*(one.name for one in fields(HistoryRow) if one.name != "sql"), "gone_since")
AUDIT_COLUMNS = tuple(one.name for one in fields(AuditRow))
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may take for one to compute


@views.get("/history.csv")
@needs(Act.LOOK)
def as_csv() -> Response:
    filters, rows = _asked()
    return _csv("history", filters, COLUMNS, map(values_of, rows))


@views.get("/history.json")
@needs(Act.LOOK)
def as_json() -> Response:
    filters, rows = _asked()
    return _json("history", filters, map(values_of, rows))


@views.get("/audit.csv")
@needs(Act.AUDIT)
def audit_as_csv() -> Response:
    filters, rows = _audit_asked()
    return _csv("audit", filters, AUDIT_COLUMNS, map(audit_values_of, rows))


@views.get("/audit.json")
@needs(Act.AUDIT)
def audit_as_json() -> Response:
    filters, rows = _audit_asked()
    return _json("audit", filters, map(audit_values_of, rows))


def _asked() -> tuple[Filters[HistoryFilter], Iterator[Remembered]]:
    service = current.services().history
    filters = read_filters(request.args, [name for name in service.known_environments() if current.may_look(name)])
    _refuse(filters)
    return filters, _not_too_many(service.export(filters.wanted, LIMIT))


def _audit_asked() -> tuple[Filters[AuditFilter], Iterator[AuditRow]]:
    service = current.services().audit
    filters = read_audit_filters(request.args, service.known_environments())
    _refuse(filters)
    return filters, _not_too_many(service.export(filters.wanted, LIMIT))


def _refuse(filters: Filters[Wanted]) -> None:
    if filters.complaints:
        raise BadFilter(" ".join(filters.complaints))


def _not_too_many(rows: Iterator[Row] | None) -> Iterator[Row]:
    if rows is None:
        wrong = f"These are more than {LIMIT:,} rows, the most for one file. Choose fewer days at a time."
        raise BadFilter(wrong)
    return rows


def _csv(record: str, filters: Filters[Wanted], columns: Sequence[str], rows: Iterable[Values]) -> Response:
    _remember(record, "CSV", filters)
    return _file(csv_lines(columns, rows), "text/csv; charset=utf-8; header=present", f"rung-{record}", "csv")


def _json(record: str, filters: Filters[Wanted], rows: Iterable[Values]) -> Response:
    _remember(record, "JSON", filters)
    lines = json_lines(rows, filters.chosen, current.now())
    return _file(lines, "application/json; charset=utf-8", f"rung-{record}", "json")


def _remember(record: str, ending: str, filters: Filters[Wanted]) -> None:
    """It changes nothing, so it goes on where the audit takes no rows. HEAD takes nothing out."""
    if request.method != "GET":
        return
    source = Source(current.visitor().email, request.remote_addr or "")
    asked = "; ".join(filters.told().values()) or "all rows"
    environment = filters.values.get("environment", "")
    report = Report(Deed.EXPORTED, source, environment, f"{record} as {ending}", detail=asked)
    current.services().audit.note(report)


def _file(lines: Iterator[str], kind: str, begins: str, ending: str) -> Response:
    answer = Response((line.encode() for line in lines), content_type=kind)
    name = f"{begins}-{current.now().astimezone(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def csv_lines(columns: Sequence[str], rows: Iterable[Values]) -> Iterator[str]:
    """RFC 4180. A cell that a spreadsheet would compute begins with an apostrophe."""
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line([_cell(value) for value in row.values()])


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def json_lines(rows: Iterable[Values], chosen: dict[str, str], now: datetime) -> Iterator[str]:
    """One object; `count` comes last, so that a file that was cut off is noticed."""
    head = {"format": 1, "exported_at": _utc(now), "filter": chosen}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "rows": ['
    number = 0
    for number, row in enumerate(rows, start=1):
        yield ("\n" if number == 1 else ",\n") + json.dumps(row, ensure_ascii=False)
    yield f'\n], "count": {number}}}\n'


def values_of(remembered: Remembered) -> Values:
    """Column -> value, times in UTC to the microsecond, as `COLUMNS` has them."""
    values = {name: getattr(remembered.row, name) for name in COLUMNS[:-1]} | {"gone_since": remembered.gone_since}
    return _in_utc(values)


def audit_values_of(row: AuditRow) -> Values:
    """The same of a row of the audit, as `AUDIT_COLUMNS` has them."""
    return _in_utc({name: getattr(row, name) for name in AUDIT_COLUMNS})


def _in_utc(values: Values) -> Values:
    return {name: _utc(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
