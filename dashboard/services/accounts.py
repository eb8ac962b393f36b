"""Accounts: who may come in, and how: passwords, one-time links, sessions, roles."""

import hashlib
import hmac
import secrets
import threading
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from dashboard.core.access import EVERYWHERE, LinkPurpose, OpenSession, Role, Visitor, WayIn
from dashboard.core.audit import NOBODY, UNKNOWN, Deed, Report, Source
from dashboard.core.environment import Secret
from dashboard.core.errors import BadAccount, ByIssuer, NotFound
from dashboard.core.password import LONGEST, weakness
from dashboard.postgres.home import accounts as rows
from dashboard.postgres.home import audit, identities
from dashboard.postgres.home.pool import Home

if TYPE_CHECKING:
    from argon2 import PasswordHasher

    from dashboard.postgres.connect import Connection

NOT_PROVED = "The present password is not right, or the sign-in is too old. Nothing was changed."
_LONGEST_EMAIL = 254
_TOKEN_BYTES = 32
_BEGINNING = hashlib.sha256(b"\0bootstrap").digest()  # no address has a NUL, so nobody shares its tries
_HASHING = threading.Semaphore(2)  # each takes 46 MiB and a core


class Accounts:
    """Everything about people. Tokens are 256 random bits, URL-safe, and only their hashes are kept.

    What changes something goes to the audit in the same transaction. `by`: who does it.
    `issuer`: who signs people in elsewhere now.
    """

    def __init__(self, home: Home, issuer: str | None = None) -> None:
        self._home, self._issuer = home, issuer

    # --- people ---

    def add(self, email: str, password: str | None, role: Role, *, by: Source = UNKNOWN) -> None:
        """Make an account with one role for all environments. Without a password only one-time links open it.

        Raises BadAccount: the address is none, or taken; the password is too weak.
        """
        address = _normal(email)
        if not looks_like_email(address):
            raise BadAccount(f"{email!r} is not an e-mail address")  # noqa: TRY003  # one of several reasons
        hashed = None if password is None else _hash(password, address)
        with self._home.transaction() as connection:
            account_id = rows.add(connection, address, hashed)
            if account_id is None:
                raise BadAccount(f"{address} has one already")  # noqa: TRY003  # one of several reasons
            rows.set_role(connection, account_id, EVERYWHERE, role)
            audit.append(connection, Report(Deed.ACCOUNT_ADDED, by, subject=address, detail=f"as {role}"))

    # --- the first one ---

    def is_empty(self) -> bool:
        """Whether nobody has an account yet."""
        with self._home.connection() as connection:
            return rows.is_empty(connection)

    def may_begin(self, given: str, secret: Secret, *, address: str = "") -> bool:
        """Whether this is the bootstrap secret; a wrong one counts as a failed try, and is in the audit."""
        with self._home.transaction() as connection:
            allowed = rows.begin_try(connection, _BEGINNING, address)
            if allowed and hmac.compare_digest(hash_token(given), hash_token(secret.reveal())):
                rows.forget_failures(connection, _BEGINNING, address)
                return True
            why = Report(
                Deed.ACCOUNT_ADDED, Source(address=address), outcome="refused", detail="wrong bootstrap secret"
            )
            audit.append(connection, why)
        return False

    def wait_to_begin(self, *, address: str = "") -> float:
        """As `wait`, for the bootstrap secret."""
        with self._home.connection() as connection:
            return rows.wait(connection, _BEGINNING, address)

    def add_first(self, email: str, password: str, *, address: str = "") -> None:
        """Make the first account, an admin's. Raises BadAccount; NotFound where somebody else was first."""
        mail = _normal(email)
        if not looks_like_email(mail):
            raise BadAccount(f"{email!r} is not an e-mail address")  # noqa: TRY003  # one of several reasons
        hashed = _hash(password, mail)
        with self._home.transaction() as connection:
            rows.stay_empty(connection)
            account_id = rows.add(connection, mail, hashed) if rows.is_empty(connection) else None
            if account_id is None:
                raise NotFound("page", "first admin")
            rows.set_role(connection, account_id, EVERYWHERE, Role.ADMIN)
            detail = "as admin, the first, by the bootstrap secret"
            audit.append(connection, Report(Deed.ACCOUNT_ADDED, Source(address=address), subject=mail, detail=detail))

    def everybody(self) -> tuple[rows.Person, ...]:
        """All accounts, by address."""
        with self._home.connection() as connection:
            return rows.everybody(connection)

    def exists(self, email: str) -> bool:
        with self._home.connection() as connection:
            return rows.find(connection, _normal(email)) is not None

    def set_password(self, email: str, password: str, *, by: Source = UNKNOWN) -> None:
        """A new password; ends all sessions of the account. Raises NotFound, BadAccount, ByIssuer."""
        hashed = _hash(password, _normal(email))
        with self._home.transaction() as connection:
            account = _ours(connection, email)
            rows.set_password(connection, account.id, hashed)
            rows.end_sessions(connection, account.id)
            audit.append(connection, Report(Deed.PASSWORD_CHANGED, by, subject=_normal(email)))

    def set_role(self, email: str, role: Role | None, environment: str = EVERYWHERE, *, by: Source = UNKNOWN) -> None:
        """The account's role from the next request on; None takes it away. Raises NotFound."""
        with self._home.transaction() as connection:
            account = _found(rows.find(connection, _normal(email)), email)
            rows.set_role(connection, account.id, environment, role)
            detail = f"{role or 'no role'} on {'all' if environment == EVERYWHERE else environment}"
            audit.append(connection, Report(Deed.ROLE_CHANGED, by, subject=_normal(email), detail=detail))

    def take_password(self, email: str, *, by: Source = UNKNOWN) -> None:
        """From now on only a new one-time link opens the account; ends sessions and older links.

        Raises NotFound; ByIssuer where an issuer signs in for it.
        """
        with self._home.transaction() as connection:
            account = _ours(connection, email)
            rows.set_password(connection, account.id, None)
            rows.spoil_links(connection, account.id)
            rows.end_sessions(connection, account.id)  # last: it waits for whoever used a link at this moment
            detail = "taken away, for a reset"
            audit.append(connection, Report(Deed.PASSWORD_CHANGED, by, subject=_normal(email), detail=detail))

    def set_enabled(self, email: str, *, enabled: bool, by: Source = UNKNOWN) -> None:
        """Let an account in or not; not also ends its sessions and links at once. Raises NotFound."""
        deed = Deed.ACCOUNT_ENABLED if enabled else Deed.ACCOUNT_DISABLED
        with self._home.transaction() as connection:
            account_id = rows.set_enabled(connection, _normal(email), enabled=enabled)
            if account_id is None:
                raise NotFound("account", email)
            if not enabled:
                rows.spoil_links(connection, account_id)
                rows.end_sessions(connection, account_id)  # last: it waits for whoever used a link at this moment
            audit.append(connection, Report(deed, by, subject=_normal(email)))

    def disconnect(self, email: str, *, by: Source = UNKNOWN) -> bool:
        """Its issuer signs in for it no longer, and links open it again; ends sessions. False where none did.

        A disabled one as well: it may be enabled later.

        Raises NotFound.
        """
        with self._home.transaction() as connection:
            account_id = rows.id_of(connection, _normal(email))
            if account_id is None:
                raise NotFound("account", email)
            if not identities.disconnect(connection, account_id):
                return False
            rows.set_password(connection, account_id, None)  # one that was being set while the account was connected
            rows.end_sessions(connection, account_id)
            audit.append(connection, Report(Deed.DISCONNECTED, by, subject=_normal(email)))
        return True

    # --- coming in ---

    def sign_in(self, email: str, password: str, *, address: str = "", agent: str = "") -> str | None:
        """A new session's token; None for every reason alike.

        `address`: where the try came from, for the throttle; `agent`: what the browser calls itself.
        """
        who = _who(email)
        with self._home.transaction() as connection:
            allowed = rows.begin_try(connection, who, address)
            account = rows.find(connection, _normal(email))
        fits = allowed and _fits(password, account.password_hash if account else None)
        source = Source(_normal(email) if account else NOBODY, address)  # an unknown one may be a mistyped password
        if not fits or account is None:
            with self._home.transaction() as connection:
                audit.append(connection, Report(Deed.SIGN_IN_REFUSED, source, outcome="refused"))
            return None
        renewed = _renewed(password, account.password_hash)
        with self._home.transaction() as connection:
            if not rows.find_still(connection, _normal(email), account):  # a reset ends the sign-ins on their way, too
                audit.append(connection, Report(Deed.SIGN_IN_REFUSED, source, outcome="refused"))
                return None
            rows.forget_failures(connection, who, address)
            if renewed is not None:
                rows.set_password(connection, account.id, renewed)
            token = new_token()
            rows.open_session(connection, account.id, hash_token(token), address, agent)
            audit.append(connection, Report(Deed.SIGN_IN, source))
        return token

    def wait(self, email: str, *, address: str = "") -> float:
        """Seconds until a password may be tried again from there; 0 unless too many were wrong lately."""
        with self._home.connection() as connection:
            return rows.wait(connection, _who(email), address)

    def make_link(
        self,
        email: str,
        purpose: LinkPurpose = LinkPurpose.SIGN_IN,
        minutes: float = 15,
        *,
        by: Source = UNKNOWN,
    ) -> str:
        """A token that `redeem` takes once. Raises NotFound; ByIssuer where an issuer signs in for the account."""
        token = new_token()
        with self._home.transaction() as connection:
            account = _ours(connection, email)
            rows.add_link(connection, account.id, hash_token(token), purpose.value, minutes * 60)
            detail = f"good for {minutes:g} minutes"
            audit.append(connection, Report(Deed.LINK_MADE, by, subject=_normal(email), detail=detail))
        return token

    def purpose_of(self, token: str) -> LinkPurpose | None:
        """What a one-time link is for, whether it still works or not; None where there is none."""
        with self._home.connection() as connection:
            found = rows.link_purpose(connection, hash_token(token))
        return LinkPurpose(found) if found else None

    def redeem(self, token: str, *, address: str = "", agent: str = "") -> str | None:
        """A new session's token for a one-time link's; None when it is unknown, used or too old."""
        with self._home.transaction() as connection:
            account = rows.use_link(connection, hash_token(token))
            if account is None:
                audit.append(connection, Report(Deed.LINK_REFUSED, Source(address=address), outcome="refused"))
                return None
            account_id, email = account
            session_token = new_token()
            rows.open_session(connection, account_id, hash_token(session_token), address, agent)
            audit.append(connection, Report(Deed.LINK_REDEEMED, Source(email, address)))
        return session_token

    # --- being in ---

    def visitor(self, session_token: str, *, active: bool = True) -> Visitor | None:
        """Who this session is; None when it ended. `active=False`: a page asked by itself, and keeps nobody in."""
        if not session_token:
            return None
        token_hash = hash_token(session_token)
        with self._home.connection() as connection:
            session = rows.session(connection, token_hash)
            if session is None:
                return None
            if active and session.quiet:
                rows.mark_seen(connection, token_hash)
        return Visitor(
            email=session.email,
            roles={environment: Role(role) for environment, role in session.roles.items()},
            csrf=hashlib.sha256(b"csrf " + session_token.encode()).hexdigest(),  # known to who has the token, and to us
            session=token_hash.hex(),
            proved_at=session.proved_at,
            now=session.now,
        )

    def sign_out(self, session_token: str, *, address: str = "") -> None:
        """End this session now; a second time does nothing."""
        with self._home.transaction() as connection:
            email = rows.end_session(connection, hash_token(session_token))
            if email is not None:
                audit.append(connection, Report(Deed.SIGN_OUT, Source(email, address)))

    def sessions(self, email: str) -> tuple[OpenSession, ...]:
        """The open sessions of an account, the one seen last first. Raises NotFound."""
        with self._home.connection() as connection:
            return rows.sessions(connection, _found(rows.find(connection, _normal(email)), email).id)

    def sign_out_everywhere(self, email: str, *, only: str | None = None, by: Source = UNKNOWN) -> int:
        """End all sessions of an account, or the `only` one of that name; how many there were. Raises NotFound."""
        with self._home.transaction() as connection:
            account = _found(rows.find(connection, _normal(email)), email)
            ended = rows.end_sessions(connection, account.id, only=None if only is None else _session_named(only))
            audit.append(connection, Report(Deed.SESSIONS_ENDED, by, subject=_normal(email), detail=f"{ended} of them"))
        return ended

    def prove(self, visitor: Visitor, proof: str, environment: str, *, address: str = "") -> str | None:
        """Who this is, once more: the token under which the session goes on; None where it is no proof.

        `proof`: the password; or a new one-time link (or its token), where the account has no password.
        """
        source = Source(visitor.email, address)
        with self._home.transaction() as connection:
            account = _found(rows.find(connection, visitor.email), visitor.email)
            allowed = rows.begin_try(connection, _who(visitor.email), address)
        fits = allowed and (account.password_hash is None or _fits(proof, account.password_hash))
        with self._home.transaction() as connection:
            if fits and account.password_hash is None:
                link = hash_token(proof.strip().rpartition("/")[2])
                fits = rows.use_link(connection, link, of=account.id) is not None
            token = new_token()
            if fits and rows.renew_session(connection, bytes.fromhex(visitor.session), hash_token(token)):
                rows.forget_failures(connection, _who(visitor.email), address)
                audit.append(connection, Report(Deed.PROVED, source, environment))
                return token
            audit.append(connection, Report(Deed.PROVED, source, environment, outcome="refused"))
        return None

    def way_in(self, email: str) -> WayIn:
        """How the account is opened. Raises NotFound."""
        with self._home.connection() as connection:
            return self._way_in(connection, _found(rows.find(connection, _normal(email)), email))

    def _way_in(self, connection: "Connection", account: rows.Found) -> WayIn:
        issuer = identities.issuer_of(connection, account.id)
        if issuer is not None:
            return WayIn.ISSUER if issuer == self._issuer else WayIn.LOST
        return WayIn.LINK if account.password_hash is None else WayIn.PASSWORD

    # --- one's own account ---

    def own(self, visitor: Visitor) -> tuple[tuple[OpenSession, ...], WayIn]:
        """The open sessions of whoever is asking, and how the account is opened."""
        with self._home.connection() as connection:
            account = _found(rows.find(connection, visitor.email), visitor.email)
            return rows.sessions(connection, account.id), self._way_in(connection, account)

    def end_own(self, visitor: Visitor, name: str | None, *, address: str = "") -> int:
        """End that session of one's own, or (None) all but this one; how many were open."""
        only = None if name is None else _session_named(name)
        with self._home.transaction() as connection:
            account = _found(rows.find(connection, visitor.email), visitor.email)
            but = bytes.fromhex(visitor.session) if name is None else b""
            ended = rows.end_sessions(connection, account.id, but=but, only=only)
            if ended:
                source = Source(visitor.email, address)
                detail = f"{ended} of them"
                audit.append(connection, Report(Deed.SESSIONS_ENDED, source, subject=visitor.email, detail=detail))
        return ended

    def change_password(self, visitor: Visitor, present: str, new: str, *, address: str = "") -> str | None:
        """Set one's own password and end all other sessions; or why not, as a sentence.

        Where there is no password yet, a sign-in of the last minutes stands for the present one.
        """
        why = weakness(new, visitor.email)
        if why is not None:
            return f"{why[0].upper()}{why[1:]}."
        account = self._proved(visitor, present, address)
        if account is None:
            return NOT_PROVED
        hashed = _hash(new, visitor.email)
        with self._home.transaction() as connection:
            is_same = rows.find_still(connection, visitor.email, account)
            if not is_same or not rows.is_open(connection, bytes.fromhex(visitor.session)):
                return NOT_PROVED
            rows.set_password(connection, account.id, hashed)
            rows.end_sessions(connection, account.id, but=bytes.fromhex(visitor.session))
            rows.forget_failures(connection, _who(visitor.email), address)
            audit.append(
                connection, Report(Deed.PASSWORD_CHANGED, Source(visitor.email, address), subject=visitor.email)
            )
        return None

    def _proved(self, visitor: Visitor, present: str, address: str) -> rows.Found | None:
        """The account, where its password may be changed now."""
        with self._home.transaction() as connection:
            account = _found(rows.find(connection, visitor.email), visitor.email)
            if account.password_hash is None:
                connected = identities.issuer_of(connection, account.id) is not None
                return account if visitor.is_fresh and not connected else None
            allowed = rows.begin_try(connection, _who(visitor.email), address)
        if allowed and _fits(present, account.password_hash):
            return account
        with self._home.transaction() as connection:
            source = Source(visitor.email, address)
            audit.append(connection, Report(Deed.PASSWORD_CHANGED, source, subject=visitor.email, outcome="refused"))
        return None


def _session_named(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b"none"


def _normal(email: str) -> str:
    return email.strip().lower().replace("\0", "")


def looks_like_email(address: str) -> bool:
    """Also: no letters that only look like others, or become them in lower case."""
    name, at, domain = address.rpartition("@")
    plain = address.isprintable() and " " not in address and unicodedata.is_normalized("NFKC", address)
    whole = bool(name and at and domain) and "@" not in name
    return whole and plain and domain.isascii() and len(address) <= _LONGEST_EMAIL


def _who(email: str) -> bytes:
    return hashlib.sha256(_normal(email).encode()).digest()


def _found(account: rows.Found | None, email: str) -> rows.Found:
    if account is None:
        raise NotFound("account", email)
    return account


def _ours(connection: "Connection", email: str) -> rows.Found:
    """An account that no issuer signs in for. Raises NotFound, ByIssuer."""
    rows.hold(connection, _normal(email))  # or it may be connected before this ends
    account = _found(rows.find(connection, _normal(email)), email)
    if identities.issuer_of(connection, account.id) is not None:
        raise ByIssuer(_normal(email))
    return account


def new_token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


# --- passwords ---


@cache
def _hasher() -> "PasswordHasher":
    """Parameters of OWASP's ASVS 5.0: argon2id, 46 MiB, one pass, one lane."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1)


@cache
def _nobodys_hash() -> str:
    """So that an address nobody has takes as long as one that somebody has."""
    return _hasher().hash(new_token())


def _hash(password: str, email: str) -> str:
    why = weakness(password, email)
    if why is not None:
        raise BadAccount(why)
    with _HASHING:
        return _hasher().hash(password)


def _fits(password: str, hashed: str | None) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    if len(password.encode(errors="replace")) > LONGEST:
        return False
    try:
        with _HASHING:
            _hasher().verify(hashed or _nobodys_hash(), password)
    except (Argon2Error, InvalidHashError, UnicodeError):
        return False
    return hashed is not None


def _renewed(password: str, hashed: str | None) -> str | None:
    """A hash with today's parameters, where the kept one has others."""
    if hashed is None or not _hasher().check_needs_rehash(hashed):
        return None
    with _HASHING:
        return _hasher().hash(password)
