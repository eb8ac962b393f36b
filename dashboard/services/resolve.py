"""Resolve: write down what a person decided about a file that stopped half-way, or was edited after it was applied."""

import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from dashboard import __version__
from dashboard.core.environment import Environment
from dashboard.core.errors import EnvironmentFault, NotFound
from dashboard.core.migration import Folder
from dashboard.core.plan import make_plan
from dashboard.core.record import Happening
from dashboard.core.resolving import Case, Decision, No, case_of, effect, why_not
from dashboard.core.run import Actor, LockHolder, Problem
from dashboard.core.usable import stops_of
from dashboard.postgres.decree import Decree
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.lock import Busy
from dashboard.postgres.observe import Survey
from dashboard.postgres.session import Verdict
from dashboard.services.apply import busy_problem


class Ending(StrEnum):
    """How it ended."""

    RESOLVED = "resolved"
    REFUSED = "refused"  # it does not fit what is there
    FAILED = "failed"  # it could not be written down
    UNREACHABLE = "unreachable"
    BUSY = "busy"  # somebody else holds the lock and the wait ran out


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody decided.

    Attributes
    ----------
    expected_hash: raw hash of the content that was shown; another content is not decided about. None: whatever it is.
    lock_wait: seconds to wait for the runner's lock.

    """

    filename: str
    decision: Decision
    actor: Actor
    reason: str
    expected_hash: str | None = None
    lock_wait: float = 10.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of it.

    Attributes
    ----------
    said: what follows, as a sentence; empty unless it is resolved.
    applied: the file is in the ledger now.
    problem: set unless it is resolved. holder: set for BUSY.

    """

    run_id: str
    environment: str
    filename: str
    decision: Decision
    ending: Ending
    said: str = ""
    applied: bool = False
    problem: Problem | None = None
    holder: LockHolder | None = None


def resolve(environment: Environment, read: Callable[[], Folder], wanted: Wanted) -> Resolution:
    """Write down a decision, if it fits what is there; runs no migration, and the next run goes on from there.

    Raises NotFound for a file that neither folder nor environment knows, ConfigurationError and FolderError.
    """
    return _Resolving(environment, wanted, read(), str(uuid.uuid4())).resolve()


@dataclass(frozen=True, slots=True)
class _Resolving:
    environment: Environment
    wanted: Wanted
    folder: Folder
    run_id: str

    def resolve(self) -> Resolution:
        if not self.wanted.reason.strip():
            problem = self._problem("deciding needs a reason, and none was given", 'Say why: --reason "…".')
            return self._ended(Ending.REFUSED, problem=problem)
        try:
            with Decree(self.environment, self._author()) as decree:
                return self._under_lock(decree)
        except EnvironmentFault as fault:
            return self._ended(Ending.UNREACHABLE, problem=self._problem(str(fault), fault.advice))

    def _under_lock(self, decree: Decree) -> Resolution:
        case = self._case(decree.look())
        if isinstance(case, Resolution):
            return case
        got = decree.lock(self.wanted.lock_wait)
        if isinstance(got, Busy):
            problem = busy_problem(self.environment.name, got)
            return self._ended(Ending.BUSY, problem=problem, holder=got.holder)
        case = self._case(decree.look())  # what was seen before the lock may be old
        if isinstance(case, Resolution):
            return case
        return self._write(decree, case)

    def _case(self, survey: Survey) -> Case | Resolution:
        """The file as it stands, or why it cannot be decided so."""
        from dashboard.core.safety.review import review  # the parser behind it takes long to import

        stops = stops_of(self.environment, survey.picture, pending=True)
        if stops:
            ending = Ending.UNREACHABLE if survey.picture.unwritable else Ending.REFUSED
            return self._ended(ending, problem=self._problem(" ".join(stops), "Nothing is decided before this."))
        plan = make_plan(self.environment, self.folder, survey.picture, review)
        case = case_of(plan, self.wanted.filename)
        if case is None:
            raise NotFound("migration", self.wanted.filename)
        no = self._other_content(case) or why_not(case, self.wanted.decision)
        if no is not None:
            problem = self._problem(f"{self.wanted.decision} does not fit: {no.message}", no.advice, case.filename)
            return self._ended(Ending.REFUSED, problem=problem)
        return case

    def _other_content(self, case: Case) -> No | None:
        expected = self.wanted.expected_hash
        if expected is None or (case.migration is not None and case.migration.raw_hash == expected):
            return None
        return No("the file has changed since it was shown", "Look at it again.")

    def _write(self, decree: Decree, case: Case) -> Resolution:
        entries = tuple(_entries(case, self.wanted.decision))
        said = effect(case, self.wanted.decision)
        if self.wanted.decision is Decision.MARK_APPLIED and case.is_last:
            finish = decree.conclude(case, entries[0])
            if finish.verdict in (Verdict.APPLIED, Verdict.TAKEN):
                return self._ended(Ending.RESOLVED, said=said, applied=True)
            return self._ended(Ending.FAILED, problem=finish.problem)
        problem = decree.record(entries)
        if problem is not None:
            return self._ended(Ending.FAILED, problem=problem)
        return self._ended(Ending.RESOLVED, said=said)

    def _author(self) -> Author:
        return Author(
            run_id=self.run_id,
            environment=self.environment.name,
            actor=self.wanted.actor,
            host=socket.gethostname(),
            tool_version=__version__,
            reason=self.wanted.reason.strip(),
        )

    def _ended(
        self,
        ending: Ending,
        *,
        said: str = "",
        applied: bool = False,
        problem: Problem | None = None,
        holder: LockHolder | None = None,
    ) -> Resolution:
        wanted, name = self.wanted, self.environment.name
        return Resolution(
            self.run_id, name, wanted.filename, wanted.decision, ending, said, applied, problem=problem, holder=holder
        )

    def _problem(self, message: str, advice: str, filename: str | None = None) -> Problem:
        return Problem(self.environment.name, message, advice, filename)


def _entries(case: Case, decision: Decision) -> Iterator[Entry]:
    """Rows for the history. Its text has to fit any encoding a database may have."""
    left = case.unfinished
    remark = f"{decision}: {effect(case, decision)}"
    if decision is Decision.ACCEPT_EDIT and left is None:
        was = case.applied
        if was and was.raw_hash:
            remark += f" Until now that was SHA-256 {was.raw_hash}."
        renamed = was.renamed_from if was else None
        yield Entry(Happening.RESOLVED, case.migration, with_text=True, remark=remark, renamed_from=renamed)
        return
    number = left.interrupted or left.statements_done if left else None
    entry = Entry(Happening.RESOLVED, case.migration, number, remark=remark)
    if decision is Decision.DROP_AND_RETRY and left is not None:
        yield from (replace(entry, subject=index) for index in left.left)
    else:
        yield replace(entry, with_text=decision is Decision.ACCEPT_EDIT)
