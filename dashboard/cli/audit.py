"""`rung audit`: what was done to the service itself, and whether the record holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboard.cli.asked import a_hash, options, settings_of
from dashboard.cli.codes import DONE, FAILED
from dashboard.cli.shown import complain, say, say_json, table
from dashboard.core.audit import AuditRow
from dashboard.core.words import absolute

if TYPE_CHECKING:
    from dashboard.services.audit import Audit


@click.group(help="Show who came in, who let whom in, and who asked for what; and check that record.")
def audit() -> None:
    pass


def _audit(config: Path | None, directory: Path | None) -> "Audit":
    from dashboard.bootstrap import build

    return build(settings_of(config, directory)).audit


@audit.command(help="Check the chain of hashes; names the first row that does not hold, and exits with 1.")
@options()
@click.option(
    "--head", "kept", metavar="HASH", callback=a_hash,
    help="A hash that an earlier check printed, or the log of a run: some row must have it, or rows were cut off.",
)  # fmt: skip
def verify(config: Path | None, directory: Path | None, kept: str | None, *, as_json: bool) -> int:
    report = _audit(config, directory).verify(kept)
    if as_json:
        say_json({name: getattr(report, name) for name in report.__slots__})
    else:
        head = f" The newest has the hash {report.head}." if report.ok and report.head else ""
        (say if report.ok else complain)(f"audit: {report.what}.{head}")
    return DONE if report.ok else FAILED


@audit.command("list", help="Show what was done, newest first.")
@options()
@click.option(
    "--limit", type=click.IntRange(min=1, max=10_000), default=30, show_default=True, metavar="N", help="Rows."
)
def newest(config: Path | None, directory: Path | None, limit: int, *, as_json: bool) -> int:
    rows = _audit(config, directory).newest(limit)
    if as_json:
        say_json({"rows": rows})
    elif rows:
        table(["when", "who", "from", "what", "environment", "on", "outcome"], [_cells(row) for row in rows])
    else:
        say("Nothing was done yet.")
    return DONE


def _cells(row: AuditRow) -> list[str]:
    outcome = f"{row.outcome}: {row.detail}" if row.detail else row.outcome
    return [absolute(row.at), row.who, row.address, row.deed, row.environment, row.subject, outcome]
