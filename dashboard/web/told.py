"""Told: whether the webhooks have heard how a run ended, in words."""

from dashboard.core.webhook import Delivery, Standing
from dashboard.core.words import count
from dashboard.web import current
from dashboard.web.pages import Sign


def told_of(run_id: str) -> tuple[Sign, ...]:
    """A line for each message about a run that is over."""
    return tuple(map(_told, current.services().webhooks.of_run(run_id)))


def _told(message: Delivery) -> Sign:
    name, why = message.webhook, f": {message.trouble}" if message.trouble else ""
    match message.standing:
        case Standing.DELIVERED:
            return Sign("done", f"{name} was told how this run ended.", "good")
        case Standing.GIVEN_UP:
            tries = count(message.attempts, "attempt")
            return Sign("failed", f"{name} could not be told, and was given up after {tries}{why}.", "danger")
        case Standing.WAITING if why:
            return Sign("queued", f"{name} is not told yet{why}. It is tried again by itself.", "waiting")
        case Standing.WAITING:
            return Sign("queued", f"{name} is not told yet.", "waiting")
