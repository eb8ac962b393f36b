"""The worker: takes runs from home's queue and executes them, until it is told to end."""

import asyncio
import contextlib
import logging
import signal

from dashboard.bootstrap import Services, build, prepare_home
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
    _log.info("worker takes runs")
    while not told.is_set():
        work = asyncio.create_task(services.runs.work(pace, lambda: bool(leaving)))
        end = asyncio.create_task(told.wait())
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
        if told.is_set():
            await _finish(work, leaving, pace)
        else:
            end.cancel()
            _tell(work)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), pace.poll)
    _log.info("worker has ended")


async def _finish(work: "asyncio.Task[None]", leaving: list[bool], pace: Pace) -> None:
    _log.info("worker ends: takes no more runs")
    work.cancel()
    await asyncio.wait({work}, timeout=pace.grace)
    if not work.done():
        _log.warning("worker ends: stops its runs")
        leaving.append(True)
        await asyncio.wait({work})
    if not work.cancelled() and (fault := work.exception()):
        _log.error("worker ends with a fault", exc_info=fault)


def _tell(work: "asyncio.Task[None]") -> None:
    """What made it end by itself, in the log."""
    fault = work.exception()
    if fault is None or isinstance(fault, RungError):
        _log.warning(
            "worker stopped, and begins again", extra={"reason": str(fault or "its connections to home broke")}
        )
    else:
        _log.error("worker broke, and begins again", exc_info=fault)
