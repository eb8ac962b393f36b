"""The review: a batch of pending migrations becomes scripts with findings, in the same order."""

from collections.abc import Sequence

from dashboard.core.migration import Migration
from dashboard.core.safety.finding import Reviewed


def review(batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
    """Parse and judge the pending files of one environment, in the order they will run.

    The batch is judged as a whole: a table that an earlier pending file creates (without IF NOT EXISTS) may be dropped
    by a later one, a function that an earlier one defines is looked into where a later one calls it.
    """
    raise NotImplementedError
