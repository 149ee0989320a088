"""A lane of the worker: looks for work, hands out claims, and waits for news in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from enrich.retry import Sleep
from enrich.settings import EnrichSettings
from service.errors import StoreUnavailable
from service.outage import Outage
from service.store import Store
from service.store.queue import ENRICH, Claim, ClaimRequest, claim_each, next_available_at

BUSY_CLAIMS = 8  # after so many the next step claims without looking first


class Lane:
    """One claimant. It takes at most one step in `pace_seconds`, unless its last claim was full.

    The first event after a while is claimed at once; under load several share what a step costs.
    """

    def __init__(
        self,
        store: Store,
        settings: EnrichSettings,
        now: Callable[[], datetime],
        sleep: Sleep,
        outage: Outage,
        pace_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._outage = outage
        self._settings = settings
        self._now = now
        self._sleep = sleep
        self._pace_seconds = pace_seconds
        self._news = asyncio.Event()
        self._due: datetime | None = None  # what the last look found
        self._is_busy = False  # whether its last claim brought much
        self.is_stopping = False
        """Whether its next step is the last."""
        self.is_full = False
        """Whether its last claim reached its limit: more may wait."""
        self.is_idle = False
        """Whether it found nothing to do and waits."""
        self.unfinished: list[Claim] = []
        """Claims in its hands when it was cancelled."""

    def wake(self) -> None:
        """There may be work."""
        self._news.set()

    def stop(self) -> None:
        """Take one more step, for what came until now, and end."""
        self.is_stopping = True
        self._news.set()

    async def run(self, take_step: Callable[["Lane"], Coroutine[Any, Any, int]]) -> None:
        """Take steps until stopped; after one that had nothing to do, wait for news."""
        began = float("-inf")
        is_last = False
        while not is_last:
            await self._keep_pace(began)
            is_last = self.is_stopping
            began = time.monotonic()
            self._news.clear()  # before looking: what is committed from here on wakes us
            self._due = None
            try:
                if not await take_step(self) and not is_last:
                    await self._idle()
            except StoreUnavailable as error:
                self._outage.noticed(error)
                await self._sleep(1.0)

    async def _keep_pace(self, began: float) -> None:
        left = began + self._pace_seconds - time.monotonic()
        if left > 0 and not self.is_full and not self.is_stopping:
            await self._sleep(left)

    async def _idle(self) -> None:
        """Wait for news, for the next due item, or for the poll interval, whichever is first."""
        wait = self._settings.poll_seconds
        if self._due is not None:
            wait = min(wait, max(0.0, (self._due - self._now()).total_seconds()))
        self.is_idle = True
        try:
            await asyncio.wait_for(self._news.wait(), wait)
        except TimeoutError:
            return
        finally:
            self.is_idle = False

    @asynccontextmanager
    async def claimed(
        self, limit: int, source_limits: dict[str, int]
    ) -> AsyncIterator[list[Claim]]:
        """At most `limit` claims, and of a source at most its own.

        They are `unfinished` where the block is cancelled. Where little came lately it looks first,
        as a claim that finds nothing is a commit for nothing; after one it looks when work is due.
        """
        if limit <= 0 or not (self._is_busy or await self._is_due(source_limits)):
            self._is_busy = self.is_full = False
            yield []
            return
        request = ClaimRequest(
            ENRICH,
            limit,
            self._now(),
            self._settings.lease_seconds,
            self._store.new_ids(),
            source_limits,
        )
        claiming = self._store.write(claim_each, request)
        try:
            claims = await asyncio.shield(claiming)
            self._outage.ended()
            self.is_full = len(claims) == limit
            self._is_busy = len(claims) >= BUSY_CLAIMS
            if not claims:
                await self._is_due(source_limits)  # which says how long to wait
            yield claims
        except asyncio.CancelledError:
            self.unfinished.extend(await claiming)  # the claim stands, whoever asked for it
            raise

    async def _is_due(self, source_limits: dict[str, int]) -> bool:
        """Whether anything may be claimed now."""
        self._due = await asyncio.to_thread(self._next_due, source_limits)
        self._outage.ended()
        return self._due is not None and self._due <= self._now()

    def _next_due(self, source_limits: dict[str, int]) -> datetime | None:
        barred = [source for source, limit in source_limits.items() if limit == 0]
        with self._store.read_once() as connection:
            return next_available_at(connection, ENRICH, barred)
