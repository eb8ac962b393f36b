"""Rehearse: what the pending files would do to one environment, tried on a throwaway copy of its schema."""

import time
from collections.abc import Callable

from dashboard.core.environment import Environment
from dashboard.core.estimate import Size
from dashboard.core.matrix import Look
from dashboard.core.plan import Step
from dashboard.core.rehearsal import Rehearsal, differences
from dashboard.core.run import Problem
from dashboard.postgres import rehearsal
from dashboard.postgres.scratch import copy_of
from dashboard.postgres.sizes import sizes_of

# What reaches outside of the copy's database, by the first words of its kind and by the rules of the review.
_OUTSIDE = (
    "ALTER SYSTEM",
    "CREATE DATABASE",
    "ALTER DATABASE",
    "DROP DATABASE",
    "CREATE TABLESPACE",
    "ALTER TABLESPACE",
    "DROP TABLESPACE",
    "CREATE SUBSCRIPTION",
    "ALTER SUBSCRIPTION",
    "CREATE SERVER",
    "CREATE USER MAPPING",
    "LOAD",
)
_OUTSIDE_RULES = frozenset(
    {"copy-program", "copy-server-file", "reaching-function", "load-library", "foreign-language"}
)


def rehearse(look: Look, told: Callable[[str], None], stopped: Callable[[], bool] = lambda: False) -> Rehearsal:
    """Try what is pending by that look. `told` hears, as a sentence, what is being done.

    stopped: asked each second while a file is tried; True ends its statement.
    Changes nothing on the environment, whose schema is read by pg_dump. Raises EnvironmentFault, CannotRehearse,
    EmbeddedServerFault.
    """
    name, began = look.environment.name, time.monotonic()
    steps = look.plan.steps if look.plan else ()
    problem = next(filter(None, (_why_not(name, step) for step in steps)), None)
    of = look.picture.server_version if look.picture else ""
    if problem is not None or not steps:
        return Rehearsal(name, "", of, problem=problem)
    told(f"reading the schema of {name}")
    with copy_of(look.environment) as scratch:
        before = rehearsal.picture_of(scratch)
        files = rehearsal.rehearse(name, scratch, steps, told, stopped)
        changes = differences(before, rehearsal.picture_of(scratch))
        seconds = time.monotonic() - began
        return Rehearsal(name, scratch.version, of, files, changes, tuple(scratch.notes), seconds=seconds)


def sizes(environment: Environment, done: Rehearsal) -> dict[str, Size]:
    """How large, on the environment, the tables are that its statements read or write. Raises EnvironmentFault."""
    traces = [trace for file in done.files for trace in file.statements]
    return sizes_of(environment, {name for trace in traces for name in (*trace.rewritten, *trace.scanned)})


def _why_not(environment: str, step: Step) -> Problem | None:
    """Why a file is not tried at all."""
    filename = step.migration.filename
    if step.refusal is not None:
        said = step.refusal
        return Problem(environment, said.message, said.advice, filename, None, said.line, said.column, said.excerpt)
    advice = "Read that statement yourself; the other files can be rehearsed without this one."
    for statement in step.script.statements if step.script else ():
        if statement.kind.startswith(_OUTSIDE):
            message = f"{statement.kind} reaches outside of the database, and is not tried on a copy"
            return Problem(
                environment, message, advice, filename, statement.index, statement.line, excerpt=statement.in_brief
            )
    for finding in step.findings:
        if finding.rule in _OUTSIDE_RULES:
            message = f"it {finding.what}; that reaches outside of the database, and is not tried on a copy"
            return Problem(environment, message, advice, filename, line=finding.line, excerpt=finding.statement)
    return None
