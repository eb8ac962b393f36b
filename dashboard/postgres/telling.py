"""What a run tells of its files: that one begins, and how it ended."""

import time

from dashboard.core.events import FileApplied, FileFailed, FileStarted, Notice, Reporter
from dashboard.core.plan import Action, Step
from dashboard.core.script import Script
from dashboard.postgres.session import Finish, Verdict


def script_of(step: Step) -> Script:
    """What of the file is to run; no statement where it is only recorded."""
    return step.script or Script(step.migration.filename, ())


class Telling:
    """Told about the files of one run in their order, tells `report`. `total`: how many files the run has."""

    def __init__(self, report: Reporter, total: int) -> None:
        self._report, self._total = report, total
        self._began = 0.0

    def begins(self, step: Step, index: int) -> None:
        """`index`: 1-based among the files of the run."""
        self._began = time.monotonic()
        script = script_of(step)
        self._report(
            FileStarted(
                filename=script.filename,
                index=index,
                total=self._total,
                transactional=script.transactional,
                first_lines=tuple(statement.in_brief for statement in script.statements),
                resume_after=step.resume_after,
            )
        )

    def ended(self, step: Step, finish: Finish) -> None:
        filename, notes = step.migration.filename, "; ".join(finish.notes)
        match finish.verdict:
            case Verdict.APPLIED:
                seconds = time.monotonic() - self._began
                self._report(FileApplied(filename, seconds, step.action is Action.ADOPT, notes or None))
            case Verdict.TAKEN:
                self._report(Notice(filename, notes))
            case Verdict.FAILED | Verdict.CANCELLED if finish.problem:
                self._report(FileFailed(filename, finish.problem))
            case _:
                pass  # that the outcome is unknown was reported when it became so
