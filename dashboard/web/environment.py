"""One environment: what would run, why not, and the button that runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from dashboard.core.access import Act, Asker, Visitor, who_may
from dashboard.core.audit import Deed, Report, Source
from dashboard.core.foresight import Foresight, headline
from dashboard.core.matrix import Column, Look, make_matrix
from dashboard.core.plan import Action, Entry, Plan, State, Step
from dashboard.core.progress import RunState, RunView
from dashboard.core.record import Happening
from dashboard.core.resolving import Decision, case_of
from dashboard.core.run import Actor, ActorKind, Door, Order, Problem
from dashboard.core.words import count, joined, obstacle, passed, verdict
from dashboard.services.resolve import Wanted
from dashboard.services.resolve import resolve as write_down
from dashboard.web import current
from dashboard.web.audit import plan_shown
from dashboard.web.cases import Typed, cases_of
from dashboard.web.foreseen import answers_of, foresight_of, matters_of, why_not
from dashboard.web.matrix import FRESH, NAMED
from dashboard.web.pages import CaseView, Choice, Empty, EnvironmentPage, Frame, Live, ProblemView, Rung, Sign, StepView
from dashboard.web.pieces import (
    finding_view,
    fingerprint,
    migration_href,
    moment_of,
    name_of,
    problem_view,
    refusal_view,
    run_line,
)
from dashboard.web.proof import unproved
from dashboard.web.rehearsal import form_of
from dashboard.web.security import needs
from dashboard.web.signs import RUNNING, STATES, rail_of

views = Blueprint("environment", __name__)

ALL, UNTIL_BLOCKED, FORCE = "all", "until_blocked", "force"
NO_FILE = Empty("Make the first one", "The folder is empty, and nothing was applied here.", 'rung new "create users"')
UNDER_WAY = Sign(RUNNING.name, "Being brought up to date", RUNNING.hue)
RUNS = 6  # last runs that the page lists
RUNGS = 24  # rungs of the small rail
LOCK_WAIT = 3.0  # seconds that a decision waits for a run to end
CLIMBED = 6  # of which applied, below the newest that is not


@views.get("/environments/<name>")
@needs(Act.LOOK)
def show(name: str) -> str:
    page = _page(current.services().compare.last_look(name))
    return render_template("environment.html", page=replace(page, done=_decided(name, request.args.get("decided", ""))))


@views.get("/fragments/environments/<name>")
@needs(Act.LOOK)
def fragment(name: str) -> Response:
    current.services().compare.refresh(FRESH)
    page = _page(current.services().compare.last_look(name))
    return current.fragment("environment_live.html", page, page.live)


@views.post("/environments/<name>/apply")
@needs(Act.APPLY)
def apply(name: str) -> AnyResponse:
    """Ask for a run of exactly the plan that was shown; another plan runs nothing and is shown instead.

    A click while a run is open leads to that run, which is what changed the plan that the click was for.
    """
    look = current.services().compare.look(name)
    form = {field: request.form.get(field, "").strip()[:500] for field in ("digest", "mode", "reason", "confirm")}
    wrong = wrong_with(form, look, current.visitor(), foresight_of(look, pressed=True))
    if wrong is not None:
        running = open_run(name)
        if running is not None:
            return redirect(url_for("run.show", run_id=running.run_id), 303)
        return make_response(render_template("environment.html", page=_page(look, wrong, _typed(form))), 409)
    asks = unproved(look.environment, form)
    if asks is not None:
        return asks
    order = order_of(form, Actor(ActorKind.PERSON, current.visitor().email, Door.WEB))
    run = current.services().runs.ask(name, order, address=request.remote_addr or "")
    return redirect(url_for("run.show", run_id=run.run_id), 303)


def open_run(name: str) -> RunView | None:
    """The run that is queued or running there."""
    return next((run for run in current.services().runs.running() if run.environment == name), None)


@views.post("/environments/<name>/resolve")
@needs(Act.RESOLVE)
def resolve(name: str) -> AnyResponse:
    """Write down a decision about a file, as `rung resolve` does."""
    services = current.services()
    look = services.compare.last_look(name)
    fields = ("filename", "decision", "reason", "shown", "confirm")
    form = {field: request.form.get(field, "").strip()[:500] for field in fields}
    wrong = _wrong_with_decision(form, look)
    asks = unproved(look.environment, form) if wrong is None else None
    if asks is not None:
        return asks
    if wrong is None:
        actor = Actor(ActorKind.PERSON, current.visitor().email, Door.WEB)
        decision, expected = Decision(form["decision"]), form["shown"]
        wanted = Wanted(form["filename"], decision, actor, form["reason"], expected, lock_wait=LOCK_WAIT)
        source = Source(actor.name, request.remote_addr or "")
        detail = f"{decision}, SHA-256 {expected or 'not known'}"  # of the file that was shown
        services.audit.write(Report(Deed.RESOLVE_ASKED_FOR, source, name, form["filename"], "asked", detail))
        resolution = write_down(look.environment, services.folder.read, wanted)
        services.compare.look_again(name)
        if resolution.problem is None:
            return redirect(url_for("environment.show", name=name, decided=resolution.run_id), 303)
        wrong = f"{resolution.problem.message}. {resolution.problem.advice} Nothing was decided."
        look = services.compare.last_look(name)
    page = _page(look, wrong, typed=_typed(form))
    return make_response(render_template("environment.html", page=page), 409)


def _wrong_with_decision(form: dict[str, str], look: Look) -> str | None:
    """Why this form decides nothing, as a sentence; None where all is well."""
    environment = look.environment
    if form["decision"] not in set(Decision):
        return "There is no such decision. Nothing was decided."
    if look.plan is None or case_of(look.plan, form["filename"]) is None:
        return f"{environment.name} has no such file. Nothing was decided."
    if not form["reason"]:
        return "A decision needs a reason, for the history. Nothing was decided."
    if environment.policies.protected and form["confirm"] != environment.name:
        return f"{environment.name} is protected: type its name to confirm. Nothing was decided."
    return None


def _decided(name: str, run_id: str) -> str | None:
    """What a decision that was just written down means, read from the history."""
    if not run_id:
        return None
    rows = [one.row for one in current.services().history.of_run(run_id)]
    row = next((row for row in rows if row.event == Happening.RESOLVED and row.environment == name), None)
    return f"Decided about {row.filename}. {(row.message or '').partition(': ')[2]}" if row else None


def order_of(form: dict[str, str], actor: Actor) -> Order:
    """What the runner is asked for by such a form."""
    return Order(
        actor=actor,
        force=form["mode"] == FORCE,
        reason=form["reason"] or None,
        until_blocked=form["mode"] == UNTIL_BLOCKED,
        expected_digest=form["digest"],
    )


def wrong_with(form: dict[str, str], look: Look, asker: Asker, seen: Foresight | None) -> str | None:
    """Why this form starts nothing, as a sentence; None where all is well. seen: what the rows say now."""
    environment = look.environment
    if look.not_reachable or look.plan is None:
        silent = look.not_reachable is None or not look.not_reachable.answered
        return f"{environment.name} {'does not answer' if silent else 'cannot be used'}. Nothing was started."
    if form["digest"] != look.plan.digest:
        return "The plan has changed since you looked. Nothing was started; this is the plan as it is now."
    if form["mode"] != FORCE and why_not(seen):
        return f"{why_not(seen)} Nothing was started."
    if form["mode"] not in {choice.mode for choice in _choices(look.plan, look, asker, Typed(), seen)}:
        return "That is not possible with this plan. Nothing was started."
    if environment.policies.protected and form["confirm"] != environment.name:
        return f"{environment.name} is protected: type its name to confirm. Nothing was started."
    if form["mode"] == FORCE and not form["reason"]:
        return "Forcing past the gate needs a reason, for the history. Nothing was started."
    return None


# --- the page ---


def _typed(form: Mapping[str, str]) -> Typed:
    return Typed(form.get("filename", ""), form.get("mode", ""), form["reason"], form["confirm"])


def _page(look: Look, message: str | None = None, typed: Typed | None = None) -> EnvironmentPage:
    plan_shown(look)
    name = look.environment.name
    runs, running = current.services().runs, open_run(name)
    newest = [run for run in runs.newest(name, RUNS + 1) if run.state is RunState.ENDED][:RUNS]
    seen = foresight_of(look) if running is None else None
    return make_page(
        look,
        current.visitor(),
        current.frame(""),
        running=running,
        newest=newest,
        message=message,
        typed=typed or Typed(),
        seen=seen,
    )


def make_page(
    look: Look,
    visitor: Visitor,
    frame: Frame,
    *,
    running: RunView | None = None,
    newest: Sequence[RunView] = (),
    message: str | None = None,
    typed: Typed | None = None,
    seen: Foresight | None = None,
) -> EnvironmentPage:
    if seen and seen.plan:
        look = replace(look, plan=seen.plan)
    name, plan, now, typed = look.environment.name, look.plan, visitor.now, typed or Typed()
    column = make_matrix([look]).columns[0]
    choices = _choices(plan, look, visitor, typed, seen) if plan and not running else ()
    rungs, older = _rungs(plan.entries if plan else ())
    said = _verdict(look, visitor, seen) if running is None else UNDER_WAY
    matters, more_matters = matters_of(plan, seen) if plan else ((), "")
    kept = partial(current.services().history.text, name)
    cases = () if running else cases_of(look, State.UNFINISHED, visitor, typed, kept)
    edited = () if running else cases_of(look, State.EDITED, visitor, typed, kept)
    page = EnvironmentPage(
        frame=replace(
            frame,
            title=f"{said.word if len(said.word) < 40 else 'stopped'} · {name} · Rung",
            icon=_icon(column, running),
        ),
        live=Live(url_for("environment.fragment", name=name), "slow", ""),
        name=name,
        protected=look.environment.policies.protected,
        message=message,
        done=None,
        verdict=said,
        facts=_facts(column.server_version, column.applied),
        applied=moment_of(column.last_applied, now),
        looked=moment_of(column.taken_at, now),
        trouble=_trouble(look),
        stops=plan.stops if plan else (),
        notices=(*_notices(plan, edited), *_slow_others(seen)) if plan else (),
        cases=cases,
        edited=edited,
        resolve_href=url_for("environment.resolve", name=name),
        steps=_steps(plan, name, seen) if plan else (),
        steps_heading=_heading(look, running),
        held=plan.digest if plan else "",
        apply_href=url_for("environment.apply", name=name),
        choices=choices,
        typed_reason=typed.reason if typed.mode == FORCE else "",
        who_may=None if running else _who_may(look, visitor, seen),
        running=run_line(running, now) if running else None,
        rungs=rungs,
        older=older,
        runs=tuple(run_line(run, now) for run in newest),
        history_href=url_for("history.show", environment=name),
        rehearse=None if running else form_of(look, visitor),
        matters=matters,
        more_matters=more_matters,
        empty=None if rungs or plan is None or plan.stops or look.not_reachable else NO_FILE,
    )
    return replace(page, live=replace(page.live, version=fingerprint(replace(page, frame=Frame("", "")))))


def _heading(look: Look, running: RunView | None) -> str:
    if running is not None:
        return "What was pending when Rung looked last"
    return "What would run, as last seen" if look.not_reachable else "What would run, in this order"


def _slow_others(seen: Foresight | None) -> tuple[str, ...]:
    return tuple(f"{notice}." for notice in seen.notices) if seen else ()


def _verdict(look: Look, visitor: Visitor, seen: Foresight | None) -> Sign:
    gone = look.not_reachable
    if gone:
        since = f" for {passed(gone.since, visitor.now)}" if gone.since else ""
        return Sign("not-reachable", f"{gone.word.capitalize()}{since}", "unknown")
    if look.plan is None:
        return Sign("not-known", "Not asked yet", "unknown")
    if look.plan.stops:
        return Sign("blocked", "Nothing may run", "danger")
    words = headline(look.plan, seen) if seen else verdict(look.plan)
    if look.plan.first_obstacle(force=False):
        return Sign("blocked", words, "danger")
    if why_not(seen):
        return Sign("failed", words, "danger")
    failed = [entry.filename for entry in look.plan.entries if entry.state is State.FAILED]
    if failed:  # what was foreseen then did not come true
        words = f"{verdict(look.plan)}; {joined(failed[:NAMED])} failed last time"
    return Sign("pending", words, "waiting") if look.plan.steps else Sign("applied", words, "good")


def _icon(column: Column, running: RunView | None) -> str:
    if running:
        return "favicon-running.svg"
    if column.failed:
        return "favicon-failed.svg"
    return "favicon-behind.svg" if column.behind else "favicon.svg"


def _facts(version: str | None, applied: int) -> tuple[str, ...]:
    return (f"PostgreSQL {version}", f"{applied:,} applied") if version else ()


def _trouble(look: Look) -> ProblemView | None:
    gone = look.not_reachable
    return problem_view(Problem(gone.environment, gone.reason, gone.advice)) if gone else None


# --- the plan ---


def _notices(plan: Plan, edited: Sequence[CaseView]) -> tuple[str, ...]:
    """What is worth knowing and does not stand on the page already, with more about it."""
    told = tuple(f"{case.name.full} was edited " for case in edited)
    return tuple(notice for notice in plan.notices if not notice.startswith(told))


def _steps(plan: Plan, environment: str, seen: Foresight | None) -> tuple[StepView, ...]:
    blocked = plan.first_obstacle(force=False)
    place = plan.steps.index(blocked) if blocked else len(plan.steps)
    nothing_runs = not plan.runnable(force=False, until_blocked=True)
    barrier = "Nothing runs before this file is put right" if blocked and blocked.refusal else "The run stops here"
    states = {entry.filename: entry for entry in plan.entries}
    return tuple(
        StepView(
            number=number + 1,
            name=name_of(step.migration.filename),
            href=migration_href(step.migration.filename),
            sign=STATES[states[step.migration.filename].state],
            notes=_notes(step, states[step.migration.filename]),
            findings=tuple(finding_view(finding, step.migration.filename) for finding in step.findings),
            refusal=refusal_view(step.refusal, environment) if step.refusal else None,
            barrier=barrier if number == place else None,
            waits=number > place or (number < place and nothing_runs),
            answers=answers_of(seen, step.migration.filename),
        )
        for number, step in enumerate(plan.steps)
    )


def _notes(step: Step, entry: Entry) -> tuple[str, ...]:
    notes: list[str] = []
    if step.action is Action.ADOPT:
        notes.append(f"Renamed from {step.renamed_from}: the new name is recorded, nothing runs again.")
    if step.action is Action.RESUME and step.resume_after:
        notes.append(f"Goes on after statement {step.resume_after}, which is finished already.")
    if step.script and not step.script.transactional:
        notes.append("Runs statement by statement, outside a transaction.")
    if step.script and not step.script.statements:
        notes.append("No statement in it: it is only recorded as applied.")
    if step.undecided:
        notes.append("It stopped half-way, and somebody has to decide how it goes on.")
    elif entry.note and entry.state in (State.PENDING, State.FAILED, State.OUT_OF_ORDER, State.UNFINISHED):
        notes.append(entry.note[0].upper() + entry.note[1:])
    return tuple(notes)


def _choices(plan: Plan, look: Look, visitor: Asker, typed: Typed, seen: Foresight | None) -> tuple[Choice, ...]:
    """The ways to apply that this person has with this plan; none where nothing may run."""
    name = look.environment.name
    if look.not_reachable or not visitor.may(Act.APPLY, name):
        return ()
    failing = why_not(seen)
    forced = _force(plan, name, visitor, failing, opened=typed.mode == FORCE)
    ways = (forced,) if failing else (_everything(plan, name), _until_blocked(plan, name), forced)
    confirm = name if look.environment.policies.protected else None
    return tuple(
        replace(way, confirm=confirm, typed=typed.confirm if way.mode == typed.mode else "") for way in ways if way
    )


def _everything(plan: Plan, name: str) -> Choice | None:
    steps = plan.runnable(force=False, until_blocked=False)
    if not steps:
        return None
    text = f"Runs {count(len(steps), 'file')} on {name}, in the order shown. A failure stops the run there."
    return Choice(ALL, f"Apply {len(steps)} pending to {name}", text, "primary")


def _until_blocked(plan: Plan, name: str) -> Choice | None:
    before, blocked = plan.runnable(force=False, until_blocked=True), plan.first_obstacle(force=False)
    if not before or blocked is None:
        return None
    files = "file" if len(before) == 1 else f"{len(before)} files"
    text = f"Runs the {files} before {blocked.migration.filename}, which stays pending."
    return Choice(
        UNTIL_BLOCKED, f"Apply the first {len(before) if len(before) > 1 else 'one'} to {name}", text, "primary"
    )


def _force(plan: Plan, name: str, visitor: Asker, failing: str | None, *, opened: bool) -> Choice | None:
    """Past the gate; also past what the rows said, for rows change, and whoever knows better says why."""
    forced = plan.runnable(force=True, until_blocked=False)
    if not (plan.gated or failing) or not forced or not visitor.may(Act.FORCE, name):
        return None
    dangers = "; ".join(f"{step.migration.filename} {obstacle(step)}" for step in plan.gated)
    files = f"all {len(forced)}" if len(forced) > 1 else "it"
    return Choice(
        mode=FORCE,
        label=f"Apply {files} to {name}, past the gate",
        text=" ".join(filter(None, (failing, f"{dangers}." if dangers else ""))),
        emphasis="danger",
        needs_reason=True,
        fold="Apply past the gate…",
        open=opened,
    )


def _who_may(look: Look, visitor: Visitor, seen: Foresight | None) -> str | None:
    plan, name = look.plan, look.environment.name
    if plan is None or look.not_reachable or not plan.steps:
        return None
    if not visitor.may(Act.APPLY, name):
        able = who_may(Act.APPLY)
        return f"{able[0].upper()}{able[1:]} may apply to {name}. You are a {visitor.role_for(name)} here."
    if plan.stops:
        return "Nothing can be applied before this is put right."
    if why_not(seen):
        return f"{why_not(seen)} Put the rows right, or the file; then look again."
    blocked = plan.first_obstacle(force=False)
    if blocked is None or plan.runnable(force=False, until_blocked=True):
        return None
    if blocked.undecided:
        return f"Nothing runs before somebody decided about {blocked.migration.filename}."
    if blocked.unusable:
        return f"Nothing runs before {blocked.migration.filename} is put right."
    able = who_may(Act.FORCE)
    return (
        f"Nothing runs before {blocked.migration.filename} without a reason. {able[0].upper()}{able[1:]} may give one."
    )


def _rungs(entries: Sequence[Entry]) -> tuple[tuple[Rung, ...], str | None]:
    """The top of the rail, newest first, and in words what lies below."""
    newest = list(reversed(entries))
    open_ones = [place for place, entry in enumerate(newest) if entry.ledger is None]
    shown = min(RUNGS, max(open_ones, default=-1) + 1 + CLIMBED)
    rest = newest[shown:]
    rungs = tuple(
        Rung(
            name=name_of(entry.filename),
            href=f"{migration_href(entry.filename)}",
            sign=STATES[entry.state],
            look=f"{STATES[entry.state].hue} {rail_of(entry)}",
        )
        for entry in newest[:shown]
    )
    if not rest:
        return rungs, None
    return rungs, f"{len(rest):,} older, all applied" if all(entry.ledger for entry in rest) else f"{len(rest):,} older"
