"""Fresh apply through a proxy that adds a round trip of 20 ms: what a database in another place costs."""

import statistics
import time
from collections.abc import Callable

import psycopg
from psycopg import conninfo

from bench.files import psql_script, sample_files
from bench.ground import Ground, apply_inside, expect_applied, migrate
from bench.measure import Bound, Group, Line, Turn, take_turns
from bench.proxy import far_away
from dashboard.core.environment import Secret

ROUND_TRIP = 0.020
NOTES = (
    "Round trips: what the same apply takes longer through the proxy than through the same proxy without delay,",
    "divided by one round trip: those that something waited for, from the first connection to the end. Per file:",
    "divided by the files, so that connecting, the lock and the plan are in it.",
)


def measure(ground: Ground) -> Group:
    files = sample_files(ground.sizes.far_files)
    checkout = ground.checkout(files)
    script = checkout / "floor.sql"
    script.write_text(psql_script(files), encoding="utf-8")

    def through(port: int, run: Callable[[Secret], float]) -> Turn:
        def turn() -> float:
            with ground.database() as url:
                seconds = run(_by_way_of(port, url))
                expect_applied(url, len(files))
                return seconds

        return turn

    with far_away(ground.server.port, ROUND_TRIP) as far, far_away(ground.server.port, 0) as near:
        taken = take_turns(
            {
                "ping": lambda: _ping(_by_way_of(far, ground.server.url("postgres"))),
                "process": through(far, lambda url: migrate(checkout, url)),
                "inside": through(far, lambda url: apply_inside(checkout, url)),
                "near": through(near, lambda url: apply_inside(checkout, url)),
            },
            ground.sizes.far_rounds,
        )
        psql = through(far, lambda url: ground.psql("--file", str(script), url=url))()
    trip = statistics.median(taken["ping"])
    trips = tuple((far - near) / trip for far, near in zip(taken["inside"], taken["near"], strict=True))
    return Group(
        "far",
        f"Fresh apply of {len(files)} files, {ROUND_TRIP * 1000:g} ms of round trip away",
        (
            Line("one round trip through the proxy", tuple(seconds * 1000 for seconds in taken["ping"]), "ms"),
            Line("psql, whole process (measured once)", (psql,)),
            Line("rung migrate, whole process", taken["process"], bound=Bound(2.0)),
            Line("Rung inside, from reading the folder to the end", taken["inside"]),
            Line("Rung inside, through the proxy without delay", taken["near"]),
            Line("round trips in all", trips, ""),
            Line("round trips per file", tuple(each / len(files) for each in trips), "", bound=Bound(1.3)),
        ),
        NOTES,
    )


def _by_way_of(port: int, url: Secret) -> Secret:
    return Secret(conninfo.make_conninfo(url.reveal(), port=port))


def _ping(url: Secret) -> float:
    """Seconds of one question and answer on an open connection."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            connection.execute("SELECT 1")
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)
