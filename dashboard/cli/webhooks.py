"""`rung webhooks`: who is told how runs end, and whether they heard it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboard.cli.asked import options, settings_of
from dashboard.cli.codes import DONE, FAILED
from dashboard.cli.shown import say, say_json, table
from dashboard.core.webhook import Delivery, Standing, Webhook
from dashboard.core.words import absolute

if TYPE_CHECKING:
    from dashboard.services.webhooks import Webhooks


@click.command(help="Show who is told how runs end, and the newest messages. Exits with 1 where one was given up.")
@options()
@click.option(
    "--limit", type=click.IntRange(min=1, max=1000), default=20, show_default=True, metavar="N", help="Messages."
)
def webhooks(config: Path | None, directory: Path | None, limit: int, *, as_json: bool) -> int:
    service = _service(config, directory)
    newest = service.newest(limit)
    if as_json:
        say_json({"webhooks": [_facts(one) for one in service.configured], "messages": newest})
    else:
        _show(service.configured, newest)
    return FAILED if any(one.standing is Standing.GIVEN_UP for one in newest) else DONE


def _service(config: Path | None, directory: Path | None) -> "Webhooks":
    from dashboard.bootstrap import build, prepare_home

    settings = settings_of(config, directory)
    prepare_home(settings)
    return build(settings).webhooks


def _facts(webhook: Webhook) -> dict[str, object]:
    return {
        "name": webhook.name,
        "environments": webhook.environments,
        "outcomes": webhook.outcomes,
        "signed": webhook.secret is not None,
        "lacks": webhook.lacks,
    }


def _show(known: tuple[Webhook, ...], newest: tuple[Delivery, ...]) -> None:
    if not known:
        say("No webhook is configured. docs/webhooks.md shows how.")
    for one in known:
        signed = "signed" if one.secret else "not signed"
        state = f"not used: {one.lacks} is not set" if one.lacks else signed
        say(f"${one.name}: {state}; {', '.join(one.environments)}; {', '.join(one.outcomes)}")
    if newest:
        table(["ended", "webhook", "environment", "outcome", "message"], [_cells(one) for one in newest])


def _cells(one: Delivery) -> list[str]:
    tried = f"{one.standing.value}, {one.attempts} attempts" if one.attempts != 1 else one.standing.value
    state = f"{tried}: {one.trouble}" if one.trouble else tried
    return [absolute(one.made_at), one.webhook, one.environment, one.outcome, state]
