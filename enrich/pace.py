"""How fast one model is called: as fast as it allows, and hardly ever faster.

Nobody tells a client the provider's limit, so it is felt for, as TCP feels for a link. At first the
number of calls at a time doubles with every round, each round's calls spread over it. The first 429
ends that: from then on calls start evenly spaced, at the rate that `enrich.rate` finds.
`Retry-After` stops all new calls of the model until it is over, and they come back evenly spaced,
so an outage ends without a stampede. Nobody waits here for a long one: meanwhile the next enricher
of the chain is asked, or the event goes back to the store.

Figures against a server with a known limit: `tests/bench/pace.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from enrich.breaker import Breaker
from enrich.enricher import Answer
from enrich.errors import EnrichError, TransientError
from enrich.rate import RateFinder
from enrich.retry import LONGEST_WAIT_SECONDS, Sleep

CATCH_UP_CALLS = 2.0  # that start at once where the event loop was late,
CATCH_UP_SECONDS = 0.1  # for so long at most
OVERLOADED = frozenset(("rate_limited",))
FAILING = frozenset(("timed_out", "connection_failed", "server_error"))


class Pace:
    """Starts calls to one model. One for each model and process; not thread-safe."""

    def __init__(
        self,
        name: str,
        *,
        max_concurrency: int,
        calls_per_minute: int | None = None,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.breaker = Breaker(name, clock, chance)
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._max_concurrency = max_concurrency
        self._window = 1.0
        self._latency = 0.0  # of an answer, in seconds
        self._known_limit = None if calls_per_minute is None else calls_per_minute / 60
        self._finder = RateFinder()
        self._inside = 0
        self._running = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._next_start = 0.0
        self._asked_until = 0.0  # the end of the longest Retry-After
        self._epoch = float("-inf")  # refusals of calls started before are not news

    @property
    def calls_per_second(self) -> float | None:
        """The rate at which calls start; None while no limit is known."""
        rates = (self._finder.per_second, self._known_limit)
        return min((r for r in rates if r is not None), default=None)

    @property
    def window(self) -> int:
        """How many calls may run at a time."""
        return max(1, min(int(self._window), self._max_concurrency))

    async def call(self, start: Callable[[], Awaitable[Answer]]) -> Answer:
        """Wait for a turn, then call. Raises TransientError at once while the model is left alone.

        That is while the circuit is open, or a long `Retry-After` lasts.
        """
        self._check()
        if not self._inside:
            self._finder.busy(self._clock())
        self._inside += 1
        try:
            return await self._call(start)
        finally:
            self._inside -= 1

    def _check(self) -> None:
        self.breaker.check()
        left = self._asked_until - self._clock()
        if left > LONGEST_WAIT_SECONDS:
            raise TransientError(
                "circuit_open",
                f"{self._name} asks to be left alone for another {left:.0f} s",
                retry_after_seconds=left,
            )

    async def _call(self, start: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turn:  # first come, first served
            await self._wait_for_turn()
            probing = self.breaker.admit()
            self._running += 1
        started = self._clock()
        self._finder.started(started)
        try:
            answer = await start()
        except EnrichError as error:
            self._note_error(error, started)
            raise
        else:
            self._note_success(started)
            return answer
        finally:
            if probing:
                self.breaker.abandoned()
            self._running -= 1
            self._room.set()

    async def _wait_for_turn(self) -> None:
        while True:
            while self._running >= self.window:
                self._room.clear()
                await self._room.wait()
            self._check()
            now = self._clock()
            if now >= self._next_start:
                break
            await self._sleep(self._next_start - now)
        interval = self._interval(now)
        late = min(CATCH_UP_CALLS * interval, CATCH_UP_SECONDS)
        self._next_start = max(self._next_start, now - late) + interval

    def _interval(self, now: float) -> float:
        """Seconds between two starts. Before a limit is known, calls are spread over a round."""
        found = self._finder.interval(now)
        if self._finder.per_second is None:
            found = self._latency / (2 * self.window)
        return max(found, 1.0 / self._known_limit if self._known_limit else 0.0)

    def _note_success(self, started: float) -> None:
        now = self._clock()
        self._latency += 0.2 * (now - started - self._latency) if self._latency else now - started
        if self.breaker.is_open:
            self._restart()
        self.breaker.succeeded()
        news = started > self._epoch
        if news:
            self._finder.accepted(now)
        if self._finder.per_second is None and news:
            self._window = min(self._window + 1.0, float(self._max_concurrency))
        elif self._window < self._max_concurrency:
            # The rate rules now; the window only has to be wide enough for it.
            self._window += 0.25

    def _note_error(self, error: EnrichError, started: float) -> None:
        if isinstance(error, TransientError) and error.kind in OVERLOADED:
            self._note_refusal(error, started)
            return
        self.breaker.failed(error)
        if error.kind in FAILING:
            self._window = max(1.0, self._window / 2) if started > self._epoch else self._window
            self._epoch = self._clock()

    def _note_refusal(self, error: EnrichError, started: float) -> None:
        now = self._clock()
        asked = error.retry_after_seconds or 0.0
        self._finder.refused(started)
        self._asked_until = max(self._asked_until, now + asked)
        self._next_start = max(self._next_start, self._asked_until)
        if started <= self._epoch:
            return  # started before we slowed down: no news
        self._epoch = now
        pause = self._finder.met_limit(now, asked)
        self._next_start = max(self._next_start, now + pause)

    def _restart(self) -> None:
        """After an outage: one call at a time again, twice as many each round."""
        self._window = 1.0
        self._epoch = self._clock()
