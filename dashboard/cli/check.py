"""`rung check`: what would run on one environment, or on all; changes nothing."""

from pathlib import Path

import click

from dashboard.cli.asked import chosen, options, services_of, settings_of
from dashboard.cli.codes import DONE, NOT_REACHABLE, REFUSED
from dashboard.cli.shown import complain, say_json, show_plan
from dashboard.core.documents import look_json
from dashboard.core.matrix import Look
from dashboard.core.usable import unwritable
from dashboard.settings import Settings

_ENV = "The environment, or all; local, or else the first one, if it is left out."


@click.command(help="Show what would run, in order, and what stands in the way. The database is asked read-only.")
@options(env=_ENV)
def check(name: str | None, config: Path | None, directory: Path | None, *, as_json: bool) -> int:
    looks = _looks(settings_of(config, directory), name)
    if as_json:
        documents = [look_json(look) | {"exit_code": _code(look)} for look in looks]
        say_json(documents if name == "all" else documents[0])
    else:
        for look in looks:
            _show(look)
    return max(map(_code, looks))


def _looks(settings: Settings, name: str | None) -> list[Look]:
    compare = services_of(settings).compare
    if name == "all":
        return compare.looks()
    return [compare.look(chosen(settings, name).name)]


def _code(look: Look) -> int:
    if look.not_reachable or look.plan is None:
        return NOT_REACHABLE
    if look.picture and unwritable(look.picture, pending=bool(look.plan.steps)):
        return NOT_REACHABLE
    return REFUSED if look.plan.stops or look.plan.first_obstacle(force=False) else DONE


def _show(look: Look) -> None:
    if look.not_reachable:
        complain(f"{look.environment.name}: {look.not_reachable.word}: {look.not_reachable.reason.rstrip('.')}.")
        complain(f"What to do: {look.not_reachable.advice}")
    elif look.plan:
        show_plan(look.plan)
