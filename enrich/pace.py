"""How fast one model is called: as fast as it allows, and hardly ever faster.

Nobody tells a client the provider's limit, so it is felt for, as TCP feels for a link. At first the
number of calls at a time doubles with every round. The first 429 ends that: from then on calls
start evenly spaced, at a little less than the rate that was being accepted. The rate climbs back
quickly to just below where it was refused, holds there, then tries a little more; each refusal
near the same rate makes it hold twice as long. `Retry-After` stops all new calls of the model until
it is over, and they come back evenly spaced, so an outage ends without a stampede.

Figures against a server with a known limit: `tests/bench/pace.py`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from enrich.breaker import Breaker
from enrich.enricher import Answer
from enrich.errors import EnrichError, Spent, TransientError
from enrich.retry import Sleep

BACK_OFF = 0.88  # of the accepted rate, after a refusal
CEILING = 0.97  # of the refused rate, where the climb holds
CLIMB_PER_SECOND = 0.1  # of the rate, back to the ceiling
PROBE_PER_SECOND = 0.02  # of the rate, above it; doubles while nothing is refused
PROBE_DOUBLES_SECONDS = 2.0
FASTEST_PROBE_PER_SECOND = 0.3
FIRST_HOLD_SECONDS = 2.0
MAX_HOLD_SECONDS = 120.0
LONGEST_HOLD_SECONDS = 600.0
SAME_RATE = 0.15  # refusals at rates that differ by less confirm each other
CALLS_IN_A_STEP = 8  # a slow model's second: fewer calls than this teach nothing
CALLS_BEFORE_PROBE = 20  # before the limit is known well
CALLS_BETWEEN_PROBES = 60  # afterwards; keeps refusals under 2 %
PAUSES_BETWEEN_PROBES = 20  # a Retry-After costs at most a twentieth of the time
MEASURED_SECONDS = 2.0  # of accepted calls that make the measured rate, or
MEASURED_COUNT = 12  # calls where they are rarer
LEAST_PER_SECOND = 0.05
OVERLOADED = frozenset(("rate_limited",))
FAILING = frozenset(("timed_out", "connection_failed", "server_error"))


@dataclass(slots=True)
class Rate:
    """The rate at which calls start, once a refusal told of a limit. Calls a second."""

    per_second: float
    refused_at: float
    hold_seconds: float
    changed_at: float
    held_since: float | None = None


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
        self._clock = clock
        self._sleep = sleep
        self._max_concurrency = max_concurrency
        self._window = 1.0
        self._known_limit = None if calls_per_minute is None else calls_per_minute / 60
        self._rate: Rate | None = None
        self._running = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._next_start = 0.0
        self._epoch = float("-inf")  # refusals of calls started before are not news
        self._accepted: deque[float] = deque()

    @property
    def calls_per_second(self) -> float | None:
        """The rate at which calls start; None while no limit is known."""
        rate = self._rate.per_second if self._rate else None
        known = self._known_limit
        return min((r for r in (rate, known) if r is not None), default=None)

    @property
    def window(self) -> int:
        """How many calls may run at a time."""
        return max(1, min(int(self._window), self._max_concurrency))

    async def call(self, start: Callable[[], Awaitable[Answer]]) -> Answer:
        """Wait for a turn, then call. Raises TransientError at once while the circuit is open."""
        if self.breaker.is_open:
            self.breaker.admit()
        async with self._turn:  # first come, first served
            await self._wait_for_turn()
            probing = self.breaker.admit()
            self._running += 1
        started = self._clock()
        try:
            answer = await start()
        except EnrichError as error:
            self._note_error(error, started)
            raise
        except asyncio.CancelledError:
            if probing:
                self.breaker.abandoned()
            raise
        else:
            self._note_success(started, answer.spent)
            return answer
        finally:
            self._running -= 1
            self._room.set()

    async def _wait_for_turn(self) -> None:
        while True:
            while self._running >= self.window:
                self._room.clear()
                await self._room.wait()
            now = self._clock()
            if now >= self._next_start:
                break
            await self._sleep(self._next_start - now)
        rate = self._climb(now)
        if rate is not None:
            self._next_start = max(self._next_start, now - 0.5 / rate) + 1.0 / rate

    def _climb(self, now: float) -> float | None:
        """The rate for now: towards the ceiling, then held, then slowly above it."""
        rate = self._rate
        if rate is None:
            return self._known_limit
        step = max(1.0, CALLS_IN_A_STEP / rate.per_second)  # seconds
        passed = min(1.0, (now - rate.changed_at) / step)
        rate.changed_at = now
        ceiling = rate.refused_at * CEILING
        if rate.per_second < ceiling:
            rate.per_second = min(ceiling, rate.per_second * (1 + CLIMB_PER_SECOND * passed))
            rate.held_since = now if rate.per_second >= ceiling else None
        elif rate.held_since is None:
            rate.held_since = now
        elif now - rate.held_since > rate.hold_seconds:
            probing = (now - rate.held_since - rate.hold_seconds) / step
            doubled = PROBE_PER_SECOND * 2.0 ** min(probing / PROBE_DOUBLES_SECONDS, 10.0)
            rate.per_second *= 1 + min(doubled, FASTEST_PROBE_PER_SECOND) * passed
        return self.calls_per_second

    def _note_success(self, started: float, _spent: Spent) -> None:
        if self.breaker.is_open:
            self._restart()
        self.breaker.succeeded()
        now = self._clock()
        self._accepted.append(now)
        while len(self._accepted) > MEASURED_COUNT and self._accepted[0] < now - MEASURED_SECONDS:
            self._accepted.popleft()
        if self._rate is None and started > self._epoch:
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
        if error.retry_after_seconds:
            self._next_start = max(self._next_start, now + error.retry_after_seconds)
        if started <= self._epoch:
            return  # started before we slowed down: no news
        self._epoch = now
        old = self._rate
        accepted = self._measured(now)
        hold = max(FIRST_HOLD_SECONDS, CALLS_BEFORE_PROBE / max(accepted, LEAST_PER_SECOND))
        if old is not None:
            accepted = min(old.per_second, max(accepted, 0.5 * old.per_second))
            if abs(old.per_second / old.refused_at - 1) < SAME_RATE:  # confirmed: hold for longer
                asked = PAUSES_BETWEEN_PROBES * (error.retry_after_seconds or 0.0)
                doubled = min(old.hold_seconds * 2, MAX_HOLD_SECONDS)
                hold = max(doubled, CALLS_BETWEEN_PROBES / old.per_second, asked)
        accepted = max(accepted, LEAST_PER_SECOND)
        slower = max(accepted * BACK_OFF, LEAST_PER_SECOND)
        self._rate = Rate(slower, accepted, min(hold, LONGEST_HOLD_SECONDS), now)
        self._next_start = max(self._next_start, now + 1.0 / slower)

    def _measured(self, now: float) -> float:
        """Calls accepted a second, over the last few seconds."""
        recent = [at for at in self._accepted if at >= now - MEASURED_SECONDS]
        if len(recent) < MEASURED_COUNT:
            recent = list(self._accepted)[-MEASURED_COUNT:]
        if not recent:
            return LEAST_PER_SECOND
        return len(recent) / max(now - recent[0], 0.05)

    def _restart(self) -> None:
        """After an outage: one call at a time again, twice as many each round."""
        self._window = 1.0
        self._epoch = self._clock()
