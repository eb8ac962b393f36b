"""What the runner is doing when it is killed: a few folders, each with what must be true in the end."""

from dataclasses import dataclass

from tests.oracle import LOG, noted

Files = tuple[tuple[str, str], ...]

GROUND = ("000_ground.sql", LOG + noted("000_ground.sql") + "CREATE TABLE t AS SELECT generate_series(1, 500) AS id;\n")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run.

    Attributes
    ----------
    before: files that the database has already; empty: it has nothing, no ledger either.
    files: what the run has to do.
    fails: the file that cannot go through, and `corrected`, its text that can.

    """

    name: str
    files: Files
    before: Files = (GROUND,)
    fails: str | None = None
    corrected: str = ""

    @property
    def folder(self) -> Files:
        return (*self.before, *self.files)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.folder]

    @property
    def reachable(self) -> list[str]:
        """The files that are in when the run has done what it can."""
        return self.names[: self.names.index(self.fails)] if self.fails else self.names

    def mended(self) -> Files:
        return tuple((name, self.corrected if name == self.fails else text) for name, text in self.folder)


def _plain(name: str, more: str = "") -> tuple[str, str]:
    return name, more + noted(name)


SMALL = Scenario(
    "three small files",
    (
        _plain("001_a.sql", "CREATE TABLE a (id int);\n"),
        _plain("002_b.sql"),
        _plain("003_c.sql", "DROP INDEX IF EXISTS no;\n"),
    ),
)
OWN_FRAME = Scenario(
    "a file with its own BEGIN and COMMIT",
    (
        ("001_frame.sql", f"BEGIN;\nCREATE TABLE framed (id int);\n{noted('001_frame.sql')}COMMIT;\n"),
        _plain("002_after.sql"),
    ),
)
_STATEMENTS = f"""\
SET search_path = public;
CREATE INDEX CONCURRENTLY t_id ON t (id);
{noted("002_index.sql")}VACUUM t;
CREATE UNIQUE INDEX CONCURRENTLY t_id_once ON t (id);
"""
PIECEMEAL = Scenario(
    "a file that cannot run in a transaction",
    (_plain("001_a.sql"), ("002_index.sql", _STATEMENTS), _plain("003_c.sql")),
)
EMPTY = Scenario(
    "the first run on an empty database",
    (("001_log.sql", LOG + noted("001_log.sql")), _plain("002_b.sql"), _plain("003_c.sql")),
    before=(),
)
FAILING = Scenario(
    "a run of which one file fails",
    (_plain("001_a.sql"), _plain("002_no.sql", "CREATE TABLE half (id int);\nSELECT 1/0;\n"), _plain("003_c.sql")),
    fails="002_no.sql",
    corrected=noted("002_no.sql"),
)
ALL = (SMALL, OWN_FRAME, PIECEMEAL, EMPTY, FAILING)
