"""The frame around a file: limits before it, our own role and path after it, and the check that both hold."""

import re
from collections.abc import Mapping

from dashboard.postgres.flight import Broken, Leg, Message, Part
from dashboard.postgres.ledger import Ledger
from dashboard.postgres.lock import Held

LOCK_TIMEOUT = "3s"  # a statement that waits longer makes everybody behind it wait too

_LIMITS = {
    "lock_timeout": LOCK_TIMEOUT,
    "idle_in_transaction_session_timeout": "60s",
}
_LIMITS_SINCE_14 = _LIMITS | {"idle_session_timeout": "0"}

# By these the server notices within fifteen seconds that we are gone, by the last one within one where our machine can
# still say so. Some providers let nobody set them.
_NOTICE_US_GONE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
}
_NOTICE_US_GONE_SINCE_14 = _NOTICE_US_GONE | {"client_connection_check_interval": "1s"}
_CHECKS_SINCE = 140000  # the server has client_connection_check_interval
_LIMITS_NAME = "limits"
_REFUSALS = ("22023", "42501", "42704", "55P02", "0A000")  # a value, a right, a name, a moment, a machine without it
BLIND = (
    "a server before PostgreSQL 14 does not notice that a runner is gone while a statement runs: what a killed runner "
    "leaves behind keeps its locks until its statement ends"
)
PLAIN = (
    "this server does not let us set how soon it notices a runner that is gone ({said}); the run goes on, and what a "
    "killed runner leaves behind may keep its locks until its statement ends"
)

# Everything a file may have changed that our own rows depend on.
_OWN = {
    "search_path": "pg_catalog, pg_temp",  # what is temporary would come first if it were not named
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "statement_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
    "plan_cache_mode": "force_generic_plan",  # what we prepared would be planned anew for each of the first files
}

GONE = "rung: the row is gone, in the transaction of"
LOST_LOCK = "rung: the lock is gone"


# What DISCARD ALL does, but for what the session has prepared: our own statements are among it.
_CLEAN = (
    "CLOSE ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ROLE",
    "RESET ALL",
    "UNLISTEN *",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "DISCARD SEQUENCES",
    "DISCARD TEMP",
)


def clean() -> tuple[Leg, ...]:
    """Away with what the file before left in the session.

    A transaction without a sync behind it: what fails here, or is cancelled, keeps the next file from running.
    """
    return tuple(
        Message(statement, Part.RESET, name=f"clean_{place}")
        for place, statement in enumerate(("BEGIN", *_CLEAN, "COMMIT"))
    )


# A role called like our own schema would find that schema first on the usual path, `"$user", public`, and what its
# files make would land there, unseen by everybody else.
_NOT_IN_OURS = """CASE WHEN session_user OPERATOR(pg_catalog.=) 'rung' THEN pg_catalog.set_config('search_path',
pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '"\\$user"[, ]*', ''), {local}) END"""


def limits(server_version: int, *, local: bool, plain: bool = False) -> Message:
    """What bounds a file's waiting, unless the file says otherwise. local: until the end of the transaction.

    plain: without what a server may refuse to be told, see `Session.refused`.
    """
    since_14 = not is_blind(server_version)
    known = _LIMITS_SINCE_14 if since_14 else _LIMITS
    if not plain:
        known = known | (_NOTICE_US_GONE_SINCE_14 if since_14 else _NOTICE_US_GONE)
    name = f"{_LIMITS_NAME}_{local}_{plain}"
    return _settings(name, known, local=local, also=(_NOT_IN_OURS.format(local=str(local).lower()),))


def is_blind(server_version: int) -> bool:
    """Whether the server cannot look whether we are there while a statement runs."""
    return server_version < _CHECKS_SINCE


def is_refusal(broken: Broken) -> bool:
    """Whether the server does not let us set what is in `limits`."""
    return broken.sqlstate in _REFUSALS and (broken.message.name or "").startswith(_LIMITS_NAME)


def own_state() -> tuple[Message, ...]:
    """Our own role and settings until the end of the transaction, whatever the file has made of them."""
    return (
        Message("SET LOCAL SESSION AUTHORIZATION DEFAULT", Part.GUARD),
        Message("SET LOCAL role TO DEFAULT", Part.GUARD),
        _settings("own", _OWN, local=True),
    )


def _settings(name: str, wanted: Mapping[str, str], *, local: bool, also: tuple[str, ...] = ()) -> Message:
    calls = (f"pg_catalog.set_config('{key}', '{value}', {str(local).lower()})" for key, value in wanted.items())
    return Message(f"SELECT {', '.join((*calls, *also))}", Part.GUARD, name=name)


def check(held: Held, ledger: Ledger | None = None, filename: str = "") -> Message:
    """An error unless the lock is still ours and, with a ledger, this transaction is the one that wrote the row.

    For the work connection only, see `Held.taken`. It has to be an error: everything up to COMMIT is on its way
    already, and only an error stops it.
    """
    lost = f"WHEN NOT ({held.taken()}) THEN concat('{LOST_LOCK} ', txid_current())::integer"
    if ledger is None:
        return Message(f"SELECT CASE {lost} ELSE 0 END", Part.FRAME, name="lock")
    written, values = ledger.written_here(filename)
    ended = f"WHEN NOT {written} THEN concat('{GONE} ', date_part('epoch', now()))::integer"
    return Message(f"SELECT CASE {ended} {lost} ELSE 0 END", Part.FRAME, values, name="frame")


def same_transaction(error: str, began: str | None) -> bool:
    """Whether the transaction that missed its row is the one that began then. Both are epochs of the server's."""
    checked = re.search(rf"{GONE} ([0-9.e+]+)", error)
    return checked is not None and began is not None and abs(float(checked[1]) - float(began)) < 1e-5  # noqa: PLR2004  # how exactly floats of today are printed
