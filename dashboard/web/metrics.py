"""Figures for Prometheus, behind a token of their own, and how long our answers take."""

import hmac
import time
from collections.abc import Iterator, Mapping

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dashboard.core.errors import RungError
from dashboard.core.matrix import Matrix
from dashboard.core.progress import RunFigures
from dashboard.web import current
from dashboard.web.security import open_to_all

views = Blueprint("metrics", __name__)

_TEXT = "text/plain; charset=utf-8"
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@views.get("/metrics")
@open_to_all
def show() -> Response:
    """404 where no token is configured. What home cannot say now is left out, and `rung_home_up` says so."""
    token = current.services().settings.metrics_token
    if token is None:
        abort(404)
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), token.reveal().encode()):
        return Response("A token is needed.\n", 401, {"WWW-Authenticate": "Bearer"}, content_type=_TEXT)
    figures = generate_latest(_once()) + generate_latest(current_app.extensions["rung.metrics"])
    return Response(figures, content_type=CONTENT_TYPE_LATEST)


def measure(app: Flask) -> None:
    """Time every answer, by the name of its view: addresses are without number."""
    registry = CollectorRegistry()
    took = Histogram(
        "rung_request_seconds",
        "How long our answers take",
        ("view", "method", "status"),
        buckets=_BUCKETS,
        registry=registry,
    )
    app.extensions["rung.metrics"] = registry

    @app.after_request
    def end(answer: Response) -> Response:
        method = request.method if request.method in _METHODS else "other"  # anybody may send any word
        labels = (request.endpoint or "none", method, f"{answer.status_code // 100}xx")
        took.labels(*labels).observe(time.perf_counter() - g.get("began", time.perf_counter()))
        return answer


def _once() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Home())
    return registry


class _Home(Collector):
    """What home remembers, read when it is asked for."""

    def collect(self) -> Iterator[Metric]:
        services = current.services()
        try:
            figures, matrix = services.health.figures(), services.compare.last_known()
            messages = services.webhooks.counts()
        except RungError:
            yield _gauge("rung_home_up", "Whether Rung's own database answers", 0)
            return
        yield _gauge("rung_home_up", "Whether Rung's own database answers", 1)
        yield from _of_environments(matrix)
        yield from _of_runs(figures)
        yield _of_messages(messages)


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def _of_environments(matrix: Matrix) -> Iterator[Metric]:
    behind = GaugeMetricFamily("rung_environment_behind", "Files that an environment lacks", labels=("environment",))
    blocked = GaugeMetricFamily("rung_environment_blocked", "Pending files that are stopped", labels=("environment",))
    up = GaugeMetricFamily("rung_environment_up", "Whether it answered last time", labels=("environment",))
    seen = GaugeMetricFamily("rung_environment_seen_timestamp_seconds", "When it answered", labels=("environment",))
    for column in matrix.columns:
        name = (column.environment.name,)
        up.add_metric(name, column.taken_at is not None and column.not_reachable is None)
        if column.taken_at is not None:
            behind.add_metric(name, column.behind)
            blocked.add_metric(name, column.blocked)
            seen.add_metric(name, column.taken_at.timestamp())
    yield from (behind, blocked, up, seen)


def _of_messages(messages: Mapping[tuple[str, str], int]) -> Metric:
    told = GaugeMetricFamily("rung_webhook_messages", "Messages about ended runs", labels=("webhook", "standing"))
    for names, number in messages.items():
        told.add_metric(names, number)
    return told


def _of_runs(figures: RunFigures) -> Iterator[Metric]:
    by_outcome = ("environment", "outcome")
    ended = CounterMetricFamily("rung_runs", "Runs that have ended", labels=by_outcome)
    seconds = CounterMetricFamily("rung_runs_seconds", "Seconds that they took together", labels=by_outcome)
    for names, (count, took) in figures.ended.items():
        ended.add_metric(names, count)
        seconds.add_metric(names, took)
    opened = GaugeMetricFamily("rung_runs_open", "Runs that have not ended", labels=("state",))
    for state in ("queued", "running"):
        opened.add_metric((state,), figures.open.get(state, 0))
    last = GaugeMetricFamily(
        "rung_applied_timestamp_seconds", "End of the last run that applied", labels=("environment",)
    )
    for name, moment in figures.succeeded_at.items():
        last.add_metric((name,), moment)
    yield from (ended, seconds, opened, last)
    yield _gauge("rung_queue_oldest_seconds", "How long the oldest queued run waits", figures.oldest_queued)
