"""An environment: a named database, its address that cannot print its password, and the policies it is run by."""

from dataclasses import dataclass, field
from enum import StrEnum


class Secret:
    """A text that must never be printed. `reveal()` is the only way to it.

    >>> Secret("hunter2")
    Secret(…)
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is never written anywhere")  # noqa: TRY003  # nobody but a programmer reads it


class Policy(StrEnum):
    """What to do about something that is legal but suspicious."""

    WARN = "warn"  # go on, and say so
    REFUSE = "refuse"  # nothing runs until it is put right


@dataclass(frozen=True, slots=True)
class Policies:
    """How one environment is run.

    Attributes
    ----------
    out_of_order: a pending file with a lower number than the newest applied one.
    edited: an applied file whose content changed since (line ends alone never count).
    duplicate_numbers: two files of the folder with one number.
    moved: another database than the one of the last run, under the same name: restored, copied, made anew.
    superuser: the role that applies there may do anything on the whole server.
    stuck_sessions, stuck_seconds: while a statement waits for a lock, so many sessions may wait behind it, and none of
        them longer; beyond that it makes room, and the file is tried again.
    allow_plain: the dashboard may reach it through an open network without encryption.
    protected: people have to type the environment's name before anything runs (web), and see a lock by its name.

    """

    out_of_order: Policy = Policy.WARN
    edited: Policy = Policy.WARN
    duplicate_numbers: Policy = Policy.REFUSE
    moved: Policy = Policy.REFUSE
    superuser: Policy = Policy.WARN
    stuck_sessions: int = 3
    stuck_seconds: float = 2.0
    protected: bool = False
    allow_plain: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """A named database.

    Attributes
    ----------
    name: lower-case word, unique: `local`, `staging`, `production`.
    position: 0-based place in the fixed order of the configuration.
    url: a libpq connection URI, may hold a password; None where the variable it comes from is not set.
    variable: the name of that variable, without the $; None where the URL stands in the configuration itself.
    ledger_schema: schema of `_migrations_applied`, unquoted, as PostgreSQL stores it.

    """

    name: str
    position: int
    url: Secret | None = field(repr=False)
    variable: str | None = None
    ledger_schema: str = "public"
    policies: Policies = field(default_factory=Policies)
