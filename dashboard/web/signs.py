"""States and outcomes as signs: which symbol, which word, which family of hue, and how the rail runs behind it."""

from dashboard.core.plan import Entry, State
from dashboard.core.record import Happening, HistoryRow
from dashboard.core.run import Outcome
from dashboard.web.pages import Sign

STATES = {
    State.APPLIED: Sign("applied", "applied", "good"),
    State.EDITED: Sign("edited", "edited", "changed"),
    State.RENAMED: Sign("renamed", "renamed", "changed"),
    State.MISSING_FILE: Sign("missing-file", "missing file", "changed"),
    State.PENDING: Sign("pending", "pending", "waiting"),
    State.OUT_OF_ORDER: Sign("out-of-order", "out of order", "waiting"),
    State.FAILED: Sign("failed", "failed", "danger"),
    State.UNFINISHED: Sign("unfinished", "unfinished", "waiting"),
    State.BLOCKED: Sign("blocked", "blocked", "danger"),
}
NOT_KNOWN = Sign("not-known", "not known", "unknown")
NOT_HERE = Sign("not-known", "not here", "unknown")
NOT_REACHABLE = Sign("not-reachable", "not reachable", "unknown")
UP_TO_DATE = Sign("applied", "up to date", "good")
QUEUED = Sign("queued", "waiting for a worker", "working")
RUNNING = Sign("running", "running", "working")

OUTCOMES = {
    Outcome.APPLIED: Sign("applied", "applied", "good"),
    Outcome.NOTHING: Sign("nothing", "nothing to do", "unknown"),
    Outcome.REFUSED: Sign("blocked", "refused", "danger"),
    Outcome.CHANGED: Sign("edited", "plan changed", "changed"),
    Outcome.FAILED: Sign("failed", "failed", "danger"),
    Outcome.UNKNOWN: Sign("in-doubt", "unknown", "danger"),
    Outcome.CANCELLED: Sign("stopped", "cancelled", "waiting"),
    Outcome.UNREACHABLE: Sign("not-reachable", "could not run", "unknown"),
    Outcome.BUSY: Sign("queued", "busy", "waiting"),
}


def state_of(entry: Entry | None) -> Sign:
    return STATES[entry.state] if entry else NOT_KNOWN


def rail_of(entry: Entry | None) -> str:
    """Whether the rail is whole at this rung: the ledger has the file."""
    if entry is None:
        return "bare"
    return "whole" if entry.ledger else "broken"


HAPPENINGS = {
    Happening.STARTED: Sign("unfinished", "statement started", "waiting"),
    Happening.STATEMENT_DONE: Sign("done", "statement done", "good"),
    Happening.APPLIED: Sign("applied", "applied", "good"),
    Happening.FAILED: Sign("failed", "failed", "danger"),
    Happening.ADOPTED: Sign("renamed", "adopted", "changed"),
    Happening.RESOLVED: Sign("done", "resolved", "changed"),
    Happening.IDENTIFIED: Sign("notice", "identified", "unknown"),
    Happening.NOTE: Sign("notice", "note", "unknown"),
}


def happening_of(row: HistoryRow) -> Sign:
    """Also for an event that only a later version knows."""
    if row.is_cancelled:
        return OUTCOMES[Outcome.CANCELLED]
    known = {str(happening): sign for happening, sign in HAPPENINGS.items()}
    return known.get(row.event, Sign("notice", row.event, "unknown"))
