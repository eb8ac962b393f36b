"""A short soak in the full ring; `make soak` is the long one."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.postgres.embedded import EmbeddedServer
from tests.sweep.soak import soak


@pytest.mark.slow
@pytest.mark.fault(2)
def test_runners_killed_at_random_moments_lose_nothing_and_do_nothing_twice(
    server: EmbeddedServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    counted = soak(server, secrets.randbelow(1_000_000), 30, 90, tmp_path).counted
    assert counted["kills"] >= 10
    record_property("told", f"soak: {counted['kills']} kills, 0 divergences")
