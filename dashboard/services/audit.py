"""The audit of the service itself: read it, check it, and add what no other service tells of by itself."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence

from dashboard.core.audit import BROKEN, WHOLE, AuditFilter, AuditPage, AuditRow, Deed, Report, Source
from dashboard.core.errors import RungError
from dashboard.core.plan import Plan
from dashboard.core.record import ChainReport
from dashboard.core.words import verdict
from dashboard.postgres.home import audit as rows
from dashboard.postgres.home.pool import Home

STRANGERS = 20  # refusals of strangers that one process writes down in a minute
LONGEST_CHECK = 20  # seconds that a check from a page may take; the command takes what it needs
_EXPORTED = 1000  # rows read at a time
_HIGHEST = 2**63 - 1
_SHOWN = 10_000  # plans of which a process knows by heart that somebody was shown them
_NOTICES = 5  # of a plan that was shown; what concerns the whole database comes first
_log = logging.getLogger("rung.audit")


class Audit:
    """What home remembers of who did what to the service. `environments`: the configuration's, in their order."""

    def __init__(self, home: Home, environments: Sequence[str] = ()) -> None:
        self._home, self._environments = home, environments
        self._strangers: deque[tuple[float, str]] = deque()  # when, and the address of those that count once
        self._shown: set[tuple[str, str, str]] = set()

    def write(self, report: Report) -> None:
        """Before it is done: what cannot be remembered must not happen. Raises HomeNotReady, Unreachable."""
        with self._home.transaction() as connection:
            rows.append(connection, report)

    def note(self, report: Report) -> None:
        """Where it must not stop what it tells of: a refusal stays one, and reading goes on."""
        try:
            self.write(report)
        except RungError as fault:
            _log.warning("not in the audit", extra={"deed": report.deed.value, "reason": str(fault)})

    def note_stranger(self, report: Report, *, once: bool = False) -> None:
        """Of somebody whom nobody knows: so many a minute, or anybody could fill the audit. The log has the others.

        `once`: for what programs repeat without end; one a minute from each address, so that others find room.
        """
        now, address = time.monotonic(), report.source.address if once else ""
        while self._strangers and self._strangers[0][0] < now - 60:
            self._strangers.popleft()
        again = once and any(address == other for _, other in self._strangers)
        if len(self._strangers) < STRANGERS and not again:
            self._strangers.append((now, address))
            self.note(report)
        else:
            why = "once a minute is enough" if again else "too many strangers"
            _log.warning(
                "not in the audit", extra={"deed": report.deed.value, "reason": why, "address": report.source.address}
            )

    def plan_shown(self, source: Source, plan: Plan) -> None:
        """Once for each person, environment and content of the plan; cheap from the second time on."""
        key = source.who, plan.environment, plan.digest
        if key in self._shown or not plan.steps:
            return
        files = ", ".join(f"{step.migration.filename} {step.migration.raw_hash[:12]}" for step in plan.steps)
        detail = ". ".join((f"{verdict(plan)}: {files}", *plan.notices[:_NOTICES]))
        try:
            with self._home.transaction() as connection:
                rows.append_first(
                    connection, Report(Deed.PLAN_SHOWN, source, plan.environment, plan.digest, detail=detail)
                )
        except RungError as fault:
            _log.warning("not in the audit", extra={"deed": Deed.PLAN_SHOWN.value, "reason": str(fault)})
            return
        if len(self._shown) >= _SHOWN:
            self._shown.clear()
        self._shown.add(key)

    def newest(self, limit: int = 30) -> tuple[AuditRow, ...]:
        return self.page(AuditFilter(), limit=limit).rows

    def page(self, wanted: AuditFilter, before: str | None = None, limit: int = 50) -> AuditPage:
        """Newest first. `before`: the `older` of another page; what is none counts as None."""
        with self._home.connection() as connection:
            return rows.page(connection, wanted, _id(before), limit)

    def export(self, wanted: AuditFilter, limit: int) -> Iterator[AuditRow] | None:
        """All rows of the filter that are there now, newest first; None where they are more than `limit`."""
        with self._home.connection() as connection:
            found, newest = rows.extent(connection, wanted, limit)
        return None if found > limit else self._all(wanted, newest + 1)

    def _all(self, wanted: AuditFilter, below: int) -> Iterator[AuditRow]:
        """Page by page: no connection is held while a slow reader reads."""
        before: str | None = str(below)
        while before is not None:
            found = self.page(wanted, before, _EXPORTED)
            yield from found.rows
            before = found.older

    def known_environments(self) -> tuple[str, ...]:
        """Those of the configuration in their order, then others that rows are about."""
        with self._home.connection() as connection:
            return tuple(dict.fromkeys((*self._environments, *rows.environments(connection))))

    def verify(self, kept_head: str | None = None, *, seconds: int = 0) -> ChainReport:
        """`kept_head`: the hash of a row that must be there, as an earlier check or the log told it. 0: no limit."""
        with self._home.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows.limit_time(connection, seconds)
            return rows.verify(connection, kept_head)

    def check(self, source: Source, kept_head: str | None = None) -> None:
        """Verify, and remember what was found as a row of its own."""
        report = self.verify(kept_head, seconds=LONGEST_CHECK)
        outcome = WHOLE if report.ok else BROKEN
        self.write(Report(Deed.AUDIT_CHECKED, source, subject=report.head or "", outcome=outcome, detail=report.what))

    def last_check(self) -> AuditRow | None:
        found = self.page(AuditFilter(deed=Deed.AUDIT_CHECKED), limit=1).rows
        return found[0] if found else None


def _id(cursor: str | None) -> int | None:
    text = cursor or ""
    return min(int(text), _HIGHEST) if text.isascii() and text.isdigit() and len(text) < 20 else None
