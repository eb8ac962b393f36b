"""Who may do what: roles, acts, and the visitor of a page. Decisions only; home keeps the facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

EVERYWHERE = "*"  # stands where a role is for all environments


class Role(StrEnum):
    """What a person may do; each role may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Act(StrEnum):
    """Something a person may or may not do, as the end of "who may …"."""

    LOOK = "look"
    APPLY = "apply"
    STOP = "stop a run"
    FORCE = "force past the gate"
    RESOLVE = "decide about a file"
    MANAGE = "manage accounts"


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    SIGN_IN = "sign_in"
    INVITE = "invite"
    RESET = "reset"


LEAST = {
    Act.LOOK: Role.VIEWER,
    Act.APPLY: Role.OPERATOR,
    Act.STOP: Role.OPERATOR,
    Act.FORCE: Role.ADMIN,
    Act.RESOLVE: Role.ADMIN,
    Act.MANAGE: Role.ADMIN,
}
_RANK = {role: rank for rank, role in enumerate(Role)}


def may(role: Role | None, act: Act) -> bool:
    """Whether this role is enough; without a role nothing is allowed."""
    return role is not None and _RANK[role] >= _RANK[LEAST[act]]


def who_may(act: Act) -> str:
    """The roles that are enough, for people: `operators and admins`."""
    return " and ".join(f"{role}s" for role in Role if may(role, act))


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is looking, as home knows at this moment.

    Attributes
    ----------
    roles: environment name, or `EVERYWHERE`, -> role. What is said of one environment wins over `EVERYWHERE`.
    csrf: the secret that every form of this session sends back.
    session: SHA-256, hex, of the session's token; names the session without opening it.
    signed_in_at, now: home's clock, aware; `now` is the moment of this request, from which "4 min ago" is reckoned.

    """

    email: str
    roles: Mapping[str, Role]
    csrf: str = field(repr=False)
    session: str
    signed_in_at: datetime
    now: datetime

    def role_for(self, environment: str) -> Role | None:
        return self.roles.get(environment, self.roles.get(EVERYWHERE))

    def may(self, act: Act, environment: str = EVERYWHERE) -> bool:
        """Whether this person may do that there; `EVERYWHERE` for what concerns no single environment."""
        return may(self.role_for(environment), act)

    @property
    def role(self) -> Role | None:
        """The role to show beside the name: the one for all environments, or else the highest of the others, if any."""
        return self.roles.get(EVERYWHERE) or max(self.roles.values(), key=_RANK.__getitem__, default=None)
