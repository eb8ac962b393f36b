"""The scribe: writes what a run reports into home while it goes on, from a thread of its own."""

import logging
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dashboard.core.errors import RungError
from dashboard.core.events import Event, Planned
from dashboard.postgres.home import runs
from dashboard.postgres.home.pool import Home

PULSE = 1.0  # seconds between two signs of life, and two looks whether somebody asked to stop
_PAUSE = 1.0  # seconds before a home that is away is tried again
_PATIENCE = 2.0  # seconds a run waits for home before it touches the target

_log = logging.getLogger("rung.runs")


@dataclass(slots=True)
class _Heard:
    number: int
    event: Event
    at: float  # monotonic


class Scribe:
    """Takes the events of one attempt. The run never waits for home, but once: its plan is written before it begins.

    While home is away events wait here, and are written when it is back.
    """

    def __init__(self, home: Home, run_id: str, attempt: int, stop_asked_by: str | None = None) -> None:
        self._home, self._run_id, self._attempt = home, run_id, attempt
        self._stop_asked_by = stop_asked_by
        self._waiting: list[_Heard] = []
        self._heard = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name=f"scribe of {run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()

    def report(self, event: Event) -> None:
        """Take an event; the runner's reporter."""
        with self._changed:
            self._heard += 1
            self._waiting.append(_Heard(self._heard, event, time.monotonic()))
            self._changed.notify_all()
        if isinstance(event, Planned):
            self.flush()

    def stop_asked_by(self) -> str | None:
        """Who asked this run to stop, as home knew about a second ago."""
        return self._stop_asked_by

    def flush(self, patience: float = _PATIENCE) -> bool:
        """Wait until everything is written; False where home did not take it within `patience` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, patience)

    def _work(self) -> None:
        while not self._ending:
            with self._changed:
                if not self._waiting and not self._ending:
                    self._changed.wait(PULSE)
                batch = list(self._waiting)
            if self._written(batch):
                with self._changed:
                    del self._waiting[: len(batch)]
                    self._changed.notify_all()
            elif not self._ending:
                time.sleep(_PAUSE)

    def _written(self, batch: list[_Heard]) -> bool:
        now = time.monotonic()
        told = [runs.Written(one.number, one.event, now - one.at) for one in batch]
        try:
            with self._home.transaction() as connection:
                asked_by = runs.write(connection, self._run_id, self._attempt, told)
        except RungError as fault:
            _log.warning("home is away: events wait", extra={"run_id": self._run_id, "reason": str(fault)})
            return False
        except Exception:  # noqa: BLE001  # what home will never take must not keep the run from ending
            _log.exception("events are lost", extra={"run_id": self._run_id, "events": len(batch)})
            return True
        self._stop_asked_by = asked_by or self._stop_asked_by
        return True
