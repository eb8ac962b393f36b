"""`rung user`: let people into the dashboard."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboard.cli.asked import options, person, settings_of
from dashboard.cli.shown import complain, say, say_json, table
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.audit import Source
from dashboard.core.words import absolute

if TYPE_CHECKING:
    from dashboard.services.accounts import Accounts

_USUAL = "http://127.0.0.1:8000"  # where `rung serve` listens, if nothing else is said
_ROLES = click.Choice([role.value for role in Role])


@click.group(help="Let people into the dashboard: viewers look, operators apply, admins also force and manage.")
def user() -> None:
    pass


def _accounts(config: Path | None, directory: Path | None) -> "tuple[Accounts, str]":
    from dashboard.bootstrap import build, prepare_home

    settings = settings_of(config, directory)
    prepare_home(settings)
    return build(settings).accounts, settings.public_url or _USUAL


def _me() -> Source:
    return Source(person().name)


@user.command(help="Make an account. Without a password, only one-time links open it.")
@click.argument("email")
@click.option("--role", type=_ROLES, default=Role.VIEWER.value, show_default=True, help="On all environments.")
@click.option("--password-stdin", is_flag=True, help="Read a password from standard input.")
@options(json=False)
def add(email: str, role: str, config: Path | None, directory: Path | None, *, password_stdin: bool) -> None:
    accounts, _ = _accounts(config, directory)
    accounts.add(email, sys.stdin.readline().rstrip("\r\n") if password_stdin else None, Role(role), by=_me())
    say(f"{email} may come in as {role}. Now: rung user link {email}")


@user.command(help="Print a link that signs in once.")
@click.argument("email")
@click.option(
    "--minutes", type=click.IntRange(min=1, max=7 * 24 * 60), default=15, show_default=True,
    metavar="N", help="How long it stays good.",
)  # fmt: skip
@options(json=False)
def link(email: str, minutes: int, config: Path | None, directory: Path | None) -> None:
    accounts, address = _accounts(config, directory)
    if address == _USUAL:
        complain("The dashboard is somewhere else? Set public_url in rung.toml, or RUNG_PUBLIC_URL.")
    say(f"{address}/sign-in/link/{accounts.make_link(email, minutes=minutes, by=_me())}")


@user.command("list", help="Show who may come in, and as what.")
@options()
def everybody(config: Path | None, directory: Path | None, *, as_json: bool) -> None:
    people = _accounts(config, directory)[0].everybody()
    if as_json:
        say_json(people)
    elif people:
        heads = ["e-mail", "role", "comes in by", "since"]
        table(heads, [[one.email, _roles(one.roles), one.way, absolute(one.since)] for one in people])
    else:
        say("Nobody yet. Now: rung user add you@example.com --role admin")


def _roles(roles: Mapping[str, str]) -> str:
    """`viewer, operator on staging`."""
    parts = [role if place == EVERYWHERE else f"{role} on {place}" for place, role in roles.items()]
    return ", ".join(parts) or "none"


@user.command(help="Give an account another role.")
@click.argument("email")
@click.argument("role", type=_ROLES)
@options(json=False)
def role(email: str, role: str, config: Path | None, directory: Path | None) -> None:
    accounts, _ = _accounts(config, directory)
    accounts.set_role(email, Role(role), by=_me())
    say(f"{email} is {role} from now on.")
