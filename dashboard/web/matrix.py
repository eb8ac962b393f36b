"""The ladder: migrations down, environments across."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from dashboard.core.matrix import Column, Matrix, Row
from dashboard.core.plan import Entry
from dashboard.core.words import ago, count, date, joined, passed
from dashboard.web.moments import moment_of
from dashboard.web.pages import Cell, Empty, FileName, Frame, Head, Live, MatrixPage, MatrixRow, Sign
from dashboard.web.signs import NOT_HERE, NOT_KNOWN, NOT_REACHABLE, STATES, UP_TO_DATE, rail_of, state_of

FEW = 4  # environments that fit beside each other on a telephone with their signs
ROOMY = 6  # environments whose cells have room for a date


def make_verdict(columns: Sequence[Column]) -> Sign:
    """The answer to "are we in step?" in one line."""
    silent = [column.environment.name for column in columns if column.not_reachable]
    behind = [column for column in columns if column.behind and not column.not_reachable]
    waiting = [column.environment.name for column in columns if not column.not_reachable and column.taken_at is None]
    parts = [f"no answer from {joined(silent)}"] if silent else []
    if len(behind) > 3:
        parts.append(f"{len(behind)} of {len(columns)} environments are behind")
    else:
        parts += [f"{column.behind} {'behind ' * (not i)}on {column.environment.name}" for i, column in enumerate(behind)]
    if waiting:
        parts.append(f"{joined(waiting)} not asked yet" if len(waiting) < 4 else "nothing is known yet")
    text = ", ".join(parts) or ("Everything is up to date" if len(columns) > 1 else "Up to date")
    hue = "unknown" if silent or waiting else "waiting" if behind else "good"
    return Sign("", text[0].upper() + text[1:], hue)


def make_head(column: Column, href: str, now: datetime) -> Head:
    gone = column.not_reachable
    facts = [f"PostgreSQL {column.server_version}"] if column.server_version else []
    remarks = [f"{column.blocked} blocked"] if column.blocked else []
    remarks += [f"{column.edited} edited"] if column.edited else []
    return Head(
        name=column.environment.name,
        href=href,
        protected=column.environment.policies.protected,
        sign=_headline(column, now),
        facts=(gone.reason,) if gone else (*facts, *remarks),
        applied=None if gone else moment_of(column.last_applied, now),
        rail="hatched" if gone else "bare" if column.taken_at is None else "broken" if column.behind else "whole",
    )


def _headline(column: Column, now: datetime) -> Sign:
    gone = column.not_reachable
    if gone:
        word = f"not reachable for {passed(gone.since, now)}" if gone.since else column.headline
        return Sign(NOT_REACHABLE.name, word, NOT_REACHABLE.hue)
    if column.taken_at is None:
        return Sign(NOT_KNOWN.name, column.headline, NOT_KNOWN.hue)
    if column.behind:
        return Sign("pending", column.headline, "waiting")
    return UP_TO_DATE


def name_of(filename: str) -> FileName:
    stem, dot, ending = filename.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (filename, "")
    words = stem.split("_")
    return FileName(filename, tuple(word + "_" for word in words[:-1]), words[-1], ending)


def make_row(row: Row, columns: Sequence[Column], now: datetime) -> MatrixRow:
    href = f"/migrations/{quote(row.filename)}"
    return MatrixRow(
        name_of(row.filename),
        href,
        tuple(_cell(cell, column, href, now) for cell, column in zip(row.cells, columns, strict=True)),
    )


def _cell(entry: Entry | None, column: Column, href: str, now: datetime) -> Cell:
    sign = state_of(entry)
    if entry is None and column.taken_at is not None:
        sign = NOT_HERE
    look = f"{sign.hue} {'hatched' if column.not_reachable else rail_of(entry)}"
    at = entry.ledger.applied_at if entry and entry.ledger else None
    return Cell(look, sign.name, sign.word, date(at, now) if at else "", f"{href}#in-{column.environment.name}")


def make_page(matrix: Matrix, frame: Frame, now: datetime, search: str, only_differences: bool) -> MatrixPage:
    """Choose the rows and put everything into the words and signs of the page."""
    rows = [
        row
        for row in matrix.rows
        if (not only_differences or row.differs) and search.casefold() in row.filename.casefold()
    ]
    columns = matrix.columns
    return MatrixPage(
        frame=frame,
        live=Live("/fragments/ladder", "slow", ""),
        verdict=make_verdict(columns),
        facts=_facts(matrix, len(rows)),
        looked=moment_of(max((c.taken_at for c in columns if c.taken_at), default=None), now),
        heads=tuple(make_head(column, f"/environments/{column.environment.name}", now) for column in columns),
        rows=tuple(make_row(row, columns, now) for row in rows),
        only_differences=only_differences,
        search=search,
        search_href="/",
        density="few" if len(columns) <= FEW else "several" if len(columns) <= ROOMY else "many",
        legend=_legend(rows, columns),
        empty=None,
    )


def _facts(matrix: Matrix, shown: int) -> tuple[str, ...]:
    total = len(matrix.rows)
    facts = [count(total, "file") if shown == total else f"{shown:,} of {count(total, 'file')}"]
    return tuple(facts)


def _legend(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Sign, ...]:
    """The signs that occur, for where there is no room for their words."""
    states = {cell.state for row in rows for cell in row.cells if cell}
    return tuple(sign for state, sign in STATES.items() if state in states)
