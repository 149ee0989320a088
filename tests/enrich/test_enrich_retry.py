"""Who tries again, how often, and after how long."""

import asyncio

import pytest

from enrich.errors import (
    EnrichError,
    MisconfiguredError,
    TransientError,
    UnprocessableError,
)
from enrich.retry import RetryPolicy, Schedule, call_with_retries

LIMITED = TransientError("rate_limited", "429")


def waits_of(*errors: EnrichError, policy: RetryPolicy | None = None) -> list[float]:
    """How long was slept before each further call, when the calls fail with these errors."""
    slept: list[float] = []
    left = list(errors)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    async def run() -> None:
        try:
            await call_with_retries(call, policy or RetryPolicy(), sleep=sleep, chance=lambda: 0.0)
        except EnrichError:
            return

    asyncio.run(run())
    return slept


def test_transient_errors_are_tried_again_after_doubling_waits() -> None:
    assert waits_of(LIMITED, LIMITED) == [0.5, 1.0]


def test_no_more_calls_than_allowed_are_made() -> None:
    assert len(waits_of(*[LIMITED] * 9)) == 2


@pytest.mark.parametrize("kind", ["malformed_answer", "cut_off"])
def test_what_would_end_alike_in_a_moment_is_left_to_the_store(kind: str) -> None:
    assert waits_of(TransientError(kind, "again")) == []


def test_what_the_provider_asks_for_is_waited() -> None:
    asked = TransientError("rate_limited", "429", retry_after_seconds=7)
    assert waits_of(asked) == [7]


def test_a_long_wait_is_left_to_the_store() -> None:
    asked = TransientError("rate_limited", "429", retry_after_seconds=60)
    assert waits_of(asked) == []


@pytest.mark.parametrize(
    "error",
    [
        UnprocessableError("refused", "no"),
        MisconfiguredError("not_authenticated", "401"),
        TransientError("circuit_open", "left alone"),
    ],
)
def test_what_cannot_pass_in_seconds_is_not_tried_again(error: EnrichError) -> None:
    assert waits_of(error) == []


def test_the_stores_waits_are_those_of_the_docstring() -> None:
    waits = [Schedule().next_wait_seconds(tries, LIMITED) for tries in range(1, 9)]
    assert waits == [60, 180, 540, 1620, 4860, 14400, 14400, None]


def test_a_refused_event_dies_after_two_claims() -> None:
    error = UnprocessableError("refused", "no")
    assert [Schedule().next_wait_seconds(t, error) for t in (1, 2)] == [60, None]


def test_a_misconfiguration_waits_for_a_person() -> None:
    assert Schedule().next_wait_seconds(1, MisconfiguredError("not_authenticated", "401")) == 540


def test_chance_shortens_a_wait_by_a_fifth_at_most() -> None:
    assert Schedule().next_wait_seconds(1, LIMITED, chance=1.0) == 48


def test_the_store_never_undercuts_retry_after() -> None:
    asked = TransientError("rate_limited", "429", retry_after_seconds=3600)
    assert Schedule().next_wait_seconds(1, asked, chance=1.0) == 3600
