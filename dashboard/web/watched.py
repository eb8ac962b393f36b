"""One look at a run, and one drawing of it, serve everybody who watches it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dashboard.core.progress import RunView, StoredEvent
from dashboard.services.rehearsals import Forecasts
from dashboard.services.runs import Runs
from dashboard.web.progress import Progress, add_up

FRESH = 0.25  # seconds that a look is good for; a page asks for the first time a little later than that
_OLD = 3.0  # seconds after which nobody is shown a look any more, whoever may be asking
_KEPT = 30  # runs
PACE = 0.7  # seconds between two questions of a page, where few watch; rung.js begins with it
SLOWEST = 10.0  # seconds, whoever watches
QUESTIONS = 100.0  # a second, of all who watch together: an answer takes some milliseconds of a processor


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a reader is sent. `html` lacks the token of its form; `packed`, for browsers, where there is no form."""

    version: str
    html: str
    packed: bytes | None


@dataclass(frozen=True, slots=True)
class Look:
    """A run as home knew it.

    Attributes
    ----------
    forecasts: by the digest of its plan.
    drawn: by whether the reader may stop it. earlier: the drawings of the look before, where that is not too old.

    """

    run: RunView
    events: tuple[StoredEvent, ...]
    progress: Progress
    at: float
    forecasts: dict[str, Forecasts]
    earlier: dict[bool, Drawn] = field(default_factory=dict)
    drawn: dict[bool, Drawn] = field(default_factory=dict)
    drawing: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def draw(self, draw: Callable[[], Drawn], *, may_stop: bool) -> Drawn:
        """One draws; whoever comes meanwhile gets the drawing before, or waits where there is none."""
        done, earlier = self.drawn.get(may_stop), self.earlier.get(may_stop)
        if done is not None:
            return done
        if not self.drawing.acquire(blocking=earlier is None) and earlier is not None:
            return earlier
        try:
            return self.drawn.get(may_stop) or self.drawn.setdefault(may_stop, draw())
        finally:
            self.drawing.release()


class Pace:
    """How long a page waits before it asks again: the more watch, the longer, so that other pages stay quick."""

    def __init__(self) -> None:
        self._seconds, self._since, self._asked = PACE, time.monotonic(), 0
        self._counting = threading.Lock()

    def next(self) -> float:
        """Seconds until this reader's next question. So many readers are there as ask within one pace."""
        with self._counting:
            self._asked += 1
            took = time.monotonic() - self._since
            if took >= max(1.0, self._seconds):
                readers = self._asked / took * self._seconds
                self._seconds = min(max(readers / QUESTIONS, PACE), SLOWEST)
                self._since, self._asked = time.monotonic(), 0
            return self._seconds


class Watched:
    """The runs that somebody watches now. For any number of threads."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._asking = threading.Lock()

    def look(self, runs: Runs, run_id: str) -> Look | None:
        """At most FRESH seconds old, unless home is slow; None where there is no such run. Raises as `Runs.show`."""
        known = self._looks.get(run_id)
        age = time.monotonic() - known.at if known else _OLD
        if known is None or age >= _OLD:
            return self._ask(runs, run_id, known)
        if age < FRESH or not self._asking.acquire(blocking=False):
            return known
        try:
            return self._ask(runs, run_id, known)
        finally:
            self._asking.release()

    def _ask(self, runs: Runs, run_id: str, known: Look | None) -> Look | None:
        at = time.monotonic()
        run = runs.show(run_id)
        if run is None:
            return None
        before = known.events if known else ()
        events = (*before, *runs.events_since(run_id, before[-1].sequence if before else 0))
        earlier = known.drawn if known and at - known.at < _OLD else {}
        look = Look(run, events, add_up(events), at, known.forecasts if known else {}, earlier)
        self._keep(run_id, look)
        return look

    def _keep(self, run_id: str, look: Look) -> None:
        looks = {name: one for name, one in self._looks.items() if look.at - one.at < _OLD and name != run_id}
        newest = sorted(looks.items(), key=lambda item: item[1].at)[-_KEPT + 1 :]
        self._looks = dict(newest) | {run_id: look}
