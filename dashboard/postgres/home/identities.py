"""Identities of issuers and the accounts that they open, as rows."""

from dashboard.postgres.connect import Connection


def account_of(home: Connection, issuer: str, subject: str) -> tuple[str, str, bool] | None:
    """The id and address of the account that this person opens, and whether it is disabled; None: there is none."""
    row = home.execute(
        "SELECT a.id::text, a.email, a.disabled_at IS NOT NULL FROM home.identity AS i"
        " JOIN home.account AS a ON a.id = i.account_id WHERE i.issuer = %s AND i.subject = %s"
        " FOR SHARE",  # who disables or disconnects at this moment ends the session that follows
        (issuer, subject),
    ).fetchone()
    return (row[0], row[1], row[2]) if row else None


def connect(home: Connection, account_id: str, issuer: str, subject: str) -> bool:
    """False where the person opens another account, or the account is another person's."""
    made = home.execute(
        "INSERT INTO home.identity (issuer, subject, account_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (issuer, subject, account_id),
    )
    return made.rowcount == 1


def disconnect(home: Connection, account_id: str) -> bool:
    """False where nobody's identity opened it."""
    return home.execute("DELETE FROM home.identity WHERE account_id = %s", (account_id,)).rowcount == 1


def issuer_of(home: Connection, account_id: str) -> str | None:
    """Who signs in for this account; None: no issuer."""
    row = home.execute("SELECT issuer FROM home.identity WHERE account_id = %s", (account_id,)).fetchone()
    return row[0] if row else None
