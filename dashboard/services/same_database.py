"""Same database: write down that the database under an environment's address is the one that is meant."""

import socket
import uuid
from dataclasses import dataclass

from dashboard import __version__
from dashboard.core.environment import Environment
from dashboard.core.errors import EnvironmentFault
from dashboard.core.run import Actor, LockHolder, Problem
from dashboard.core.usable import unwritable
from dashboard.postgres import identity
from dashboard.postgres.decree import Decree
from dashboard.postgres.history import Author
from dashboard.postgres.lock import Busy
from dashboard.postgres.observe import Survey
from dashboard.services.apply import busy_problem
from dashboard.services.resolve import Ending


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of it. `said`: empty unless it is resolved; problem: set unless it is; holder: set for BUSY."""

    run_id: str
    environment: str
    ending: Ending
    said: str = ""
    problem: Problem | None = None
    holder: LockHolder | None = None


def accept(environment: Environment, actor: Actor, reason: str, lock_wait: float = 10.0) -> Accepted:
    """Under the runner's lock; runs no migration. Raises ConfigurationError."""
    name, run_id = environment.name, str(uuid.uuid4())
    author = Author(run_id, name, actor, socket.gethostname(), __version__, reason.strip())
    try:
        with Decree(environment, author) as decree:
            ending, problem, said, holder = _under_lock(environment, decree, lock_wait)
    except EnvironmentFault as fault:
        ending, problem, said, holder = Ending.UNREACHABLE, Problem(name, str(fault), fault.advice), "", None
    return Accepted(run_id, name, ending, said, problem, holder)


_End = tuple[Ending, Problem | None, str, LockHolder | None]


def _under_lock(environment: Environment, decree: Decree, lock_wait: float) -> _End:
    no = _why_not(environment, decree.look())
    if no is not None:
        return no
    got = decree.lock(lock_wait)
    if isinstance(got, Busy):
        return Ending.BUSY, busy_problem(environment.name, got), "", got.holder
    survey = decree.look()  # what was seen before the lock may be old
    no = _why_not(environment, survey)
    if no is not None:
        return no
    problem = decree.record([identity.entry(survey)])
    if problem is not None:
        return Ending.FAILED, problem, "", None
    return Ending.RESOLVED, None, f"From now on it is this one: {survey.identity}.", None


def _why_not(environment: Environment, survey: Survey) -> _End | None:
    why = unwritable(survey.picture, pending=True)
    if why is not None:
        message = f"{environment.name} cannot take migrations: {why.reason}"
        return Ending.UNREACHABLE, Problem(environment.name, message, why.advice), "", None
    if survey.picture.moved is None:
        message = "it is the database that it was at the last run, as far as its history tells"
        return Ending.REFUSED, Problem(environment.name, message, "Nothing has to be decided."), "", None
    return None
