"""One run: what is happening, live, and how it ended."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act
from dashboard.core.errors import NotAllowed, NotFound
from dashboard.core.estimate import Estimate, seconds
from dashboard.core.events import Blocker, Stuck, Working
from dashboard.core.plan import State
from dashboard.core.progress import RunState, RunView
from dashboard.core.resolving import case_of
from dashboard.core.run import LockHolder, Outcome
from dashboard.core.words import count, passed, span
from dashboard.services.rehearsals import Forecasts
from dashboard.web import current
from dashboard.web.assets import pack_page
from dashboard.web.pages import (
    FileView,
    Frame,
    Link,
    Live,
    MeterView,
    Moment,
    ProblemView,
    QueueView,
    RunPage,
    SessionView,
    Sign,
    StatementView,
)
from dashboard.web.past_run import show_past_run
from dashboard.web.pieces import (
    environment_href,
    fingerprint,
    migration_href,
    moment_of,
    name_of,
    problem_view,
    untaken,
)
from dashboard.web.progress import FileProgress, Progress, add_up
from dashboard.web.security import needs
from dashboard.web.signs import OUTCOMES, QUEUED, RUNNING, STATES
from dashboard.web.told import told_of
from dashboard.web.watched import Drawn, Look, Pace, Watched

views = Blueprint("run", __name__)

_watched, _pace = Watched(), Pace()
_TOKEN = secrets.token_hex(16)  # stands where each reader's own token goes; nobody can write it into a name

SILENCE = 30.0  # seconds without a sign of life from the worker that deserve one too
SHOWN = 5  # sessions of a queue; the others are counted
WINDOW = 12  # statements listed before and after the one that matters
IN_DOUBT = Sign("unfinished", "begun, its end is not known", "waiting")
FILE_SIGNS = {
    "waiting": Sign("pending", "pending", "waiting"),
    "running": RUNNING,
    "applied": STATES[State.APPLIED],
    "failed": STATES[State.FAILED],
    "unknown": OUTCOMES[Outcome.UNKNOWN],
}


@views.get("/runs/<run_id>")
@needs(Act.LOOK)
def show(run_id: str) -> str:
    run = _visible(run_id)
    return render_template("run.html", page=_page(run) if run else show_past_run(run_id))


@views.get("/fragments/runs/<run_id>")
@needs(Act.LOOK)
def fragment(run_id: str) -> Response:
    """Everybody who watches a run asks for this all the time, and gets the same; but for the token in the form."""
    look = _watched.look(current.services().runs, run_id)
    if look is None:
        page = show_past_run(run_id)
        return current.fragment("run_live.html", page, page.live)
    _refuse_hidden(look.run)
    answer = _answer(_drawn(look))
    answer.headers["Rung-Pace"] = str(round(1000 * _pace.next()))  # milliseconds
    return answer


def _answer(drawn: Drawn) -> Response:
    if request.args.get("seen") == drawn.version:
        return Response(status=204)
    if drawn.packed is not None and request.accept_encodings["gzip"] > 0:
        return Response(drawn.packed, headers={"Content-Encoding": "gzip"})
    return Response(drawn.html.replace(_TOKEN, current.frame("").csrf))


@views.post("/runs/<run_id>/stop")
@needs(Act.LOOK)
def stop(run_id: str) -> AnyResponse:
    """Whoever may stop runs on that environment; see `Act.STOP`."""
    run = _visible(run_id)
    if run is None:
        raise NotFound("run", run_id)
    if not current.visitor().may(Act.STOP, run.environment):
        raise NotAllowed(current.visitor().email, f"{Act.STOP} on {run.environment}")
    current.services().runs.ask_to_stop(run_id, current.visitor().email, address=request.remote_addr or "")
    return redirect(url_for("run.show", run_id=run_id), 303)


def _visible(run_id: str) -> RunView | None:
    run = current.services().runs.show(run_id)
    if run is not None:
        _refuse_hidden(run)
    return run


def _refuse_hidden(run: RunView) -> None:
    if not current.may_look(run.environment):
        raise NotFound("run", run.run_id)


def _page(run: RunView) -> RunPage:
    progress = add_up(current.services().runs.events_since(run.run_id))
    may_stop = current.visitor().may(Act.STOP, run.environment)
    forecasts = _forecasts(run, progress)
    return make_page(
        run,
        progress,
        current.frame(""),
        may_stop=may_stop,
        decide=_in_doubt(run),
        forecasts=forecasts,
        told=_told(run),
    )


def _told(run: RunView) -> tuple[Sign, ...]:
    return told_of(run.run_id) if run.state is RunState.ENDED else ()


def _forecasts(run: RunView, progress: Progress) -> Forecasts:
    """What a rehearsal of the same plan had expected, before the run."""
    return current.services().rehearsals.forecasts(run.environment, progress.digest) if progress.digest else {}


def _drawn(look: Look) -> Drawn:
    may_stop = current.visitor().may(Act.STOP, look.run.environment)
    return look.draw(lambda: _draw(look, may_stop=may_stop), may_stop=may_stop)


def _draw(look: Look, *, may_stop: bool) -> Drawn:
    frame = replace(current.frame(""), csrf=_TOKEN)
    digest, doubt = look.progress.digest, _in_doubt(look.run)
    if digest not in look.forecasts:
        look.forecasts[digest] = _forecasts(look.run, look.progress)
    forecasts = look.forecasts[digest]
    page = make_page(
        look.run, look.progress, frame, may_stop=may_stop, decide=doubt, forecasts=forecasts, told=_told(look.run)
    )
    html = render_template("run_live.html", page=page)
    return Drawn(page.live.version, html, None if _TOKEN in html else pack_page(html.encode()))


def _in_doubt(run: RunView) -> str | None:
    """The file at which the run ended and about which somebody has to decide now."""
    problem = run.result.problem if run.result else None
    if problem is None or problem.filename is None:
        return None
    plan = current.services().compare.last_look(run.environment).plan
    case = case_of(plan, problem.filename) if plan else None
    return case.filename if case and case.open else None


def make_page(
    run: RunView,
    progress: Progress,
    frame: Frame,
    *,
    may_stop: bool,
    decide: str | None = None,
    forecasts: Forecasts | None = None,
    told: tuple[Sign, ...] = (),
) -> RunPage:
    ended = run.state is RunState.ENDED
    said = _verdict(run, progress)
    page = RunPage(
        frame=replace(frame, title=_title(run, progress), icon=_icon(run)),
        live=Live(url_for("run.fragment", run_id=run.run_id), _how_often(run, told), ""),
        environment=run.environment,
        environment_href=environment_href(run.environment),
        verdict=said,
        progress=_how_far(run, progress),
        who=run.actor.name,
        asked=moment_of(run.requested_at, run.now),
        took=span(run.result.seconds) if run.result and run.started_at else None,
        ticking=None if ended else _ticking(run),
        reason=run.order.reason if run.order.force else None,
        waiting=None if ended else _waiting(run, progress),
        files=tuple(_file(file, run, forecasts or {}) for file in progress.files.values()),
        notes=_run_notes(run, progress),
        problem=problem_view(run.result.problem) if run.result and run.result.problem else _early_problem(progress),
        stopping=_stopping(run),
        stop_href=url_for("run.stop", run_id=run.run_id) if may_stop and not ended and not run.stop_asked_by else None,
        next_link=_way_on(run, decide) if ended else None,
        run_id=run.run_id,
        told=told,
    )
    return replace(page, live=replace(page.live, version=fingerprint(replace(page, frame=Frame("", "")))))


def _run_notes(run: RunView, progress: Progress) -> tuple[str, ...]:
    """Each once, and none that stands at its file."""
    notes = dict.fromkeys((*progress.notes, *(run.result.notes if run.result else ())))
    return tuple(note for note in notes if not _told_at_file(note, progress))


def _told_at_file(note: str, progress: Progress) -> bool:
    filename, _, said = note.partition(": ")
    file = progress.files.get(filename)
    return file is not None and any(said in one for one in file.notes)


def _how_often(run: RunView, told: tuple[Sign, ...]) -> str:
    if run.state is not RunState.ENDED:
        return "fast"
    return "slow" if any(one.hue == "waiting" for one in told) else "still"


def _way_on(run: RunView, decide: str | None) -> Link:
    """Where to go from a run that has ended."""
    href = environment_href(run.environment)
    if decide:
        return Link(f"Decide about {decide}", f"{href}#cases")
    well = run.outcome in (Outcome.APPLIED, Outcome.NOTHING)
    return Link(f"Back to {run.environment}" if well else f"What {run.environment} needs now", href)


# --- in words ---


def _verdict(run: RunView, progress: Progress) -> Sign:
    if run.state is RunState.QUEUED:
        return Sign(QUEUED.name, f"Waiting to start on {run.environment}", QUEUED.hue)
    if run.outcome is None:
        files = f"{count(len(progress.files), 'file')} to " if progress.files else "to "
        return Sign(RUNNING.name, f"Applying {files}{run.environment}", RUNNING.hue)
    sign = OUTCOMES[run.outcome]
    hue = "good" if run.outcome is Outcome.NOTHING else sign.hue
    return Sign(sign.name, _ending(run, run.outcome), hue)


def _ending(run: RunView, outcome: Outcome) -> str:
    result = run.result
    applied = len(result.applied) if result else 0
    problem = result.problem if result else None
    where, at = run.environment, problem.filename if problem and problem.filename else None
    match outcome:
        case Outcome.APPLIED:
            return f"Applied {count(applied, 'file')} to {where}"
        case Outcome.NOTHING:
            return f"Nothing to do on {where}"
        case Outcome.REFUSED if applied:
            return f"Applied {count(applied, 'file')} to {where}, then stopped" + (f" before {at}" if at else "")
        case Outcome.REFUSED:
            return f"Refused: nothing ran on {where}"
        case Outcome.CHANGED:
            return f"The plan has changed: nothing ran on {where}"
        case Outcome.FAILED:
            return f"Failed at {at}" if at else f"Failed on {where}"
        case Outcome.UNKNOWN:
            return f"It is not known whether {at or 'the last file'} was applied"
        case Outcome.CANCELLED:
            return f"Stopped after {count(applied, 'file')}" if applied else "Stopped before anything was applied"
        case Outcome.UNREACHABLE:
            return f"{where} could not be reached, or not be used"
        case Outcome.BUSY:
            return f"Somebody else is migrating {where}"


def _how_far(run: RunView, progress: Progress) -> str:
    total = len(progress.files)
    if not total or run.outcome in (Outcome.APPLIED, Outcome.NOTHING):
        return ""
    return f"{progress.applied:,} of {count(total, 'file')} applied"


def _title(run: RunView, progress: Progress) -> str:
    if run.outcome is not None:
        word = OUTCOMES[run.outcome].word
    elif run.state is RunState.QUEUED or not progress.files:
        word = "starting"
    else:
        word = f"running {progress.applied}/{len(progress.files)}"
    return f"{word} · {run.environment} · Rung"


def _icon(run: RunView) -> str:
    if run.outcome is None:
        return "favicon-running.svg"
    return "favicon.svg" if run.outcome in (Outcome.APPLIED, Outcome.NOTHING) else "favicon-failed.svg"


def _waiting(run: RunView, progress: Progress) -> str | None:
    if run.state is RunState.QUEUED:
        return untaken("run", run.requested_at, run.now)
    if run.heard_at and (run.now - run.heard_at).total_seconds() > SILENCE:
        quiet = passed(run.heard_at, run.now)
        return f"No sign of life from the worker for {quiet}. The next worker to come takes the run up from the target."
    if progress.waiting is None:
        return _held_up(progress)
    holder = holder_words(progress.waiting.holder)
    return f"Waiting for {span(progress.waiting.seconds)}: {holder} holds the lock on {run.environment}."


def _held_up(progress: Progress) -> str | None:
    """Also at the top, for whoever reads a long page."""
    file = next((file for file in progress.files.values() if file.blocked and file.state == "running"), None)
    if file is None or file.blocked is None or not file.blocked.blockers:
        return None
    first, *others = file.blocked.blockers
    more = f" and {count(len(others), 'other session')}" if others else ""
    return f"{file.filename} waits for {_blocker(first).name} (process {first.pid}){more}."


def holder_words(holder: LockHolder | None) -> str:
    """`rung run from 10.0.0.4 (process 4711, connected since 14:02 UTC)`."""
    if holder is None:
        return "another session"
    since = f", connected since {holder.since.astimezone(UTC):%H:%M:%S} UTC" if holder.since else ""
    return (
        f"{holder.application or 'another session'} from {holder.host or 'this machine'} (process {holder.pid}{since})"
    )


def _stopping(run: RunView) -> str | None:
    if not run.stop_asked_by:
        return None
    if run.state is RunState.ENDED:
        return f"{run.stop_asked_by} asked to stop it."
    return f"{run.stop_asked_by} asked to stop it: it ends at the next safe place."


def _early_problem(progress: Progress) -> ProblemView | None:
    problem = next((file.problem for file in progress.files.values() if file.problem), None)
    return problem_view(problem) if problem else None


def _ticking(run: RunView) -> Moment | None:
    since = moment_of(run.started_at, run.now)
    return replace(since, ago=passed(run.started_at, run.now)) if since and run.started_at else None


# --- one file ---


def _file(file: FileProgress, run: RunView, forecasts: Forecasts) -> FileView:
    sign, cancelled = FILE_SIGNS[file.state], run.outcome is Outcome.CANCELLED
    if file.state == "failed" and cancelled:
        sign = OUTCOMES[Outcome.CANCELLED]
    if run.state is RunState.ENDED and file.state == "running":
        sign = OUTCOMES[run.outcome] if run.outcome and file.transactional else STATES[State.UNFINISHED]
    statements, earlier, later = _statements(file, forecasts, over=run.state is RunState.ENDED)
    if cancelled:
        statements = tuple(_calm(one) for one in statements)
    return FileView(
        name=name_of(file.filename),
        href=migration_href(file.filename),
        sign=sign,
        look="whole" if file.state == "applied" else "broken",
        took=span(file.seconds) if file.seconds is not None else None,
        notes=(*_notes(file), *(f"Holds {lock}." for lock in (file.locks if _runs(file, run) else ()))),
        earlier=earlier,
        statements=statements,
        later=later,
        meter=_meter(file.working) if file.working and _runs(file, run) else None,
        queues=tuple(_queues(file, run)) if _runs(file, run) else (),
    )


def _calm(one: StatementView) -> StatementView:
    """The statement at which somebody stopped the run."""
    return replace(one, sign=OUTCOMES[Outcome.CANCELLED]) if one.sign == STATES[State.FAILED] else one


def _notes(file: FileProgress) -> Iterator[str]:
    if not file.transactional:
        yield "Statement by statement, outside a transaction."
    yield from (f"{note[:1].upper()}{note[1:]}" for note in file.notes)


def _runs(file: FileProgress, run: RunView) -> bool:
    return file.state == "running" and run.state is not RunState.ENDED


def _meter(working: Working) -> MeterView:
    return MeterView(f"{working.command}: {working.phase}", working.percent, working.counted)


def _queues(file: FileProgress, run: RunView) -> Iterator[QueueView]:
    """Whom the statement that runs waits for, and who waits for it."""
    blocked = file.blocked
    if blocked is None or file.blocked_at is None:
        return
    if blocked.blockers:
        number, concurrent = len(blocked.blockers), file.working and file.working.lockers
        held = f"{count(number, 'transaction')} to end" if concurrent else f"a lock held by {count(number, 'session')}"
        yield QueueView(
            said=f"Waits for {held}",
            since=_since(file.blocked_at, blocked.waited or 0, run),
            sessions=tuple(map(_blocker, blocked.blockers[:SHOWN])),
            more=_more(len(blocked.blockers)),
            then="",
        )
    if blocked.stuck:
        waits = blocked.waited is not None and not (file.working and file.working.lockers)
        yield QueueView(
            said=f"{count(len(blocked.stuck), 'session')} {'stuck' if waits else 'waiting'} behind it",
            since=_since(file.blocked_at, blocked.longest, run),
            sessions=tuple(_stuck(one) for one in blocked.stuck[:SHOWN]),
            more=_more(len(blocked.stuck)),
            then="Unless it gets its lock soon it makes room for them: rolled back, then tried again." if waits else "",
        )


def _since(at: datetime, seconds: float, run: RunView) -> Moment:
    """When it began, by home's clock."""
    began = at - timedelta(seconds=seconds)
    return replace(moment_of(began, run.now), ago=passed(began, run.now))


def _more(number: int) -> str | None:
    return f"and {count(number - SHOWN, 'more session')}" if number > SHOWN else None


def _blocker(one: Blocker) -> SessionView:
    if not one.pid:
        return SessionView("a prepared transaction", ("see pg_prepared_xacts",))
    facts = [f"process {one.pid}", one.user and f"user {one.user}", one.state]
    facts.append(f"transaction open for {span(one.age)}" if one.age is not None else "")
    facts.append(f"last query at {one.query_since.astimezone(UTC):%H:%M:%S} UTC" if one.query_since else "")
    return SessionView(one.application or "a session without a name", tuple(filter(None, facts)))


def _stuck(one: Stuck) -> SessionView:
    facts = (f"process {one.pid}", one.user and f"user {one.user}", f"waited {span(one.seconds)}")
    return SessionView(one.application or "a session without a name", tuple(filter(None, facts)))


def _statements(
    file: FileProgress, forecasts: Forecasts, *, over: bool
) -> tuple[tuple[StatementView, ...], str | None, str | None]:
    """The statements around the one that matters, and in words what is left out before and after."""
    total = len(file.first_lines)
    done = max(file.done, default=file.resume_after)
    focus = total if file.state == "applied" else done + 1
    first, last = max(1, focus - WINDOW), min(total, focus + WINDOW)
    if first <= 2:  # leaving out one line to say that one is left out helps nobody
        first = 1
    shown = tuple(
        replace(_statement(file, number, over=over), forecast=_forecast(forecasts.get((file.filename, number))))
        for number in range(first, last + 1)
    )
    earlier = f"{count(first - 1, 'earlier statement')}, all done" if first > 1 else None
    return shown, earlier, f"{count(total - last, 'more statement')}" if last < total else None


def _forecast(expected: Estimate | None) -> str:
    return f"rehearsal said {seconds(expected.least, expected.most)}" if expected else ""


def _rolled_back(file: FileProgress, *, over: bool) -> bool:
    """What was done in a transaction that did not come to its end."""
    return file.transactional and (file.state == "failed" or (file.state == "running" and over))


def _statement(file: FileProgress, number: int, *, over: bool) -> StatementView:
    done, next_one = number in file.done, max(file.done, default=file.resume_after) + 1
    if done and _rolled_back(file, over=over):
        sign = Sign("pending", "rolled back", "unknown")
    elif done or number <= file.resume_after or file.state == "applied":
        sign = Sign("done", "done", "good")
    elif number == next_one and file.state == "failed":
        sign = STATES[State.FAILED]
    elif number == next_one and file.state == "running" and not over:
        sign = RUNNING
    elif number == next_one and file.state == "running" and not file.transactional:
        sign = IN_DOUBT
    else:
        sign = Sign("pending", "not run", "unknown" if over else "waiting")
    took = span(file.done[number]) if done else "earlier" if number <= file.resume_after else ""
    return StatementView(number, file.first_lines[number - 1], sign, took)
