"""What a database itself says against a run, and what it only remarks; sentences for the plan."""

from collections.abc import Iterator

from dashboard.core.environment import Environment, Policy
from dashboard.core.picture import Moved, Picture, Unwritable


def unwritable(picture: Picture, *, pending: bool) -> Unwritable | None:
    """Why nothing can be applied, where that matters."""
    why = picture.unwritable
    return why if why and (why.idle or pending) else None


def stops_of(environment: Environment, picture: Picture, *, pending: bool) -> tuple[str, ...]:
    """Why nothing may run, with what to do."""
    stops = []
    why = unwritable(picture, pending=pending)
    if why:
        stops.append(f"{environment.name} cannot take migrations: {why.reason}. {why.advice}")
    if picture.moved and environment.policies.moved is Policy.REFUSE:
        stops.append(
            f"{_moved(environment, picture.moved)} If it is the one that is meant: `rung resolve --env "
            f'{environment.name} --same-database --reason "…"`. Where this happens regularly, set moved = "warn" for '
            "it in rung.toml."
        )
    return tuple(stops)


def notices_of(environment: Environment, picture: Picture) -> tuple[str, ...]:
    """What is worth showing and stops nothing."""
    moved = picture.moved if environment.policies.moved is Policy.WARN else None
    return (
        *([f"{_moved(environment, moved)} The next run takes it as the one that is meant."] if moved else []),
        *picture.remarks,
        *_forgotten(environment, picture),
    )


def _moved(environment: Environment, moved: Moved) -> str:
    return (
        f"{environment.name} is not the database that it was at the last run ({moved.at:%Y-%m-%d %H:%M} UTC by "
        f"{moved.by}): it was restored, copied or replaced. It was: {moved.was}. It is: {moved.now}."
    )


def _forgotten(environment: Environment, picture: Picture) -> Iterator[str]:
    """Files that the history has as applied, and whose row somebody took out of the ledger."""
    there = {row.filename for row in picture.ledger}
    replaced = {applied.renamed_from for applied in picture.applied.values()}
    table = f"{_identifier(environment.ledger_schema)}._migrations_applied"
    for name, applied in sorted(picture.applied.items()):
        if name not in there and name not in replaced:
            who = f" (by {applied.actor})" if applied.actor else ""
            row = f"{table} (filename, applied_at) VALUES ({_literal(name)}, now());"
            yield (
                f"{name} is recorded as applied in the history{who}, and its row is missing from the ledger, so it "
                f"counts as pending. If what it made is there, put the row back: INSERT INTO {row}"
            )


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
