"""The ladder: migrations down, environments across."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, Response, current_app, render_template, request, url_for

from dashboard.core.access import Act
from dashboard.core.matrix import Column, Matrix, Row
from dashboard.core.plan import Entry, State
from dashboard.core.words import count, date, joined, passed
from dashboard.web import current
from dashboard.web.pages import Cell, Empty, Frame, Head, Live, MatrixPage, MatrixRow, Moment, Sign
from dashboard.web.pieces import environment_href, fingerprint, migration_href, moment_of, name_of
from dashboard.web.security import needs
from dashboard.web.signs import (
    NOT_HERE,
    NOT_KNOWN,
    NOT_REACHABLE,
    STATES,
    UP_TO_DATE,
)

views = Blueprint("matrix", __name__)

NOTHING_YET = Sign("", "No migrations yet", "unknown")

FRESH = 8.0  # seconds for which a picture is new enough
WATCHED = 2.0  # the same, while something runs
FEW = 4  # environments that fit beside each other on a telephone with their signs
SEVERAL = 6  # environments that fit beside each other on a desk without scrolling
KEPT = 8  # drawn bodies, of up to half a megabyte each
KEPT_COLUMNS = 3  # sets of environments of which single rows are kept
NAMED = 3  # environments that a sentence can name one by one


@dataclass(frozen=True, slots=True)
class Scene:
    """What a visitor asked to see: the rows of the matrix that the filter lets through."""

    matrix: Matrix
    rows: tuple[Row, ...]
    search: str
    only: bool
    running: frozenset[str]
    now: datetime


@views.get("/")
@needs(Act.LOOK)
def show() -> str:
    scene = _scene()
    return render_template("matrix.html", page=make_page(scene, current.frame(""), version_of(scene)))


@views.get("/fragments/ladder")
@needs(Act.LOOK)
def fragment() -> Response:
    """Ask the environments again, where nobody did lately; then the same picture as the page."""
    services = current.services()
    services.compare.refresh(WATCHED if services.runs.running() else FRESH)
    scene = _scene()
    version, looked = version_of(scene), _looked(scene)
    answer = Response(status=204)
    if request.args.get("seen") != version:
        answer = Response(render_template("matrix_live.html", page=make_page(scene, current.frame(""), version)))
    if looked:
        answer.headers["Rung-Looked"] = looked.iso
    return answer


def _scene() -> Scene:
    matrix = visible(current.services().compare.last_known())
    search, only = request.args.get("q", "").strip()[:100], request.args.get("only") == "differences"
    wanted = search.casefold()
    return Scene(
        matrix=matrix,
        rows=tuple(
            row
            for row in matrix.rows
            if (not only or row.differs) and (not wanted or wanted in row.filename.casefold())
        ),
        search=search,
        only=only,
        running=frozenset(run.environment for run in current.services().runs.running()),
        now=current.now(),
    )


def visible(matrix: Matrix) -> Matrix:
    """The environments this visitor may look at, and the files that one of them knows."""
    places = [n for n, column in enumerate(matrix.columns) if current.may_look(column.environment.name)]
    if len(places) == len(matrix.columns):
        return matrix
    rows = (Row(row.filename, tuple(row.cells[n] for n in places)) for row in matrix.rows)
    return Matrix(tuple(matrix.columns[n] for n in places), tuple(row for row in rows if any(row.cells)))


def make_page(scene: Scene, frame: Frame, version: str) -> MatrixPage:
    """Put the scene into the words and signs of the page."""
    matrix, columns, now = scene.matrix, scene.matrix.columns, scene.now
    running = scene.running
    query = {"q": scene.search or None, "only": "differences" if scene.only else None}
    return MatrixPage(
        frame=replace(frame, title=f"{_short(columns, running)} · Rung", icon=_icon(columns, running)),
        live=Live(url_for("matrix.fragment", **query), "brisk" if running else "slow", version),  # type: ignore[arg-type]  # all of it is query
        verdict=make_verdict(columns, running) if matrix.rows or not _all_asked(columns) else NOTHING_YET,
        facts=(_number(scene),),
        looked=_looked(scene),
        heads=tuple(make_head(column, now, running=column.environment.name in running) for column in columns),
        body=_body(scene, version),
        only_differences=scene.only,
        search=scene.search,
        search_href=url_for("matrix.show"),
        density="few" if len(columns) <= FEW else "several" if len(columns) <= SEVERAL else "many",
        legend=_legend(scene.rows),
        searchable=bool(matrix.rows or scene.search or scene.only),
        empty=None if scene.rows else _empty(matrix, scene.search, only=scene.only),
    )


def _all_asked(columns: Sequence[Column]) -> bool:
    return all(column.taken_at and not column.not_reachable for column in columns)


def _looked(scene: Scene) -> Moment | None:
    return moment_of(max((c.taken_at for c in scene.matrix.columns if c.taken_at), default=None), scene.now)


def version_of(scene: Scene) -> str:
    """A fingerprint of what the page shows; when it was last looked at does not count."""
    heads = tuple(make_head(column, scene.now) for column in scene.matrix.columns)
    rungs = [f"{row.filename} {' '.join([cell.state if cell else '-' for cell in row.cells])}" for row in scene.rows]
    return fingerprint(heads, rungs, scene.search, scene.only, sorted(scene.running), scene.now.year)


_bodies: dict[str, str] = {}  # what was drawn lately, by its version


def _body(scene: Scene, version: str) -> str:
    """A thousand files on three environments take 20 ms to draw, and everybody looks at the same ones."""
    if version not in _bodies:
        body = _macro("joined")(_rungs(scene))
        if len(_bodies) >= KEPT:
            _bodies.clear()
        _bodies[version] = body
        return body
    return _bodies[version]


_drawn: dict[tuple[object, ...], dict[str, tuple[Row, str]]] = {}  # single rows, by what their columns have in common


def _rungs(scene: Scene) -> Iterator[str]:
    """Most changes are in a few rows: the others are drawn already."""
    columns, now = scene.matrix.columns, scene.now
    common = (now.year, *((c.environment.name, c.taken_at is None, c.not_reachable is None) for c in columns))
    if common not in _drawn and len(_drawn) >= KEPT_COLUMNS:
        _drawn.clear()
    known = _drawn.setdefault(common, {})
    draw = _macro("rows")
    for row in scene.rows:
        before, html = known.get(row.filename, (None, ""))
        if before != row:
            html = draw([make_row(row, columns, now)])
        known[row.filename] = row, html  # the newest object, which is quickly seen to be the same next time
        yield html


def _macro(name: str) -> Callable[[object], str]:
    macro: Callable[[object], str] = getattr(current_app.jinja_env.get_template("matrix_rows.html").module, name)
    return macro


# --- in words ---


def make_verdict(columns: Sequence[Column], running: frozenset[str] = frozenset()) -> Sign:
    """The answer to "are we in step?" in one line."""
    silent = [c.environment.name for c in columns if c.not_reachable and not c.not_reachable.answered]
    useless = [c.environment.name for c in columns if c.not_reachable and c.not_reachable.answered]
    waiting = [c.environment.name for c in columns if not c.not_reachable and c.taken_at is None]
    behind = [c for c in columns if c.behind and not c.not_reachable]
    parts = [
        *([f"no answer from {joined(silent)}"] if silent else []),
        *([f"{joined(useless)} cannot be used"] if useless else []),
        *_behind_words(behind, len(columns)),
        *([f"{joined(waiting)} not asked yet"] if waiting else []),
    ]
    text = ", ".join(parts) or ("Everything is up to date" if len(columns) > 1 else "Up to date")
    hue = "working" if running else "unknown" if silent or useless or waiting else "waiting" if behind else "good"
    return Sign("", text[0].upper() + text[1:], hue)


def _behind_words(behind: Sequence[Column], total: int) -> Iterator[str]:
    if len(behind) > NAMED:
        yield f"{len(behind)} of {total} environments are behind"
        return
    for place, column in enumerate(behind):
        yield f"{column.behind} {'' if place else 'behind '}on {column.environment.name}"


def _short(columns: Sequence[Column], running: frozenset[str]) -> str:
    """For the title of the tab."""
    worst = max((c.behind for c in columns), default=0)
    if running:
        return "running"
    silent = [c.not_reachable.word for c in columns if c.not_reachable]
    if silent:
        return min(silent)
    return f"{worst} behind" if worst else "up to date"


def _icon(columns: Sequence[Column], running: frozenset[str]) -> str:
    if running:
        return "favicon-running.svg"
    if any(c.failed for c in columns):
        return "favicon-failed.svg"
    return "favicon-behind.svg" if any(c.behind for c in columns) else "favicon.svg"


def _number(scene: Scene) -> str:
    files = count(len(scene.matrix.rows), "file")
    return files if len(scene.rows) == len(scene.matrix.rows) else f"{len(scene.rows):,} of {files}"


def _empty(matrix: Matrix, search: str, *, only: bool) -> Empty:
    if search:
        return Empty(f"No file name holds “{search}”", "Try a part of the name, or its number.")
    if only and matrix.rows:
        return Empty("No differences", f"All environments have all {count(len(matrix.rows), 'file')}.")
    return Empty(
        "Make the first one",
        "The folder is empty, and no environment has applied anything.",
        'rung new "create users"',
    )


# --- heads, rows, cells ---


def make_head(column: Column, now: datetime, *, running: bool = False) -> Head:
    gone = column.not_reachable
    counted = (
        (column.failed - column.unfinished, "failed"),
        (column.unfinished, "unfinished"),
        (column.blocked, "blocked"),
        (column.edited, "edited"),
    )
    facts = [f"PostgreSQL {column.server_version}"] if column.server_version else []
    facts += [f"{number} {word}" for number, word in counted if number]
    facts += ["nothing may run"] if column.stops else []
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
        word = f"{gone.word} for {passed(gone.since, now)}" if gone.since else column.headline
        return Sign(NOT_REACHABLE.name, word, NOT_REACHABLE.hue)
    if column.taken_at is None:
        return Sign(NOT_KNOWN.name, column.headline, NOT_KNOWN.hue)
    return Sign("pending", column.headline, "waiting") if column.behind else UP_TO_DATE


def make_row(row: Row, columns: Sequence[Column], now: datetime) -> MatrixRow:
    href = migration_href(row.filename)
    cells = [_cell(cell, column, href, now) for cell, column in zip(row.cells, columns, strict=True)]
    return MatrixRow(name_of(row.filename), href, tuple(cells))


def _cell(entry: Entry | None, column: Column, href: str, now: datetime) -> Cell:
    row = entry.ledger if entry else None
    when = date(row.applied_at, now) if row and row.applied_at else ""
    kind = _kind_of(entry, column)
    drawing = _DRAWINGS.get(kind) or _DRAWINGS.setdefault(kind, _drawing(*kind))
    return Cell(*drawing, when, f"{href}#in-{column.environment.name}")


def _kind_of(entry: Entry | None, column: Column) -> tuple[State | None, bool, bool]:
    """State, whether the environment has it (or, without a state, was ever asked), and whether it is silent."""
    silent = column.not_reachable is not None
    return (
        (None, column.taken_at is not None, silent)
        if entry is None
        else (entry.state, entry.ledger is not None, silent)
    )


_DRAWINGS: dict[tuple[State | None, bool, bool], tuple[str, str, str]] = {}  # there are some forty


def _drawing(state: State | None, known: bool, silent: bool) -> tuple[str, str, str]:  # noqa: FBT001  # see _kind_of
    """Look, sign and word of a cell."""
    sign = STATES[state] if state else NOT_HERE if known else NOT_KNOWN
    rail = "hatched" if silent else "bare" if state is None else "whole" if known else "broken"
    return f"{sign.hue} {rail}", sign.name, sign.word


def _legend(rows: Sequence[Row]) -> tuple[Sign, ...]:
    """The signs that occur, for where there is no room for their words."""
    states = {cell.state for row in rows for cell in row.cells if cell}
    return tuple(sign for state, sign in STATES.items() if state in states)
