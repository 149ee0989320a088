"""Who tries again, and when: tenacity in seconds, the store in minutes to hours.

Within one claim `call_with_retries` asks up to `call_tries` times (3), after transient errors that
may end otherwise, waiting about 0.5 and 1 s, or what `Retry-After` asks up to 20 s, each plus up to
0.5 s of chance. A longer `Retry-After` ends the claim, and the store waits as long as was asked.

Between claims the store waits (`Schedule`): 1 min, 3 min, 9 min, 27 min, 81 min, 4 h, 4 h, and
after the 8th claim the event is a dead letter, some 10 hours after it came. Each wait is shortened
by up to a fifth by chance, so that what failed together does not return together.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt
from tenacity.wait import wait_base

from enrich.errors import EnrichError, MisconfiguredError, TransientError, UnprocessableError

NOT_AT_ONCE = frozenset(("circuit_open", "malformed_answer", "cut_off"))
"""Would end alike in a moment: the model was asked again already, or has no more room."""
LONGEST_WAIT_SECONDS = 20.0  # within a claim, where the provider asks for it
Result = TypeVar("Result")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to call in a row. A value: equal policies behave equally."""

    call_tries: int = 3
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 8.0
    jitter_seconds: float = 0.5
    max_retry_after_seconds: float = LONGEST_WAIT_SECONDS

    def is_worth_it(self, error: BaseException) -> bool:
        """Whether a call in a moment could end otherwise."""
        if not isinstance(error, TransientError) or error.kind in NOT_AT_ONCE:
            return False
        asked = error.retry_after_seconds
        return asked is None or asked <= self.max_retry_after_seconds


class WaitAsAsked(wait_base):
    """What the provider asked for, else exponential; never less than asked, always with chance."""

    def __init__(self, policy: RetryPolicy, chance: Callable[[], float]) -> None:
        self.policy = policy
        self.chance = chance

    def __call__(self, retry_state: RetryCallState) -> float:
        policy = self.policy
        doubled = policy.first_wait_seconds * 2.0 ** (retry_state.attempt_number - 1)
        wait = min(policy.max_wait_seconds, doubled)
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, EnrichError) and error.retry_after_seconds is not None:
            wait = error.retry_after_seconds
        return wait + self.chance() * policy.jitter_seconds


async def call_with_retries(
    call: Callable[[], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    sleep: Sleep,
    chance: Callable[[], float] = random.random,
    failed: Callable[[EnrichError], None] = lambda _: None,
) -> Result:
    """The result of the first call that succeeds. `failed` hears of each error tried again.

    Raises the last call's error.
    """

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, EnrichError):
            failed(error)

    retrying = AsyncRetrying(
        stop=stop_after_attempt(policy.call_tries),
        wait=WaitAsAsked(policy, chance),
        retry=_worth_it(policy),
        sleep=sleep,
        before_sleep=report,
        reraise=True,
    )
    return await retrying(call)


def _worth_it(policy: RetryPolicy) -> Callable[[RetryCallState], bool]:
    def decide(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return error is not None and policy.is_worth_it(error)

    return decide


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the store offers a failed event again, and when it gives up."""

    first_seconds: float = 60.0
    factor: float = 3.0
    max_seconds: float = 4 * 3600.0
    max_tries: int = 8
    unprocessable_tries: int = 2
    jitter: float = 0.2

    def next_wait_seconds(
        self, tries: int, error: BaseException, chance: float = 0.0
    ) -> float | None:
        """Seconds until claim number `tries + 1`; None when the event is dead.

        `chance` is between 0 and 1. A provider's Retry-After is never undercut.
        """
        limit = self.max_tries
        if isinstance(error, UnprocessableError):
            limit = min(limit, self.unprocessable_tries)
        if tries >= limit:
            return None
        wait = min(self.max_seconds, self.first_seconds * self.factor ** (tries - 1))
        if isinstance(error, MisconfiguredError):  # a person must act: hours, not minutes
            wait = max(wait, min(self.max_seconds, self.first_seconds * self.factor**2))
        wait *= 1 - self.jitter * chance
        asked = error.retry_after_seconds if isinstance(error, EnrichError) else None
        return max(wait, asked or 0.0)
