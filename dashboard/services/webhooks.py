"""Webhooks: tell who wants to know how runs end, until they have heard it, and say how that goes."""

import logging
from collections.abc import Mapping, Sequence

from dashboard.core.audit import Deed, Report, Source
from dashboard.core.errors import RungError
from dashboard.core.run import Order, Outcome, Result
from dashboard.core.webhook import FIRST_PAUSE, Delivery, Standing, Webhook, body, headers, pause
from dashboard.postgres.connect import Connection
from dashboard.postgres.home import audit
from dashboard.postgres.home import deliveries as rows
from dashboard.postgres.home.pool import Home
from dashboard.services.outgoing import LONGEST, post

WORKER = Source("the worker")
_log = logging.getLogger("rung.webhooks")


class Webhooks:
    """The configured receivers. public_url: where links in messages lead; None: there are none."""

    def __init__(self, home: Home, webhooks: Sequence[Webhook], public_url: str | None = None) -> None:
        self._home, self._public_url = home, public_url
        self._webhooks = {webhook.name: webhook for webhook in webhooks}

    @property
    def configured(self) -> tuple[Webhook, ...]:
        return tuple(self._webhooks.values())

    def tell(self, connection: Connection, result: Result, order: Order) -> None:
        """Queue the messages about a run, in the transaction that ends it."""
        self._tell(connection, result, order, f"/runs/{result.run_id}")

    def tell_of(self, result: Result, order: Order) -> None:
        """The same for a run that home did not start. Raises Unreachable (of home), HomeNotReady."""
        with self._home.transaction() as connection:
            self._tell(connection, result, order, f"/environments/{result.environment}")

    def _tell(self, connection: Connection, result: Result, order: Order, path: str) -> None:
        told = [webhook for webhook in self._webhooks.values() if webhook.wants(result)]
        if not told:
            return
        from dashboard.postgres.home import queue  # heavy

        link = f"{self._public_url}{path}" if self._public_url else None
        said = body(result, order, rows.now(connection), link)
        for webhook in told:
            made = rows.add(connection, webhook.name, result, said)
            if made is not None:
                queue.defer_delivery(connection, made)

    def deliver(self, delivery_id: str, first_pause: float = FIRST_PAUSE, longest: float = LONGEST) -> float | None:
        """One attempt, for the worker: seconds until the next one; None where there is nothing more to do."""
        with self._home.connection() as connection:
            begun = rows.begin(connection, delivery_id)
        if begun is None:
            return None
        webhook = self._webhooks.get(begun.webhook)
        trouble = _send(webhook, delivery_id, begun, longest)
        again = pause(begun.attempt, first_pause) if trouble else None
        self._end(delivery_id, begun, trouble, again)
        return again

    def _end(self, delivery_id: str, begun: rows.Begun, trouble: str | None, again: float | None) -> None:
        standing = Standing.DELIVERED if trouble is None else Standing.WAITING if again else Standing.GIVEN_UP
        with self._home.connection() as connection:
            rows.end(connection, delivery_id, standing, trouble)
        words = {"webhook": begun.webhook, "run_id": begun.run_id, "delivery": delivery_id, "attempt": begun.attempt}
        if standing is Standing.DELIVERED:
            _log.info("webhook told", extra=words)
        elif standing is Standing.WAITING:
            _log.warning("webhook not told yet", extra=words | {"reason": trouble, "again_in_seconds": again})
        else:
            _log.error("webhook given up", extra=words | {"reason": trouble})
            self._remember(begun, f"given up after {begun.attempt} attempts: {trouble}")

    def _remember(self, begun: rows.Begun, what: str) -> None:
        try:
            with self._home.transaction() as connection:
                detail = f"{begun.webhook}: {what}"
                audit.append(
                    connection,
                    Report(Deed.WEBHOOK_GIVEN_UP, WORKER, begun.environment, begun.run_id, Outcome.FAILED, detail),
                )
        except RungError as fault:
            _log.warning("not in the audit", extra={"deed": Deed.WEBHOOK_GIVEN_UP.value, "reason": str(fault)})

    def newest(self, limit: int = 20) -> tuple[Delivery, ...]:
        with self._home.connection() as connection:
            return rows.newest(connection, limit)

    def of_run(self, run_id: str) -> tuple[Delivery, ...]:
        """The messages about it; none where nobody is to be told of anything. Raises as `Home.connection`."""
        if not self._webhooks:
            return ()
        with self._home.connection() as connection:
            return rows.of_run(connection, run_id)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(webhook, standing) -> messages."""
        with self._home.connection() as connection:
            return rows.counts(connection)


def _send(webhook: Webhook | None, delivery_id: str, begun: rows.Begun, longest: float) -> str | None:
    if webhook is None:
        return "this worker's configuration has no such webhook"
    if webhook.lacks or webhook.url is None:
        return f"{webhook.lacks} is not set for this worker"
    return post(webhook.url, begun.body, headers(delivery_id, begun.now, begun.body, webhook.secret), longest)
