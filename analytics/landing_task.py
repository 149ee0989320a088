"""Landing as a stage of a running service: one task, its work on a thread of its own."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import duckdb
import structlog

from analytics.errors import HistoryError, without_credentials
from analytics.landing import Landed, Lander
from analytics.lock import Lock, lock_of
from analytics.place import Place
from analytics.settings import HistorySettings
from service.errors import StoreError
from service.metrics import Metrics
from service.store import Store

log = structlog.get_logger("landing")
MOST_PAUSE_SECONDS = 60.0
NICENESS = 4  # with 8 the history was up to 4 s behind on a busy core


OnTurn = Callable[[Landed | None], None]
"""Is told of each turn that went well: what it landed, None where another lander leads."""


def counted_in(metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> OnTurn:
    """What tells each turn to Prometheus: rows of each table, and how far behind the history is.

    That grows with the clock until the next turn that goes well, so that it shows an outage too.
    """
    lag_seconds, told_at = 0.0, clock()

    def turned(landed: Landed | None) -> None:
        nonlocal lag_seconds, told_at
        lag_seconds, told_at = landed.lag_seconds if landed else 0.0, clock()
        for table, count in (landed.rows if landed else {}).items():
            metrics.landed.labels(table).inc(count)

    metrics.landing_lag_seconds.set_function(lambda: max(lag_seconds, clock() - told_at))
    return turned


async def run_landing(
    store: Store,
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
    lock = lock_of(place, "lander")
    with ThreadPoolExecutor(1, "landing", give_way) as thread:
        work = _Work(store, place, settings, lock)
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            is_last = stop.is_set()
            began = time.monotonic()
            try:
                landed = await loop.run_in_executor(thread, work.turn)
            except Exception as error:  # noqa: BLE001 - a row that does not fit must not stop intake
                failures += 1
                known = isinstance(error, HistoryError | StoreError | duckdb.Error | OSError)
                said = without_credentials(error) if known else type(error).__name__
                log.warning("landing_failed", error=said, failures=failures)
                await loop.run_in_executor(thread, work.let_go)
            else:
                failures = 0
                on_turn(landed)
            if is_last:
                break
            took = time.monotonic() - began
            await _pause(stop, pause_seconds(settings, failures, took, leads=bool(work.leads)))
        await loop.run_in_executor(thread, work.let_go)
        await loop.run_in_executor(thread, lock.give_back)


def give_way() -> None:
    """Let other threads go before this one (where threads have priorities: Linux).

    On a core that they share, a landing took acknowledgements from 1 to 9 ms.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


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


class _Work:
    """What the landing thread holds: the lock while it leads, and the lander."""

    def __init__(self, store: Store, place: Place, settings: HistorySettings, lock: Lock) -> None:
        self._store, self._place, self._settings, self._lock = store, place, settings, lock
        self._lander: Lander | None = None
        self._maintained_at = time.monotonic()
        self.leads: bool | None = None  # not known before the first turn

    def turn(self) -> Landed | None:
        """Land once, and tidy up when it is time; None where another lander leads."""
        was, self.leads = self.leads, self._lock.take()
        if not self.leads:
            if was is None:
                log.info("landing_waits", history=str(self._place), reason="another lander leads")
            elif was:
                log.warning("landing_lost_lead")
            self.let_go()
            return None
        if self._lander is None:
            self._lander = Lander(self._store, self._place, self._settings)
            log.info("landing_leads", history=str(self._place))
        landed = self._lander.land()
        due = time.monotonic() - self._maintained_at >= self._settings.merge_seconds
        if due and self._lander.maintain():
            self._maintained_at = time.monotonic()
        return landed

    def let_go(self) -> None:
        """Close the history; the next turn opens it anew."""
        if self._lander is not None:
            self._lander.close()
            self._lander = None
