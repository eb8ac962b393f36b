"""The pages' and the command's fixtures, for faults that people meet there."""

from tests.cli.conftest import checkout, closed_port
from tests.web.conftest import app, applied, cast, names, services, settings, three

__all__ = ["app", "applied", "cast", "checkout", "closed_port", "names", "services", "settings", "three"]
