"""Accounts, roles, sessions and one-time links, as rows. Hashes come in ready-made; clear texts never get here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from dashboard.core.access import OpenSession
from dashboard.postgres.connect import Connection

IDLE, ABSOLUTE = "30 minutes", "8 hours"  # of a session
LONGEST_AGENT = 300  # characters
FORGET = "30 days"  # ended sessions, used links


@dataclass(frozen=True, slots=True)
class Found:
    """An account that may sign in. `password_hash`: None where only one-time links open it, or an issuer."""

    id: str
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """An account in a list. `roles`: by environment, `*` first. `way`: how it is opened, for people."""

    email: str
    roles: Mapping[str, str]
    way: str
    since: datetime
    disabled: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is open. `quiet`: it was not marked as seen for a minute."""

    email: str
    roles: Mapping[str, str]
    proved_at: datetime
    now: datetime
    quiet: bool


def add(home: Connection, email: str, password_hash: str | None) -> str | None:
    """The new account's id; None where the address is taken."""
    row = home.execute(
        "INSERT INTO home.account (email, password_hash) VALUES (%s, %s) ON CONFLICT (email) DO NOTHING"
        " RETURNING id::text",
        (email, password_hash),
    ).fetchone()
    return row[0] if row else None


def is_empty(home: Connection) -> bool:
    """Whether there is no account at all, not even a disabled one."""
    return home.execute("SELECT NOT EXISTS (SELECT FROM home.account)").fetchone() == (True,)


def stay_empty(home: Connection) -> None:
    """Nobody else makes an account before this transaction ends."""
    home.execute("LOCK TABLE home.account IN SHARE ROW EXCLUSIVE MODE")


def find(home: Connection, email: str) -> Found | None:
    """The account of this address, unless it is disabled."""
    with home.cursor(row_factory=class_row(Found)) as cursor:
        cursor.execute(
            """
            SELECT a.id::text, CASE WHEN NOT EXISTS (SELECT FROM home.identity AS i WHERE i.account_id = a.id)
                                    THEN a.password_hash END AS password_hash
              FROM home.account AS a WHERE a.email = %s AND a.disabled_at IS NULL
            """,
            (email,),
        )
        return cursor.fetchone()


def id_of(home: Connection, email: str) -> str | None:
    """Of the account of this address, also where it is disabled."""
    row = home.execute("SELECT id::text FROM home.account WHERE email = %s", (email,)).fetchone()
    return row[0] if row else None


def hold(home: Connection, email: str) -> None:
    """Nobody else changes how the account of this address is opened before the transaction ends."""
    home.execute("SELECT FROM home.account WHERE email = %s FOR NO KEY UPDATE", (email,))


def find_still(home: Connection, email: str, seen: Found) -> bool:
    """Whether the account is as it was seen; it stays so until the transaction ends."""
    hold(home, email)
    return find(home, email) == seen


def everybody(home: Connection) -> tuple[Person, ...]:
    """All accounts, by address."""
    with home.cursor(row_factory=class_row(Person)) as cursor:
        cursor.execute("""
            SELECT a.email,
                   coalesce((SELECT json_object_agg(r.environment, r.role ORDER BY r.environment <> '*', r.environment)
                               FROM home.role AS r WHERE r.account_id = a.id), '{}') AS roles,
                   CASE WHEN a.disabled_at IS NOT NULL THEN 'nothing: disabled'
                        WHEN EXISTS (SELECT FROM home.identity AS i WHERE i.account_id = a.id) THEN 'OpenID Connect'
                        WHEN a.password_hash IS NULL THEN 'one-time links' ELSE 'password or one-time link' END AS way,
                   a.created_at AS since, a.disabled_at IS NOT NULL AS disabled
              FROM home.account AS a ORDER BY a.email
        """)
        return tuple(cursor)


def set_enabled(home: Connection, email: str, *, enabled: bool) -> str | None:
    """The id of the account; None where there is none."""
    row = home.execute(
        "UPDATE home.account SET disabled_at = CASE WHEN %s THEN NULL ELSE coalesce(disabled_at, pg_catalog.now()) END"
        " WHERE email = %s RETURNING id::text",
        (enabled, email),
    ).fetchone()
    return row[0] if row else None


def set_password(home: Connection, account_id: str, password_hash: str | None) -> None:
    home.execute("UPDATE home.account SET password_hash = %s WHERE id = %s", (password_hash, account_id))


def set_role(home: Connection, account_id: str, environment: str, role: str | None) -> None:
    """Grant a role for an environment in place of the one before; None takes it away."""
    if role is None:
        home.execute("DELETE FROM home.role WHERE account_id = %s AND environment = %s", (account_id, environment))
        return
    home.execute(
        "INSERT INTO home.role (account_id, environment, role) VALUES (%s, %s, %s)"
        " ON CONFLICT (account_id, environment) DO UPDATE SET role = EXCLUDED.role, granted_at = pg_catalog.now()",
        (account_id, environment, role),
    )


def open_session(home: Connection, account_id: str, token_hash: bytes, address: str, agent: str) -> None:
    home.execute(
        "INSERT INTO home.session (token_hash, account_id, address, agent) VALUES (%s, %s, %s, %s)",
        (token_hash, account_id, address, agent.replace("\0", "")[:LONGEST_AGENT]),
    )
    _forget_ended(home)


def open_session_by_issuer(
    home: Connection, account_id: str, token_hash: bytes, address: str, agent: str, asked_at: datetime | None
) -> None:
    """asked_at: when the issuer asked the person itself; None: it does not say, so that it proves nothing."""
    home.execute(
        "INSERT INTO home.session (token_hash, account_id, address, agent, by_issuer, proved_at)"
        " VALUES (%s, %s, %s, %s, true, CASE WHEN %s THEN least(%s, pg_catalog.now()) END)",
        (token_hash, account_id, address, agent.replace("\0", "")[:LONGEST_AGENT], asked_at is not None, asked_at),
    )
    _forget_ended(home)


def _forget_ended(home: Connection) -> None:
    home.execute("DELETE FROM home.session WHERE created_at < pg_catalog.now() - %s::interval", (FORGET,))


def sessions(home: Connection, account_id: str) -> tuple[OpenSession, ...]:
    """Those that still open pages, the one seen last first."""
    with home.cursor(row_factory=class_row(OpenSession)) as cursor:
        cursor.execute(
            """
            SELECT pg_catalog.encode(token_hash, 'hex') AS name, address, agent, created_at, seen_at
              FROM home.session
             WHERE account_id = %s AND ended_at IS NULL
               AND seen_at > pg_catalog.now() - %s::interval AND created_at > pg_catalog.now() - %s::interval
             ORDER BY seen_at DESC, token_hash
            """,
            (account_id, IDLE, ABSOLUTE),
        )
        return tuple(cursor)


def session(home: Connection, token_hash: bytes) -> Session | None:
    """The session, unless it was ended, is too old, was idle too long, or its account is disabled."""
    with home.cursor(row_factory=class_row(Session)) as cursor:
        cursor.execute(
            """
            SELECT a.email, pg_catalog.now() AS now,
                   CASE WHEN s.by_issuer THEN coalesce(s.proved_at, 'epoch')
                        ELSE greatest(s.created_at, s.proved_at) END AS proved_at,
                   s.seen_at < pg_catalog.now() - interval '1 minute' AS quiet,
                   coalesce((SELECT pg_catalog.json_object_agg(r.environment, r.role)
                               FROM home.role AS r WHERE r.account_id = a.id), '{}'::json) AS roles
              FROM home.session AS s JOIN home.account AS a ON a.id = s.account_id
             WHERE s.token_hash = %s AND s.ended_at IS NULL AND a.disabled_at IS NULL
               AND s.seen_at > pg_catalog.now() - %s::interval AND s.created_at > pg_catalog.now() - %s::interval
            """,
            (token_hash, IDLE, ABSOLUTE),
            prepare=True,  # every request asks it, and to plan it takes longer than to execute it
        )
        return cursor.fetchone()


def mark_seen(home: Connection, token_hash: bytes) -> None:
    home.execute("UPDATE home.session SET seen_at = pg_catalog.now() WHERE token_hash = %s", (token_hash,))


def renew_session(home: Connection, token_hash: bytes, new: bytes, *, asked_at: datetime | None = None) -> bool:
    """Its owner proved again who they are: it goes on under another token. False where it ended meanwhile.

    asked_at: when an issuer asked for the proof; None: now.
    """
    renewed = home.execute(
        "UPDATE home.session SET token_hash = %s, proved_at = least(%s, pg_catalog.now())"
        " WHERE token_hash = %s AND ended_at IS NULL",
        (new, asked_at, token_hash),
    )
    return renewed.rowcount == 1


def is_open(home: Connection, token_hash: bytes) -> bool:
    """Whether nobody ended this session; whoever does it now waits until the transaction ends."""
    open_one = "SELECT FROM home.session WHERE token_hash = %s AND ended_at IS NULL FOR SHARE"
    return home.execute(open_one, (token_hash,)).fetchone() is not None


def end_session(home: Connection, token_hash: bytes) -> str | None:
    """Whose it was; None where it is unknown, or over already."""
    row = home.execute(
        "UPDATE home.session AS s SET ended_at = pg_catalog.now() FROM home.account AS a"
        " WHERE s.token_hash = %s AND s.ended_at IS NULL AND a.id = s.account_id RETURNING a.email",
        (token_hash,),
    ).fetchone()
    return row[0] if row else None


def end_sessions(home: Connection, account_id: str, *, but: bytes = b"", only: bytes | None = None) -> int:
    """How many were open. `but`: this one goes on. `only`: no other than this one."""
    return home.execute(
        "UPDATE home.session SET ended_at = pg_catalog.now() WHERE account_id = %s AND ended_at IS NULL"
        " AND token_hash <> %s AND (%s::bytea IS NULL OR token_hash = %s)",
        (account_id, but, only, only),
    ).rowcount


def add_link(home: Connection, account_id: str, token_hash: bytes, purpose: str, seconds: float) -> None:
    home.execute(
        "INSERT INTO home.link (token_hash, account_id, purpose, expires_at)"
        " VALUES (%s, %s, %s, pg_catalog.now() + pg_catalog.make_interval(secs => %s))",
        (token_hash, account_id, purpose, seconds),
    )
    home.execute("DELETE FROM home.link WHERE expires_at < pg_catalog.now() - %s::interval", (FORGET,))


def spoil_links(home: Connection, account_id: str) -> None:
    """No link made before works any longer."""
    home.execute(
        "UPDATE home.link SET used_at = pg_catalog.now() WHERE account_id = %s AND used_at IS NULL", (account_id,)
    )


def link_purpose(home: Connection, token_hash: bytes) -> str | None:
    row = home.execute("SELECT purpose FROM home.link WHERE token_hash = %s", (token_hash,)).fetchone()
    return row[0] if row else None


def use_link(home: Connection, token_hash: bytes, *, of: str | None = None) -> tuple[str, str] | None:
    """The account's id and address, once; None where the link is unknown, used or too old, or opens no account now.

    No link opens one that is disabled, or that an issuer signs in for. `of`: only a link of this account is used.
    """
    row = home.execute(
        """
        UPDATE home.link AS l SET used_at = pg_catalog.now() FROM home.account AS a
         WHERE l.token_hash = %s AND l.used_at IS NULL AND l.expires_at > pg_catalog.now()
           AND a.id = l.account_id AND a.disabled_at IS NULL AND (%s::uuid IS NULL OR a.id = %s)
           AND NOT EXISTS (SELECT FROM home.identity AS i WHERE i.account_id = a.id)
        RETURNING a.id::text, a.email
        """,
        (token_hash, of, of),
    ).fetchone()
    return (row[0], row[1]) if row else None


# --- failed tries ---

WINDOW = 300  # seconds in which failed tries count
TRIES = 5  # from one place at one account
TRIES_EVERYWHERE = 30  # at one account, from anywhere


def wait(home: Connection, who: bytes, address: str) -> float:
    """Seconds until another try may be made; 0: now."""
    row = home.execute(
        """
        WITH failed AS (
            SELECT at, row_number() OVER (ORDER BY at DESC) AS place,
                   address = %(address)s AS here, count(*) FILTER (WHERE address = %(address)s)
                       OVER (ORDER BY at DESC ROWS UNBOUNDED PRECEDING) AS place_here
              FROM home.sign_in_failure
             WHERE who = %(who)s AND at > pg_catalog.now() - pg_catalog.make_interval(secs => %(window)s)
        )
        SELECT coalesce(max(extract(epoch FROM at - pg_catalog.now()))::float8 + %(window)s, 0) FROM failed
         WHERE (here AND place_here = %(tries)s) OR place = %(everywhere)s
        """,
        {"who": who, "address": address, "window": WINDOW, "tries": TRIES, "everywhere": TRIES_EVERYWHERE},
    ).fetchone()
    return float(row[0]) if row else 0.0


def begin_try(home: Connection, who: bytes, address: str) -> bool:
    """Count a try as failed before it is made; False where there were too many. In a transaction.

    Counting first, one after the other, keeps many tries at once from getting more than their share.
    """
    home.execute("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))", (who.hex(),))
    if wait(home, who, address) > 0:
        return False
    home.execute("INSERT INTO home.sign_in_failure (who, address) VALUES (%s, %s)", (who, address))
    return True


def forget_failures(home: Connection, who: bytes, address: str) -> None:
    """After a try that went well; also what is too old to count for anybody."""
    home.execute(
        "DELETE FROM home.sign_in_failure WHERE (who = %s AND address = %s)"
        " OR at < pg_catalog.now() - interval '1 day'",
        (who, address),
    )
