"""Tokens of the API, as rows. Hashes come in ready-made; clear texts never get here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from dashboard.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Token:
    """A token in a list. `state`: good, expired or revoked."""

    id: str
    name: str
    scopes: list[str]
    state: str
    made_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Good:
    """A token that opens something.

    `quiet`: it was not marked as used for a minute. `new_hour`: it was not marked in this hour of the clock.
    """

    id: str
    name: str
    scopes: list[str]
    now: datetime
    quiet: bool
    new_hour: bool


def add(
    home: Connection, token_id: str, token_hash: bytes, name: str, scopes: Sequence[str], made_by: str, days: int
) -> datetime:
    """When it ends."""
    row = home.execute(
        "INSERT INTO home.token (id, token_hash, name, scopes, made_by, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, pg_catalog.now() + pg_catalog.make_interval(days => %s)) RETURNING expires_at",
        (token_id, token_hash, name, list(scopes), made_by, days),
    ).fetchone()
    assert row is not None  # noqa: S101  # RETURNING gives one
    ends: datetime = row[0]
    return ends


def find(home: Connection, token_hash: bytes) -> Good | None:
    """The token, unless it is revoked or too old."""
    with home.cursor(row_factory=class_row(Good)) as cursor:
        cursor.execute(
            """
            SELECT id, name, scopes, pg_catalog.now() AS now,
                   used_at IS NULL OR used_at < pg_catalog.now() - interval '1 minute' AS quiet,
                   used_at IS NULL OR used_at < pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC') AS new_hour
              FROM home.token WHERE token_hash = %s AND revoked_at IS NULL AND expires_at > pg_catalog.now()
            """,
            (token_hash,),
        )
        return cursor.fetchone()


def mark_used(home: Connection, token_id: str) -> bool:
    """False where another request just did."""
    marked = home.execute(
        "UPDATE home.token SET used_at = pg_catalog.now()"
        " WHERE id = %s AND (used_at IS NULL OR used_at < pg_catalog.now() - interval '1 minute')",
        (token_id,),
    )
    return marked.rowcount > 0


def everything(home: Connection) -> tuple[Token, ...]:
    """All tokens, also those that are over, in the order they were made."""
    with home.cursor(row_factory=class_row(Token)) as cursor:
        cursor.execute("""
            SELECT id, name, scopes, made_by, created_at, expires_at, used_at,
                   CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
                        WHEN expires_at <= pg_catalog.now() THEN 'expired' ELSE 'good' END AS state
              FROM home.token ORDER BY created_at, id
        """)
        return tuple(cursor)


def revoke(home: Connection, token_id: str) -> bool:
    """Whether it was still good for something; revoking again changes nothing."""
    found = home.execute(
        "UPDATE home.token SET revoked_at = pg_catalog.now() WHERE id = %s AND revoked_at IS NULL", (token_id,)
    )
    return found.rowcount > 0


def exists(home: Connection, token_id: str) -> bool:
    return home.execute("SELECT FROM home.token WHERE id = %s", (token_id,)).fetchone() is not None
