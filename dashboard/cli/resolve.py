"""`rung resolve`: decide about a file that stopped half-way, or that was edited after it was applied."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dashboard.cli.asked import chosen, options, person, services_of, settings_of
from dashboard.cli.codes import BUSY, DONE, FAILED, NOT_REACHABLE, REFUSED
from dashboard.cli.migrate import ENV, lock_wait
from dashboard.cli.shown import complain, say, say_json
from dashboard.core.errors import NotFound
from dashboard.core.matrix import Look
from dashboard.core.resolving import (
    Case,
    Decision,
    advice_of,
    case_of,
    command,
    condition,
    effect,
    fitting,
    sentence_of,
)
from dashboard.core.words import problem_lines
from dashboard.services.resolve import Ending, Resolution, Wanted
from dashboard.services.resolve import resolve as write_down
from dashboard.services.same_database import Accepted, accept

_CODES = {
    Ending.RESOLVED: DONE,
    Ending.REFUSED: REFUSED,
    Ending.FAILED: FAILED,
    Ending.UNREACHABLE: NOT_REACHABLE,
    Ending.BUSY: BUSY,
}


@click.command(
    help="Decide about FILE, which stopped half-way or was edited after it was applied. Runs no migration: the next "
    "run goes on from the decision. Without a decision it shows what is there and what fits, and changes nothing."
)
@options(env=ENV)
@click.option("--retry", is_flag=True, help="The interrupted statement runs again.")
@click.option("--drop-and-retry", is_flag=True, help="The same, after the INVALID index that it left was dropped.")
@click.option("--mark-applied", is_flag=True, help="The interrupted statement counts as done.")
@click.option("--accept-edit", is_flag=True, help="The present content counts as what was applied, or begun.")
@click.option(
    "--same-database",
    is_flag=True,
    help="Without FILE: the database, which is another one than at the last run, is the one that is meant.",
)
@click.option("--reason", metavar="TEXT", help="Why; it goes into the history.")
@lock_wait
@click.argument("filename", metavar="[FILE]", required=False)
def resolve(
    name: str | None,
    config: Path | None,
    directory: Path | None,
    reason: str | None,
    lock_wait: float,
    filename: str | None,
    *,
    as_json: bool,
    **decisions: bool,
) -> int:
    same_database = decisions.pop("same_database")
    decision = None if same_database else _decision(decisions, filename, reason)
    settings = settings_of(config, directory)
    environment = chosen(settings, name)
    if same_database:
        _only_the_database(decisions, filename, reason)
        return _tell_database(accept(environment, person(), reason or "", lock_wait), as_json=as_json)
    if decision is None:
        return _show(services_of(settings).compare.look(environment.name), filename, as_json=as_json)
    read = services_of(settings).folder.read
    wanted = Wanted(_name_in(filename or ""), decision, person(), reason or "", lock_wait=lock_wait)
    return _tell(write_down(environment, read, wanted), as_json=as_json)


def _decision(given: dict[str, bool], filename: str | None, reason: str | None) -> Decision | None:
    """The one that was given; None where somebody only wants to look."""
    asked = [decision for decision in Decision if given[decision.option.removeprefix("--").replace("-", "_")]]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(one.option for one in asked)}: only one of them can be right.")
    if not asked:
        if reason:
            raise click.UsageError("--reason belongs to a decision.")
        return None
    if filename is None:
        raise click.UsageError(f"{asked[0].option} needs the name of the file.")
    if not (reason or "").strip():
        raise click.UsageError(
            f'{asked[0].option} needs --reason "…": it goes into the history, for whoever asks later.'
        )
    return asked[0]


def _only_the_database(given: dict[str, bool], filename: str | None, reason: str | None) -> None:
    if filename is not None or any(given.values()):
        raise click.UsageError("--same-database is about the database; decide about files one by one, afterwards.")
    if not (reason or "").strip():
        raise click.UsageError('--same-database needs --reason "…": it goes into the history, for whoever asks later.')


def _name_in(path: str) -> str:
    """A shell completes the path; the name is what counts."""
    return Path(path).name


# --- looking ---


def _show(look: Look, filename: str | None, *, as_json: bool) -> int:
    if look.not_reachable or look.plan is None:
        return _show_silence(look, as_json=as_json)
    if filename is None:
        cases = [case_of(look.plan, entry.filename) for entry in look.plan.entries]
        found = [case for case in cases if case and case.open]
    else:
        case = case_of(look.plan, _name_in(filename))
        if case is None:
            raise NotFound("migration", filename)
        found = [case]
    if as_json:
        fields = {"environment": look.environment.name, "files": [*map(_case_json, found)], "stops": look.plan.stops}
        say_json(fields | {"exit_code": DONE})
        return DONE
    for stop in look.plan.stops:  # also that the database is another one, which is decided here as well
        say(f"{look.environment.name}: nothing may run: {stop}")
    for case in found:
        for line in _lines(case):
            say(line)
    if not found and not look.plan.stops:
        say(f"{look.environment.name}: nothing has to be decided.")
    return DONE


def _show_silence(look: Look, *, as_json: bool) -> int:
    name, gone = look.environment.name, look.not_reachable
    if as_json:
        say_json({"environment": name, "not_reachable": gone, "exit_code": NOT_REACHABLE})
    elif gone:
        complain(f"{name}: not reachable: {gone.reason.rstrip('.')}.")
        complain(f"What to do: {gone.advice}")
    return NOT_REACHABLE


def _lines(case: Case) -> Iterator[str]:
    yield f"{case.environment}: {case.filename} is {case.state}"
    said = sentence_of(case)
    if said:
        yield f"  {said}"
    yield from (f"    {line}" for line in _interrupted(case))
    yield f"What to do: {advice_of(case)}" if case.open else "Nothing has to be decided."


def _interrupted(case: Case) -> list[str]:
    """The statement in doubt, with its place in the file."""
    number = case.unfinished.interrupted if case.unfinished else None
    statements = case.script.statements if case.script and case.same_text else ()
    return [f"line {one.line}: {one.in_brief}" for one in statements if one.index == number]


def _case_json(case: Case) -> dict[str, Any]:
    return {
        "filename": case.filename,
        "state": case.state,
        "said": sentence_of(case) or None,
        "unfinished": case.unfinished,
        "decisions": [
            {
                "decision": decision,
                "effect": effect(case, decision),
                "condition": condition(case, decision) or None,
                "command": command(case.environment, case.filename, decision),
            }
            for decision in fitting(case)
        ],
    }


# --- deciding ---


def _tell(resolution: Resolution, *, as_json: bool) -> int:
    code = _CODES[resolution.ending]
    if as_json:
        fields = {name: getattr(resolution, name) for name in Resolution.__slots__}
        say_json(fields | {"exit_code": code})
    elif resolution.ending is Ending.RESOLVED:
        say(f"{resolution.environment}: {resolution.filename}: {resolution.decision}. {resolution.said}")
        if not resolution.applied and resolution.decision is not Decision.ACCEPT_EDIT:
            say(f"Now run: rung migrate --env {resolution.environment}")
    elif resolution.problem:
        complain(f"{resolution.environment}: {resolution.ending}.")
        lines = problem_lines(resolution.problem)
        complain("\n".join(lines if resolution.problem.filename else lines[1:]))
    return code


def _tell_database(accepted: Accepted, *, as_json: bool) -> int:
    code = _CODES[accepted.ending]
    if as_json:
        say_json({name: getattr(accepted, name) for name in Accepted.__slots__} | {"exit_code": code})
    elif accepted.ending is Ending.RESOLVED:
        say(f"{accepted.environment}: {accepted.said}")
        say(f"Now look: rung check --env {accepted.environment}")
    elif accepted.problem:
        complain(f"{accepted.environment}: {accepted.ending}.")
        complain("\n".join(problem_lines(accepted.problem)[1:]))
    return code
