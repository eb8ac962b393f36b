"""The queue: procrastinate's tables in home, its schema as rungs of home's ladder, and the loop that takes jobs."""

import asyncio
import contextlib
import importlib.resources
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import procrastinate
from procrastinate import exceptions, jobs, manager, retry, worker
from psycopg import AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from dashboard.core.environment import Environment
from dashboard.core.errors import HomeNotReady, HomeUnreachable
from dashboard.core.progress import Pace
from dashboard.postgres.connect import Connection, parameters
from dashboard.postgres.home.pool import PATH, SCHEMA

QUEUE, TASK, REHEARSE = "runs", "execute", "rehearse"
MESSAGES, DELIVER = "messages", "deliver"

Execute = Callable[[str], bool]
"""Work on the run of this id; False: it must be taken up again."""

Rehearse = Callable[[str], None]
"""Do the rehearsal of this id."""

Deliver = Callable[[str], float | None]
"""Try to deliver the message of this id: seconds until the next attempt; None: it is over."""

Answer = TypeVar("Answer")

_log = logging.getLogger("rung.queue")
_SWEEP_LOCK = 8390876205174217001  # a number of ours
_PATIENCE = 5.0  # seconds to wait for a connection
_MESSAGES_AT_ONCE = 3


# --- the schema ---

# `03.02.00_01_pre_batch_defer_jobs.sql`; a leading 1 keeps the numbers above those of our own files.
_FILE = re.compile(r"(\d\d)\.(\d\d)\.(\d\d)_(\d\d)_(?P<what>\w+)\.sql")


def rungs() -> Iterator[tuple[str, bytes]]:
    """Procrastinate's own migrations as files of home's ladder. Their sum is its schema, also after an upgrade."""
    folder = importlib.resources.files("procrastinate") / "sql" / "migrations"
    for file in folder.iterdir():
        name = _FILE.fullmatch(file.name)
        if name:
            number = "".join(name.groups()[:4])
            text = f"SET LOCAL search_path = {SCHEMA}, pg_temp; {file.read_text(encoding='utf-8')}"
            yield f"1{number}_queue_{name['what']}.sql", text.encode()


# --- asking ---


def defer(home: Connection, run_id: str, environment: str) -> int:
    """Queue the job of a run, in the transaction that makes the run; the job's id."""
    return _defer(home, environment, TASK, {"run_id": run_id}, queueing_lock=environment)


def defer_rehearsal(home: Connection, rehearsal_id: str, environment: str) -> int:
    """The same for a rehearsal, which does not wait for runs; the table of rehearsals has one open one at most."""
    return _defer(home, f"rehearsal of {environment}", REHEARSE, {"rehearsal_id": rehearsal_id})


def defer_delivery(home: Connection, delivery_id: str) -> int:
    """The same for a message, in a queue of its own: receivers that do not answer hold up no run."""
    return _defer(home, f"message {delivery_id}", DELIVER, {"delivery_id": delivery_id}, queue=MESSAGES)


def _defer(
    home: Connection,
    lock: str,
    task: str,
    words: dict[str, Any],
    queueing_lock: str | None = None,
    queue: str = QUEUE,
) -> int:
    job = jobs.Job(
        id=None,
        queue=queue,
        lock=lock,
        queueing_lock=queueing_lock,
        task_name=task,
        task_kwargs=words,
        priority=0,
    )
    try:
        made = _offline().defer_job(job, connection=home)
    except exceptions.AlreadyEnqueued:
        reason = f"a job of a run that is over still waits for {lock}, and no worker takes it"
        raise HomeNotReady(reason) from None
    return made.id or 0


def forget(home: Connection, job_id: int) -> None:
    """Take a job back that no worker has taken yet."""
    _offline().cancel_job_by_id(job_id, delete_job=True, connection=home)


def _offline() -> manager.JobManager:
    """For calls that bring their own connection."""
    return manager.JobManager(procrastinate.SyncPsycopgConnector())


# --- taking ---


class _TakeUpAgain(Exception):
    """The run is not over."""


class _NotDelivered(Exception):
    """The next attempt is due in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Patience(retry.BaseRetryStrategy):
    """A job ends when its run does. Until then it is tried again, by whichever worker is free."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision:
        return retry.RetryDecision(retry_in={"milliseconds": round(1000 * _seconds_until_again(exception, job))})


def _seconds_until_again(exception: BaseException, job: jobs.Job) -> float:
    if isinstance(exception, _NotDelivered):
        return exception.seconds
    return 1 if isinstance(exception, _TakeUpAgain) else min(60, 2**job.attempts)


class _SteadyManager(manager.JobManager):
    """Home may be away for a while: what a worker has at hand goes on meanwhile, and is told to home afterwards."""

    def __init__(self, connector: procrastinate.PsycopgConnector, pause: float) -> None:
        super().__init__(connector)
        self._pause = pause

    async def update_heartbeat(self, worker_id: int) -> None:
        await self._until_home_is_back(lambda: super(_SteadyManager, self).update_heartbeat(worker_id))

    async def listen_for_jobs(self, **wanted: Any) -> None:
        await self._until_home_is_back(lambda: super(_SteadyManager, self).listen_for_jobs(**wanted))

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:  # noqa: FBT001  # procrastinate's signature
        await self._until_home_is_back(lambda: super(_SteadyManager, self).finish_job(job, status, delete_job))

    async def retry_job(self, *words: Any, **named: Any) -> None:
        await self._until_home_is_back(lambda: super(_SteadyManager, self).retry_job(*words, **named))

    async def fetch_job(self, queues: Any, worker_id: int) -> jobs.Job | None:
        try:
            return await super().fetch_job(queues, worker_id)
        except exceptions.ConnectorException as wrong:
            if not _is_away(wrong):
                raise
            _log.warning("home is away: no jobs are taken")
            return None

    async def _until_home_is_back(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            try:
                return await ask()
            except (exceptions.ConnectorException, OperationalError) as wrong:
                if not _is_away(wrong) or _is_told_to_end():
                    raise
                _log.warning("home is away: trying again")
                await asyncio.sleep(self._pause)


def _is_told_to_end() -> bool:
    """A query that is cancelled may end as an error of its connection; the wish to end must not be lost with it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_away(wrong: BaseException) -> bool:
    return isinstance(wrong, OperationalError) or isinstance(wrong.__cause__, OperationalError)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where jobs are taken: one of these in each worker."""

    home: Environment
    execute: Execute
    rehearse: Rehearse
    deliver: Deliver
    pace: Pace
    concurrency: int

    async def work(self, told_to_end: asyncio.Event) -> None:
        """Take jobs until told to end; then take no more, wait for those at work, and sign off.

        Raises Unreachable when home cannot be reached at the start. Returns early when procrastinate gave up for a
        reason of its own; to call it again is safe.
        """
        pool = self._pool()
        try:
            await pool.open(wait=True, timeout=_PATIENCE)
            app = self._app()
            await app.open_async(pool)
            await self._work(app, told_to_end)
        except PoolTimeout:
            raise HomeUnreachable(
                SCHEMA, "it does not answer", "Check its address, and whether its server runs."
            ) from None
        finally:
            await pool.close()

    async def _work(self, app: procrastinate.App, told_to_end: asyncio.Event) -> None:
        """To cancel is not reliable: a query that is cancelled may swallow it. So the workers are asked to stop."""
        over = asyncio.Event()
        sweeping = asyncio.create_task(self._sweep_until(over, app))
        takers = [self._worker(app, QUEUE, self.concurrency), self._worker(app, MESSAGES, _MESSAGES_AT_ONCE)]
        working = [asyncio.create_task(taker.run()) for taker in takers]  # type: ignore[no-untyped-call]  # procrastinate's
        told = asyncio.create_task(told_to_end.wait())
        try:
            await asyncio.wait({*working, told}, return_when=asyncio.FIRST_COMPLETED)
            for taker in takers:
                taker.stop()  # type: ignore[no-untyped-call]  # procrastinate's
            await asyncio.gather(*working)
        finally:
            told.cancel()
            over.set()
            await sweeping

    def _pool(self) -> "AsyncConnectionPool[AsyncConnection[Any]]":
        return AsyncConnectionPool(
            "",
            kwargs=parameters(self.home, purpose="worker") | {"prepare_threshold": None},
            configure=_set_path,
            check=AsyncConnectionPool.check_connection,
            min_size=1,
            max_size=self.concurrency + _MESSAGES_AT_ONCE + 6,
            timeout=_PATIENCE,
            reconnect_timeout=2 * _PATIENCE,
            open=False,
        )

    def _app(self) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(configure=_set_path)  # for the connection that listens
        app = procrastinate.App(connector=connector)
        app.job_manager = _SteadyManager(connector, self.pace.poll)

        @app.task(name=TASK, queue=QUEUE, retry=_Patience())
        def execute(run_id: str) -> None:
            if not self.execute(run_id):
                raise _TakeUpAgain

        @app.task(name=REHEARSE, queue=QUEUE, retry=_Patience())
        def rehearse(rehearsal_id: str) -> None:
            self.rehearse(rehearsal_id)

        @app.task(name=DELIVER, queue=MESSAGES, retry=_Patience())
        def deliver(delivery_id: str) -> None:
            seconds = self.deliver(delivery_id)
            if seconds is not None:
                raise _NotDelivered(seconds)

        return app

    def _worker(self, app: procrastinate.App, queue: str, concurrency: int) -> worker.Worker:
        return worker.Worker(
            app,
            queues=[queue],
            concurrency=concurrency,
            fetch_job_polling_interval=self.pace.poll,
            abort_job_polling_interval=3600,  # we ask runs to stop ourselves
            update_heartbeat_interval=self.pace.heartbeat,
            stalled_worker_timeout=self.pace.stalled,
            install_signal_handlers=False,
            delete_jobs="always",  # home.run and home.delivery remember them
        )

    async def _sweep_until(self, over: asyncio.Event, app: procrastinate.App) -> None:
        while not over.is_set():
            try:
                await self._sweep(app)
            except (exceptions.ConnectorException, OperationalError):
                _log.warning("could not look for dead workers", exc_info=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self.pace.sweep)

    async def _sweep(self, app: procrastinate.App) -> None:
        """Put the jobs of dead workers back; one worker at a time, so that no fresh job is put back by a slow one."""
        connector = app.connector
        assert isinstance(connector, procrastinate.PsycopgConnector)  # noqa: S101  # made above
        async with connector.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute("SELECT pg_catalog.pg_try_advisory_xact_lock(%s)", (_SWEEP_LOCK,))
            row = await cursor.fetchone()
            if not row or not row[0]:
                return
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=self.pace.stalled):
                await self._put_back(app, connection, job)

    async def _put_back(self, app: procrastinate.App, connection: AsyncConnection[Any], job: jobs.Job) -> None:
        if job.task_name != TASK:
            with contextlib.suppress(exceptions.ConnectorException):  # as below
                await app.job_manager.retry_job(job)
            return
        run_id = job.task_kwargs.get("run_id")
        cursor = await connection.execute("SELECT state FROM home.run WHERE id = %s", (run_id,))
        row = await cursor.fetchone()
        _log.warning("a worker died", extra={"run_id": run_id, "again": bool(row and row[0] != "ended")})
        with contextlib.suppress(exceptions.ConnectorException):  # its worker finished it this very moment
            if row and row[0] != "ended":
                await app.job_manager.retry_job(job)
            else:
                await app.job_manager.finish_job(job, jobs.Status.SUCCEEDED, delete_job=True)


async def _set_path(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    await connection.set_autocommit(True)
    await connection.execute(PATH)
