"""The pages' and the command's fixtures, for faults that people meet there."""

from tests.cli.conftest import checkout, closed_port, forks, shell
from tests.web.conftest import app, applied, cast, filled, names, services, settings, signed_in, three

__all__ = [
    "app",
    "applied",
    "cast",
    "checkout",
    "closed_port",
    "filled",
    "forks",
    "names",
    "services",
    "settings",
    "shell",
    "signed_in",
    "three",
]
