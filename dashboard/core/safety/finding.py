"""A finding: one remark of the review about one statement."""

import re
from dataclasses import dataclass
from enum import StrEnum

from dashboard.core.migration import Migration, Refusal
from dashboard.core.script import Script


class RiskClass(StrEnum):
    """What kind of harm a rule speaks of."""

    DESTRUCTIVE = "destructive"  # data is gone, and only a backup brings it back
    OPAQUE = "opaque"  # what it does cannot be known from the text
    BLOCKING = "blocking"  # others wait while the work grows with the table
    BREAKING = "breaking"  # running old code stops working
    WILL_FAIL = "will fail"  # certain to raise an error, or to succeed and do nothing
    HYGIENE = "hygiene"  # legal and safe, likely to be regretted


STOPPING = frozenset({RiskClass.DESTRUCTIVE, RiskClass.OPAQUE, RiskClass.WILL_FAIL})
"""The classes whose findings stop a run. The others are shown: how long others wait, and which code still runs, the
parse tree alone cannot tell."""


class Source(StrEnum):
    """Which knowledge a finding rests on."""

    PARSED = "parsed"  # the parse tree
    CATALOG = "catalog"  # the environment's own catalog and rows
    REHEARSED = "rehearsed"  # a run on a throw-away copy


@dataclass(frozen=True, slots=True)
class Here:
    """What an environment's catalog adds to a finding about one of its tables.

    Attributes
    ----------
    size: bytes of the table, its TOAST and its indexes. rows: the server's estimate; None where it never counted.
    stops: whom the lock makes wait: `writes`, `reads and writes`; empty where the rule does not say.
    least, most: seconds that the work may take; None where it does not grow with the table.
    takes: what a CASCADE takes along.
    elsewhere: the same of other environments where the file is pending too, by their names.

    """

    table: str
    size: int
    rows: int | None
    stops: str = ""
    least: float | None = None
    most: float | None = None
    takes: tuple[str, ...] = ()
    elsewhere: "tuple[tuple[str, Here], ...]" = ()

    @property
    def is_brief(self) -> bool:
        """Nobody notices."""
        return self.most is None or self.most < 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about one statement.

    Attributes
    ----------
    rule: its name in the catalogue, such as `drop-column`.
    line: 1-based line of the statement (or of the inner statement) in the file.
    statement: the statement's first line, shortened, for people.
    what: what happens, or would be lost, as a sentence: "drops column legacy_role of table users with all its values".
    safer: the safer way, ready to follow; may hold several lines.
    blocks: whether the gate stops before this file.
    acknowledged: the reason why its author accepts it, from a line `-- rung: allow …`; empty where nobody did.
    here: what the environment's catalog adds; None where it was not asked, or knows no such table.
    since: where it is true of older servers only: the first major version that it is not true of; 0 for the others.

    """

    rule: str
    risk: RiskClass
    line: int
    statement: str
    what: str
    safer: str
    blocks: bool
    source: Source = Source.PARSED
    acknowledged: str = ""
    here: Here | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the review says of one pending migration.

    Attributes
    ----------
    script: None where the file cannot be read as SQL; then `refusal` says why.
    findings: in the order of their lines; those with `blocks` stop the run before this file.
    newer: what is true on older servers only, see `on_server`.

    """

    migration: Migration
    script: Script | None
    refusal: Refusal | None = None
    findings: tuple[Finding, ...] = ()
    newer: tuple[Finding, ...] = ()

    def on_server(self, version: str) -> tuple[Finding, ...]:
        """The findings on a server of that version, such as `16.4`; where nobody knows it, those of every server."""
        major = re.match(r"\d+", version)
        late = [finding for finding in self.newer if major and int(major[0]) < finding.since]
        return tuple(sorted((*self.findings, *late), key=lambda finding: finding.line)) if late else self.findings
