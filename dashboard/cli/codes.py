"""Exit codes: what every end of a command means to the shell that ran it."""

from dashboard.core.errors import AccessError, ConfigurationError, EnvironmentFault, FolderError, NotFound, RungError
from dashboard.core.run import Outcome

DONE, FAILED, USAGE, REFUSED, NOT_REACHABLE, BUSY = range(6)

OF_OUTCOME = {
    Outcome.APPLIED: DONE,
    Outcome.NOTHING: DONE,
    Outcome.REFUSED: REFUSED,
    Outcome.CHANGED: REFUSED,
    Outcome.FAILED: FAILED,
    Outcome.UNKNOWN: FAILED,
    Outcome.CANCELLED: FAILED,
    Outcome.UNREACHABLE: NOT_REACHABLE,
    Outcome.BUSY: BUSY,
}

_OF_ERROR: tuple[tuple[type[RungError], int], ...] = (
    (ConfigurationError, USAGE),
    (FolderError, USAGE),
    (NotFound, USAGE),
    (AccessError, USAGE),
    (EnvironmentFault, NOT_REACHABLE),
)


def code_of(error: RungError) -> int:
    """The exit code of an error that stopped a command."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), FAILED)
