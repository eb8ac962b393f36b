"""The audit of the service itself: who came in, who let whom in, who asked for what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NOBODY = "nobody"


class Deed(StrEnum):
    """What somebody did."""

    SIGN_IN = "sign-in"
    SIGN_IN_REFUSED = "sign-in refused"
    SIGN_OUT = "sign-out"
    PROVED = "identity proved"
    LINK_MADE = "link made"
    LINK_REDEEMED = "link redeemed"
    LINK_REFUSED = "link refused"
    ACCOUNT_ADDED = "account added"
    ACCOUNT_DISABLED = "account disabled"
    ACCOUNT_ENABLED = "account enabled"
    ROLE_CHANGED = "role changed"
    PASSWORD_CHANGED = "password changed"  # noqa: S105  # the name of an act
    SESSIONS_ENDED = "sessions ended"
    TOKEN_MADE = "token made"  # noqa: S105  # the name of an act
    TOKEN_USED = "token used"  # noqa: S105  # the name of an act
    TOKEN_REVOKED = "token revoked"  # noqa: S105  # the name of an act
    RUN_ASKED_FOR = "run asked for"
    REHEARSAL_ASKED_FOR = "rehearsal asked for"
    STOP_ASKED_FOR = "stop asked for"
    REFUSED = "refused"
    RESOLVE_ASKED_FOR = "resolve asked for"


@dataclass(frozen=True, slots=True)
class Source:
    """Who acts, and from where. `address`: of the client; empty where it is this machine's command line."""

    who: str = NOBODY
    address: str = ""


UNKNOWN = Source()


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that happened, as it is to be remembered; never with a secret.

    Attributes
    ----------
    subject: what it was done to: an account, a run, a file.
    outcome: one word for how it ended.

    """

    deed: Deed
    source: Source
    environment: str = ""
    subject: str = ""
    outcome: str = "done"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the audit. `at`: by home's clock."""

    id: int
    at: datetime
    who: str
    address: str
    deed: str
    environment: str
    subject: str
    outcome: str
    detail: str
    own_hash: str
