"""`rung history`: what happened on an environment, and whether the record holds."""

from pathlib import Path

import click

from dashboard.cli.asked import a_hash, chosen, options, services_of, settings_of
from dashboard.cli.codes import DONE, FAILED
from dashboard.cli.shown import complain, say, say_json, table
from dashboard.core.record import Happening, HistoryRow
from dashboard.core.words import absolute, span

_ENV = "The environment; local, or else the first one, if it is left out."


@click.command(help="Show what was tried on an environment: when, by whom, how it ended. Newest first.")
@options(env=_ENV)
@click.option(
    "--limit", type=click.IntRange(min=1, max=10_000), default=30, show_default=True, metavar="N", help="Rows."
)
@click.option("--verify", is_flag=True, help="Check the chain of hashes instead; exit with 1 when it does not hold.")
@click.option(
    "--head", "kept", metavar="HASH", callback=a_hash,
    help="With --verify: a hash that an earlier check printed, or the log of a run: some row must have it.",
)  # fmt: skip
def history(
    name: str | None,
    config: Path | None,
    directory: Path | None,
    limit: int,
    kept: str | None,
    *,
    as_json: bool,
    verify: bool,
) -> int:
    if kept and not verify:
        raise click.UsageError("--head says what --verify must find; give both.")
    settings = settings_of(config, directory)
    environment = chosen(settings, name)
    service = services_of(settings).history
    if verify:
        report = service.verify(environment.name, kept)
        if as_json:
            say_json({"environment": environment.name} | {k: getattr(report, k) for k in report.__slots__})
        else:
            head = f". The newest has the hash {report.head}." if report.ok and report.head else ""
            (say if report.ok else complain)(f"{environment.name}: {report.what}{head}")
        return DONE if report.ok else FAILED
    rows = service.live(environment.name, limit=limit)
    if as_json:
        say_json({"environment": environment.name, "rows": rows})
    elif rows:
        table(["when", "what", "file", "who", "took"], [_cells(row) for row in rows])
    else:
        say(f"{environment.name}: nothing was tried here by Rung yet.")
    return DONE


def _cells(row: HistoryRow) -> list[str]:
    what = f"{row.event} ({row.sqlstate})" if row.sqlstate else row.event
    file = row.filename or ""
    if row.statement is not None:
        file += f", statement {row.statement}"
    if row.event == Happening.RESOLVED and row.message:
        what += f": {row.message.partition(':')[0]}"
    if row.event == Happening.NOTE and row.message:
        what += f": {row.message.splitlines()[0]}"
    if row.reason:
        what += f", because: {row.reason}"
    elif row.message and row.sqlstate:
        what += f": {row.message.splitlines()[0]}"
    return [absolute(row.finished_at), what, file, f"{row.actor} ({row.actor_kind}, {row.door})", span(row.seconds)]
