"""What a rehearsed statement did, as sentences, the same for page and command."""

from collections.abc import Iterator, Mapping

from dashboard.core.estimate import ROUGH, Size, Speed, estimate, seconds
from dashboard.core.rehearsal import Rehearsal, StatementTrace
from dashboard.core.words import count


def effects(trace: StatementTrace, sizes: Mapping[str, Size], speed: Speed = ROUGH) -> Iterator[str]:
    """Locks first, then what is read and written, then how long that takes on tables of these sizes."""
    for lock in trace.locks:
        who = f", stops {lock.stops}" if lock.stops else ""
        yield f"locks {lock.relation} ({lock.words}){who}"
    if trace.rewritten:
        verb = "empties" if trace.kind.startswith("TRUNCATE") else "writes anew"
        yield f"{verb} {', '.join(trace.rewritten)}"
    if trace.scanned:
        yield f"reads all of {', '.join(trace.scanned)}"
    if trace.built:
        yield f"builds {', '.join(trace.built)}"
    for gone in trace.gone:
        yield f"takes away {gone}"
    expected = estimate(trace, sizes, speed)
    if expected is not None:
        known = "" if speed.least is not None else "rough: "
        yield f"takes {seconds(expected.least, expected.most)} there ({known}{expected.basis})"


def verdict_of(rehearsal: Rehearsal, sizes: Mapping[str, Size], speed: Speed = ROUGH) -> str:
    """The one sentence that a person reads first."""
    failed = rehearsal.failed
    if rehearsal.problem is not None:
        return "Not rehearsed"
    if not rehearsal.files:
        return "Nothing to rehearse"
    if failed is not None and failed.inconclusive:
        return f"Undecided at {failed.filename}: the copy has no rows"
    if failed is not None:
        return f"{failed.filename} fails"
    return f"{count(len(rehearsal.files), 'file')} went through{_worst(rehearsal, sizes, speed)}"


def _worst(rehearsal: Rehearsal, sizes: Mapping[str, Size], speed: Speed) -> str:
    """What keeps others waiting for the longest time, where anything grows with a table."""
    worst = (0.0, 0.0, "")
    for file in rehearsal.files:
        held = {lock.relation: lock for trace in file.statements for lock in trace.locks if lock.stops}
        for trace in file.statements:
            expected = estimate(trace, sizes, speed)
            touched = [held[name] for name in (*trace.rewritten, *trace.scanned) if name in held]
            if expected is not None and touched and expected.most > worst[1]:
                worst = (expected.least, expected.most, f"locks {touched[0].relation} against {touched[0].stops}")
    if worst[1] < 1:
        return ", brief locks only"
    return f"; {worst[2]} for about {seconds(worst[0], worst[1])}"
