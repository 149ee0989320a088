"""How calls to a model are paced, in virtual time against a provider with a known limit."""

import asyncio
import random
from typing import Any

import pytest
from simulated_provider import Provider, drive
from virtual_time import run_virtually

from enrich.breaker import FAILURES_TO_OPEN, Breaker
from enrich.errors import MisconfiguredError, TransientError, UnprocessableError
from enrich.pace import Pace


def driven(
    per_second: float, burst: float, latency: float, seconds: float, **more: Any
) -> Provider:
    """The provider after so many seconds of 100 callers."""
    pace_options = {"max_concurrency": more.pop("max_concurrency", 64)}
    pace_options |= {k: more.pop(k) for k in ("calls_per_minute",) if k in more}

    async def main() -> Provider:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        provider = Provider(per_second, burst, lambda: latency * (0.5 + chance.random()), clock)
        for name, value in more.items():
            setattr(provider, name, value)
        await drive(Pace("m", clock=clock, **pace_options), provider, seconds)
        return provider

    return run_virtually(main())


LIMITS = [(10, 5, 0.5), (50, 10, 0.2), (50, 50, 1.0), (100, 100, 0.05), (200, 20, 0.1)]


@pytest.mark.parametrize(("limit", "burst", "latency"), LIMITS)
def test_nine_tenths_of_the_limit_are_reached(limit: float, burst: float, latency: float) -> None:
    provider = driven(limit, burst, latency, 120)
    assert len(provider.admitted) >= 0.9 * limit * 120


@pytest.mark.parametrize(("limit", "burst", "latency"), LIMITS)
def test_fewer_than_two_in_a_hundred_calls_are_refused(
    limit: float, burst: float, latency: float
) -> None:
    provider = driven(limit, burst, latency, 120)
    assert len(provider.refused) < 0.02 * (len(provider.refused) + len(provider.admitted))


def test_a_provider_that_never_says_when_is_paced_too() -> None:
    provider = driven(50, 10, 0.2, 120, retry_after=lambda _wait: None)
    assert len(provider.admitted) >= 0.9 * 50 * 120


def test_a_known_limit_is_kept_without_a_single_refusal() -> None:
    assert driven(10, 5, 0.5, 60, calls_per_minute=580).refused == []


def test_no_more_calls_run_at_a_time_than_allowed() -> None:
    provider = driven(1000, 1000, 1.0, 30, max_concurrency=7)
    assert len(provider.admitted) <= 7 * 30 / 0.5


def test_after_an_outage_no_herd_comes() -> None:
    provider = driven(50, 10, 0.2, 120, down_from=1040.0, down_until=1070.0)
    first = next(at for at in provider.admitted if at >= 1070.0)
    assert sum(first <= at < first + 1.0 for at in provider.admitted) <= 60


def test_during_an_outage_hardly_anybody_calls() -> None:
    assert len(driven(50, 10, 0.2, 120, down_from=1040.0, down_until=1070.0).failed) <= 25


def test_after_an_outage_the_old_rate_comes_back() -> None:
    provider = driven(50, 10, 0.2, 150, down_from=1040.0, down_until=1070.0)
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
