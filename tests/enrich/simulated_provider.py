"""A provider in virtual time with a known limit: a capacity, a latency, outages."""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from servers.openai_server import Capacity

from enrich.enricher import Answer, Verdict
from enrich.errors import EnrichError, Spent, TransientError
from enrich.pace import Pace

VERDICT = Verdict("billing", "low", "neutral", "en", (), "x", 1.0)


@dataclass
class Provider:
    """Admits what its capacity allows; keeps when it admitted, refused and failed."""

    capacity: Capacity
    latency: Callable[[], float]
    clock: Callable[[], float]
    down_from: float = float("inf")
    down_until: float = float("-inf")
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    async def call(self) -> Answer:
        now = self.clock()
        if self.down_from <= now < self.down_until:
            self.failed.append(now)
            await asyncio.sleep(0.05)
            raise TransientError("server_error", "down", spent=Spent(1))
        wait = self.capacity.admits({}, now)
        if wait:
            self.refused.append(now)
            await asyncio.sleep(0.01)
            asked = self._retry_after(wait)
            raise TransientError("rate_limited", "429", retry_after_seconds=asked, spent=Spent(1))
        self.admitted.append(now)
        await asyncio.sleep(self.latency())
        return Answer(VERDICT, "p", "m", "v", Spent(1))

    def _retry_after(self, wait: float) -> float | None:
        if self.capacity.retry_after == "never":
            return None
        return wait if self.capacity.retry_after == "exact" else float(math.ceil(wait))


async def drive(pace: Pace, provider: Provider, seconds: float, callers: int = 100) -> None:
    """So many callers ask again and again for so long."""
    clock = provider.clock
    end = clock() + seconds
    rng = random.Random(7)

    async def caller() -> None:
        while clock() < end:
            try:
                await pace.call(provider.call)
            except EnrichError as error:
                await asyncio.sleep((error.retry_after_seconds or 0.5) + rng.random() * 0.5)

    await asyncio.gather(*(caller() for _ in range(callers)))
