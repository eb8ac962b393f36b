"""What the check of each environment's record found, in words."""

from collections.abc import Mapping

from flask import url_for

from dashboard.core.record import ChainCheck
from dashboard.core.words import count
from dashboard.web import current
from dashboard.web.pages import ChainView, Sign
from dashboard.web.pieces import environment_href, moment_of

NEVER = Sign("not-known", "not checked yet", "unknown")


def chain_views(checks: Mapping[str, ChainCheck]) -> tuple[ChainView, ...]:
    """Of every environment that this visitor may look at, in the environments' order."""
    names = [one.name for one in current.services().settings.environments if current.may_look(one.name)]
    return tuple(chain_view(checks.get(name) or ChainCheck(name)) for name in names)


def chain_view(check: ChainCheck) -> ChainView:
    broken = check.ok is False or check.copy_bad_id is not None
    return ChainView(
        environment=check.environment,
        href=environment_href(check.environment),
        sign=sign_of(check),
        said=tuple(filter(None, (_trouble(check), _own(check), _copy(check), _gone(check)))),
        advice=_advice(check) if broken else "",
        loud=broken,
        checked=moment_of(check.checked_at, current.now()),
        asked_by=check.asked_by or "",
        head=check.head or "",
        check_href=url_for("history.check", name=check.environment),
    )


def sign_of(check: ChainCheck) -> Sign:
    if check.checked_at is None:
        return NEVER
    if not check.ok:
        return Sign("failed", f"broken at row {check.first_bad_id}", "danger")
    if check.copy_bad_id is not None:
        return Sign("failed", f"home's copy is broken at row {check.copy_bad_id}", "danger")
    word = f"whole up to row {check.rows:,}" if check.rows else "no rows yet"
    return Sign("warning", f"{word}, and rows are gone", "changed") if check.gone else Sign("done", word, "good")


def _trouble(check: ChainCheck) -> str:
    earlier = " What is said below was found before." if check.checked_at else ""
    return f"The last try could not check it: {check.trouble}{earlier}" if check.trouble else ""


def _own(check: ChainCheck) -> str:
    return f"Its own rows: {check.what}." if check.what else ""


def _copy(check: ChainCheck) -> str:
    if check.copied is None:
        return ""
    if check.copy_bad_id is not None:
        return f"Home's copy: row {check.copy_bad_id} does not follow the row before it."
    return f"Home's copy: {count(check.copied, 'row')}, in the same chain; its texts were not compared."


def _gone(check: ChainCheck) -> str:
    """After a restore that is as it should be; otherwise it is what somebody cut off."""
    if not check.gone:
        return ""
    return (
        f"{count(check.gone, 'row')} that home copied earlier {'is' if check.gone == 1 else 'are'} not in the"
        " environment any more. That is so after a restore from a backup or with a new database; if there was none,"
        " somebody cut them off."
        " The copy keeps them, marked as gone."
    )


def _advice(check: ChainCheck) -> str:
    if check.ok is False:
        return (
            f"Trust no row from {check.first_bad_id} on until this is explained. Change nothing, take a dump of"
            f" {check.environment} and of home, and export the history here: home's copy was made before and may still"
            f" hold row {check.first_bad_id} as it was. `rung history --env {check.environment} --verify` asks again."
        )
    return (
        f"The environment's own rows hold; home's copy was changed. Trust {check.environment} rather than this page,"
        " take a dump of home, and find out who can write to it."
    )
