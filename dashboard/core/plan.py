"""Files, ledger and history become a plan: what would run on one environment, in which order, or why not."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dashboard.core.environment import Environment, Policy
from dashboard.core.migration import HASH_VERSION, Folder, Migration, Refusal, number_of, order_of
from dashboard.core.picture import AppliedFile, LedgerRow, Picture, UnfinishedFile
from dashboard.core.safety.finding import Finding, Reviewed, RiskClass
from dashboard.core.script import Script
from dashboard.core.usable import notices_of, stops_of

Reviewer = Callable[[Sequence[Migration]], tuple[Reviewed, ...]]


class State(StrEnum):
    """Where one file stands on one environment."""

    APPLIED = "applied"
    EDITED = "edited"  # applied, and its content changed since
    RENAMED = "renamed"  # the same content under two names: one in the ledger, one in the folder
    MISSING_FILE = "missing file"  # in the ledger, not in the folder
    PENDING = "pending"
    OUT_OF_ORDER = "out of order"  # pending, with a lower number than the newest applied one
    FAILED = "failed"  # pending, and the last attempt failed
    UNFINISHED = "unfinished"  # a non-transactional file that stopped half-way
    BLOCKED = "blocked"  # pending, and the gate or an unusable file stops the run before it


class Action(StrEnum):
    """What a run does with a pending file."""

    RUN = "run"
    RESUME = "resume"  # run what is left of a non-transactional file
    ADOPT = "adopt"  # a renamed file: record the new name, run nothing


@dataclass(frozen=True, slots=True)
class Step:
    """One file of the plan that would run.

    Attributes
    ----------
    script: None for ADOPT, and where `refusal` says why the file cannot run.
    resume_after: number of statements, from the first, that are finished already.
    unfinished: set for a non-transactional file that stopped half-way.
    renamed_from: set for ADOPT.

    """

    migration: Migration
    action: Action
    script: Script | None
    findings: tuple[Finding, ...] = ()
    refusal: Refusal | None = None
    unfinished: UnfinishedFile | None = None
    resume_after: int = 0
    renamed_from: str | None = None

    @property
    def gated(self) -> tuple[Finding, ...]:
        """The findings that stop the run before this file, and that a reason may lift."""
        return tuple(finding for finding in self.findings if finding.blocks and finding.risk is not RiskClass.WILL_FAIL)

    @property
    def failing(self) -> tuple[Finding, ...]:
        """The findings that are certain to raise an error, which no reason changes."""
        return tuple(finding for finding in self.findings if finding.blocks and finding.risk is RiskClass.WILL_FAIL)

    @property
    def undecided(self) -> bool:
        """It stopped half-way, and somebody has to decide how it goes on."""
        return self.unfinished is not None and self.action is not Action.RESUME

    @property
    def unusable(self) -> bool:
        """No reason helps: the file must be changed, or an interrupted statement looked at."""
        return self.refusal is not None or self.undecided or bool(self.failing)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, in the folder or in the ledger or in both, and where it stands."""

    filename: str
    state: State
    note: str = ""
    migration: Migration | None = None
    ledger: LedgerRow | None = None
    applied: AppliedFile | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would run on one environment.

    Attributes
    ----------
    entries: every file known here, in the order of the ladder (oldest first).
    steps: the files that would run, in order.
    stops: sentences why nothing may run at all (duplicate numbers, unusable files, a policy), with what to do;
        empty where only the gate speaks. `--force` does not lift them.
    notices: sentences worth showing that stop nothing.
    digest: SHA-256, hex, over environment, files with hashes, ledger state and findings: equal digests, equal run.

    """

    environment: str
    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]
    stops: tuple[str, ...]
    notices: tuple[str, ...]
    digest: str

    @property
    def gated(self) -> tuple[Step, ...]:
        """The steps the gate would stop."""
        return tuple(step for step in self.steps if step.gated)

    def runnable(self, *, force: bool, until_blocked: bool) -> tuple[Step, ...]:
        """The steps that a run with these settings executes; empty where it is refused or nothing is pending.

        A file that cannot be read as SQL lets nothing run, also not the files before it.
        """
        if self.stops or self._refused is not None:
            return ()
        free: list[Step] = []
        for step in self.steps:
            if step.unusable or (step.gated and not force):
                return tuple(free) if until_blocked else ()
            free.append(step)
        return tuple(free)

    def first_obstacle(self, *, force: bool) -> Step | None:
        """The step that keeps a run with these settings from going through; None where nothing is in the way."""
        gated = next((step for step in self.steps if step.unusable or (step.gated and not force)), None)
        return self._refused or gated

    @property
    def _refused(self) -> Step | None:
        return next((step for step in self.steps if step.refusal is not None), None)


def make_plan(environment: Environment, folder: Folder, picture: Picture, review: Reviewer) -> Plan:
    """Compare what the files say with what the database says.

    Pure: the picture is a value; `review` (see `safety.review`) is called once with the pending files in order, and
    only if there are any, so that a plan with nothing to do never imports the parser.
    """
    in_ledger = {row.filename: row for row in picture.ledger}
    in_folder = {migration.filename: migration for migration in folder.migrations}
    renames = _renames(in_folder, in_ledger, picture)
    entries = _entries(in_folder, in_ledger, picture, renames, folder.refusals)
    steps = _steps([entry for entry in entries if entry.filename not in in_ledger], picture, renames, review)
    entries = _with_blocks(entries, steps)
    return Plan(
        environment=environment.name,
        entries=entries,
        steps=steps,
        stops=(*stops_of(environment, picture, pending=bool(steps)), *_stops(environment, folder, entries)),
        notices=(*notices_of(environment, picture), *_notices(environment, folder, entries)),
        digest=_digest(environment, entries, steps),
    )


def _renames(in_folder: dict[str, Migration], in_ledger: dict[str, LedgerRow], picture: Picture) -> dict[str, str]:
    """New name -> old name, for pending files with exactly the content of a missing one, each old name used once."""
    taken = {applied.renamed_from for applied in picture.applied.values()}
    gone: dict[str, list[str]] = {}
    for name, applied in sorted(picture.applied.items()):
        missing = name in in_ledger and name not in in_folder and name not in taken
        if missing and applied.normalised_hash and applied.hash_version == HASH_VERSION:
            gone.setdefault(applied.normalised_hash, []).append(name)
    renames = {}
    for migration in sorted(in_folder.values(), key=order_of):
        candidates = gone.get(migration.normalised_hash)
        if candidates and migration.filename not in in_ledger and migration.text.strip():
            renames[migration.filename] = candidates.pop(0)
    return renames


def _entries(
    in_folder: dict[str, Migration],
    in_ledger: dict[str, LedgerRow],
    picture: Picture,
    renames: dict[str, str],
    refusals: Sequence[Refusal],
) -> tuple[Entry, ...]:
    newest = max((number_of(name) for name in in_ledger), default=-1)
    unfinished = {file.filename: file for file in picture.unfinished}
    failed = {file.filename: file for file in picture.failed}
    refused = {refusal.filename: refusal.message for refusal in refusals}
    known = in_folder.keys() | in_ledger.keys() | unfinished.keys() | refused.keys()
    adopted = {a.renamed_from: a.filename for a in picture.applied.values() if a.renamed_from} | {
        old: new for new, old in renames.items()
    }

    def entry(name: str) -> Entry:
        migration, row, applied = in_folder.get(name), in_ledger.get(name), picture.applied.get(name)
        made = Entry(name, State.PENDING, migration=migration, ledger=row, applied=applied)
        if name in refused:
            return replace(made, state=State.EDITED if row else State.BLOCKED, note=refused[name])
        if row is not None:
            return _recorded(made, adopted)
        if name in renames:
            return replace(made, state=State.RENAMED, note=f"applied here as {renames[name]}")
        if name in unfinished:
            return replace(made, state=State.UNFINISHED, note=_unfinished_note(unfinished[name], migration))
        if name in failed and not failed[name].is_cancelled:
            return replace(made, state=State.FAILED, note=failed[name].message)
        if migration is not None and migration.number < newest:
            return replace(made, state=State.OUT_OF_ORDER, note=_newer_applied(newest))
        return replace(made, note=failed[name].message) if name in failed else made

    return tuple(entry(name) for name in sorted(known, key=lambda name: (number_of(name), name)))


def _recorded(entry: Entry, adopted: dict[str, str]) -> Entry:
    """The state of a file that the ledger has."""
    if entry.migration is None:
        if entry.filename in adopted:
            return replace(entry, state=State.RENAMED, note=f"now called {adopted[entry.filename]}")
        return replace(entry, state=State.MISSING_FILE, note="applied here, and no longer in the folder")
    applied = entry.applied
    if applied is None or applied.raw_hash is None or applied.hash_version != HASH_VERSION:
        return replace(entry, state=State.APPLIED, note="applied by another tool" if applied is None else "")
    if applied.normalised_hash != entry.migration.normalised_hash:
        return replace(entry, state=State.EDITED, note="its content changed after it was applied")
    if applied.raw_hash != entry.migration.raw_hash:
        return replace(entry, state=State.APPLIED, note="only line endings changed since it was applied")
    return replace(entry, state=State.APPLIED)


def _newer_applied(newest: int) -> str:
    return f"newer files up to number {newest} are applied"


def _unfinished_note(file: UnfinishedFile, migration: Migration | None) -> str:
    done = f"stopped after {file.statements_done} finished statement{'' if file.statements_done == 1 else 's'}"
    if migration is None:
        return f"{done}, and no longer in the folder"
    if file.drop and file.interrupted is None:
        return f"the next run drops the INVALID index {' and '.join(file.drop)} and goes on, as somebody decided"
    if file.interrupted is None and file.normalised_hash != migration.normalised_hash:
        return f"{done}, and its text was changed since"
    if file.interrupted is None:
        return f"{done}; the next run goes on from there"
    end = "did not go through." if file.failed else "was started, and its end is not known."
    return " ".join((f"statement {file.interrupted} {end}", *file.evidence))


def _steps(pending: Sequence[Entry], picture: Picture, renames: dict[str, str], review: Reviewer) -> tuple[Step, ...]:
    files = [entry.migration for entry in pending if entry.migration is not None]
    to_run = [migration for migration in files if migration.filename not in renames]
    reviewed = {done.migration.filename: done for done in review(to_run)} if to_run else {}
    unfinished = {file.filename: file for file in picture.unfinished}
    return tuple(
        Step(migration, Action.ADOPT, None, renamed_from=renames[migration.filename])
        if migration.filename in renames
        else _step(reviewed[migration.filename], unfinished.get(migration.filename), picture.server_version)
        for migration in files
    )


def _step(reviewed: Reviewed, unfinished: UnfinishedFile | None, version: str) -> Step:
    findings = reviewed.on_server(version)
    step = Step(reviewed.migration, Action.RUN, reviewed.script, findings, reviewed.refusal, unfinished)
    if unfinished is None:
        return step
    if step.script is None:
        return replace(step, unfinished=None)
    same_text = unfinished.normalised_hash == reviewed.migration.normalised_hash
    goes_on = unfinished.statements_done == 0 or (same_text and not step.script.transactional)
    if unfinished.interrupted is None and goes_on:
        return replace(step, action=Action.RESUME, resume_after=unfinished.statements_done)
    return step


def _with_blocks(entries: tuple[Entry, ...], steps: tuple[Step, ...]) -> tuple[Entry, ...]:
    """Pending files that the gate or an unusable text stops are shown as blocked, with the first reason."""
    why = {
        step.migration.filename: step.refusal.message if step.refusal else (*step.failing, *step.gated)[0].what
        for step in steps
        if step.refusal or step.failing or step.gated
    }
    waiting = (State.PENDING, State.OUT_OF_ORDER, State.FAILED)
    return tuple(
        replace(entry, state=State.BLOCKED, note=why[entry.filename])
        if entry.filename in why and entry.state in waiting
        else entry
        for entry in entries
    )


def _stops(environment: Environment, folder: Folder, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    policies = environment.policies
    stops = [f"{refusal.filename}: {refusal.message}. {refusal.advice}" for refusal in folder.refusals]
    if policies.duplicate_numbers is Policy.REFUSE:
        stops += [
            f"{' and '.join(m.filename for m in group)} have the same number {group[0].number}. "
            'Give one of them the next free number, or set duplicate_numbers = "warn" in rung.toml.'
            for group in folder.duplicates
        ]
    if policies.out_of_order is Policy.REFUSE:
        newest = max((number_of(entry.filename) for entry in entries if entry.ledger), default=-1)
        stops += [
            f"{entry.filename} is out of order: {_newer_applied(newest)}. Give it the next free number."
            for entry in entries
            if _is_out_of_order(entry, newest)
        ]
    if policies.edited is Policy.REFUSE:
        stops += [
            f"{entry.filename} was edited after it was applied on {environment.name}{_applied_by(entry)}. "
            "Put its content back, and bring "
            "the change in a new file; or, where the new content says the same, accept it: `rung resolve "
            f'{entry.filename} --env {environment.name} --accept-edit --reason "\N{HORIZONTAL ELLIPSIS}"`.'
            for entry in entries
            if entry.state is State.EDITED
        ]
    return tuple(stops)


def _applied_by(entry: Entry) -> str:
    when = entry.ledger.applied_at if entry.ledger else None
    at = f"{when:%Y-%m-%d %H:%M} UTC" if when else ""
    known = ", ".join(filter(None, (at, f"by {entry.applied.actor}" if entry.applied and entry.applied.actor else "")))
    return f" ({known})" if known else ""


def _is_out_of_order(entry: Entry, newest: int) -> bool:
    waiting = entry.migration is not None and entry.ledger is None and entry.state is not State.RENAMED
    return waiting and number_of(entry.filename) < newest


def _notices(environment: Environment, folder: Folder, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    newest = max((number_of(entry.filename) for entry in entries if entry.ledger), default=-1)
    notices = []
    if environment.policies.duplicate_numbers is Policy.WARN:
        notices += [
            f"{' and '.join(m.filename for m in group)} have the same number {group[0].number}; they run by name."
            for group in folder.duplicates
        ]
    for entry in entries:
        match entry.state:
            case State.EDITED if environment.policies.edited is Policy.WARN:
                applied = f"was edited after it was applied{_applied_by(entry)}"
                notices.append(
                    f"{entry.filename} {applied}; what ran is the old text. Put that back, or accept the edit."
                )
            case State.MISSING_FILE:
                notices.append(
                    f"{entry.filename} is applied here and missing from the folder: pull, or find its branch."
                )
            case State.RENAMED if entry.ledger is None:
                notices.append(f"{entry.filename} is {entry.note}; the new name is recorded, nothing runs again.")
            case State.UNFINISHED if entry.migration is None:
                notices.append(f"{entry.filename} was begun here and is missing from the folder.")
            case _:
                pass
        if environment.policies.out_of_order is Policy.WARN and _is_out_of_order(entry, newest):
            notices.append(f"{entry.filename} is out of order: {_newer_applied(newest)}. It runs all the same.")
    return tuple(notices)


def _digest(environment: Environment, entries: tuple[Entry, ...], steps: tuple[Step, ...]) -> str:
    """JSON, because a ledger may hold any name: no separator of ours could not be part of one."""
    files = [
        (entry.filename, entry.migration and entry.migration.raw_hash, entry.ledger is not None, entry.state)
        for entry in entries
    ]
    work = [
        (
            *(step.migration.filename, step.action, step.resume_after, step.renamed_from, step.unusable),
            step.unfinished.drop if step.unfinished else (),
            [(finding.rule, finding.line, finding.blocks) for finding in step.findings],
        )
        for step in steps
    ]
    return hashlib.sha256(json.dumps([environment.name, files, work]).encode()).hexdigest()
