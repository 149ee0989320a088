"""How calls to a model are paced, in virtual time against a provider with a known limit."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from servers.openai_server import Capacity
from simulated_provider import VERDICT, Provider, drive
from virtual_time import run_virtually

from enrich.breaker import FAILURES_TO_OPEN, Breaker
from enrich.enricher import Answer
from enrich.errors import MisconfiguredError, Spent, TransientError, UnprocessableError
from enrich.pace import Pace
from enrich.rate import RateFinder


def driven(capacity: Capacity, latency: float, seconds: float, **more: Any) -> Provider:
    """The provider after so many seconds of 100 callers."""
    pace_options = {"max_concurrency": more.pop("max_concurrency", 64)}
    pace_options |= {k: more.pop(k) for k in ("calls_per_minute",) if k in more}

    async def main() -> Provider:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        provider = Provider(capacity, lambda: latency * (0.5 + chance.random()), clock, **more)
        await drive(Pace("m", clock=clock, **pace_options), provider, seconds)
        return provider

    return run_virtually(main())


def share_of_limit(provider: Provider, seconds: float) -> float:
    return len(provider.admitted) / (provider.capacity.per_second * seconds)


def share_refused(provider: Provider) -> float:
    return len(provider.refused) / (len(provider.refused) + len(provider.admitted))


LIMITS = [(10, 5, 0.5), (20, 20, 1.0), (50, 10, 0.2), (50, 50, 0.5), (80, 40, 0.05)]
TOLD = ["exact", "whole seconds", "never"]


@cache
def a_minute(limit: float, burst: float, latency: float, told: Any) -> Provider:
    return driven(Capacity(limit, burst, told), latency, 60)


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize(("limit", "burst", "latency"), LIMITS)
def test_within_a_minute_nine_tenths_of_a_limit_nobody_told_are_used(
    limit: float, burst: float, latency: float, told: Any
) -> None:
    assert share_of_limit(a_minute(limit, burst, latency, told), 60) >= 0.9


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize(("limit", "burst", "latency"), LIMITS)
def test_fewer_than_two_in_a_hundred_calls_are_refused(
    limit: float, burst: float, latency: float, told: Any
) -> None:
    assert share_refused(a_minute(limit, burst, latency, told)) < 0.02


def tokens(limit: float, burst: float) -> Capacity:
    chance = random.Random(2)
    return Capacity(limit, burst, cost=lambda _request: chance.uniform(0.4, 1.6))


def test_a_limit_of_tokens_is_used_to_nine_tenths() -> None:
    assert share_of_limit(driven(tokens(40, 40), 0.2, 60), 60) >= 0.9


def test_under_a_limit_of_tokens_few_calls_are_refused() -> None:
    assert share_refused(driven(tokens(40, 40), 0.2, 60)) < 0.02


@cache
def two_minutes_of_windows(told: Any) -> Provider:
    return driven(Capacity(40, 400, told, window_seconds=10.0), 0.2, 120)


def test_a_limit_that_opens_anew_every_ten_seconds_is_used_to_nine_tenths() -> None:
    assert share_of_limit(two_minutes_of_windows("whole seconds"), 120) >= 0.9


def test_a_window_that_is_used_up_and_does_not_say_so_is_still_mostly_used() -> None:
    assert share_of_limit(two_minutes_of_windows("never"), 120) >= 0.75


def test_a_window_that_is_used_up_and_does_not_say_so_is_hardly_knocked_at() -> None:
    assert share_refused(two_minutes_of_windows("never")) < 0.02


def test_a_rate_that_is_not_used_does_not_climb() -> None:
    finder = RateFinder()
    for n in range(100):
        finder.started(n / 20)
    finder.met_limit(5.0, 0.0)
    found = finder.per_second
    for second in range(6, 600):
        finder.interval(float(second))
    assert finder.per_second == found


def test_while_all_is_refused_single_calls_ask_ever_more_rarely() -> None:
    finder = RateFinder()
    for n in range(100):
        finder.started(n / 100)
    pauses = [finder.met_limit(1.0 + n, 0.0) for n in range(9)]
    assert pauses[1:] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0]


def test_a_known_limit_is_kept_without_a_single_refusal() -> None:
    assert driven(Capacity(10, 5), 0.5, 60, calls_per_minute=580).refused == []


def test_no_more_calls_run_at_a_time_than_allowed() -> None:
    provider = driven(Capacity(1000, 1000), 1.0, 30, max_concurrency=7)
    assert len(provider.admitted) <= 7 * 30 / 0.5


def test_after_an_outage_no_herd_comes() -> None:
    provider = driven(Capacity(50, 10), 0.2, 120, down_from=1040.0, down_until=1070.0)
    first = next(at for at in provider.admitted if at >= 1070.0)
    assert sum(first <= at < first + 1.0 for at in provider.admitted) <= 60


def test_during_an_outage_hardly_anybody_calls() -> None:
    assert len(driven(Capacity(50, 10), 0.2, 120, down_from=1040.0, down_until=1070.0).failed) <= 25


def test_after_an_outage_the_old_rate_comes_back() -> None:
    provider = driven(Capacity(50, 10), 0.2, 150, down_from=1040.0, down_until=1070.0)
    assert sum(1110 <= at < 1150 for at in provider.admitted) >= 0.9 * 50 * 40


FAILURE = TransientError("server_error", "500")


def opened(now: list[float]) -> Breaker:
    breaker = Breaker("main", lambda: now[0], lambda: 0.0)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(FAILURE)
    return breaker


def test_a_circuit_opens_after_five_failures_in_a_row() -> None:
    assert opened([0.0]).is_open


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    breaker = Breaker("main", lambda: 0.0)
    for _ in range(3 * FAILURES_TO_OPEN):
        breaker.failed(FAILURE)
        breaker.succeeded()
    assert not breaker.is_open


def test_an_open_circuit_says_when_to_come_back() -> None:
    with pytest.raises(TransientError) as caught:
        opened([0.0]).admit()
    assert caught.value.retry_after_seconds == 5.0


def test_after_the_cool_down_one_call_probes() -> None:
    now = [0.0]
    breaker = opened(now)
    now[0] = 5.0
    assert breaker.admit()


def test_while_one_probes_the_others_wait() -> None:
    now = [0.0]
    breaker = opened(now)
    now[0] = 5.0
    breaker.admit()
    with pytest.raises(TransientError):
        breaker.admit()


def test_a_probe_that_fails_doubles_the_cool_down() -> None:
    now = [0.0]
    breaker = opened(now)
    now[0] = 5.0
    breaker.admit()
    breaker.failed(FAILURE)
    with pytest.raises(TransientError) as caught:
        breaker.admit()
    assert caught.value.retry_after_seconds == 10.0


def test_a_probe_that_succeeds_closes_the_circuit() -> None:
    now = [0.0]
    breaker = opened(now)
    now[0] = 5.0
    breaker.admit()
    breaker.succeeded()
    assert not breaker.is_open


def test_an_abandoned_probe_lets_another_try() -> None:
    now = [0.0]
    breaker = opened(now)
    now[0] = 5.0
    breaker.admit()
    breaker.abandoned()
    assert breaker.admit()


ANSWER = Answer(VERDICT, "p", "m", "v", Spent(1))


def saying(said: Answer | Exception) -> Callable[[], Awaitable[Answer]]:
    async def say() -> Answer:
        if isinstance(said, Exception):
            raise said
        return said

    return say


@pytest.mark.parametrize(
    "end",
    [TransientError("rate_limited", "429"), UnprocessableError("refused", "no"), RuntimeError("x")],
    ids=["refused for now", "about its event", "of our own fault"],
)
def test_after_a_probe_that_told_nothing_another_call_probes(end: Exception) -> None:
    async def main() -> Answer:
        clock = asyncio.get_running_loop().time
        pace = Pace("m", max_concurrency=8, clock=clock)
        for said in (*[FAILURE] * FAILURES_TO_OPEN, end):
            with suppress(Exception):
                await pace.call(saying(said))
            await asyncio.sleep(10 if pace.breaker.is_open else 0)
        return await pace.call(saying(ANSWER))

    assert run_virtually(main()) == ANSWER


def test_a_cool_down_that_ends_while_a_call_is_refused_is_over() -> None:
    readings = iter(range(0, 10_000, 5))  # longer apart than half of the cool-down
    pace = Pace("m", max_concurrency=8, clock=lambda: next(readings))
    for _ in range(FAILURES_TO_OPEN):
        pace.breaker.failed(FAILURE)
    with suppress(TransientError):
        asyncio.run(pace.call(saying(ANSWER)))
    assert asyncio.run(pace.call(saying(ANSWER))) == ANSWER


def told_to_come_back(after_seconds: float) -> tuple[float, float | None]:
    """How long the next call waits, and what it is told to wait if it is not made."""

    async def main() -> tuple[float, float | None]:
        clock = asyncio.get_running_loop().time
        pace = Pace("m", max_concurrency=8, clock=clock)
        with suppress(TransientError):
            await pace.call(
                saying(TransientError("rate_limited", "429", retry_after_seconds=after_seconds))
            )
        began = clock()
        try:
            await pace.call(saying(ANSWER))
        except TransientError as error:
            return clock() - began, error.retry_after_seconds
        return clock() - began, None

    return run_virtually(main())


def test_a_short_retry_after_is_waited_for() -> None:
    assert told_to_come_back(20.0) == (20.0, None)


def test_nobody_waits_here_for_a_long_retry_after() -> None:
    assert told_to_come_back(7200.0) == (0.0, 7200.0)


def test_who_waits_already_does_not_wait_for_a_longer_retry_after() -> None:
    async def main() -> float:
        clock = asyncio.get_running_loop().time
        pace = Pace("m", max_concurrency=1, clock=clock)

        async def slow() -> Answer:
            await asyncio.sleep(5)
            raise TransientError("rate_limited", "429", retry_after_seconds=7200.0)

        first = asyncio.create_task(pace.call(slow))
        began = clock()
        waiting = asyncio.create_task(pace.call(saying(ANSWER)))
        await asyncio.wait([first, waiting])
        assert isinstance(first.exception(), TransientError)
        assert isinstance(waiting.exception(), TransientError)
        return clock() - began

    assert run_virtually(main()) == 5.0


def test_errors_about_one_event_do_not_open_the_circuit() -> None:
    breaker = Breaker("main", lambda: 0.0)
    for _ in range(50):
        breaker.failed(UnprocessableError("refused", "no"))
    assert not breaker.is_open


def test_a_wrong_key_is_left_alone_for_longer() -> None:
    breaker = Breaker("main", lambda: 0.0, lambda: 0.0)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(MisconfiguredError("not_authenticated", "401"))
    with pytest.raises(TransientError) as caught:
        breaker.admit()
    assert caught.value.retry_after_seconds == 60.0
