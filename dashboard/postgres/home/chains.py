"""What the last check of every chain of hashes found; and whether home's own copy hangs together."""

from collections.abc import Sequence

from psycopg.rows import class_row

from dashboard.core.record import ChainCheck, ChainReport, CopyReport
from dashboard.postgres.connect import Connection
from dashboard.postgres.history import GENESIS

PAUSE = 10  # seconds between two checks of one environment: each reads its whole history


def claim(home: Connection, environment: str) -> bool:
    """Whether this one may check now; a clock that was turned back holds nobody up."""
    found = home.execute(
        """
        INSERT INTO home.chain_check AS c (environment, asked_at) VALUES (%(name)s, pg_catalog.clock_timestamp())
            ON CONFLICT (environment) DO UPDATE SET asked_at = pg_catalog.clock_timestamp()
             WHERE c.asked_at NOT BETWEEN pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(pause)s)
                   AND pg_catalog.clock_timestamp()
        RETURNING true
        """,
        {"name": environment, "pause": PAUSE},
    ).fetchone()
    return found is not None


def keep(home: Connection, environment: str, by: str, report: ChainReport, copy: CopyReport) -> None:
    home.execute(
        """
        UPDATE home.chain_check
           SET trouble = NULL, checked_at = pg_catalog.clock_timestamp(), asked_by = %s, ok = %s, rows = %s,
               first_bad_id = %s, what = %s, head = %s, copied = %s, copy_bad_id = %s, gone = %s
         WHERE environment = %s
        """,
        (
            *(by, report.ok, report.rows, report.first_bad_id, report.what, report.head),
            *(copy.rows, copy.first_bad_id, copy.gone, environment),
        ),
    )


def keep_trouble(home: Connection, environment: str, trouble: str) -> None:
    home.execute("UPDATE home.chain_check SET trouble = %s WHERE environment = %s", (trouble, environment))


def stored(home: Connection, environments: Sequence[str]) -> dict[str, ChainCheck]:
    """What there is of each, by name."""
    with home.cursor(row_factory=class_row(ChainCheck)) as cursor:
        cursor.execute(
            "SELECT environment, trouble, checked_at, asked_by, ok, rows, first_bad_id, what, head, copied,"
            " copy_bad_id, gone FROM home.chain_check WHERE environment = ANY (%s)",
            (list(environments),),
        )
        return {check.environment: check for check in cursor}


def look_at_copy(home: Connection, environment: str) -> CopyReport:
    """Numbers without gaps, each hash named by the next row. The hashes themselves need the environment's own rows."""
    row = home.execute(
        """
        WITH kept AS (
            SELECT id, gone_since,
                   id = pg_catalog.row_number() OVER chain
                   AND previous_hash = pg_catalog.lag(own_hash, 1, %(genesis)s) OVER chain AS follows
              FROM home.history WHERE environment = %(name)s
            WINDOW chain AS (PARTITION BY gone_since IS NULL ORDER BY id)
        )
        SELECT pg_catalog.count(*) FILTER (WHERE gone_since IS NULL),
               pg_catalog.min(id) FILTER (WHERE gone_since IS NULL AND NOT follows),
               pg_catalog.count(*) FILTER (WHERE gone_since IS NOT NULL)
          FROM kept
        """,
        {"name": environment, "genesis": GENESIS},
    ).fetchone()
    return CopyReport(*row) if row else CopyReport(0, None, 0)
