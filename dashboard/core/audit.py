"""The audit of the service itself: who came in, who let whom in, who asked for what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dashboard.core.record import Happening
from dashboard.core.run import Outcome

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
    CONNECTED = "sign-in connected"
    DISCONNECTED = "sign-in disconnected"
    TOKEN_MADE = "token made"  # noqa: S105  # the name of an act
    TOKEN_USED = "token used"  # noqa: S105  # the name of an act
    TOKEN_REVOKED = "token revoked"  # noqa: S105  # the name of an act
    PLAN_SHOWN = "plan shown"
    RUN_ASKED_FOR = "run asked for"
    RUN_STARTED = "run started"
    RUN_TAKEN_UP = "run taken up again"
    FILE_RUN = "file run"
    RUN_ENDED = "run ended"
    REHEARSAL_ASKED_FOR = "rehearsal asked for"
    REHEARSAL_STOPPED = "rehearsal stopped"
    STOP_ASKED_FOR = "stop asked for"
    REFUSED = "refused"
    RESOLVE_ASKED_FOR = "resolve asked for"
    CONFIGURED = "configuration changed"
    WEBHOOK_GIVEN_UP = "webhook given up"
    EXPORTED = "exported"
    AUDIT_CHECKED = "audit checked"


DEEDS: dict[str, tuple[Deed, ...]] = {
    "sign-ins": (
        Deed.SIGN_IN,
        Deed.SIGN_IN_REFUSED,
        Deed.SIGN_OUT,
        Deed.PROVED,
        Deed.LINK_REDEEMED,
        Deed.LINK_REFUSED,
    ),
    "people": (
        Deed.ACCOUNT_ADDED,
        Deed.ACCOUNT_DISABLED,
        Deed.ACCOUNT_ENABLED,
        Deed.ROLE_CHANGED,
        Deed.PASSWORD_CHANGED,
        Deed.SESSIONS_ENDED,
        Deed.CONNECTED,
        Deed.DISCONNECTED,
        Deed.LINK_MADE,
    ),
    "tokens": (Deed.TOKEN_MADE, Deed.TOKEN_USED, Deed.TOKEN_REVOKED),
    "plans": (Deed.PLAN_SHOWN,),
    "runs": (
        Deed.RUN_ASKED_FOR,
        Deed.RUN_STARTED,
        Deed.RUN_TAKEN_UP,
        Deed.FILE_RUN,
        Deed.RUN_ENDED,
        Deed.STOP_ASKED_FOR,
        Deed.REHEARSAL_ASKED_FOR,
        Deed.REHEARSAL_STOPPED,
        Deed.RESOLVE_ASKED_FOR,
    ),
    "refusals": (Deed.REFUSED, Deed.SIGN_IN_REFUSED, Deed.LINK_REFUSED),
    "the service": (Deed.CONFIGURED, Deed.WEBHOOK_GIVEN_UP, Deed.EXPORTED, Deed.AUDIT_CHECKED),
}
DONE, REFUSED, ASKED, WHOLE, BROKEN = "done", "refused", "asked", "whole", "broken"
OUTCOMES = tuple(dict.fromkeys((DONE, ASKED, REFUSED, *map(str, Outcome), str(Happening.ADOPTED), WHOLE, BROKEN)))


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
    previous_hash: str
    own_hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows to show; None: all.

    Attributes
    ----------
    deed: a `Deed`, as stored. deeds: any of these; empty: all.
    who: any part of it, upper and lower case alike.
    since, until: what was done at `since` or later, and before `until`; aware.

    """

    environment: str | None = None
    who: str | None = None
    deed: str | None = None
    outcome: str | None = None
    deeds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Newest first. `older`: the cursor of the next page; None on the last one."""

    rows: tuple[AuditRow, ...]
    older: str | None
