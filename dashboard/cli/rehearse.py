"""`rung rehearse`: try what is pending on a throwaway copy of an environment's schema; the environment only is read."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from dashboard.cli.asked import chosen, options, services_of, settings_of
from dashboard.cli.codes import DONE, FAILED, NOT_REACHABLE, REFUSED
from dashboard.cli.shown import complain, say, say_json
from dashboard.core.effects import effects, verdict_of
from dashboard.core.estimate import Size
from dashboard.core.rehearsal import Change, FileTrace, Rehearsal
from dashboard.core.words import problem_lines

_ENV = "The environment; local, or else the first one, if it is left out."


@click.command(help="Try the pending files on a throwaway copy of the schema, and tell what each statement did there.")
@options(env=_ENV)
def rehearse(name: str | None, config: Path | None, directory: Path | None, *, as_json: bool) -> int:
    settings = settings_of(config, directory)
    environment = chosen(settings, name)
    look = services_of(settings).compare.look(environment.name)
    if look.not_reachable:
        complain(f"{environment.name}: {look.not_reachable.reason}\nWhat to do: {look.not_reachable.advice}")
        return NOT_REACHABLE
    if look.plan and look.plan.stops:
        complain("\n".join(look.plan.stops))
        return REFUSED
    from dashboard.services.rehearse import rehearse as rehearse_look
    from dashboard.services.rehearse import sizes

    done = rehearse_look(
        look, (lambda _: None) if as_json else (lambda said: complain(f"{environment.name}: {said} …"))
    )
    known = sizes(environment, done)
    if as_json:
        say_json(asdict(done) | {"exit_code": _code(done), "sizes": {n: asdict(size) for n, size in known.items()}})
    else:
        _show(done, known)
    return _code(done)


def _code(done: Rehearsal) -> int:
    if done.problem is not None:
        return REFUSED
    return FAILED if done.failed and not done.failed.inconclusive else DONE


def _show(done: Rehearsal, sizes: dict[str, Size]) -> None:
    if done.problem is not None:
        complain("\n".join((f"{done.environment}: not rehearsed.", *problem_lines(done.problem))))
        return
    if not done.files:
        say(f"{done.environment}: up to date. Nothing to rehearse.")
        return
    say(f"{done.environment}: {verdict_of(done, sizes)} (rehearsed on PostgreSQL {done.server_version})")
    if done.server_version.split(".")[0] != done.of.split(".")[0]:
        say(f"  note     the environment runs PostgreSQL {done.of}; what another version does may differ")
    for note in done.notes:
        say(f"  note     {note}")
    for file in done.files:
        for line in _file_lines(file, sizes):
            say(line)
    if done.changes:
        say("The schema afterwards:")
    for change in done.changes:
        say(f"  {change.sign} {change.kind} {change.name}{_difference(change)}")


def _file_lines(file: FileTrace, sizes: dict[str, Size]) -> Iterator[str]:
    word = "ok" if file.problem is None else "unsure" if file.inconclusive else "fails"
    yield f"  {word:<8} {file.filename}"
    for trace in file.statements:
        yield f"           line {trace.line}: {trace.statement}"
        for said in effects(trace, sizes):
            yield f"               {said}"
    if file.problem is not None:
        yield from (f"           {line}" for line in problem_lines(file.problem)[1:])
        if file.inconclusive:
            yield "           The copy has no rows and its role is no superuser; the environment may answer otherwise."
    for left in file.left:
        yield f"           leaves behind in its session: {left}"


def _difference(change: Change) -> str:
    before, after = (" ".join(text.split())[:80] for text in (change.before, change.after))
    return f": {before} → {after}" if change.sign == "~" else f": {after}" if change.after else ""
