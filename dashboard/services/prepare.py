"""Prepare: home's own schema is a ladder like any other, and our own runner climbs it."""

import importlib.resources

from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.core.errors import HomeNotReady
from dashboard.core.migration import Folder, Migration, order_of, read_migration
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.postgres.home.pool import SCHEMA
from dashboard.services.apply import apply

# The queue's files replace functions of their own, which the gate would stop.
_ORDER = Order(Actor(ActorKind.DEPLOY, "rung", Door.DEPLOY), force=True, reason="Rung's own schema")


def prepare(url: Secret, variable: str | None) -> None:
    """Bring home up to date. Several processes may do so at once: one applies, the others wait and find it done.

    Raises HomeNotReady.
    """
    restored = Policies(moved=Policy.WARN)  # a home that came back from a backup is still home
    home = Environment(SCHEMA, 0, url, variable, ledger_schema=SCHEMA, policies=restored)
    result = apply(home, ladder, _ORDER)
    if result.outcome not in (Outcome.APPLIED, Outcome.NOTHING):
        raise HomeNotReady(result.problem.message if result.problem else str(result.outcome))


def ladder() -> Folder:
    """Our own numbered files, and procrastinate's above them."""
    from dashboard.postgres.home.queue import rungs

    ours = importlib.resources.files("dashboard.postgres.home") / "schema"
    files = [(file.name, file.read_bytes()) for file in ours.iterdir() if file.name.endswith(".sql")]
    read = [read_migration(name, data) for name, data in (*files, *rungs())]
    return Folder(tuple(sorted((one for one in read if isinstance(one, Migration)), key=order_of)))
