"""The clock steps back an hour while the receiver runs."""

import time
from collections.abc import Callable

from faults.counting import Count
from servers.receiver import Clock, Source, receiving, rows

from service.store import Store
from service.store.ids import IdMaker

HOUR = 3600


def test_deliveries_are_taken_and_recognised_after_the_step(
    open_a_store: Callable[[], Store], count: Count
) -> None:
    store, source, clock = open_a_store(), Source(), Clock()
    with receiving(store, {"a": source}, now=clock) as here:
        here.send("a", source.delivery(key="early"))
        clock.ahead = -HOUR
        then = time.time() - HOUR
        assert here.send("a", source.delivery(key="early", now=then)).status_code == 200
        assert here.send("a", source.delivery(key="late", now=then)).status_code == 202
    stored = [row.delivery_key for row in rows(store, "deliveries")]
    count(acknowledged=2, stored=len(stored))
    assert stored == ["early", "late"]


def test_ids_go_on_growing_after_the_step() -> None:
    times = iter([2_000_000_000_000, 2_000_000_000_000 - HOUR * 1000, 2_000_000_000_001])
    ids = IdMaker(1, lambda: next(times))
    made = [ids.take(5) for _ in range(3)]
    assert made == sorted(set(made))


def test_a_burst_within_one_millisecond_never_repeats_an_id() -> None:
    ids = IdMaker(1, lambda: 2_000_000_000_000)
    made = [ids.take(3) for _ in range(5000)]
    taken = [first + n for first in made for n in range(3)]
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)
