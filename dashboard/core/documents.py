"""What `--json` and the API say of plans, environments and runs: one shape for both."""

from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from dashboard.core.access import Act
from dashboard.core.environment import Environment
from dashboard.core.events import event_to_json
from dashboard.core.foresight import Foresight, headline
from dashboard.core.matrix import Column, Look, Matrix, Row
from dashboard.core.plan import Plan, Step
from dashboard.core.progress import RunView, StoredEvent, result_to_json
from dashboard.core.words import verdict


def plain(value: object) -> object:
    """For `json.dumps(default=…)`: moments as ISO 8601, secrets never."""
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def environment_json(environment: Environment, may: Iterable[Act]) -> dict[str, Any]:
    """What whoever asks may know and do there."""
    policies = environment.policies
    return {"name": environment.name, "protected": policies.protected, "may": [act.name.lower() for act in may]}


def look_json(look: Look) -> dict[str, Any]:
    """One environment's plan, or why there is none."""
    if look.not_reachable or look.plan is None:
        return {"environment": look.environment.name, "not_reachable": look.not_reachable}
    return plan_json(look.plan)


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "environment": plan.environment,
        "verdict": verdict(plan),
        "digest": plan.digest,
        "stops": plan.stops,
        "notices": plan.notices,
        "pending": [_step_json(step) for step in plan.steps],
        "files": [{"filename": e.filename, "state": e.state, "note": e.note or None} for e in plan.entries],
    }


def foresight_json(plan: Plan, seen: Foresight) -> dict[str, Any]:
    """What catalog and rows say of a plan; takes the place of the same keys of `plan_json`."""
    told: dict[str, Any] = {"verdict": headline(plan, seen), "notices": (*plan.notices, *seen.notices)}
    told |= {"pending": [_step_json(step) for step in (seen.plan or plan).steps]}
    if not seen.rows:
        return told | {"catalog_trouble": seen.trouble or None}
    return told | {"probes": seen.answers, "probes_trouble": seen.trouble or None}


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "filename": step.migration.filename,
        "action": step.action,
        "transactional": step.script.transactional if step.script else None,
        "statements": len(step.script.statements) if step.script else None,
        "blocked": bool(step.gated) or step.unusable,
        "findings": step.findings,
        "refusal": step.refusal,
    }


def matrix_json(matrix: Matrix) -> dict[str, Any]:
    """All environments side by side."""
    return {
        "environments": [_column_json(column) for column in matrix.columns],
        "migrations": [_row_json(row, matrix.columns) for row in matrix.rows],
    }


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "name": column.environment.name,
        "headline": column.headline,
        "behind": column.behind,
        "applied": column.applied,
        "edited": column.edited,
        "blocked": column.blocked,
        "server_version": column.server_version,
        "last_applied": column.last_applied,
        "not_reachable": column.not_reachable,
        "stops": column.stops,
    }


def _row_json(row: Row, columns: tuple[Column, ...]) -> dict[str, Any]:
    names = (column.environment.name for column in columns)
    return {
        "filename": row.filename,
        "states": {name: cell.state if cell else None for name, cell in zip(names, row.cells, strict=True)},
        "notes": {
            column.environment.name: cell.note
            for column, cell in zip(columns, row.cells, strict=True)
            if cell and cell.note
        },
    }


def run_json(run: RunView) -> dict[str, Any]:
    """A run that was asked for in the browser or by the API."""
    return {
        "run_id": run.run_id,
        "environment": run.environment,
        "state": run.state,
        "outcome": run.outcome,
        "actor": run.actor,
        "force": run.order.force,
        "until_blocked": run.order.until_blocked,
        "reason": run.order.reason,
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "attempt": run.attempt,
        "stop_asked_by": run.stop_asked_by,
        "result": result_to_json(run.result) if run.result else None,
    }


def stored_event_json(stored: StoredEvent) -> dict[str, Any]:
    return {"sequence": stored.sequence, "at": stored.at} | event_to_json(stored.event)
