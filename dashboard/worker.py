"""The worker: takes runs from home's queue and executes them, until it is told to end."""

import asyncio
import contextlib
import logging
import signal

from dashboard.bootstrap import Services, build, note_configuration, prepare_home
from dashboard.core.errors import RungError
from dashboard.core.progress import Pace
from dashboard.log import set_up
from dashboard.settings import Settings

_log = logging.getLogger("rung.worker")


def run_worker(settings: Settings, pace: Pace | None = None) -> None:
    """Work until SIGTERM or SIGINT. Prepares home first. Raises NoHome, HomeNotReady, Unreachable.

    After the signal no run is taken any more; the ones at work may go on for `pace.grace` seconds, then they stop at
    their next safe place, and another worker takes them up.
    """
    set_up()
    prepare_home(settings)
    note_configuration(settings)
    for webhook in settings.webhooks:
        if webhook.lacks:
            _log.warning(
                "webhook is not used", extra={"webhook": webhook.name, "reason": f"{webhook.lacks} is not set"}
            )
    services = build(settings)
    try:
        asyncio.run(_work(services, pace or Pace()))
    finally:
        services.close()


async def _work(services: Services, pace: Pace) -> None:
    told = asyncio.Event()
    leaving: list[bool] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    leaver = asyncio.create_task(_leave(told, leaving, pace))
    while not told.is_set():
        _log.info("worker takes runs")
        try:
            await services.runs.work(pace, told, services.rehearsals.execute, lambda: bool(leaving))
        except RungError as fault:
            _log.warning("worker cannot work", extra={"reason": str(fault)})
        except Exception:  # noqa: BLE001  # whatever it was, the next run must find a worker
            _log.exception("worker broke")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), pace.poll)
    leaver.cancel()
    _log.info("worker has ended")


async def _leave(told: asyncio.Event, leaving: list[bool], pace: Pace) -> None:
    await told.wait()
    _log.info("worker ends: takes no more runs")
    await asyncio.sleep(pace.grace)
    _log.warning("worker ends: stops its runs")
    leaving.append(True)
