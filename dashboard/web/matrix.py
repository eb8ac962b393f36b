"""The ladder: migrations down, environments across."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from flask import Blueprint, Response, render_template, request, url_for

from dashboard.core.access import Act
from dashboard.core.matrix import Column, Matrix, Row
from dashboard.core.plan import Entry
from dashboard.core.words import count, date, joined, passed
from dashboard.web import current
from dashboard.web.pages import Cell, Empty, Frame, Head, Live, MatrixPage, MatrixRow, Sign
from dashboard.web.pieces import environment_href, fingerprint, migration_href, moment_of, name_of
from dashboard.web.security import needs
from dashboard.web.signs import (
    NOT_HERE,
    NOT_KNOWN,
    NOT_REACHABLE,
    STATES,
    UP_TO_DATE,
    rail_of,
    state_of,
)

views = Blueprint("matrix", __name__)

FRESH = 8.0  # seconds for which a picture is new enough
FEW = 4  # environments that fit beside each other on a telephone with their signs
SEVERAL = 6  # environments that fit beside each other on a desk without scrolling
NAMED = 3  # environments that a sentence can name one by one


@views.get("/")
@needs(Act.LOOK)
def show() -> str:
    return render_template("matrix.html", page=_page())


@views.get("/fragments/ladder")
@needs(Act.LOOK)
def fragment() -> Response:
    """Ask the environments again, where nobody did lately; then the same picture as the page."""
    current.services().compare.refresh(FRESH)
    page = _page()
    answer = current.fragment("matrix_live.html", page, page.live)
    if page.looked:
        answer.headers["Rung-Looked"] = page.looked.iso
    return answer


def _page() -> MatrixPage:
    matrix = _visible(current.services().compare.last_known())
    running = {run.environment for run in current.services().runs.running()}
    search, only = request.args.get("q", "").strip()[:100], request.args.get("only") == "differences"
    rows = [row for row in matrix.rows if (row.differs or not only) and search.casefold() in row.filename.casefold()]
    return make_page(matrix, rows, current.now(), current.frame(""), search=search, only=only, running=running)


def _visible(matrix: Matrix) -> Matrix:
    """The environments this visitor may look at, and the files that one of them knows."""
    places = [n for n, column in enumerate(matrix.columns) if current.may_look(column.environment.name)]
    if len(places) == len(matrix.columns):
        return matrix
    rows = (Row(row.filename, tuple(row.cells[n] for n in places)) for row in matrix.rows)
    return Matrix(tuple(matrix.columns[n] for n in places), tuple(row for row in rows if any(row.cells)))


def make_page(
    matrix: Matrix,
    rows: Sequence[Row],
    now: datetime,
    frame: Frame,
    *,
    search: str = "",
    only: bool = False,
    running: frozenset[str] | set[str] = frozenset(),
) -> MatrixPage:
    """Put the chosen rows into the words and signs of the page."""
    columns = matrix.columns
    verdict = make_verdict(columns, running)
    return MatrixPage(
        frame=replace(frame, title=f"{_short(columns, running)} · Rung", icon=_icon(columns, running)),
        live=Live(
            url_for("matrix.fragment", q=search or None, only="differences" if only else None),
            "slow",
            fingerprint(verdict, search, only, *_gist(rows, columns)),
        ),
        verdict=verdict,
        facts=(count(len(rows), "file") if len(rows) == len(matrix.rows) else _part(rows, matrix),),
        looked=moment_of(max((c.taken_at for c in columns if c.taken_at), default=None), now),
        heads=tuple(make_head(column, now, running=column.environment.name in running) for column in columns),
        rows=tuple(make_row(row, columns, now) for row in rows),
        only_differences=only,
        search=search,
        search_href=url_for("matrix.show"),
        density="few" if len(columns) <= FEW else "several" if len(columns) <= SEVERAL else "many",
        legend=_legend(rows),
        empty=None if rows else _empty(matrix, search, only=only),
    )


# --- in words ---


def make_verdict(columns: Sequence[Column], running: frozenset[str] | set[str] = frozenset()) -> Sign:
    """The answer to "are we in step?" in one line."""
    silent = [c.environment.name for c in columns if c.not_reachable]
    waiting = [c.environment.name for c in columns if not c.not_reachable and c.taken_at is None]
    behind = [c for c in columns if c.behind and not c.not_reachable]
    parts = [
        *([f"no answer from {joined(silent)}"] if silent else []),
        *_behind_words(behind, len(columns)),
        *([f"{joined(waiting)} not asked yet"] if waiting else []),
    ]
    text = ", ".join(parts) or ("Everything is up to date" if len(columns) > 1 else "Up to date")
    hue = "working" if running else "unknown" if silent or waiting else "waiting" if behind else "good"
    return Sign("", text[0].upper() + text[1:], hue)


def _behind_words(behind: Sequence[Column], total: int) -> Iterator[str]:
    if len(behind) > NAMED:
        yield f"{len(behind)} of {total} environments are behind"
        return
    for place, column in enumerate(behind):
        yield f"{column.behind} {'' if place else 'behind '}on {column.environment.name}"


def _short(columns: Sequence[Column], running: frozenset[str] | set[str]) -> str:
    """For the title of the tab."""
    worst = max((c.behind for c in columns), default=0)
    if running:
        return "running"
    if any(c.not_reachable for c in columns):
        return "not reachable"
    return f"{worst} behind" if worst else "up to date"


def _icon(columns: Sequence[Column], running: frozenset[str] | set[str]) -> str:
    if running:
        return "favicon-running.svg"
    return "favicon-behind.svg" if any(c.behind for c in columns) else "favicon.svg"


def _part(rows: Sequence[Row], matrix: Matrix) -> str:
    return f"{len(rows):,} of {count(len(matrix.rows), 'file')}"


def _empty(matrix: Matrix, search: str, *, only: bool) -> Empty:
    if search:
        return Empty(f"No file name holds “{search}”", "Try a part of the name, or its number.")
    if only and matrix.rows:
        return Empty("No differences", f"All environments have all {count(len(matrix.rows), 'file')}.")
    return Empty(
        "No migrations yet",
        "The folder is empty, and no environment has applied anything. Make the first file:",
        'rung new "create users"',
    )


# --- heads, rows, cells ---


def make_head(column: Column, now: datetime, *, running: bool = False) -> Head:
    gone = column.not_reachable
    counted = ((column.blocked, "blocked"), (column.edited, "edited"))
    facts = [f"PostgreSQL {column.server_version}"] if column.server_version else []
    facts += [f"{number} {word}" for number, word in counted if number]
    return Head(
        name=column.environment.name,
        href=environment_href(column.environment.name),
        protected=column.environment.policies.protected,
        sign=Sign("running", "running", "working") if running else headline_of(column, now),
        facts=(gone.reason,) if gone else tuple(facts),
        applied=None if gone else moment_of(column.last_applied, now),
        rail="hatched" if gone else "bare" if column.taken_at is None else "broken" if column.behind else "whole",
    )


def headline_of(column: Column, now: datetime) -> Sign:
    gone = column.not_reachable
    if gone:
        word = f"not reachable for {passed(gone.since, now)}" if gone.since else column.headline
        return Sign(NOT_REACHABLE.name, word, NOT_REACHABLE.hue)
    if column.taken_at is None:
        return Sign(NOT_KNOWN.name, column.headline, NOT_KNOWN.hue)
    return Sign("pending", column.headline, "waiting") if column.behind else UP_TO_DATE


def make_row(row: Row, columns: Sequence[Column], now: datetime) -> MatrixRow:
    href = migration_href(row.filename)
    cells = (_cell(cell, column, href, now) for cell, column in zip(row.cells, columns, strict=True))
    return MatrixRow(name_of(row.filename), href, tuple(cells))


def _cell(entry: Entry | None, column: Column, href: str, now: datetime) -> Cell:
    sign = state_of(entry) if entry or column.taken_at is None else NOT_HERE
    at = entry.ledger.applied_at if entry and entry.ledger else None
    return Cell(
        look=f"{sign.hue} {'hatched' if column.not_reachable else rail_of(entry)}",
        sign=sign.name,
        word=sign.word,
        when=date(at, now) if at else "",
        href=f"{href}#in-{column.environment.name}",
    )


def _legend(rows: Sequence[Row]) -> tuple[Sign, ...]:
    """The signs that occur, for where there is no room for their words."""
    states = {cell.state for row in rows for cell in row.cells if cell}
    return tuple(sign for state, sign in STATES.items() if state in states)


def _gist(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[object]:
    """What the piece shows, as little as tells two of them apart."""
    for column in columns:
        yield column.environment.name, column.headline, column.server_version, column.last_applied, column.not_reachable
    for row in rows:
        yield row.filename, [cell and cell.state.value for cell in row.cells]
