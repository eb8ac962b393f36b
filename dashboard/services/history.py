"""History: what was tried, where, when, by whom, and how it ended; from home's copy, or straight from the target."""

from collections.abc import Iterator, Sequence
from functools import partial
from uuid import UUID

from dashboard.core.environment import Environment
from dashboard.core.errors import EnvironmentFault, NoHome, UnknownEnvironment
from dashboard.core.migration import Migration, read_migration
from dashboard.core.record import (
    ChainCheck,
    ChainReport,
    Happening,
    HistoryFilter,
    HistoryPage,
    HistoryRow,
    PastRun,
    Remembered,
    cut_off,
)
from dashboard.core.safety.finding import Finding
from dashboard.postgres import history
from dashboard.postgres.connect import Connection, connect
from dashboard.postgres.home import chains, mirror
from dashboard.postgres.home.pool import Home
from dashboard.postgres.observe import asking, picture_from

_BATCH = 100
LONGEST_CHECK = 20.0  # seconds that a check from a page may take; the command takes what it needs
_FILE_ENDS = (Happening.APPLIED, Happening.FAILED)
_REVIEWED = 200  # files of a run that are read again for what is printed
_PICTURED = 2000  # rows whose runs make a timeline
_EXPORTED = 1000  # rows read at a time, without their text


class HistoryService:
    """`page`, `of_file`, `of_run` and `row` read home's copy; `live` and `verify` ask the environment, without home."""

    def __init__(self, environments: Sequence[Environment], home: Home | None) -> None:
        self._environments = {environment.name: environment for environment in environments}
        self._maybe_home = home

    def page(self, wanted: HistoryFilter, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Newest first. `before`: the `older` of another page; one that is not of ours counts as None."""
        with self._home.connection() as connection:
            return mirror.page(connection, wanted, before, limit)

    def past_runs(self, wanted: HistoryFilter) -> tuple[PastRun, ...]:
        """The runs behind the newest rows of a filter, oldest first."""
        with self._home.connection() as connection:
            return mirror.past_runs(connection, wanted, _PICTURED)

    def export(self, wanted: HistoryFilter, limit: int) -> Iterator[Remembered] | None:
        """All rows of the filter that are there now, newest first; None where they are more than `limit`."""
        with self._home.connection() as connection:
            rows, upto = mirror.extent(connection, wanted, limit)
        return None if rows > limit else self._all(wanted, upto)

    def _all(self, wanted: HistoryFilter, upto: int) -> Iterator[Remembered]:
        """Page by page: no connection is held while a slow reader reads."""
        before: str | None = None
        while True:
            with self._home.connection() as connection:
                found = mirror.page(connection, wanted, before, _EXPORTED, upto)
            yield from found.rows
            before = found.older
            if before is None:
                return

    def known_environments(self) -> tuple[str, ...]:
        """Those of the configuration in their order, then others that left rows here."""
        with self._home.connection() as connection:
            return tuple(dict.fromkeys((*self._environments, *mirror.environments(connection))))

    def of_file(self, filename: str, limit: int = 200) -> tuple[Remembered, ...]:
        """Everything about the file of exactly this name, all environments, newest first."""
        with self._home.connection() as connection:
            return mirror.of_file(connection, filename, limit)

    def of_run(self, run_id: str) -> tuple[Remembered, ...]:
        """Everything one run left behind, oldest first."""
        try:
            UUID(run_id)
        except ValueError:
            return ()
        with self._home.connection() as connection:
            return mirror.of_run(connection, run_id)

    def overruled(self, rows: Sequence[Remembered]) -> dict[str, tuple[Finding, ...]]:
        """File -> what would have stopped it, of those files of a run that were forced and whose text was kept."""
        forced = [one.row for one in rows if one.row.event in _FILE_ENDS and one.row.reason and one.row.filename]
        if not forced:
            return {}
        from dashboard.core.safety.review import review  # loads the parser

        with self._home.connection() as connection:
            kept = [mirror.text_of(connection, row.environment, row.id, row.own_hash) for row in forced[:_REVIEWED]]
        read = [
            read_migration(row.filename or "", text.encode()) for row, text in zip(forced, kept, strict=False) if text
        ]
        batch = [one for one in read if isinstance(one, Migration)]
        return {
            file.migration.filename: tuple(finding for finding in file.findings if finding.blocks)
            for file in review(batch)
        }

    def text(self, environment_name: str, filename: str, raw_hash: str) -> str | None:
        """What an environment applied under this name and hash; None where its text was not kept."""
        with self._home.connection() as connection:
            return mirror.text_with(connection, environment_name, filename, raw_hash)

    def row(self, environment_name: str, row_id: int) -> HistoryRow | None:
        """One row with its `sql`."""
        with self._home.connection() as connection:
            return mirror.row(connection, environment_name, row_id)

    def live(
        self, environment_name: str, wanted: HistoryFilter | None = None, limit: int = 50
    ) -> tuple[HistoryRow, ...]:
        """Newest first, from the environment itself, `sql` included. Raises what `connect` raises, EnvironmentFault."""
        environment = self._environment(environment_name)
        with connect(environment, purpose="history") as connection, asking(connection, environment):
            newest = picture_from(connection, environment).history_id
            return _backwards(connection, newest, wanted or HistoryFilter(), limit)

    def verify(self, environment_name: str, kept_head: str | None = None) -> ChainReport:
        """Check the chain of hashes on the environment itself. Raises what `connect` raises, EnvironmentFault.

        `kept_head`: the hash of a row that must be there, as an earlier check, an export or the log told it.
        """
        environment = self._environment(environment_name)
        with connect(environment, purpose="history check") as connection, asking(connection, environment):
            report = history.verify(connection)
            if not report.ok or kept_head is None or history.has(connection, kept_head):
                return report
            return cut_off(report, kept_head)

    def check(self, environment_name: str, by: str) -> None:
        """Check an environment's own rows and home's copy of them, and remember what was found.

        Nothing where somebody did so a moment ago: each check reads the whole history.
        """
        environment = self._environment(environment_name)
        with self._home.connection() as connection:
            if not chains.claim(connection, environment_name):
                return
        try:
            report = self._check_and_copy(environment)
        except EnvironmentFault as fault:
            with self._home.connection() as connection:
                chains.keep_trouble(connection, environment_name, str(fault))
            return
        with self._home.connection() as connection:
            copy = chains.look_at_copy(connection, environment_name)
            chains.keep(connection, environment_name, by, report, copy)

    def _check_and_copy(self, environment: Environment) -> ChainReport:
        """Rows that were cut off the end are in the copy: following the chain marks them as gone."""
        with connect(environment, purpose="history check") as connection, asking(connection, environment):
            report = history.verify(connection, LONGEST_CHECK)
            mirror.follow(self._home, environment.name, partial(history.rows_since, connection))
        return report

    def checks(self) -> dict[str, ChainCheck]:
        """What the last check of each environment found, by name; without those that nobody checked."""
        with self._home.connection() as connection:
            return chains.stored(connection, list(self._environments))

    def _environment(self, name: str) -> Environment:
        try:
            return self._environments[name]
        except KeyError:
            raise UnknownEnvironment(name, ", ".join(self._environments)) from None

    @property
    def _home(self) -> Home:
        if self._maybe_home is None:
            raise NoHome("the history of all environments")  # noqa: TRY003  # the one who needs it
        return self._maybe_home


def _backwards(connection: Connection, newest: int, wanted: HistoryFilter, limit: int) -> tuple[HistoryRow, ...]:
    """Ids have no gaps, so the newest rows are found from the newest id."""
    found: list[HistoryRow] = []
    upto = newest
    while upto > 0 and len(found) < limit:
        after = max(0, upto - _BATCH)
        rows = history.rows_since(connection, after, upto - after)
        found += [row for row in reversed(rows) if _matches(row, wanted)]
        upto = after
    return tuple(found[:limit])


def _matches(row: HistoryRow, wanted: HistoryFilter) -> bool:
    return (
        wanted.outcome in (None, "", row.event)
        and (not wanted.events or row.event in wanted.events)
        and (wanted.since is None or row.finished_at >= wanted.since)
        and (wanted.until is None or row.finished_at < wanted.until)
        and (wanted.actor or "").lower() in row.actor.lower()
        and (wanted.filename or "").lower() in (row.filename or "").lower()
    )
