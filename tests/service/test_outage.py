"""What the log says of a store that is away, however often that is noticed."""

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from service.errors import StoreUnavailable
from service.outage import AGAIN_SECONDS, Outage

AWAY = StoreUnavailable("the store cannot be reached: connection refused")


class Clock:
    """A monotonic clock that is moved by hand."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage(structlog.get_logger(), clock)


def said(lines: list[Any]) -> list[tuple[str, int]]:
    """Events, and the seconds that they name."""
    return [(line["event"], line["seconds"]) for line in lines]


def test_it_is_said_at_once_with_its_reason(outage: Outage) -> None:
    with capture_logs() as lines:
        outage.noticed(AWAY)
    assert [(line["event"], line["error"]) for line in lines] == [("store_unavailable", str(AWAY))]


def test_it_is_said_again_each_minute_only(outage: Outage, clock: Clock) -> None:
    with capture_logs() as lines:
        for _ in range(int(AGAIN_SECONDS) * 2):
            outage.noticed(AWAY)
            clock.seconds += 1
    assert said(lines) == [("store_unavailable", 0), ("store_unavailable", 60)]


def test_its_end_is_said_with_how_long_it_took(outage: Outage, clock: Clock) -> None:
    outage.noticed(AWAY)
    clock.seconds += 5
    with capture_logs() as lines:
        outage.ended()
    assert said(lines) == [("store_available", 5)]


def test_a_store_that_was_not_away_is_not_back(outage: Outage) -> None:
    with capture_logs() as lines:
        outage.ended()
    assert lines == []


def test_the_next_outage_is_said_at_once(outage: Outage) -> None:
    outage.noticed(AWAY)
    outage.ended()
    with capture_logs() as lines:
        outage.noticed(AWAY)
    assert said(lines) == [("store_unavailable", 0)]
