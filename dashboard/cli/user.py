"""`rung user`: let people into the dashboard."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboard.cli.asked import options, person, settings_of
from dashboard.cli.shown import complain, say, say_json, table
from dashboard.core.access import EVERYWHERE, LinkPurpose, Role
from dashboard.core.audit import Source
from dashboard.core.browser import browser_of
from dashboard.core.errors import NotFound
from dashboard.core.words import absolute, count

if TYPE_CHECKING:
    from dashboard.services.accounts import Accounts

_USUAL = "http://127.0.0.1:8000"  # where `rung serve` listens, if nothing else is said
_INVITED, _RESET = 3 * 24 * 60, 60  # minutes for which a link is good
_NAME, _SHORTEST_NAME = 12, 4  # characters of a session's name: shown, needed
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
    _say_link(_accounts(config, directory), email, LinkPurpose.SIGN_IN, minutes)


@user.command(help="Make an account and print the link that opens it, once, within three days.")
@click.argument("email")
@click.option("--role", type=_ROLES, default=Role.VIEWER.value, show_default=True, help="On all environments.")
@options(json=False)
def invite(email: str, role: str, config: Path | None, directory: Path | None) -> None:
    found = _accounts(config, directory)
    found[0].add(email, None, Role(role), by=_me())
    _say_link(found, email, LinkPurpose.INVITE, _INVITED)


@user.command(help="Take the password away, end all sessions, and print a link to set a new one within an hour.")
@click.argument("email")
@options(json=False)
def reset(email: str, config: Path | None, directory: Path | None) -> None:
    found = _accounts(config, directory)
    found[0].take_password(email, by=_me())
    _say_link(found, email, LinkPurpose.RESET, _RESET)


def _say_link(found: "tuple[Accounts, str]", email: str, purpose: LinkPurpose, minutes: int) -> None:
    accounts, address = found
    if address == _USUAL:
        complain("The dashboard is somewhere else? Set public_url in rung.toml, or RUNG_PUBLIC_URL.")
    say(f"{address}/sign-in/link/{accounts.make_link(email, purpose, minutes, by=_me())}")


@user.command(help="Let an account in no longer; ends its sessions and links at once.")
@click.argument("email")
@options(json=False)
def disable(email: str, config: Path | None, directory: Path | None) -> None:
    _accounts(config, directory)[0].set_enabled(email, enabled=False, by=_me())
    say(f"{email} may not come in any longer. Again: rung user enable {email}")


@user.command(help="Let a disabled account in again.")
@click.argument("email")
@options(json=False)
def enable(email: str, config: Path | None, directory: Path | None) -> None:
    _accounts(config, directory)[0].set_enabled(email, enabled=True, by=_me())
    say(f"{email} may come in again.")


@user.command(help="Let links open an account again that signs in by OpenID Connect; ends its sessions.")
@click.argument("email")
@options(json=False)
def disconnect(email: str, config: Path | None, directory: Path | None) -> None:
    if _accounts(config, directory)[0].disconnect(email, by=_me()):
        say(f"{email} signs in by OpenID Connect no longer. Now: rung user link {email}")
    else:
        say(f"{email} does not sign in by OpenID Connect. Nothing was changed.")


@user.command("sessions", help="Show where an account is signed in.")
@click.argument("email")
@options()
def sessions(email: str, config: Path | None, directory: Path | None, *, as_json: bool) -> None:
    found = _accounts(config, directory)[0].sessions(email)
    if as_json:
        say_json(found)
    elif found:
        heads = ["session", "browser", "from", "since", "last seen"]
        table(heads, [
            [one.name[:_NAME], browser_of(one.agent), one.address, absolute(one.created_at), absolute(one.seen_at)]
            for one in found
        ])  # fmt: skip
    else:
        say(f"{email} is signed in nowhere.")


@user.command("sign-out", help="End all sessions of an account, or one of them.")
@click.argument("email")
@click.option("--session", metavar="NAME", help="Only this one, as `rung user sessions` calls it.")
@options(json=False)
def sign_out(email: str, session: str | None, config: Path | None, directory: Path | None) -> None:
    accounts, _ = _accounts(config, directory)
    if session is None:
        ended = accounts.sign_out_everywhere(email, by=_me())
        say(f"{email} is signed out everywhere: {count(ended, 'session')}.")
        return
    named = [one.name for one in accounts.sessions(email) if one.name.startswith(session.lower())]
    if len(session) < _SHORTEST_NAME or len(named) != 1:
        raise NotFound("session", session)
    accounts.sign_out_everywhere(email, only=named[0], by=_me())
    say(f"The session {session} of {email} has ended.")


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


@user.command(help="Give an account another role; `none` takes it away.")
@click.argument("email")
@click.argument("role", type=click.Choice([*(role.value for role in Role), "none"]))
@click.option("--env", "environment", default=EVERYWHERE, metavar="NAME", help="Only on this one; otherwise on all.")
@options(json=False)
def role(email: str, role: str, environment: str, config: Path | None, directory: Path | None) -> None:
    if environment != EVERYWHERE:
        settings_of(config, directory).environment(environment)
    given = None if role == "none" else Role(role)
    accounts, _ = _accounts(config, directory)
    accounts.set_role(email, given, environment, by=_me())
    where = "" if environment == EVERYWHERE else f" on {environment}"
    say(f"{email} is {role} from now on{where}." if given else f"{email} has no role of its own{where} from now on.")
