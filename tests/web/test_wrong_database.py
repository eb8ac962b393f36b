"""Pages of environments that answer and cannot be used, are not to be written to, or have an address nobody can read."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Environment, Secret
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import Cast, words
from tests.cli.test_secrets import MALFORMED, NONE_OF_IT
from tests.oracle import ask


@pytest.fixture
def unreadable(settings: Settings) -> Iterator[Services]:
    """An environment for every malformed address."""
    environments = tuple(Environment(name, place, Secret(url)) for place, (name, url) in enumerate(MALFORMED.items()))
    services = build(replace(settings, environments=environments))
    yield services
    services.close()


@pytest.mark.fault(58)
def test_no_page_and_no_log_repeats_a_part_of_a_malformed_address(
    unreadable: Services, names: tuple[str, ...], cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    assert names
    with caplog.at_level(logging.DEBUG):
        unreadable.compare.refresh(0)
        cast.admin.client.application = create_app(unreadable)
        pages = [cast.admin.get("/").text, *(cast.admin.get(f"/environments/{name}").text for name in MALFORMED)]
    for said in (*pages, caplog.text):
        assert not {part for part in NONE_OF_IT if part in said}
    assert all("Not reachable" in page for page in pages[1:])
    assert sum("special characters percent-encoded" in page for page in pages) >= 10


def test_an_environment_with_somebody_elses_ledger_is_not_usable_which_is_not_away(
    settings: Settings, names: tuple[str, ...], cast: Cast
) -> None:
    assert names
    ask(settings.environments[1], "CREATE TABLE public._migrations_applied (version bigint, dirty boolean)")
    cast.services.compare.live()
    page = words(cast.viewer.get("/"))
    assert "Staging cannot be used" in page
    assert "not usable for" in page
    assert "No answer from" not in page
    assert "Not usable for" in cast.viewer.read("/environments/staging")
    assert "its columns are version bigint, dirty boolean" in cast.viewer.read("/environments/staging")


@pytest.mark.fault(31)
def test_a_read_only_database_says_so_and_offers_no_button(
    settings: Settings, names: tuple[str, ...], cast: Cast
) -> None:
    assert names
    local = settings.environments[0]
    ask(
        local,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    )
    cast.services.compare.live()
    assert "nothing may run" in words(cast.admin.get("/"))
    page = cast.admin.get("/environments/local")
    assert "default_transaction_read_only is on" in words(page)
    assert "It is set for database test_" in words(page)
    assert "Apply 5 pending" not in words(page)
