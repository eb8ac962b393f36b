"""Foresee: what the rows and the catalog of one environment say of the files that would run there."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from dashboard.core.errors import BadDatabaseUrl, EnvironmentFault, MissingVariable
from dashboard.core.facts import names_of, sharpened, tables_of
from dashboard.core.foresight import Foresight
from dashboard.core.matrix import Look
from dashboard.core.plan import Plan
from dashboard.core.probes import probes_of
from dashboard.postgres import probes
from dashboard.postgres.probes import BUDGET

FRESH = 30.0  # seconds that an answer is shown for; rows come and go
QUICK = 3.0  # seconds for all questions while somebody waits for a page
SOON = 2.0  # seconds for what other environments say, beside the one that is asked for
_KEPT = 100  # answers


def foresee(look: Look, size_limit: int, budget: float = BUDGET, *, rows: bool = True) -> Foresight:
    """Ask the catalog and the rows, in a transaction that cannot write; `trouble` says why they could not be asked.

    size_limit: bytes of the largest table that is read in full. budget: seconds for all questions.
    rows: whether they are asked at all; the catalog alone takes two round trips.
    """
    name, plan = look.environment.name, look.plan
    if plan is None or look.not_reachable:
        reason = look.not_reachable.reason if look.not_reachable else f"{name} was never reached"
        return Foresight(name, trouble=reason, rows=rows)
    asked = probes_of(plan.steps) if rows else ()
    try:
        tables, (types, functions) = tables_of(plan.steps), names_of(plan.steps)
        seen = probes.ask(
            look.environment, asked, tables, types=types, functions=functions, size_limit=size_limit, budget=budget
        )
    except (EnvironmentFault, MissingVariable, BadDatabaseUrl) as fault:
        return Foresight(name, trouble=str(fault), rows=rows)
    judged = sharpened(plan, seen.facts)
    return Foresight(name, seen.answers, "", judged, seen.oldest, rows, seen.replication)


@dataclass(frozen=True)
class Foresights:
    """The same for pages: asked once for all who look at the same plan. For any number of threads."""

    size_limit: int
    _kept: dict[tuple[str, str], tuple[float, Foresight]] = field(default_factory=dict)
    _asking: dict[str, threading.Lock] = field(default_factory=dict)

    def of(self, look: Look, fresh: float = FRESH) -> Foresight | None:
        """At most `fresh` seconds old; None where nothing is pending, or nobody answers."""
        if look.plan is None or look.not_reachable or not look.plan.steps or look.plan.stops:
            return None
        key = look.environment.name, look.plan.digest
        with self._asking.setdefault(look.environment.name, threading.Lock()):
            at, known = self._kept.get(key, (-FRESH, None))
            if known is not None and time.monotonic() - at < fresh:
                return known
            seen = foresee(look, self.size_limit, QUICK)
            self._keep(key, seen)
            return seen

    def plans(self, looks: Sequence[Look]) -> dict[str, Plan]:
        """The plans of other environments with what their catalogs add; whoever does not answer soon is left out."""
        if not looks:
            return {}
        pool = ThreadPoolExecutor(len(looks), thread_name_prefix="foresee")
        asked = [pool.submit(self.of, look) for look in looks]
        done, _ = wait(asked, timeout=SOON)
        pool.shutdown(wait=False)
        seen = [one.result() for one in asked if one in done]
        return {one.environment: one.plan for one in seen if one and one.plan}

    def _keep(self, key: tuple[str, str], seen: Foresight) -> None:
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = time.monotonic(), seen
