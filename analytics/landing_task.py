"""Landing as a stage of a running service: one task that asks a worker for turns."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from analytics.landing_worker import Turn, Worker, said_by
from analytics.place import Place
from analytics.settings import HistorySettings
from service.metrics import Metrics

log = structlog.get_logger("landing")
MOST_PAUSE_SECONDS = 60.0

OnTurn = Callable[[Turn], None]
"""Is told of each turn that went well."""


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


async def run_landing(
    worker: Worker,
    place: Place,
    settings: HistorySettings,
    stop: asyncio.Event,
    on_turn: OnTurn = lambda _: None,
) -> None:
    """Land every `interval_seconds` until `stop`, then once more, so that nothing is left behind.

    A second lander of the same history waits until the first is gone. Neither a store nor a
    history that is away for a while ends the task: it says so in the log and tries again.
    `on_turn` is called on the event loop, also after a landing without news.
    """
    with ThreadPoolExecutor(1, "landing") as thread:
        loop = asyncio.get_running_loop()
        leads: bool | None = None  # not known before the first turn, and after a failure
        failures = 0
        try:
            while True:
                is_last = stop.is_set()
                began = time.monotonic()
                try:
                    done = await loop.run_in_executor(thread, worker.turn)
                except Exception as error:  # noqa: BLE001 - whatever it was, receiving goes on
                    failures, leads = failures + 1, None
                    log.warning("landing_failed", error=said_by(error), failures=failures)
                else:
                    failures = 0
                    _tell(place, leads, done.leads)
                    leads = done.leads
                    on_turn(done)
                if is_last:
                    break
                took = time.monotonic() - began
                await _pause(stop, pause_seconds(settings, failures, took, leads=bool(leads)))
        except BaseException:
            worker.kill()
            raise
        finally:
            thread.submit(worker.close)


async def kill_late(worker: Worker, stop: asyncio.Event, seconds: float) -> None:
    """Kill it so long after `stop`: what it has not landed by then is landed by the next one."""
    await stop.wait()
    await asyncio.sleep(seconds)
    log.warning("landing_killed", reason=f"it did not end within {seconds:g} s of the stop")
    worker.kill()


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
