"""Foresee: what the rows of one environment say of the files that would run there."""

from dashboard.core.errors import BadDatabaseUrl, EnvironmentFault, MissingVariable
from dashboard.core.foresight import Foresight
from dashboard.core.matrix import Look
from dashboard.core.probes import probes_of
from dashboard.postgres import probes


def foresee(look: Look, size_limit: int) -> Foresight:
    """Ask the rows, in a transaction that cannot write; `trouble` says why they could not be asked.

    size_limit: bytes of the largest table that is read in full.
    """
    name = look.environment.name
    if look.plan is None or look.not_reachable:
        return Foresight(name, trouble=look.not_reachable.reason if look.not_reachable else f"{name} was never reached")
    try:
        return Foresight(name, probes.ask(look.environment, probes_of(look.plan.steps), size_limit=size_limit))
    except (EnvironmentFault, MissingVariable, BadDatabaseUrl) as fault:
        return Foresight(name, trouble=str(fault))
