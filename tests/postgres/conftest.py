import itertools
from collections.abc import Callable, Iterator

import pytest

from dashboard.core.environment import Environment
from dashboard.postgres.embedded import EmbeddedServer

_numbers = itertools.count(1)


@pytest.fixture
def debian(debian_server: EmbeddedServer) -> Iterator[Callable[[], Environment]]:
    """Makes an environment on a fresh database of Debian's server."""
    made: list[str] = []

    def make() -> Environment:
        made.append(f"old_{next(_numbers)}")
        debian_server.create_database(made[-1])
        return Environment("local", 0, debian_server.url(made[-1]))

    yield make
    for name in made:
        debian_server.drop_database(name)
