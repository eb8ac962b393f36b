"""`rung token`: let programs use the API."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboard.cli.asked import options, person, settings_of
from dashboard.cli.shown import complain, say, say_json, table
from dashboard.core.audit import Source
from dashboard.core.words import absolute

if TYPE_CHECKING:
    from dashboard.services.tokens import Tokens


@click.group(help="Let programs use the API: make, list and revoke tokens.")
def token() -> None:
    pass


def _tokens(config: Path | None, directory: Path | None) -> "Tokens":
    from dashboard.bootstrap import build, prepare_home

    settings = settings_of(config, directory)
    prepare_home(settings)
    return build(settings).tokens


@token.command(help="Make a token and print it: once, and never again.")
@click.option("--name", required=True, help="What uses it: it stands in the history beside what the token did.")
@click.option(
    "--scope", "scopes", required=True, multiple=True, metavar="SCOPE",
    help="read, audit, plan:ENV, apply:ENV or force:ENV, * for all environments; may be given several times.",
)  # fmt: skip
@click.option(
    "--days", type=click.IntRange(min=1, max=365), default=90, show_default=True, metavar="N",
    help="How long it stays good.",
)  # fmt: skip
@options()
def add(
    name: str, scopes: tuple[str, ...], days: int, config: Path | None, directory: Path | None, *, as_json: bool
) -> None:
    made = _tokens(config, directory).add(name, scopes, person().name, days)
    if as_json:
        say_json({"id": made.id, "token": made.token, "expires_at": made.expires_at})
        return
    say(made.token)
    complain(f"Good until {absolute(made.expires_at)}. It is not shown again. To end it: rung token revoke {made.id}")


@token.command("list", help="Show all tokens: for what, until when, last used. The tokens themselves are not kept.")
@options()
def everything(config: Path | None, directory: Path | None, *, as_json: bool) -> None:
    made = _tokens(config, directory).everything()
    if as_json:
        say_json(made)
    elif made:
        heads = ["id", "name", "scopes", "state", "good until", "last used", "made by"]
        table(heads, [
            [one.id, one.name, " ".join(one.scopes), one.state, absolute(one.expires_at),
             absolute(one.used_at) if one.used_at else "never", one.made_by]
            for one in made
        ])  # fmt: skip
    else:
        say("None yet. Now: rung token add --name ci --scope read")


@token.command(help="End a token, from the next request on.")
@click.argument("token_id", metavar="ID")
@options(json=False)
def revoke(token_id: str, config: Path | None, directory: Path | None) -> None:
    _tokens(config, directory).revoke(token_id, by=Source(person().name))
    say(f"The token {token_id} opens nothing any more.")
