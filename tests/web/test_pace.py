"""How often those who watch a run may ask: few at once, many more seldom, and never all of the time for other pages."""

import heapq
import itertools

import pytest

from dashboard.web import watched
from dashboard.web.watched import PACE, QUESTIONS, SLOWEST, Pace


class Crowd:
    """Readers who ask as they are told to, by a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(watched.time, "monotonic", lambda: self.now)
        self.pace = Pace()

    def watch(self, readers: int, seconds: float) -> list[float]:
        """When they asked."""
        until, numbers = self.now + seconds, itertools.count()
        coming = [(self.now + PACE * n / readers, next(numbers)) for n in range(readers)]
        heapq.heapify(coming)
        asked = []
        while coming[0][0] < until:
            self.now, reader = heapq.heappop(coming)
            asked.append(self.now)
            heapq.heappush(coming, (self.now + self.pace.next(), reader))
        self.now = until
        return asked


def rate(asked: list[float], since: float, seconds: float) -> float:
    return sum(since <= at < since + seconds for at in asked) / seconds


@pytest.mark.parametrize("readers", [200, 600])
def test_many_readers_together_ask_no_more_than_there_is_room_for(
    readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = Crowd(monkeypatch)
    asked = crowd.watch(readers, 120)
    for begin in (30, 60, 90):
        assert QUESTIONS * 0.7 < rate(asked, begin, 30) < QUESTIONS * 1.3


def test_a_few_readers_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(monkeypatch)
    for readers in (1, 20, 60):
        crowd.watch(readers, 30)
        assert crowd.pace.next() == PACE


def test_when_most_have_left_the_others_ask_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(monkeypatch)
    crowd.watch(400, 60)
    assert crowd.pace.next() > 3
    crowd.watch(3, 30)
    assert crowd.pace.next() == PACE


def test_nobody_waits_longer_than_the_slowest_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(monkeypatch)
    crowd.watch(5000, 60)
    assert crowd.pace.next() == SLOWEST
