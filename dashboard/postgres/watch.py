"""Watching a run while its work connection flies: who is in the way, who wants it to stop, is it still there."""

import contextlib
import fcntl
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import psycopg

from dashboard.core.errors import EnvironmentFault
from dashboard.core.events import Blocked, Blocker, Locked, Notice, Reporter, Stuck, Working
from dashboard.core.locks import in_words, stops
from dashboard.core.run import StopQuestion
from dashboard.core.words import count, joined, span
from dashboard.postgres.connect import Connection
from dashboard.postgres.diagnosis import bounded
from dashboard.postgres.flight import TICK, GaveUp
from dashboard.postgres.look import Eye, Look, Progress

_ASK_EVERY = 0.5  # seconds between two questions whether somebody wants to stop
_LOOK_EVERY = 0.5  # seconds between two looks at who is in the way
_CANCEL_EVERY = 1.0  # a cancel that finds no statement running does nothing, so it is repeated
_CANCEL_PATIENCE = 6.0  # seconds until a server that does not answer a cancel counts as gone
_LOST_AFTER = 5.0  # seconds in which nothing comes, although the server says that it has nothing left to do
_BLIND_AFTER = 10.0  # seconds without an answer after which another connection is asked
_SETTLE_STOPPED = 2.0  # seconds that the last look may take where somebody waits for the run to end
_GIVE_UP_BLIND = 15.0  # seconds in which no other connection can be had either
_CALM = 2.0  # seconds between two reports about who is stuck behind the same statement
_REMARKS = 200  # of the server on one flight; a file may raise a notice for every row of a table
_SLOW = 10.0  # seconds between two reports of progress that nobody can put into a percentage

UNCONFIRMED = "committed here, and not confirmed by the synchronous standby"


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a statement that waits may be in the way of others: more sessions, or one for so many seconds."""

    sessions: int
    seconds: float

    def reached(self, stuck: tuple[Stuck, ...]) -> bool:
        return len(stuck) > self.sessions or any(one.seconds >= self.seconds for one in stuck)


class Watch:
    """Looks after the work connection while it flies: call it as the flight's tick, and `close` it afterwards.

    `pid` is that of the server process, which behind a pooler is not the one that the protocol names.
    It never waits: what it asks on the control connection is answered by one of the next ticks.

    Attributes
    ----------
    cancelled_by: who asked to stop, once the server was told to.
    blockers: the last sessions seen in the way. stuck: those that waited behind us, when we made room for them.
    deaf: the control connection is lost, or does not answer any more.
    remarks: what has to be said about the file, although it went through.
    holding: since when, by `time.monotonic()`, looks have seen it hold a lock that makes others wait.

    """

    def __init__(
        self,
        work: Connection,
        pid: int,
        control: Connection,
        another: Callable[[], Connection],
        stop: StopQuestion,
        report: Reporter,
        filename: str | None,
        limit: Limit | None,
    ) -> None:
        self.cancelled_by: str | None = None
        self.blockers: tuple[Blocker, ...] = ()
        self.stuck: tuple[Stuck, ...] = ()
        self.deaf = False
        self.remarks: tuple[str, ...] = ()
        self.holding: dict[Locked, float] = {}
        self._work, self._stop, self._limit, self._another = work, stop, limit, another
        self._filename, self._report = filename, report
        self._teller = _Teller(filename, report)
        self._pid = pid
        self._eye: Eye | None = None if control.closed else Eye(control, pid)
        self._spare: Connection | None = None
        self._stuck_since: dict[int, float] = {}
        self._room_until = 0.0
        now = time.monotonic()
        self._ask_at, self._look_at, self._cancel_at = now + _ASK_EVERY, now + _LOOK_EVERY, now
        self._give_up_at = float("inf")
        self._heard_at, self._idle_since, self._blind_since = now, float("inf"), now

    def __call__(self, heard: bool) -> None:  # noqa: FBT001  # a flight's tick
        now = time.monotonic()
        if heard:
            self._heard_at = now
        if self.cancelled_by is None and now >= self._ask_at:
            self._ask_at = now + _ASK_EVERY
            self.cancelled_by = self._stop()
            self._give_up_at = now + _CANCEL_PATIENCE if self.cancelled_by else self._give_up_at
        if self.cancelled_by is None:
            self._watch(now)
            return
        if now >= self._give_up_at:
            raise GaveUp("the server did not answer to being told to stop")  # noqa: TRY003  # a signal to the flight
        self._cancel(now)

    def hear(self, said: psycopg.errors.Diagnostic) -> None:
        """What the server remarks. That a COMMIT stopped waiting for its standby is more than a remark."""
        if said.source_function == "SyncRepWaitForLSN":  # its text may be in any language
            self.remarks = (UNCONFIRMED,)
        self._teller.remark(f"{said.severity}: {bounded(said.message_primary or '')}")

    def turn_to(self, filename: str) -> None:
        """The file before is in: what is seen from now on concerns this one."""
        self.blockers, self.remarks, self.holding = (), (), {}
        self._cancel_at = self._cancel_at if self.made_room else 0.0
        self._filename, self._teller = filename, self._teller.of(filename)

    def held(self) -> tuple[str, ...]:
        """The locks of the file that was in the air until now, for as long as they were seen."""
        now = time.monotonic()
        return tuple(
            f"held {in_words(lock.mode)} on {lock.relation} for {span(now - since)} or longer; "
            f"{stops(lock.mode)} had to wait"
            for lock, since in self.holding.items()
        )

    @property
    def made_room(self) -> bool:
        """Our statement was cancelled just now, because others were stuck behind it while it waited.

        What it waited for may have come meanwhile: then the cancel meets the file behind it.
        """
        return time.monotonic() < self._room_until

    def close(self) -> None:
        """Leave the control connection free for the next question."""
        if self._eye is not None and self._eye.asked_at is not None and not self.deaf:
            self.deaf = not self._eye.settle(_BLIND_AFTER if self.cancelled_by is None else _SETTLE_STOPPED)
        if self._spare is not None:
            self._spare.close()

    def _cancel(self, now: float) -> None:
        if now >= self._cancel_at:
            self._cancel_at = now + _CANCEL_EVERY
            with contextlib.suppress(psycopg.Error):  # the next one may get through; patience is bounded
                self._work.cancel_safe(timeout=2)

    # --- looking ---

    def _watch(self, now: float) -> None:
        if self._eye is None:
            self._open_another(now)
            return
        try:
            if self._eye.asked_at is None:
                if now >= self._look_at:
                    self._eye.ask()
                return
            look = self._eye.answer()
        except psycopg.Error:
            self._blind(now)
            return
        if look is not None:
            self._look_at = now + self._judge(look, now)
        elif now - (self._eye.asked_at or now) >= _BLIND_AFTER:
            self._blind(now)

    def _judge(self, look: Look, now: float) -> float:
        """What follows from a look. Answers after how many seconds the next one is due."""
        self._insist_that_it_works(look, now)
        look = replace(look, stuck=self._aged(look.stuck, now))
        self.blockers = look.blockers or self.blockers
        self._teller.tell(look, now)
        self._see_locks(look, now)
        if look.waited is None or self._limit is None or not look.stuck:
            return _LOOK_EVERY
        if self._limit.reached(look.stuck):
            self._room_until, self.stuck = now + _CANCEL_PATIENCE, look.stuck
            self._cancel(now)
        soon = self._limit.seconds - max(one.seconds for one in look.stuck)
        return min(_LOOK_EVERY, max(TICK, soon))

    def _see_locks(self, look: Look, now: float) -> None:
        if self._filename is None:
            return
        for relation, mode in look.holds:
            lock = Locked(self._filename, relation, mode)
            if lock not in self.holding:
                self.holding[lock] = now
                self._report(lock)

    def _aged(self, stuck: tuple[Stuck, ...], now: float) -> tuple[Stuck, ...]:
        """A server before 14 does not say for how long somebody has waited: since we first saw it, then."""
        self._stuck_since = {one.pid: self._stuck_since.get(one.pid, now - one.seconds) for one in stuck}
        return tuple(replace(one, seconds=max(one.seconds, now - self._stuck_since[one.pid])) for one in stuck)

    def _insist_that_it_works(self, look: Look, now: float) -> None:
        """A server that has nothing left to do has answered: then the answers are lost on the way."""
        if look.there and look.busy:
            self._idle_since = float("inf")
            return
        self._idle_since = min(self._idle_since, now)
        silent = now - max(self._idle_since, self._heard_at)
        if silent >= _LOST_AFTER and not _unsent(self._work):
            what = "has nothing left to do" if look.there else "has ended the session"
            raise GaveUp(f"the server {what}, and its answer has not come for {silent:.0f} s")  # noqa: TRY003  # a signal

    def _blind(self, now: float) -> None:
        """The control connection says nothing any more. It may still hold the lock, so it stays open."""
        if self._spare is not None:
            raise GaveUp("the server answers on none of the connections")  # noqa: TRY003  # a signal to the flight
        self._eye, self.deaf, self._blind_since = None, True, now
        self._open_another(now)

    def _open_another(self, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        try:
            self._spare = self._another()
        except EnvironmentFault as fault:
            if now - self._blind_since >= _GIVE_UP_BLIND:
                raise GaveUp(f"the server cannot be asked any more: {fault}") from None  # noqa: TRY003  # a signal
            return
        self._eye = Eye(self._spare, self._pid)

    # --- in words ---

    def in_the_way(self) -> tuple[str, ...]:
        """Whom it waited for, and who waited for it when it was cancelled for their sake."""
        return (
            *(f"Blocked by {one}." for one in self.blockers),
            *(f"Stuck behind it: {_of(one)}." for one in self.stuck),
        )

    def why_made_room(self) -> str:
        longest = span(max((one.seconds for one in self.stuck), default=0.0))
        waited = f"{count(len(self.stuck), 'session')} waited behind it, the longest for {longest}"
        return f"it was cancelled while it waited for a lock, because {waited}"


class _Teller:
    """Reports what the looks see, when it is new."""

    def __init__(self, filename: str | None, report: Reporter) -> None:
        self._filename, self._report = filename, report
        self._told: Blocked | None = None
        self._told_at = self._worked_at = 0.0
        self._worked: tuple[str, int | None] | None = None
        self._confirming, self._remarks = False, 0

    def of(self, filename: str) -> Self:
        """The same for another file."""
        return type(self)(filename, self._report)

    def say(self, said: str) -> None:
        self._report(Notice(self._filename, said))

    def remark(self, said: str) -> None:
        """A remark of the server's on a file, unless there were too many of them."""
        self._remarks += self._filename is not None
        if 0 < self._remarks <= _REMARKS:
            self.say(said)
        elif self._remarks == _REMARKS + 1:
            self.say(f"the server remarks on more than {_REMARKS} things in this file; the rest is left out")

    def tell(self, look: Look, now: float) -> None:
        if self._filename is None:
            return
        self._tell_blocked(Blocked(self._filename, look.waited, look.blockers, look.stuck), now)
        if look.progress is not None:
            self._tell_progress(self._filename, look.progress, look.blockers, now)
        if look.wait == "SyncRep" and not self._confirming:
            self._confirming = True
            self.say("the server waits for its synchronous standby to confirm the commit")

    def _tell_blocked(self, seen: Blocked, now: float) -> None:
        told, nothing = self._told, not seen.blockers and not seen.stuck
        if told is None and nothing:
            return
        if told is not None and not nothing:
            same = _pids(told.blockers) == _pids(seen.blockers) and bool(told.stuck) == bool(seen.stuck)
            if same and (_pids(told.stuck) == _pids(seen.stuck) or now - self._told_at < _CALM):
                return
        self._told, self._told_at = (None if nothing else seen), now
        self._report(seen)

    def _tell_progress(self, filename: str, far: Progress, blockers: tuple[Blocker, ...], now: float) -> None:
        lockers = blockers if far.locker else ()
        event = Working(filename, far.command, far.phase, far.done or 0, far.total or 0, far.unit, lockers)
        news = (event.phase, event.percent)
        if self._worked == news and (event.percent is not None or now - self._worked_at < _SLOW):
            return
        if self._worked and self._worked[0] == event.phase and now - self._worked_at < 2 * _LOOK_EVERY:
            return
        self._worked, self._worked_at = news, now
        self._report(event)


def _pids(sessions: tuple[Blocker, ...] | tuple[Stuck, ...]) -> set[int]:
    return {one.pid for one in sessions}


def _of(one: Stuck) -> str:
    who = joined(tuple(filter(None, (one.application, f"user {one.user}" if one.user else ""))))
    return f"pid {one.pid}{f' ({who})' if who else ''}, for {span(one.seconds)}"


def _unsent(connection: Connection) -> bool:
    """Whether the server may not have got all of it yet: a large file over a slow line."""
    try:
        waiting = fcntl.ioctl(connection.pgconn.socket, termios.TIOCOUTQ, bytes(4))
        return connection.pgconn.flush() != 0 or int.from_bytes(waiting, "little") > 0
    except (OSError, psycopg.Error):
        return False
