"""`rung migrate` when every file is applied: what every deploy and every start pays."""

import sys

from bench.files import sample_files
from bench.ground import Ground, expect_applied, migrate, wall
from bench.measure import Bound, Group, Line, take_turns

NOTES = (
    "Whole processes. The two interpreters without Rung show what of it is Python's own and what the two libraries are",
    "that every command needs.",
)


def measure(ground: Ground) -> Group:
    files = sample_files(ground.sizes.files)
    checkout = ground.checkout(files)

    def python(code: str) -> float:
        return wall([sys.executable, "-c", code], variables={})

    with ground.database() as url:
        migrate(checkout, url)
        expect_applied(url, len(files))
        taken = take_turns(
            {
                "python": lambda: python("pass"),
                "libraries": lambda: python("import psycopg, click"),
                "psql": lambda: ground.psql("--command", "SELECT filename FROM _migrations_applied", url=url),
                "migrate": lambda: migrate(checkout, url),
            },
            2 * ground.sizes.rounds,
        )
        expect_applied(url, len(files))
    return Group(
        "nothing",
        f"Nothing to do on {len(files)} files",
        (
            Line("python -c pass", taken["python"]),
            Line('python -c "import psycopg, click"', taken["libraries"]),
            Line("psql, reading the ledger", taken["psql"]),
            Line("rung migrate", taken["migrate"], bound=Bound(0.25)),
        ),
        NOTES,
    )
