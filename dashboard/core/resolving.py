"""Resolving: what a person may decide about a file that stopped half-way, or that was edited after it was applied."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from dashboard.core.evidence import Traces
from dashboard.core.migration import Migration, Refusal
from dashboard.core.picture import AppliedFile, UnfinishedFile
from dashboard.core.plan import Plan, State, Step
from dashboard.core.script import Script
from dashboard.core.words import count


class Decision(StrEnum):
    """What is decided. The value is what the remark in the history begins with."""

    RETRY = "retry"  # the interrupted statement runs again
    DROP_AND_RETRY = "drop and retry"  # the same, after the INVALID index that it left is gone
    MARK_APPLIED = "mark applied"  # the interrupted statement counts as done
    ACCEPT_EDIT = "accept edit"  # the file's present content counts as what was applied, or begun

    @property
    def option(self) -> str:
        """As the command takes it."""
        return f"--{self.value.replace(' ', '-')}"


def decided(remark: str | None) -> Decision | None:
    """The decision that a row of the history is about; None where there is none, or a later version's."""
    word = (remark or "").partition(":")[0]
    return Decision(word) if word in set(Decision) else None


@dataclass(frozen=True, slots=True)
class Case:
    """One file of one environment, and what is known that bears on a decision.

    Attributes
    ----------
    note: what the plan says of it. script: None where it would not run, or cannot be read; then see `refusal`.

    """

    environment: str
    filename: str
    state: State
    note: str = ""
    migration: Migration | None = None
    script: Script | None = None
    refusal: Refusal | None = None
    unfinished: UnfinishedFile | None = None
    applied: AppliedFile | None = None

    @property
    def open(self) -> bool:
        """Whether somebody has to decide, or may."""
        if self.state is State.UNFINISHED:
            return not self.goes_on
        return self.state is State.EDITED and self.migration is not None

    @property
    def goes_on(self) -> bool:
        """Whether the next run goes on by itself."""
        left = self.unfinished
        return left is not None and left.interrupted is None and not self.changed

    @property
    def changed(self) -> bool:
        """Whether the text of a file that was begun is another one now, and some of the old one is done."""
        return bool(self.unfinished and self.unfinished.statements_done and self.migration and not self.same_text)

    @property
    def same_text(self) -> bool:
        """Whether the text is the one that was begun."""
        return bool(
            self.unfinished and self.migration and self.unfinished.normalised_hash == self.migration.normalised_hash
        )

    @property
    def is_last(self) -> bool:
        """Whether the interrupted statement is the file's last one."""
        return bool(self.script and self.unfinished and self.unfinished.interrupted == len(self.script.statements))


@dataclass(frozen=True, slots=True)
class No:
    """Why a decision does not fit, as the end of a sentence about the file, and what to do instead."""

    message: str
    advice: str


def case_of(plan: Plan, filename: str) -> Case | None:
    """None where neither folder nor environment knows such a file."""
    entry = next((entry for entry in plan.entries if entry.filename == filename), None)
    if entry is None:
        return None
    step = next((step for step in plan.steps if step.migration.filename == filename), None)
    return Case(
        environment=plan.environment,
        filename=filename,
        state=entry.state,
        note=entry.note,
        migration=entry.migration,
        script=step.script if step else None,
        refusal=step.refusal if step else None,
        unfinished=step.unfinished if step else None,
        applied=entry.applied,
    )


def case_of_step(environment: str, step: Step) -> Case:
    """The same of a file that stopped half-way."""
    return Case(
        environment=environment,
        filename=step.migration.filename,
        state=State.UNFINISHED,
        migration=step.migration,
        script=step.script,
        refusal=step.refusal,
        unfinished=step.unfinished,
    )


# --- what fits ---


def fitting(case: Case) -> tuple[Decision, ...]:
    """The decisions that fit what is there now."""
    return tuple(decision for decision in Decision if _why_not(case, decision) is None)


def why_not(case: Case, decision: Decision) -> No | None:
    """Why this decision does not fit; None where it does."""
    no = _why_not(case, decision)
    return no if no is None or no.advice else replace(no, advice=_what_fits(case))


def _what_fits(case: Case) -> str:
    fit = [decision.option for decision in Decision if _why_not(case, decision) is None]
    return f"What fits: {', '.join(fit)}." if fit else "Look again when that has changed."


def _why_not(case: Case, decision: Decision) -> No | None:
    """The same; without advice where that is to take what fits."""
    if decision is Decision.ACCEPT_EDIT:
        return _no_edit(case)
    left = case.unfinished
    if case.state is not State.UNFINISHED:
        return _nothing_half_done(case)
    if case.migration is None:
        return No("it is not in the folder any more", "Get the file back into the folder first.")
    if case.refusal is not None:
        return No(f"it cannot be used as it is: {case.refusal.message}", case.refusal.advice)
    if left is None or left.interrupted is None:
        return _nothing_in_doubt(case)
    return _still_there(left) or _STATEMENT[decision](case, left)


def _nothing_half_done(case: Case) -> No:
    message = f"it is {case.state} on {case.environment}, and no statement of it is in doubt"
    if case.state is State.EDITED:
        return No(message, f"Put its content back, or accept it with {Decision.ACCEPT_EDIT.option}.")
    return No(message, "Nothing has to be decided: `rung status` shows where every file stands.")


def _nothing_in_doubt(case: Case) -> No:
    if case.changed:
        return No("no statement of it is in doubt, but its text was changed", _change_advice())
    return No("no statement of it is in doubt", "Nothing has to be decided: the next run goes on by itself.")


def _change_advice() -> str:
    return f"Put the old text back, or have the new one counted as begun with {Decision.ACCEPT_EDIT.option}."


def _still_there(left: UnfinishedFile) -> No | None:
    if left.running is None:
        return None
    return No(
        f"the server process {left.running} that ran statement {left.interrupted} is still there",
        f"Wait until it ends, or end it with SELECT pg_terminate_backend({left.running}); then look again.",
    )


def _no_retry(_case: Case, left: UnfinishedFile) -> No | None:
    if left.left:
        return No(
            f"what statement {left.interrupted} left would stay: {' '.join(left.evidence)}",
            f"Have it dropped first, with {Decision.DROP_AND_RETRY.option}.",
        )
    return _by_hand_first(left) or (
        No(
            f"statement {left.interrupted} is done already: {' '.join(left.evidence)}",
            f"Record that with {Decision.MARK_APPLIED.option}.",
        )
        if left.done
        else None
    )


def _no_drop(_case: Case, left: UnfinishedFile) -> No | None:
    if left.left:
        return None
    return No(f"statement {left.interrupted} left no INVALID index to drop: {' '.join(left.evidence)}", "")


def _no_mark(case: Case, left: UnfinishedFile) -> No | None:
    if not case.same_text:
        return No("its text was changed after it was begun", "Put the old text back first.")
    if left.done is False or left.left:
        message = f"statement {left.interrupted} is not done: {' '.join(left.evidence)}"
        return _by_hand_first(left) or No(message, "")
    return None


def _by_hand_first(left: UnfinishedFile) -> No | None:
    if left.first is None:
        return None
    return No(
        f"statement {left.interrupted} is half done: {' '.join(left.evidence)}",
        f"Run this by hand, then look again: {left.first}",
    )


_STATEMENT = {Decision.RETRY: _no_retry, Decision.DROP_AND_RETRY: _no_drop, Decision.MARK_APPLIED: _no_mark}


def _no_edit(case: Case) -> No | None:
    if case.state is State.EDITED:
        return None if case.migration else No(f"it cannot be used as it is: {case.note}", "Put it right first.")
    if case.state is not State.UNFINISHED or case.unfinished is None or not case.changed:
        message = f"it is {case.state} on {case.environment}, and its content is not an edited one"
        return No(message, "There is nothing to accept.")
    if case.unfinished.interrupted is not None:
        return No("a statement of it is in doubt", "Decide about that statement first.")
    done = case.unfinished.statements_done
    if case.script is None or case.script.transactional or len(case.script.statements) < done:
        return No(
            f"{count(done, 'statement')} of it {'is' if done == 1 else 'are'} done, and the new text does not begin "
            "with as many that run outside a transaction",
            "Keep the statements that are done at the top of the file.",
        )
    return None


# --- in words ---


def effect(case: Case, decision: Decision) -> str:
    """What follows from it, as a sentence."""
    left = case.unfinished
    number = left.interrupted if left else None
    match decision:
        case Decision.RETRY:
            return f"The next run {_again(case)}."
        case Decision.DROP_AND_RETRY:
            names = " and ".join(left.left) if left else ""
            return f"The next run drops the INVALID index {names}, then {_again(case)}."
        case Decision.MARK_APPLIED if case.is_last:
            return f"Statement {number} counts as done, and the file is recorded as applied at once."
        case Decision.MARK_APPLIED:
            return f"Statement {number} counts as done; the next run goes on after it."
        case _ if left is not None:
            return f"Its present text counts as what was begun; the next run goes on after {_first(left)}."
        case _:
            return "Its present content counts as what was applied; nothing runs."


def _again(case: Case) -> str:
    left = case.unfinished
    if left is None or case.same_text:
        return f"executes statement {left.interrupted if left else None} again"
    if left.statements_done == 0:
        return "executes the changed file from its start"
    return "goes on, once the changed text is accepted too"


def _first(left: UnfinishedFile) -> str:
    return "the first statement" if left.statements_done == 1 else f"statement {left.statements_done}"


def condition(case: Case, decision: Decision) -> str:
    """When it is right, where only a person can tell; else empty."""
    left = case.unfinished
    if decision is Decision.ACCEPT_EDIT and left is not None:
        return f"If the new text begins with the same {count(left.statements_done, 'statement')}"
    if left is None or left.done is not None or left.left:
        return "If the new content says the same" if decision is Decision.ACCEPT_EDIT else ""
    return {
        Decision.RETRY: "If nothing of it is in the database",
        Decision.MARK_APPLIED: "If all of it is in the database",
    }.get(decision, "")


def command(environment: str, filename: str, decision: Decision) -> str:
    """Ready to paste."""
    return f'rung resolve {filename} --env {environment} {decision.option} --reason "\N{HORIZONTAL ELLIPSIS}"'


def sentence_of(case: Case) -> str:
    """What is in doubt."""
    left = case.unfinished
    if left is None:
        return f"{case.note[:1].upper()}{case.note[1:]}." if case.note else ""
    if case.goes_on:
        return _next(left)
    if left.interrupted is None:
        are = "statement is" if left.statements_done == 1 else f"{left.statements_done} statements are"
        return f"Its first {are} done, and its text was changed since."
    changed = () if case.same_text or case.migration is None else ("The text of the file was changed since.",)
    return " ".join((doubt(left), *left.evidence, *changed))


def _next(left: UnfinishedFile) -> str:
    """What the next run does with a file that waits for nobody."""
    drops = f"drops the INVALID index {' and '.join(left.drop)}, then " if left.drop else ""
    start = f"goes on after {_first(left)}" if left.statements_done else "executes the file from its start"
    return f"The next run {drops}{start}."


def doubt(left: UnfinishedFile) -> str:
    """What became of the interrupted statement, before anybody looks at what it left."""
    if left.failed:
        return f"Statement {left.interrupted} did not go through."
    return f"Statement {left.interrupted} was started, and its end is not known."


def advice_of(case: Case) -> str:
    """The ways on, with their commands."""
    fit = fitting(case)
    if not fit:
        no = why_not(case, Decision.RETRY)
        return no.advice if no else ""
    head = "Somebody has to decide; then run again."
    if Decision.ACCEPT_EDIT in fit:
        head = "Put the old text back, or decide; then run again."
    return "\n".join((head, *_lines(case, fit)))


def _lines(case: Case, fit: tuple[Decision, ...]) -> Iterator[str]:
    for decision in fit:
        yield f"  {command(case.environment, case.filename, decision)}"
        when, what = condition(case, decision), effect(case, decision)
        yield f"      {when}: {what[0].lower()}{what[1:]}" if when else f"      {what}"


def after_failure(environment: str, filename: str, found: Traces | None) -> str:
    """What to do about what a failed statement left; empty where it left nothing."""
    if found is None or not found.invalid:
        return ""
    if not found.left:
        return f"Put that right by hand ({found.first or 'DROP INDEX CONCURRENTLY'}), then run again."
    return (
        f"It left the INVALID index {' and '.join(found.left)}. Put right what made it fail, then have that dropped "
        f"and the statement run again:\n  {command(environment, filename, Decision.DROP_AND_RETRY)}\n"
    )
