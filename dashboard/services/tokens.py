"""Tokens: what programs show to use the API. Shown once, kept as hashes, good for a while."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.core.access import EVERYWHERE, Bearer, read_scope
from dashboard.core.errors import BadToken, NotFound, UnknownEnvironment
from dashboard.postgres.home import tokens as rows
from dashboard.postgres.home.pool import Home

PREFIX = "rung"
DAYS, MOST_DAYS = 90, 365
LONGEST_NAME = 80
_ID_BYTES, _SECRET_BYTES = 5, 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the only moment at which its text is known."""

    id: str
    token: str = field(repr=False)
    expires_at: datetime


class Tokens:
    """`rung_<id>_<256 random bits>`: the id names it, the hash of the whole finds it."""

    def __init__(self, home: Home, environments: Collection[str]) -> None:
        self._home, self._environments = home, environments

    def add(self, name: str, scopes: Sequence[str], made_by: str, days: int = DAYS) -> NewToken:
        """Raises BadToken, UnknownEnvironment."""
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise BadToken(f"its name needs 1 to {LONGEST_NAME} characters that can be shown")  # noqa: TRY003  # one of several reasons
        if not 1 <= days <= MOST_DAYS:
            raise BadToken(f"it stays good for 1 to {MOST_DAYS} days")  # noqa: TRY003  # one of several reasons
        texts = self._checked(scopes)
        token_id = secrets.token_hex(_ID_BYTES)
        token = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        with self._home.connection() as connection:
            ends = rows.add(connection, token_id, _hash(token), name.strip(), texts, made_by, days)
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

    def revoke(self, token_id: str) -> None:
        """It opens nothing from the next request on. Raises NotFound."""
        with self._home.connection() as connection:
            if not rows.revoke(connection, token_id.replace("\0", "")):
                raise NotFound("token", token_id)

    def bearer(self, token: str) -> Bearer | None:
        """Whoever comes with this; None where it is unknown, expired or revoked."""
        if not token.startswith(f"{PREFIX}_"):
            return None
        with self._home.connection() as connection:
            found = rows.find(connection, _hash(token))
            if found is None:
                return None
            if found.quiet:
                rows.mark_used(connection, found.id)
        scopes = (read_scope(text) for text in found.scopes)
        return Bearer(found.name, found.id, tuple(scope for scope in scopes if scope), found.now)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
