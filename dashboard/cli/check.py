"""`rung check`: what would run on one environment, or on all; changes nothing."""

import os
from pathlib import Path
from typing import Any

import click

from dashboard.cli.asked import chosen, options, services_of, settings_of
from dashboard.cli.codes import DONE, NOT_REACHABLE, REFUSED
from dashboard.cli.foreseen import foreseen, show_foresight
from dashboard.cli.shown import complain, say, say_json, show_plan
from dashboard.core.documents import foresight_json, look_json
from dashboard.core.foresight import Foresight
from dashboard.core.matrix import Look
from dashboard.core.usable import unwritable
from dashboard.settings import Settings

_ENV = "The environment, or all; local, or else the first one, if it is left out."


@click.command(help="Show what would run, in order, and what stands in the way. The database is asked read-only.")
@options(env=_ENV)
@click.option("--probe", is_flag=True, help="Ask the rows, too, whether the files will go through.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    help="github: annotations for a workflow; sarif: a document for code scanning.",
)
def check(
    name: str | None, config: Path | None, directory: Path | None, form: str, *, probe: bool, as_json: bool
) -> int:
    settings = settings_of(config, directory)
    looks = _looks(settings, name)
    seen = [foreseen(settings, look, rows=probe) for look in looks]
    codes = list(map(_code, looks, seen))
    if as_json or form == "json":
        documents = [_document(*one) for one in zip(looks, seen, codes, strict=True)]
        say_json(documents if name == "all" else documents[0])
    elif form != "text":
        _annotate(form, settings, looks, seen)
    else:
        for look, one in zip(looks, seen, strict=True):
            _show(look, one)
    return max(codes)


def _document(look: Look, seen: Foresight | None, code: int) -> dict[str, Any]:
    asked = foresight_json(look.plan, seen) if seen and look.plan else {}
    return look_json(look) | asked | {"exit_code": code}


def _annotate(form: str, settings: Settings, looks: list[Look], seen: list[Foresight | None]) -> None:
    from dashboard.core.annotations import github, notes_of, sarif

    folder = os.path.relpath(settings.migrations)
    notes = [note for look, one in zip(looks, seen, strict=True) for note in notes_of(look, one, folder)]
    if form == "sarif":
        say_json(sarif(notes))
        return
    for line in github(notes):
        say(line)


def _looks(settings: Settings, name: str | None) -> list[Look]:
    compare = services_of(settings).compare
    if name == "all":
        return compare.looks()
    return [compare.look(chosen(settings, name).name)]


def _code(look: Look, seen: Foresight | None) -> int:
    if look.not_reachable or look.plan is None:
        return NOT_REACHABLE
    if look.picture and unwritable(look.picture, pending=bool(look.plan.steps)):
        return NOT_REACHABLE
    failing = seen is not None and bool(seen.failing)
    return REFUSED if look.plan.stops or look.plan.first_obstacle(force=False) or failing else DONE


def _show(look: Look, seen: Foresight | None) -> None:
    if look.not_reachable:
        complain(f"{look.environment.name}: {look.not_reachable.word}: {look.not_reachable.reason.rstrip('.')}.")
        complain(f"What to do: {look.not_reachable.advice}")
    elif look.plan:
        show_plan(seen.plan if seen and seen.plan else look.plan)
        if seen is not None:
            show_foresight(look.plan, seen)
