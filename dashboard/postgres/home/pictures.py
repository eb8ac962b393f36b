"""Pictures: what every environment said last, and since when it says nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from dashboard.core.picture import NotReachable, Picture, picture_from_json, picture_to_json
from dashboard.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Stored:
    """What home has of one environment, without the picture.

    Attributes
    ----------
    version: 0 where there is no picture yet; the same as long as the environment says the same.
    taken_at: when it said so last; None: see the picture.

    """

    environment: str
    version: int
    taken_at: datetime | None
    not_reachable_since: datetime | None
    reason: str | None
    advice: str | None
    answered: bool

    @property
    def not_reachable(self) -> NotReachable | None:
        if self.not_reachable_since is None:
            return None
        return NotReachable(
            self.environment, self.reason or "", self.advice or "", self.not_reachable_since, self.answered
        )


def claim(home: Connection, environments: Sequence[str], max_age: float) -> dict[str, datetime]:
    """Those that nobody asked within `max_age` seconds, now claimed by us, with the moment of the claim.

    Of many callers at once each environment goes to one. A moment that lies ahead (home moved to another machine)
    counts as long ago.
    """
    rows = home.execute(
        """
        WITH due AS (
            SELECT name FROM pg_catalog.unnest(%(names)s::text[]) AS name
              LEFT JOIN home.picture AS p ON p.environment = name
             WHERE (p.asked_at BETWEEN pg_catalog.clock_timestamp() - %(age)s AND pg_catalog.clock_timestamp())
                   IS NOT TRUE
             ORDER BY name
        )
        INSERT INTO home.picture AS p (environment, asked_at) SELECT name, pg_catalog.clock_timestamp() FROM due
            ON CONFLICT (environment) DO UPDATE SET asked_at = pg_catalog.clock_timestamp()
             WHERE (p.asked_at BETWEEN pg_catalog.clock_timestamp() - %(age)s AND pg_catalog.clock_timestamp())
                   IS NOT TRUE
        RETURNING p.environment, p.asked_at
        """,
        {"names": list(environments), "age": timedelta(seconds=max_age)},
    )
    return dict(rows.fetchall())


def keep(home: Connection, picture: Picture, asked_at: datetime) -> None:
    """Remember an answer, unless a later question was answered before.

    An environment says the same for days, and is asked every few seconds: then only the moment is written.
    """
    shown = picture_to_json(picture)
    home.execute(
        """
        UPDATE home.picture
           SET picture = CASE WHEN said = %(said)s THEN picture ELSE %(picture)s END,
               version = CASE WHEN said = %(said)s THEN version ELSE version + 1 END,
               said = %(said)s, taken_at = %(taken_at)s, answered_at = %(asked_at)s,
               not_reachable_since = NULL, reason = NULL, advice = NULL
         WHERE environment = %(name)s AND (answered_at <= %(asked_at)s) IS NOT FALSE
        """,
        {
            "name": picture.environment,
            "picture": json.dumps(shown),
            "said": hashlib.sha256(json.dumps(shown | {"taken_at": None}).encode()).hexdigest(),
            "taken_at": picture.taken_at,
            "asked_at": asked_at,
        },
    )


def keep_silence(home: Connection, silent: NotReachable, asked_at: datetime) -> None:
    """Remember that an environment did not answer; since when, is the first time it did not."""
    home.execute(
        """
        UPDATE home.picture
           SET not_reachable_since = coalesce(not_reachable_since, pg_catalog.clock_timestamp()),
               reason = %(reason)s, advice = %(advice)s, answered = %(answered)s, answered_at = %(asked_at)s
         WHERE environment = %(name)s AND (answered_at <= %(asked_at)s) IS NOT FALSE
        """,
        {
            "name": silent.environment,
            "reason": silent.reason,
            "advice": silent.advice,
            "answered": silent.answered,
            "asked_at": asked_at,
        },
    )


def stored(home: Connection, environments: Sequence[str]) -> dict[str, Stored]:
    """What there is of each, by name."""
    with home.cursor(row_factory=class_row(Stored)) as cursor:
        cursor.execute(
            "SELECT environment, version, taken_at, not_reachable_since, reason, advice, answered FROM home.picture"
            " WHERE environment = ANY (%s)",
            (list(environments),),
            prepare=True,
        )
        return {row.environment: row for row in cursor}


def load(home: Connection, environment: str) -> tuple[int, Picture] | None:
    """The picture with its version; None where there is none."""
    query = "SELECT version, picture FROM home.picture WHERE environment = %s AND picture IS NOT NULL"
    row = home.execute(query, (environment,)).fetchone()
    return (row[0], picture_from_json(row[1])) if row else None
