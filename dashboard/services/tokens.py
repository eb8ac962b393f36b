"""Tokens: what programs show to use the API. Shown once, kept as hashes, good for a while."""

import hashlib
import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.core.access import EVERYWHERE, Bearer, read_scope
from dashboard.core.audit import UNKNOWN, Deed, Report, Source
from dashboard.core.errors import BadToken, NotFound, RungError, UnknownEnvironment
from dashboard.postgres.home import audit
from dashboard.postgres.home import tokens as rows
from dashboard.postgres.home.pool import Home

PREFIX = "rung"
DAYS, MOST_DAYS = 90, 365
LONGEST_NAME = 80
_ID_BYTES, _SECRET_BYTES = 5, 32
_log = logging.getLogger("rung.tokens")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the only moment at which its text is known."""

    id: str
    token: str = field(repr=False)
    expires_at: datetime


class Tokens:
    """`rung_<id>_<256 random bits>`: the id names it, the hash of the whole finds it.

    Making and revoking go to the audit in the same transaction; of what a token reads, the first time in each hour.
    """

    def __init__(self, home: Home, environments: Collection[str]) -> None:
        self._home, self._environments = home, environments

    def add(self, name: str, scopes: Sequence[str], made_by: str, days: int = DAYS, *, address: str = "") -> NewToken:
        """`address`: of whoever makes it. Raises BadToken, UnknownEnvironment."""
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise BadToken(f"its name needs 1 to {LONGEST_NAME} characters that can be shown")  # noqa: TRY003  # one of several reasons
        if not 1 <= days <= MOST_DAYS:
            raise BadToken(f"it stays good for 1 to {MOST_DAYS} days")  # noqa: TRY003  # one of several reasons
        texts = self._checked(scopes)
        token_id = secrets.token_hex(_ID_BYTES)
        token = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        detail = f"{name.strip()}, {' '.join(texts)}, for {days} days"
        with self._home.transaction() as connection:
            ends = rows.add(connection, token_id, _hash(token), name.strip(), texts, made_by, days)
            source = Source(made_by, address)
            audit.append(connection, Report(Deed.TOKEN_MADE, source, subject=token_id, detail=detail))
        return NewToken(token_id, token, ends)

    def _checked(self, scopes: Sequence[str]) -> list[str]:
        """As they are kept: each once, in the order given."""
        if not scopes:
            raise BadToken("it has no scope")  # noqa: TRY003  # one of several reasons
        for text in scopes:
            scope = read_scope(text)
            if scope is None:
                raise BadToken(f"{text!r} is no scope")  # noqa: TRY003  # one of several reasons
            if scope.environment not in (EVERYWHERE, *self._environments):
                raise UnknownEnvironment(scope.environment, ", ".join(self._environments))
        return list(dict.fromkeys(scopes))

    def everything(self) -> tuple[rows.Token, ...]:
        """All that were ever made; no secret."""
        with self._home.connection() as connection:
            return rows.everything(connection)

    def revoke(self, token_id: str, *, by: Source = UNKNOWN) -> None:
        """It opens nothing from the next request on. Raises NotFound."""
        storable = token_id.replace("\0", "")
        with self._home.transaction() as connection:
            if rows.revoke(connection, storable):
                audit.append(connection, Report(Deed.TOKEN_REVOKED, by, subject=storable))
            elif not rows.exists(connection, storable):
                raise NotFound("token", token_id)

    def bearer(self, token: str, *, address: str = "") -> Bearer | None:
        """Whoever comes with this, from `address`; None where it is unknown, expired or revoked."""
        if not token.startswith(f"{PREFIX}_"):
            return None
        with self._home.connection() as connection:
            found = rows.find(connection, _hash(token))
        if found is None:
            return None
        scopes = (read_scope(text) for text in found.scopes)
        bearer = Bearer(found.name, found.id, tuple(scope for scope in scopes if scope), found.now)
        if found.quiet:
            self._remember(found, Source(bearer.who, address))
        return bearer

    def _remember(self, found: rows.Good, source: Source) -> None:
        """Reading goes on where home takes no rows; whatever changes something is refused there by itself."""
        try:
            with self._home.transaction() as connection:
                if rows.mark_used(connection, found.id) and found.new_hour:
                    audit.append(connection, Report(Deed.TOKEN_USED, source, subject=found.id))
        except RungError as fault:
            _log.warning("the use of a token could not be remembered", extra={"token": found.id, "reason": str(fault)})


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
