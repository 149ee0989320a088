"""Writing outcomes down: a store that is away is waited for, a refused result is isolated."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from enrich.outcomes import OutcomeMaker
from enrich.record import Outcome, record_outcomes
from enrich.retry import Sleep
from enrich.reuse_book import ReuseBook
from service.errors import NotStorable, StoreUnavailable
from service.store import Store
from service.store.faults import is_taken
from service.store.tables import to_microseconds

log = structlog.get_logger(__name__)
STORE_PATIENCE_SECONDS = 300.0  # how long paid answers are kept while the store is away


class Observer(Protocol):
    """Hears of what the worker does, for metrics."""

    def attempted(self, source: str, outcome: str, count: int) -> None:
        """So many attempts ended so: enriched, copied, retry or dead."""
        ...

    def enriched(self, source: str, seconds: float) -> None:
        """An event was enriched so long after its work became available."""
        ...

    def lost_lease(self, count: int) -> None:
        """So many results came too late and were not written."""
        ...


class Silent:
    """Hears nothing."""

    def attempted(self, source: str, outcome: str, count: int) -> None:
        return None

    def enriched(self, source: str, seconds: float) -> None:
        return None

    def lost_lease(self, count: int) -> None:
        return None


class Recorder:
    """Writes what became of claims, in the order in which it is told."""

    def __init__(
        self,
        store: Store,
        maker: OutcomeMaker,
        book: ReuseBook,
        observer: Observer,
        now: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._maker = maker
        self._book = book
        self._observer = observer
        self._sleep = sleep
        self._handler = partial(record_outcomes, now=now)  # one: its batches share transactions

    async def record(self, outcomes: Sequence[Outcome], *, has_new_ids: bool = False) -> None:
        """Write outcomes; wait for a store that is away, and isolate one that it refuses."""
        if not outcomes:
            return
        deadline = time.monotonic() + STORE_PATIENCE_SECONDS
        wait = 0.1
        while True:
            try:
                held = await self._store.write(self._handler, outcomes)
                break
            except StoreUnavailable:
                if time.monotonic() + wait > deadline:
                    raise
                await self._sleep(wait)
                wait = min(wait * 2, 5.0)
            except NotStorable as error:
                await self._record_apart(outcomes, error, has_new_ids=has_new_ids)
                return
        self._observe(outcomes, held)

    async def _record_apart(
        self, outcomes: Sequence[Outcome], error: NotStorable, *, has_new_ids: bool
    ) -> None:
        """One of the outcomes cannot be written: find it, bury it, keep the others.

        One whose ids are taken is written under others, once.
        """
        for outcome in outcomes:
            if outcome.finding and outcome.finding.reuse:
                self._book.forget(outcome.finding.reuse.digest)
        if len(outcomes) > 1:
            for outcome in outcomes:
                await self.record([outcome])
            return
        if is_taken(error) and not has_new_ids:
            await self.record([self._maker.with_new_ids(outcomes[0])], has_new_ids=True)
            return
        log.error(
            "enrich.unrecordable", event_id=str(outcomes[0].claim.event_id), error=repr(error)
        )
        buried = self._maker.unrecordable(outcomes[0], error)
        held = await self._store.write(self._handler, [buried])
        self._observe([buried], held)

    def _observe(self, outcomes: Sequence[Outcome], held: Sequence[bool]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        lost = 0
        for outcome, ours in zip(outcomes, held, strict=True):
            if not ours:
                lost += 1
                if outcome.finding and outcome.finding.reuse:
                    self._book.forget(outcome.finding.reuse.digest)
                continue
            finding, claim = outcome.finding, outcome.claim
            for note in outcome.attempts:
                counts[claim.source, note.outcome] += 1
            if finding is not None:
                available_at = to_microseconds(claim.available_at)
                self._observer.enriched(claim.source, (finding.recorded_at - available_at) / 1e6)
        for (source, word), count in counts.items():
            self._observer.attempted(source, word, count)
        if lost:
            self._observer.lost_lease(lost)
