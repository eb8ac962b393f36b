"""What a run leaves in the audit: its start, each file that it tried, its end."""

from collections.abc import Iterable, Iterator, Mapping

from dashboard.core.audit import DONE, Deed, Report, Source
from dashboard.core.record import Happening, Remembered
from dashboard.core.run import Outcome, Result
from dashboard.core.words import count, span
from dashboard.postgres.home.runs import Begun

_FILE_ENDS = (Happening.APPLIED, Happening.FAILED, Happening.ADOPTED)
_IN_DOUBT = (Outcome.FAILED, Outcome.UNKNOWN)


def begun(run: Begun) -> Report:
    deed = Deed.RUN_STARTED if run.attempt == 1 else Deed.RUN_TAKEN_UP
    return Report(deed, _asker(run), run.environment, run.run_id, DONE, f"attempt {run.attempt}")


def ended(run: Begun, result: Result, kept: Iterable[Remembered], hashes: Mapping[str, str]) -> Iterator[Report]:
    """`kept`: the run's rows in the copy of the environment's history; `hashes`: of the files that it set out to run.

    The copy has the files of a worker that died, too. Where the environment could not be asked at the end, what the
    runner itself said of its files stands in.
    """
    told: set[str] = set()
    for row in (one.row for one in kept):
        if row.event in _FILE_ENDS and row.filename:
            told.add(row.filename)
            when = f"in {span(row.seconds)}, at {row.finished_at.isoformat(timespec='milliseconds')}"
            yield _file(run, row.filename, row.event, row.raw_hash, when)
    for filename in result.applied:
        if filename not in told:
            yield _file(run, filename, Happening.APPLIED, hashes.get(filename), "as the runner said")
    problem = result.problem
    if problem and problem.filename and result.outcome in _IN_DOUBT and problem.filename not in told:
        yield _file(run, problem.filename, result.outcome, hashes.get(problem.filename), "as the runner said")
    yield end_of(result, _asker(run))


def end_of(result: Result, source: Source) -> Report:
    applied = count(len(result.applied), "file") + " applied" if result.applied else ""
    detail = "; ".join(filter(None, (applied, result.problem.message if result.problem else "")))
    return Report(Deed.RUN_ENDED, source, result.environment, result.run_id, result.outcome, detail)


def _file(run: Begun, filename: str, outcome: str, raw_hash: str | None, more: str) -> Report:
    detail = f"SHA-256 {raw_hash or 'not known'}, {more}, run {run.run_id}"
    return Report(Deed.FILE_RUN, _asker(run), run.environment, filename, outcome, detail)


def _asker(run: Begun) -> Source:
    return Source(run.order.actor.name)
