"""Fresh apply on loopback, beside one psql session that runs the same statements."""

import statistics
from collections.abc import Callable

from bench.files import psql_script, sample_files
from bench.ground import Ground, apply_inside, expect_applied, migrate
from bench.measure import Bound, Group, Line, Turn, take_turns
from dashboard.core.environment import Secret

NOTES = (
    "psql: one process, the statements of all files in one script, sent as psql sends them; per file BEGIN, its row of",
    "the ledger, its statements, COMMIT. Without its start: the median of `psql --version` is taken off, so that what",
    "is left is connecting, reading and running. Inside: one call of services.apply in a new interpreter that has",
    "imported everything: reading the folder, two connections, lock, plan with review, every file with its rows of",
    "ledger and history. Whole process: `rung migrate`, beside psql's whole process.",
)


def measure(ground: Ground) -> Group:
    files = sample_files(ground.sizes.files)
    checkout = ground.checkout(files)
    script = checkout / "floor.sql"
    script.write_text(psql_script(files), encoding="utf-8")

    def on_a_fresh_database(run: Callable[[Secret], float]) -> Turn:
        def turn() -> float:
            with ground.database() as url:
                seconds = run(url)
                expect_applied(url, len(files))
                return seconds

        return turn

    taken = take_turns(
        {
            "start": lambda: ground.psql("--version", url=ground.server.url("postgres")),
            "psql": on_a_fresh_database(lambda url: ground.psql("--file", str(script), url=url)),
            "inside": on_a_fresh_database(lambda url: apply_inside(checkout, url)),
            "process": on_a_fresh_database(lambda url: migrate(checkout, url)),
        },
        ground.sizes.rounds,
    )
    start = statistics.median(taken["start"])
    psql = Line("psql, whole process", taken["psql"])
    floor = Line("psql, without its start (the floor)", tuple(seconds - start for seconds in taken["psql"]))
    return Group(
        "fresh",
        f"Fresh apply of {len(files)} files on loopback",
        (
            psql,
            floor,
            Line(
                "Rung inside, from reading the folder to the end", taken["inside"], floor=floor, bound=Bound(1.25, 1.0)
            ),
            Line("rung migrate, whole process", taken["process"], floor=psql),
        ),
        NOTES,
    )
