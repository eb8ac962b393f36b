"""OpenID Connect: the issuer that is believed, one way there and back, and whom its word lets in. Decisions only."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dashboard.core.environment import Secret

USUAL_LABEL = "single sign-on"
SKEW = timedelta(minutes=2)  # by which two machines' clocks may differ


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs people in elsewhere.

    Attributes
    ----------
    url: its address, as its tokens name it.
    client_secret: None for a public client, or where its variable is not set.
    label: what people call it, on the button.
    domains: of e-mail addresses that get an account by themselves; empty: all.
    trust_emails: its addresses are true even where it does not say that it verified them.
    lacks: the variable that is named and not set; None: it can be used.

    """

    url: str
    client_id: str
    client_secret: Secret | None = field(default=None, repr=False)
    label: str = USUAL_LABEL
    domains: tuple[str, ...] = ()
    trust_emails: bool = False
    lacks: str | None = None


class Purpose(StrEnum):
    """Why somebody is sent to the issuer."""

    SIGN_IN = "sign in"
    CONNECT = "connect"  # an account that came in another way until now
    PROVE = "prove"  # who is asking, once more


@dataclass(frozen=True, slots=True)
class Trip:
    """One way to the issuer and back; only the browser that set out has it.

    Attributes
    ----------
    state, nonce, verifier: random; what comes back must name the first two, and the code opens with the third.
    session: hex, of the session that set out; empty when signing in.
    left_at: seconds since 1970.
    way_on: address of ours to go to afterwards.
    environment, fields: where something is asked for, and the form that waits for the proof.

    """

    purpose: Purpose
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    left_at: float
    session: str = ""
    way_on: str = ""
    environment: str = ""
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the issuer knows them: `issuer` and `subject` name them for good, the address may change.

    Attributes
    ----------
    verified: whether the issuer says that the address is theirs; None: it says nothing of it.
    authenticated_at: when they last showed the issuer who they are; None: it does not say.

    """

    issuer: str
    subject: str
    email: str = ""
    verified: bool | None = None
    authenticated_at: datetime | None = None


def why_no_account(issuer: Issuer, identity: Identity) -> str | None:
    """Why this person gets no account by themselves; None: they do."""
    if not identity.email:
        return f"{issuer.label} does not say your e-mail address"
    if identity.verified is False or (identity.verified is None and not issuer.trust_emails):
        return f"{issuer.label} does not say that your e-mail address was verified"
    domain = identity.email.rpartition("@")[2].lower()
    if issuer.domains and domain not in issuer.domains:
        return f"addresses of {domain} are not let in here"
    return None


def is_proof(identity: Identity, trip: Trip) -> bool:
    """Whether the issuer asked the person again since they set out."""
    shown = identity.authenticated_at
    return shown is not None and shown.timestamp() >= trip.left_at - SKEW.total_seconds()
