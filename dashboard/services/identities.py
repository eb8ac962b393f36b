"""Identities: accounts that an issuer signs in for, made by themselves or connected by their owners."""

from typing import NoReturn

from dashboard.core.access import Visitor
from dashboard.core.audit import Deed, Report, Source
from dashboard.core.errors import NotLetIn
from dashboard.core.oidc import Identity, Issuer, Trip, is_proof, why_no_account
from dashboard.postgres.connect import Connection
from dashboard.postgres.home import accounts as rows
from dashboard.postgres.home import audit, identities
from dashboard.postgres.home.pool import Home
from dashboard.services.accounts import hash_token, looks_like_email, new_token


class Identities:
    """What an issuer's word about a person opens. Every method raises NotLetIn, and then nothing was changed."""

    def __init__(self, home: Home, issuer: Issuer) -> None:
        self._home, self._issuer = home, issuer

    def sign_in(self, identity: Identity, *, address: str = "", agent: str = "") -> str:
        """A new session's token. Whoever comes for the first time gets an account without a role."""
        token = new_token()
        with self._home.transaction() as connection:
            account_id, email = self._account(connection, identity, address)
            asked_at = identity.authenticated_at
            rows.open_session_by_issuer(connection, account_id, hash_token(token), address, agent, asked_at)
            detail = f"by {self._issuer.label}"
            audit.append(connection, Report(Deed.SIGN_IN, Source(email, address), detail=detail))
        return token

    def connect(self, visitor: Visitor, identity: Identity, *, address: str = "") -> None:
        """From now on this person opens the visitor's account, and nothing else does; ends all its other sessions."""
        if not visitor.is_fresh:
            self._refuse("the sign-in with which it was asked for is too old")
        with self._home.transaction() as connection:
            account = rows.find(connection, visitor.email)
            if account is None or not identities.connect(connection, account.id, identity.issuer, identity.subject):
                self._refuse("it opens another account here already, or this one has a sign-in of its own")
            rows.set_password(connection, account.id, None)
            rows.spoil_links(connection, account.id)
            session = bytes.fromhex(visitor.session)
            if not rows.is_open(connection, session):  # a reset in these seconds would be undone for good
                self._refuse("the session has ended")
            rows.end_sessions(connection, account.id, but=session)
            audit.append(connection, self._connected(Source(visitor.email, address), visitor.email, identity))

    def prove(self, visitor: Visitor, identity: Identity, trip: Trip, *, address: str = "") -> str:
        """Who this is, once more: the token under which the session goes on."""
        if not is_proof(identity, trip):
            self._refuse("it did not ask you again, or does not say when it did")
        token = new_token()
        with self._home.transaction() as connection:
            found = identities.account_of(connection, identity.issuer, identity.subject)
            if found is None or found[1] != visitor.email:
                self._refuse("it knows you as somebody else than this session's")
            renewed = rows.renew_session(
                connection, bytes.fromhex(visitor.session), hash_token(token), asked_at=identity.authenticated_at
            )
            if not renewed:
                self._refuse("the session has ended")
            source = Source(visitor.email, address)
            audit.append(connection, Report(Deed.PROVED, source, trip.environment, detail=self._issuer.label))
        return token

    def _account(self, connection: Connection, identity: Identity, address: str) -> tuple[str, str]:
        """Its id and address; made now, where this person has none."""
        found = identities.account_of(connection, identity.issuer, identity.subject)
        if found is None:
            made = self._made(connection, identity, address)
            if made is not None:
                return made
            found = identities.account_of(connection, identity.issuer, identity.subject)
        if found is None:
            self._refuse(_taken(connection, identity.email))
        if found[2]:
            self._refuse("the account is disabled")
        return found[0], found[1]

    def _made(self, connection: Connection, identity: Identity, address: str) -> tuple[str, str] | None:
        """An account with no role at all; None where there is one of that address.

        An address is only a name: whoever has it already is somebody else, or the same person in another tab.
        """
        why = why_no_account(self._issuer, identity)
        if why is None and not looks_like_email(identity.email):
            why = f"what {self._issuer.label} says is no e-mail address"
        if why is None and rows.is_empty(connection):
            why = "the first account is an admin's, and made another way"
        if why is not None:
            self._refuse(why)
        account_id = rows.add(connection, identity.email, None)
        if account_id is None:
            return None
        if not identities.connect(connection, account_id, identity.issuer, identity.subject):
            self._refuse("the account was made at this moment; try again")
        source = Source(identity.email, address)
        detail = f"with no role, by {self._issuer.label}"
        audit.append(connection, Report(Deed.ACCOUNT_ADDED, source, subject=identity.email, detail=detail))
        audit.append(connection, self._connected(source, identity.email, identity))
        return account_id, identity.email

    def _connected(self, source: Source, email: str, identity: Identity) -> Report:
        return Report(Deed.CONNECTED, source, subject=email, detail=f"{identity.subject} of {identity.issuer}")

    def _refuse(self, reason: str) -> NoReturn:
        raise NotLetIn(self._issuer.label, reason)


def _taken(connection: Connection, email: str) -> str:
    """Why the account of this address is not opened, and what its owner can do."""
    account = rows.find(connection, email)
    if account is None or identities.issuer_of(connection, account.id) is None:
        return f"an account for {email} is there already. Sign in to it, then connect it under Account"
    return (
        f"the account for {email} comes in by another issuer, or as somebody else at this one. Whoever runs Rung"
        f" lets links open it again with `rung user disconnect {email}`; after that, connect it under Account"
    )
