"""Pictures: what an environment's database says about itself, in one round trip, enforced read-only."""

from dashboard.core.environment import Environment
from dashboard.core.picture import NotReachable, Picture
from dashboard.postgres.connect import Connection


def take_picture(environment: Environment) -> Picture | NotReachable:
    """Ask the database, or say why it cannot be asked."""
    raise NotImplementedError


def picture_from(connection: Connection, environment: Environment) -> Picture:
    """The same on a connection that is open and idle. Raises EnvironmentFault."""
    raise NotImplementedError
