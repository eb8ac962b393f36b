"""The configuration as the audit knows it: noticed at a start, told where it is not what it was at the last one."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from dashboard.core.audit import Deed, Report, Source
from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import RungError
from dashboard.core.oidc import Issuer
from dashboard.postgres.connect import parameters
from dashboard.postgres.home import audit
from dashboard.postgres.home.pool import Home

_ADDRESS = ("host", "hostaddr", "port", "dbname", "user", "sslmode")  # of an address, what is no secret


def note(url: Secret, variable: str | None, environments: Sequence[Environment], issuer: Issuer | None) -> None:
    """One row where names, order, policies, addresses or who signs in changed. Raises Unreachable, HomeNotReady."""
    facts = [*map(_facts, environments), *([_who_signs_in(issuer)] if issuer else [])]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    detail = "; ".join([*map(_told, environments), *([f"{issuer.url} signs people in"] if issuer else [])])
    home = Home(url, variable)
    try:
        with home.transaction() as connection:
            report = Report(Deed.CONFIGURED, Source(), subject=f"digest {digest}", detail=detail or "no environment")
            audit.append_changed(connection, report)
    finally:
        home.close()


def _facts(environment: Environment) -> dict[str, object]:
    """What makes it this one, without a secret."""
    kept = {"name": environment.name, "position": environment.position, "schema": environment.ledger_schema}
    return kept | asdict(environment.policies) | {"address": _address(environment)}


def _who_signs_in(issuer: Issuer) -> dict[str, object]:
    """Whose word opens accounts, without a secret; its label is only a word on a button."""
    names = ("url", "client_id", "domains", "trust_emails")
    return {name: getattr(issuer, name) for name in names}


def _address(environment: Environment) -> dict[str, str]:
    try:
        given = parameters(environment, purpose="start")
    except RungError:  # it is not set, or cannot be read
        return {}
    return {name: str(given[name]) for name in _ADDRESS if given.get(name) is not None}


def _told(environment: Environment) -> str:
    address = _address(environment)
    place = f"{address.get('host', 'localhost')}:{address.get('port', '5432')}/{address.get('dbname', '')}"
    word = " (protected)" if environment.policies.protected else ""
    return f"{environment.name}{word} {place if address else 'without an address'}"
