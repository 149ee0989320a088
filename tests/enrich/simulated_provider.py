"""A provider in virtual time with a known limit: a token bucket, a latency, outages."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from enrich.enricher import Answer, Verdict
from enrich.errors import EnrichError, Spent, TransientError
from enrich.pace import Pace

VERDICT = Verdict("billing", "low", "neutral", "en", (), "x", 1.0)


@dataclass
class Provider:
    """Admits `per_second` calls and a burst; counts what it admitted and refused."""

    per_second: float
    burst: float
    latency: Callable[[], float]
    clock: Callable[[], float]
    retry_after: Callable[[float], float | None] = lambda wait: wait
    down_from: float = float("inf")
    down_until: float = float("-inf")
    tokens: float = 0.0
    filled_at: float = 0.0
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    async def call(self) -> Answer:
        now = self.clock()
        if self.down_from <= now < self.down_until:
            self.failed.append(now)
            await asyncio.sleep(0.05)
            raise TransientError("server_error", "down", spent=Spent(1))
        if not self.filled_at:
            self.tokens, self.filled_at = self.burst, now
        gained = (now - self.filled_at) * self.per_second
        self.tokens, self.filled_at = min(self.burst, self.tokens + gained), now
        if self.tokens < 1:
            self.refused.append(now)
            await asyncio.sleep(0.01)
            wait = self.retry_after((1 - self.tokens) / self.per_second)
            raise TransientError("rate_limited", "429", retry_after_seconds=wait, spent=Spent(1))
        self.tokens -= 1
        self.admitted.append(now)
        await asyncio.sleep(self.latency())
        return Answer(VERDICT, "p", "m", "v", Spent(1))


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
