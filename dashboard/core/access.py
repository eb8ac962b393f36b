"""Who may do what: roles, acts, the visitor of a page, the bearer of a token. Decisions only; home keeps the facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

EVERYWHERE = "*"  # stands where a role is for all environments
FRESH = timedelta(minutes=10)  # as long does a proof of who one is count


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
    AUDIT = "read the audit"


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    SIGN_IN = "sign_in"
    INVITE = "invite"
    RESET = "reset"


class WayIn(StrEnum):
    """What opens an account."""

    PASSWORD = "password"  # noqa: S105  # the name of a way
    LINK = "one-time links"
    ISSUER = "OpenID Connect"
    LOST = "an issuer that is gone"


LEAST = {
    Act.LOOK: Role.VIEWER,
    Act.APPLY: Role.OPERATOR,
    Act.STOP: Role.OPERATOR,
    Act.FORCE: Role.ADMIN,
    Act.RESOLVE: Role.ADMIN,
    Act.MANAGE: Role.ADMIN,
    Act.AUDIT: Role.ADMIN,
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
    proved_at: when they last proved who they are: by signing in, or again later.
    now: the moment of this request, from which "4 min ago" is reckoned. Both by home's clock, aware.

    """

    email: str
    roles: Mapping[str, Role]
    csrf: str = field(repr=False)
    session: str
    proved_at: datetime
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

    @property
    def who(self) -> str:
        """The name in refusals and histories."""
        return self.email

    @property
    def sees_anything(self) -> bool:
        return bool(self.roles)

    @property
    def is_fresh(self) -> bool:
        """Whether the last proof still counts for what is asked of a protected environment."""
        return self.now - self.proved_at <= FRESH


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session in its owner's list. `name`: SHA-256 of its token, hex; does not open it."""

    name: str
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime


# --- tokens ---


class Verb(StrEnum):
    """What a token is for."""

    READ = "read"
    AUDIT = "audit"
    PLAN = "plan"
    APPLY = "apply"
    FORCE = "force"


LENT = {
    Verb.READ: frozenset({Act.LOOK}),
    Verb.AUDIT: frozenset({Act.AUDIT}),
    Verb.PLAN: frozenset({Act.LOOK}),
    Verb.APPLY: frozenset({Act.LOOK, Act.APPLY, Act.STOP}),
    Verb.FORCE: frozenset({Act.LOOK, Act.APPLY, Act.STOP, Act.FORCE}),
}
_PLACELESS = frozenset({Verb.READ, Verb.AUDIT})


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing that a token may, and where; written `read` or `audit` (everywhere), `plan:staging`, `apply:*`."""

    verb: Verb
    environment: str = EVERYWHERE

    def __str__(self) -> str:
        return str(self.verb) if self.verb in _PLACELESS else f"{self.verb}:{self.environment}"


def read_scope(text: str) -> Scope | None:
    """The scope that is written so; None where it is none."""
    verb, colon, environment = text.partition(":")
    if verb not in set(Verb) or (verb in _PLACELESS) is bool(colon) or bool(colon) is not bool(environment):
        return None
    return Scope(Verb(verb), environment or EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A program that came with a token. `token_id`: its public part; `now`: home's clock at this request."""

    name: str
    token_id: str
    scopes: tuple[Scope, ...]
    now: datetime

    @property
    def who(self) -> str:
        """The name in refusals and histories."""
        return f"{self.name} (token {self.token_id})"

    @property
    def sees_anything(self) -> bool:
        return bool(self.scopes)

    def may(self, act: Act, environment: str = EVERYWHERE) -> bool:
        """Whether one of the scopes is enough; one environment's says nothing about the others."""
        return any(act in LENT[scope.verb] and scope.environment in (EVERYWHERE, environment) for scope in self.scopes)


Asker = Visitor | Bearer
