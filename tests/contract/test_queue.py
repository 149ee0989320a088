"""What the work queue promises, on every database."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.store import Store
from service.store.queue import (
    ENRICH,
    Claim,
    ClaimRequest,
    NewWork,
    bury,
    claim_each,
    complete,
    enqueue,
    extend,
    next_available_at,
    release,
    retry_later,
    waiting,
)
from service.store.tables import to_microseconds

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add(store: Store, *works: NewWork) -> None:
    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        for payload in payloads:
            enqueue(connection, payload)
        return [None] * len(payloads)

    store.write_now(handler, works)


def work(event_id: int, source: str = "a", priority: int = 1, at: datetime = NOW) -> NewWork:
    return NewWork(event_id, ENRICH, "", source, priority, to_microseconds(at))


def claim(store: Store, limit: int = 10, now: datetime = NOW, **more: Any) -> list[Claim]:
    request = ClaimRequest(ENRICH, limit, now, 60, store.new_ids(), **more)
    claims: list[Claim] = store.write_now(claim_each, request)
    return claims


def do(store: Store, verb: Callable[..., list[bool]], *arguments: Any) -> list[bool]:
    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[list[bool]]:
        return [verb(connection, *payload) for payload in payloads]

    held: list[bool] = store.write_now(handler, arguments)
    return held


def test_a_claim_takes_the_oldest_first(store: Store) -> None:
    add(store, work(1, at=NOW - timedelta(seconds=1)), work(2, at=NOW - timedelta(seconds=9)))
    assert [c.event_id for c in claim(store, 1)] == [2]


def test_a_claim_tells_when_the_work_became_available(store: Store) -> None:
    add(store, work(1, at=NOW - timedelta(seconds=5)))
    assert claim(store)[0].available_at == NOW - timedelta(seconds=5)


def test_claimed_work_is_not_claimed_twice(store: Store) -> None:
    add(store, work(1))
    claim(store)
    assert claim(store) == []


def test_work_whose_time_has_not_come_is_not_claimed(store: Store) -> None:
    add(store, work(1, at=NOW + timedelta(microseconds=1)))
    assert claim(store) == []


def test_an_expired_lease_is_claimable_again(store: Store) -> None:
    add(store, work(1))
    claim(store)
    assert [c.tries for c in claim(store, now=NOW + timedelta(seconds=60))] == [2]


def test_whoever_lost_the_lease_cannot_complete(store: Store) -> None:
    add(store, work(1))
    late = claim(store)
    claim(store, now=NOW + timedelta(seconds=60))
    assert do(store, complete, late) == [False]


def test_whoever_holds_the_lease_completes_once(store: Store) -> None:
    add(store, work(1))
    held = claim(store)
    assert [do(store, complete, held), do(store, complete, held)] == [[True], [False]]


def test_only_the_lost_ones_of_a_batch_are_refused(store: Store) -> None:
    add(store, work(1), work(2))
    both = claim(store)
    do(store, complete, both[:1])
    assert do(store, complete, both) == [False, True]


def test_a_storm_in_one_source_leaves_the_others_their_share(store: Store) -> None:
    add(store, *[work(i, "storm", at=NOW - timedelta(hours=1)) for i in range(100)])
    add(store, *[work(i, "calm") for i in range(1000, 1005)])
    taken = [c.source for c in claim(store, 10)]
    assert taken.count("calm") == 5


def test_what_one_source_leaves_the_others_get(store: Store) -> None:
    add(store, *[work(i, "storm") for i in range(100)], work(1000, "calm"))
    assert len(claim(store, 10)) == 10


def test_urgent_work_goes_before_older_normal_work(store: Store) -> None:
    add(store, work(1, priority=1, at=NOW - timedelta(hours=1)), work(2, priority=0))
    assert [c.event_id for c in claim(store, 1)] == [2]


def test_a_source_is_not_claimed_beyond_its_limit(store: Store) -> None:
    add(store, *[work(i) for i in range(10)])
    assert len(claim(store, 10, source_limits={"a": 3})) == 3


def test_a_source_with_limit_zero_is_left_alone(store: Store) -> None:
    add(store, work(1, "a"), work(2, "b"))
    assert [c.source for c in claim(store, 10, source_limits={"a": 0})] == ["b"]


def test_retried_work_comes_back_at_its_time(store: Store) -> None:
    add(store, work(1))
    held = claim(store)
    do(store, retry_later, [(held[0], NOW + timedelta(minutes=5))])
    assert claim(store, now=NOW + timedelta(minutes=4)) == []
    assert len(claim(store, now=NOW + timedelta(minutes=5))) == 1


def test_released_work_does_not_count_as_tried(store: Store) -> None:
    add(store, work(1))
    do(store, release, claim(store), NOW)
    assert [c.tries for c in claim(store)] == [1]


def test_a_heartbeat_keeps_the_lease(store: Store) -> None:
    add(store, work(1))
    do(store, extend, claim(store), NOW + timedelta(minutes=10))
    assert claim(store, now=NOW + timedelta(minutes=9)) == []


def test_buried_work_is_a_dead_letter_with_its_reason(store: Store) -> None:
    add(store, work(1))
    do(store, bury, [(claim(store)[0], NOW, "gave up after 5 tries")])
    with store.read() as connection:
        rows = connection.execute(text("SELECT event_id, tries, reason FROM dead_letters")).all()
    assert rows == [(1, 1, "gave up after 5 tries")]


def test_buried_work_is_claimed_no_more(store: Store) -> None:
    add(store, work(1))
    do(store, bury, [(claim(store)[0], NOW, "no")])
    assert claim(store, now=NOW + timedelta(days=1)) == []


def test_the_next_time_is_that_of_the_first_item(store: Store) -> None:
    add(store, work(1, at=NOW + timedelta(hours=2)), work(2, "b", at=NOW + timedelta(hours=1)))
    with store.read() as connection:
        assert next_available_at(connection, ENRICH) == NOW + timedelta(hours=1)


def test_an_empty_queue_has_no_next_time(store: Store) -> None:
    with store.read() as connection:
        assert next_available_at(connection, ENRICH) is None


def test_waiting_counts_what_may_be_claimed(store: Store) -> None:
    add(store, work(1), work(2), work(3, at=NOW + timedelta(hours=1)))
    with store.read() as connection:
        assert [(w.depth, w.oldest_at) for w in waiting(connection, NOW)] == [(2, NOW)]


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_side_by_side_share_without_overlap(
    open_a_store: Callable[[], Store], workers: int
) -> None:
    stores = [open_a_store() for _ in range(workers)]
    add(stores[0], *[work(i) for i in range(100)])
    taken = [c.event_id for store in stores for c in claim(store, 20)]
    assert len(taken) == len(set(taken)) == 20 * workers


def test_with_room_for_one_no_source_is_left_out_for_ever(store: Store) -> None:
    add(store, *[work(i, "aaa") for i in range(20)], *[work(100 + i, "zzz") for i in range(5)])
    assert {claim(store, 1)[0].source for _ in range(20)} == {"aaa", "zzz"}


def test_a_source_that_waits_does_not_hide_one_that_is_due(store: Store) -> None:
    add(store, work(1, "aaa", at=NOW + timedelta(hours=1)), work(2, "zzz"))
    assert [c.source for c in claim(store, 1)] == ["zzz"]
