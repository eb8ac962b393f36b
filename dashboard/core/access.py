"""Who may do what."""

from enum import StrEnum


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


LEAST = {Act.LOOK: Role.VIEWER, Act.APPLY: Role.OPERATOR, Act.STOP: Role.OPERATOR, Act.FORCE: Role.ADMIN}
_RANK = {role: rank for rank, role in enumerate(Role)}


def may(role: Role, act: Act) -> bool:
    """Whether this role is enough."""
    return _RANK[role] >= _RANK[LEAST[act]]


def who_may(act: Act) -> str:
    """The roles that are enough, for people: `operators and admins`."""
    return " and ".join(f"{role}s" for role in Role if may(role, act))
