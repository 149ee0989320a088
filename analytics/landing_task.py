"""Landing as a stage of a running service: one task that asks for turns, on an executor."""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog

from analytics.errors import LandingFailed
from analytics.landing_worker import Turn, begin, begin_process, end, turn
from analytics.place import Place
from analytics.settings import HistorySettings
from service.metrics import Metrics

log = structlog.get_logger("landing")
MOST_PAUSE_SECONDS = 60.0
STOPS = {signal.SIGINT, signal.SIGTERM}

OnTurn = Callable[[Turn], None]
"""Is told of each turn that went well."""
MakeWorker = Callable[[str, Place, HistorySettings], Executor]
"""Makes what lands one store into one history: an executor with one worker."""


def counted_in(metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> OnTurn:
    """What tells each turn to Prometheus: rows of each table, and how far behind the history is.

    That grows with the clock until the next turn that goes well, so that it shows an outage too.
    """
    lag_seconds, told_at = 0.0, clock()

    def turned(done: Turn) -> None:
        nonlocal lag_seconds, told_at
        lag_seconds, told_at = done.lag_seconds, clock()
        for table, count in done.rows.items():
            metrics.landed.labels(table).inc(count)

    metrics.landing_lag_seconds.set_function(lambda: max(lag_seconds, clock() - told_at))
    return turned


def thread(store_url: str, place: Place, settings: HistorySettings) -> Executor:
    """Lands on a thread: for a process that does nothing else."""
    return ThreadPoolExecutor(1, "landing", begin, (store_url, place, settings))


def process(store_url: str, place: Place, settings: HistorySettings) -> Executor:
    """Lands in a process of its own, beside one that receives.

    Most of a landing is done by DuckDB and Arrow, in steps that hold Python's lock: on a thread it
    was most of what the slowest acknowledgements waited for. And one that runs out of memory takes
    no receiver with it. It hears of no signal to stop that reaches all processes of a service: what
    is still enriched then is to be landed.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, context, begin_process, (store_url, place, settings))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # which a new process takes over
    try:
        executor.submit(bool)  # begins it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return executor


async def run_landing(
    make_worker: MakeWorker,
    store_url: str,
    place: Place,
    settings: HistorySettings,
    stop: asyncio.Event,
    on_turn: OnTurn = lambda _: None,
) -> None:
    """Land every `interval_seconds` until `stop`, then once more, so that nothing is left behind.

    A second lander of the same history waits until the first is gone. Neither a store nor a
    history that is away for a while ends the task, nor does the end of the process that lands: it
    says so in the log and tries again. `on_turn` is called on the event loop, also after a landing
    without news.
    """
    worker = _Worker(lambda: make_worker(store_url, place, settings))
    leads: bool | None = None  # not known before the first turn
    failures = 0
    try:
        while True:
            is_last = stop.is_set()
            began = time.monotonic()
            try:
                done: Turn = await worker.call(turn)
            except LandingFailed as error:
                failures, leads = failures + 1, None
                log.warning("landing_failed", error=str(error), failures=failures)
            else:
                failures = 0
                _tell(place, leads, done.leads)
                leads = done.leads
                on_turn(done)
            if is_last:
                break
            took = time.monotonic() - began
            await _pause(stop, pause_seconds(settings, failures, took, leads=bool(leads)))
        await worker.end()
    finally:
        worker.shut_down()


class _Worker:
    """The executor; another one where its process was killed."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._executor: Executor | None = None

    async def call(self, function: Callable[[], Any]) -> Any:
        """What the function returns there. Raises LandingFailed, also where there is no process."""
        try:
            if self._executor is None:
                self._executor = self._make()
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        except BrokenExecutor:
            self.shut_down()
            said = "the process that lands was ended; the next turn begins another"
            raise LandingFailed(said) from None
        except OSError as error:  # no memory, or no more processes allowed
            raise LandingFailed(f"no process to land in: {error.strerror}") from error

    async def end(self) -> None:
        """Close what it holds."""
        if self._executor is not None:
            with suppress(LandingFailed):  # its locks are free already
                await self.call(end)

    def shut_down(self) -> None:
        """Wait until it has ended."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None


def _tell(place: Place, led: bool | None, leads: bool) -> None:
    """Say in the log where the lead has changed."""
    if leads and not led:
        log.info("landing_leads", history=str(place))
    elif led and not leads:
        log.warning("landing_lost_lead")
    elif led is None:
        log.info("landing_waits", history=str(place), reason="another lander leads")


def pause_seconds(settings: HistorySettings, failures: int, took: float, *, leads: bool) -> float:
    """Until the next turn: one begins each interval, a quarter of it after one that took long."""
    interval = settings.interval_seconds
    if failures:
        return min(MOST_PAUSE_SECONDS, interval * 2.0 ** min(failures, 10))
    return max(interval - took, interval / 4) if leads else settings.standby_seconds


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
