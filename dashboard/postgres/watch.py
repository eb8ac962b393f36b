"""Watching a run from its control connection: who is in the way, who wants it to stop, and stopping it."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from dashboard.core.run import StopQuestion
from dashboard.postgres.connect import Connection
from dashboard.postgres.flight import GaveUp

_ASK_EVERY = 0.5  # seconds between two questions whether somebody wants to stop
_LOOK_EVERY = 1.0  # seconds between two looks at who is in the way
_CANCEL_EVERY = 1.0  # a cancel that finds no statement running does nothing, so it is repeated
_CANCEL_PATIENCE = 8.0  # seconds until a server that does not answer a cancel counts as gone


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds what another one waits for. `since`: its transaction's start, aware."""

    pid: int
    user: str
    application: str
    state: str
    since: datetime | None
    query: str

    def __str__(self) -> str:
        who = ", ".join(filter(None, (self.application, f"user {self.user}" if self.user else "", self.state)))
        since = f", in a transaction since {self.since:%H:%M:%S} UTC" if self.since else ""
        return f"pid {self.pid} ({who}{since})"


_BLOCKERS = sql.SQL("""
SELECT a.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
       a.xact_start, left(coalesce(a.query, ''), 200)
  FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids({pid}))
 ORDER BY a.xact_start
""")


def blockers_of(control: Connection, pid: int) -> tuple[Blocker, ...]:
    """Who holds what server process `pid` waits for; empty where it waits for nobody. By the simple protocol."""
    rows: list[Any] = control.execute(_BLOCKERS.format(pid=sql.Literal(pid))).fetchall()
    return tuple(Blocker(*row) for row in rows)


class Watch:
    """Looks after the work connection while it flies: call it as the flight's tick.

    Attributes
    ----------
    cancelled_by: who asked to stop, once the server was told to.
    blockers: the last sessions seen in the way.

    """

    def __init__(self, work: Connection, control: Connection, stop: StopQuestion, say: Callable[[str], None]) -> None:
        self.cancelled_by: str | None = None
        self.blockers: tuple[Blocker, ...] = ()
        self._work, self._control, self._stop, self._say = work, control, stop, say
        now = time.monotonic()
        self._ask_at, self._look_at, self._cancel_at = now + _ASK_EVERY, now + _LOOK_EVERY, now
        self._give_up_at = float("inf")

    def __call__(self) -> None:
        now = time.monotonic()
        if self.cancelled_by is None and now >= self._ask_at:
            self._ask_at = now + _ASK_EVERY
            self.cancelled_by = self._stop()
            self._give_up_at = now + _CANCEL_PATIENCE if self.cancelled_by else self._give_up_at
        if self.cancelled_by is not None:
            self._cancel(now)
        elif now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._look()

    def _cancel(self, now: float) -> None:
        if now >= self._give_up_at:
            raise GaveUp("the server did not answer to being told to stop")  # noqa: TRY003  # a signal to the flight
        if now >= self._cancel_at:
            self._cancel_at = now + _CANCEL_EVERY
            with contextlib.suppress(psycopg.Error):  # the next one may get through; patience is bounded above
                self._work.cancel_safe(timeout=2)

    def _look(self) -> None:
        try:
            seen = blockers_of(self._control, self._work.info.backend_pid)
        except psycopg.Error:
            return  # without its control connection the file fails at the frame check, with a sentence of its own
        if seen and seen != self.blockers:
            self._say(f"waiting for {' and '.join(map(str, seen))}")
        self.blockers = seen or self.blockers
