"""Whether those who want to know how runs end have heard it stands on the page of the run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.environment import Secret
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.core.webhook import ATTEMPTS, Webhook
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import Cast
from tests.receiver import Receiver, receiving, status

ORDER = Order(Actor(ActorKind.PERSON, "operator@example.com", Door.WEB))


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return replace(settings, webhooks=(Webhook("RELEASES_URL", Secret(receiver.url), ("staging",)),))


def test_a_receiver_that_fails_is_seen_to_fail_until_it_was_told(
    names: tuple[str, ...], cast: Cast, services: Services, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    page = f"/runs/{services.runs.ask('staging', ORDER).run_id}"
    assert "RELEASES_URL" not in cast.viewer.read(page)
    services.runs.execute(page.rpartition("/")[2])
    assert "RELEASES_URL is not told yet. " in cast.viewer.read(page)
    assert 'data-pace="slow"' in cast.viewer.get(page).text
    ((message,),) = in_home.execute("SELECT id::text FROM home.delivery").fetchall()
    receiver.answers.append(status(500))
    services.webhooks.deliver(message)
    said = cast.viewer.read(f"/fragments{page}")
    assert "RELEASES_URL is not told yet: it answered 500. It is tried again by itself." in said
    services.webhooks.deliver(message)
    told = cast.viewer.get(page).text
    assert "RELEASES_URL was told how this run ended." in told
    assert 'data-pace="still"' in told
    assert "c4n4ry" not in told


def test_what_was_given_up_is_said_also_of_a_run_that_home_did_not_start(
    names: tuple[str, ...], cast: Cast, services: Services, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    result = apply(services.settings.environment("staging"), services.folder.read, ORDER)
    services.webhooks.tell_of(result, ORDER)
    services.compare.live()
    ((message,),) = in_home.execute("SELECT id::text FROM home.delivery").fetchall()
    receiver.answers += [status(503)] * ATTEMPTS
    for _ in range(ATTEMPTS):
        services.webhooks.deliver(message)
    said = cast.viewer.read(f"/runs/{result.run_id}")
    assert f"RELEASES_URL could not be told, and was given up after {ATTEMPTS} attempts: it answered 503." in said


def test_nobody_is_told_of_other_environments(names: tuple[str, ...], cast: Cast, services: Services) -> None:
    run = services.runs.ask("local", ORDER).run_id
    services.runs.execute(run)
    assert "Webhooks" not in cast.viewer.read(f"/runs/{run}")
