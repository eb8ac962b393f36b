"""Planning a very long ladder: reading the folder, and comparing it with what the database said."""

import gc
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.files import sample_files, write_files
from bench.ground import Ground
from bench.measure import Bound, Group, Line, take_turns
from dashboard.core.environment import Environment
from dashboard.core.migration import HASH_VERSION, SIZE_LIMIT, Folder
from dashboard.core.picture import AppliedFile, LedgerRow, Picture
from dashboard.core.plan import make_plan
from dashboard.core.safety.review import review
from dashboard.folder import read_folder

_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
_ENVIRONMENT = Environment("local", 0, None)
NOTES = (
    "In one process, without a server: the picture of the database is a value. Files lie in the disk's cache. Where no",
    "file is applied, every file is parsed and judged by the review. The garbage collector is off, as in the command.",
)


def measure(ground: Ground) -> Group:
    path = write_files(ground.folder / "ladder", sample_files(ground.sizes.planned_files))
    folder = read_folder(path, SIZE_LIMIT)
    taken = take_turns(
        {
            "read": lambda: _seconds(path, None),
            "all": lambda: _seconds(path, _picture(folder)),
            "none": lambda: _seconds(path, _picture(Folder(()))),
        },
        ground.sizes.planned_rounds,
    )
    return Group(
        "plan",
        f"Planning {len(folder.migrations):,} files",
        (
            Line("reading them from disk", taken["read"]),
            Line("reading and planning, all applied", taken["all"], bound=Bound(2.0)),
            Line("reading, reviewing and planning, none applied", taken["none"], bound=Bound(2.0)),
        ),
        NOTES,
    )


def _seconds(path: Path, picture: Picture | None) -> float:
    gc.collect()
    gc.disable()  # as the command does
    try:
        started = time.perf_counter()
        folder = read_folder(path, SIZE_LIMIT)
        plan = make_plan(_ENVIRONMENT, folder, picture, review) if picture else None
        seconds = time.perf_counter() - started
    finally:
        gc.enable()
    if picture and plan:
        assert len(plan.steps) + len(picture.ledger) == len(folder.migrations)
        assert not plan.gated
    return seconds


def _picture(applied: Folder) -> Picture:
    """What a database says that has exactly these files."""
    return Picture(
        environment=_ENVIRONMENT.name,
        taken_at=_MOMENT,
        server_version="18.0",
        ledger_exists=True,
        ledger=tuple(LedgerRow(migration.filename, _MOMENT) for migration in applied.migrations),
        applied={
            migration.filename: AppliedFile(
                migration.filename, migration.raw_hash, migration.normalised_hash, HASH_VERSION
            )
            for migration in applied.migrations
        },
    )
