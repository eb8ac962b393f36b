"""Many plans become a matrix: migrations down, environments across, one state per cell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dashboard.core.environment import Environment
from dashboard.core.migration import number_of
from dashboard.core.picture import NotReachable, Picture
from dashboard.core.plan import Entry, Plan, State

BEHIND = (State.PENDING, State.OUT_OF_ORDER, State.FAILED, State.UNFINISHED, State.BLOCKED)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of one environment: its last picture and plan, and whether it answers now.

    Attributes
    ----------
    picture, plan: None where it has never been reached.
    not_reachable: set where the newest attempt to ask it failed; picture and plan are then the last known ones.

    """

    environment: Environment
    picture: Picture | None
    plan: Plan | None
    not_reachable: NotReachable | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One environment's head in the matrix.

    Attributes
    ----------
    headline: "up to date", "3 behind", "not reachable", "not usable".
    stops: why nothing may run there, see `Plan`.
    failed: files whose last attempt failed, or stopped half-way. unfinished: how many of them the latter.

    """

    environment: Environment
    headline: str
    behind: int
    applied: int
    edited: int
    blocked: int
    server_version: str | None
    taken_at: datetime | None
    last_applied: datetime | None
    not_reachable: NotReachable | None
    stops: tuple[str, ...] = ()
    failed: int = 0
    unfinished: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One file. `cells`: one entry per environment in order; None where nothing is known or the file is not there."""

    filename: str
    cells: tuple[Entry | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the environments disagree about this file, or one of them has something to say about it.

        An environment that was never reached says nothing, and a name that was replaced by a new one is settled.
        """
        return any(cell is not None and not _is_settled(cell) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Matrix:
    """The picture of the whole: `rows` newest first, `columns` in the configured order."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def make_matrix(looks: Sequence[Look]) -> Matrix:
    """Put what is known of every environment side by side."""
    cells = [{entry.filename: entry for entry in look.plan.entries} if look.plan else {} for look in looks]
    names = sorted({name for column in cells for name in column}, key=lambda n: (number_of(n), n), reverse=True)
    return Matrix(
        columns=tuple(_column(look) for look in looks),
        rows=tuple(Row(name, tuple(column.get(name) for column in cells)) for name in names),
    )


def with_moments(matrix: Matrix, looks: Sequence[Look]) -> Matrix:
    """The same matrix of environments that said it once more, later."""
    columns = (
        replace(column, taken_at=look.picture.taken_at if look.picture else None)
        for column, look in zip(matrix.columns, looks, strict=True)
    )
    return replace(matrix, columns=tuple(columns))


def _column(look: Look) -> Column:
    entries = look.plan.entries if look.plan else ()
    behind = sum(entry.state in BEHIND or _to_adopt(entry) for entry in entries)
    moments = [row.applied_at for row in look.picture.ledger if row.applied_at] if look.picture else []
    return Column(
        environment=look.environment,
        headline=_headline(look, behind),
        behind=behind,
        applied=sum(entry.ledger is not None for entry in entries),
        edited=sum(entry.state is State.EDITED for entry in entries),
        blocked=sum(entry.state is State.BLOCKED for entry in entries),
        server_version=look.picture.server_version if look.picture else None,
        taken_at=look.picture.taken_at if look.picture else None,
        last_applied=max(moments, default=None),
        not_reachable=look.not_reachable,
        stops=look.plan.stops if look.plan and not look.not_reachable else (),
        failed=sum(entry.state in (State.FAILED, State.UNFINISHED) for entry in entries),
        unfinished=sum(entry.state is State.UNFINISHED for entry in entries),
    )


def _is_settled(cell: Entry) -> bool:
    return cell.state is State.APPLIED or (cell.state is State.RENAMED and cell.ledger is not None)


def _to_adopt(entry: Entry) -> bool:
    return entry.state is State.RENAMED and entry.ledger is None


def _headline(look: Look, behind: int) -> str:
    if look.not_reachable:
        return look.not_reachable.word
    if look.plan is None:
        return "not asked yet"
    return f"{behind} behind" if behind else "up to date"
