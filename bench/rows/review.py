"""The review: parse trees and rules, over a ladder of files and over one."""

import gc
import time
from collections.abc import Sequence

from bench.files import sample_files
from bench.ground import Ground
from bench.measure import Bound, Group, Line, take_turns
from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety.review import review

FILES = 400
NOTES = (
    "In one process, without a server. Each of the files has two to four statements, of tables, columns, indexes,",
    "constraints and rows; every rule sees every statement that it asks for. The garbage collector is off, as in the",
    "command.",
)


def measure(ground: Ground) -> Group:
    batch = _batch()
    statements = sum(len(one.script.statements) for one in review(batch) if one.script)
    taken = take_turns(
        {"all": lambda: _seconds(batch), "one": lambda: _seconds(batch[-1:])}, ground.sizes.planned_rounds
    )
    return Group(
        "review",
        f"Review of {len(batch):,} files with {statements:,} statements",
        (Line("all of them", taken["all"], bound=Bound(1.5)), Line("one of them", taken["one"], bound=Bound(0.05))),
        NOTES,
    )


def _batch() -> tuple[Migration, ...]:
    texts = ((file.name, f"{file.body}\nDELETE FROM users WHERE id = 7;") for file in sample_files(FILES))
    read = (read_migration(name, text.encode()) for name, text in texts)
    return tuple(one for one in read if isinstance(one, Migration))


def _seconds(batch: Sequence[Migration]) -> float:
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        done = review(batch)
        seconds = time.perf_counter() - started
    finally:
        gc.enable()
    assert not any(one.refusal for one in done)
    return seconds
