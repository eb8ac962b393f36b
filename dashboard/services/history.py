"""History: what was tried, where, when, by whom, and how it ended; from home's copy, or straight from the target."""

from dashboard.core.record import ChainReport, HistoryFilter, HistoryPage, HistoryRow, Remembered


class HistoryService:
    """`page` and `of_file` and `of_run` read home's copy; `live` and `verify` ask the environment and need no home."""

    def page(self, wanted: HistoryFilter, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Newest first. `before`: the `older` of another page; one that is not of ours counts as None."""
        raise NotImplementedError

    def of_file(self, filename: str, limit: int = 200) -> tuple[Remembered, ...]:
        """Everything about the file of exactly this name, all environments, newest first."""
        raise NotImplementedError

    def of_run(self, run_id: str) -> tuple[Remembered, ...]:
        """Everything one run left behind, oldest first."""
        raise NotImplementedError

    def row(self, environment_name: str, row_id: int) -> HistoryRow | None:
        """One row with its `sql`."""
        raise NotImplementedError

    def live(
        self, environment_name: str, wanted: HistoryFilter | None = None, limit: int = 50
    ) -> tuple[HistoryRow, ...]:
        """Newest first, from the environment itself, `sql` included. Raises what `connect` raises."""
        raise NotImplementedError

    def verify(self, environment_name: str) -> ChainReport:
        """Check the chain of hashes on the environment itself. Raises what `connect` raises."""
        raise NotImplementedError
