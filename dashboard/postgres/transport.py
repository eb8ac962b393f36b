"""How a connection travels, in plain or encrypted, and whether a throwaway server is at its end."""

from typing import Any

from psycopg.pq import Conninfo

from dashboard.core.environment import Environment
from dashboard.core.errors import BadDatabaseUrl, EnvironmentFault, MissingVariable
from dashboard.core.hosts import is_private
from dashboard.postgres.connect import connect, parameters

DEMO = "rung demo"
"""What a server that `rung demo` started calls itself, by its `cluster_name`."""

_PLAIN = ("disable", "allow", "prefer")  # the last two fall back without a word


def plain_hosts(environment: Environment) -> tuple[str, ...]:
    """The hosts outside of this machine and of private networks that may be spoken to in plain.

    What an address leaves out is as libpq has it, from variables such as PGSSLMODE. An address that is not set or that
    cannot be read has none: whoever needs it hears of that.
    """
    try:
        given = parameters(environment, purpose="settings")
    except (MissingVariable, BadDatabaseUrl):
        return ()
    if _known(given, "sslmode") not in _PLAIN or _known(given, "gssencmode") == "require":
        return ()
    places = _known(given, "hostaddr") or _known(given, "host")
    return tuple(dict.fromkeys(host for host in places.split(",") if not is_private(host)))


def is_of_demo(environment: Environment) -> bool:
    """Whether the server is the demo's. One that cannot be asked is not: whoever needs it hears of that."""
    try:
        with connect(environment, purpose="settings") as connection:
            row = connection.execute("SELECT pg_catalog.current_setting('cluster_name')").fetchone()
    except (EnvironmentFault, MissingVariable, BadDatabaseUrl):
        return False
    return row is not None and row[0] == DEMO


def _known(given: dict[str, Any], key: str) -> str:
    if given.get(key):
        return str(given[key])
    defaults = {option.keyword.decode(): option.val for option in Conninfo.get_defaults()}
    value = defaults.get(key)
    return value.decode() if value else ""
