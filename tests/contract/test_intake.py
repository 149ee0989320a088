"""Dedup is decided by the database, within one batch and between batches, on every database."""

import asyncio
import itertools
from typing import Any

from msgspec.structs import replace
from sqlalchemy import text

from service.store import Store
from service.store.intake import Arrival, NewEvent, Receipt, digest_of, store_arrivals

NOW = 1_772_442_900_000_000
DAY = 86_400_000_000
numbers = itertools.count(1)


def event(key: str | None = None) -> NewEvent:
    digest = digest_of("item", "a", key) if key else None
    return NewEvent(digest, "t", None, None, "title", "text", None, None, None, None)


def arrival(store: Store, key: str | None = None, *items: str, **more: Any) -> Arrival:
    """A delivery with a dedup key of its own, or with items that have theirs."""
    events = [event(item) for item in items] or [event()]
    values: dict[str, Any] = {
        "id": store.new_ids(len(events)),
        "source": "a",
        "preset": "github",
        "received_at": NOW,
        "method": "POST",
        "url": "/",
        "headers": "[]",
        "body": b"{}",
        "delivery_key": key,
        "address": "192.0.2.1",
        "verified": True,
        "priority": 1,
        "digest": digest_of("delivery", "a", key) if key else None,
        "content_digest": None,
        "expires_at": NOW + DAY,
        "events": events,
    }
    return Arrival(**{**values, **more})


def keep(store: Store, made: Arrival) -> Receipt:
    receipt: Receipt = store.write_now(store_arrivals, made)
    return receipt


def together(store: Store, *arrivals: Arrival) -> list[Receipt]:
    """In one call of the handler, as when they share a transaction."""

    def handler(connection: Any, tx: int, payloads: Any) -> list[list[Receipt]]:
        return [store_arrivals(connection, tx, payload) for payload in payloads]

    receipts: list[Receipt] = store.write_now(handler, arrivals)
    return receipts


def count(store: Store, table: str) -> int:
    with store.read() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_key_of_an_earlier_transaction_makes_a_duplicate(store: Store) -> None:
    first = arrival(store, "k")
    keep(store, first)
    assert keep(store, arrival(store, "k")) == Receipt(first.id, 0, True)


def test_a_key_of_the_same_transaction_makes_a_duplicate(store: Store) -> None:
    first = arrival(store, "k")
    receipts = together(store, first, arrival(store, "k"), arrival(store, "k"))
    assert [r.duplicate for r in receipts] == [False, True, True]
    assert {r.delivery_id for r in receipts} == {first.id}


def test_a_key_that_expired_is_new_again(store: Store) -> None:
    keep(store, arrival(store, "k"))
    later = arrival(store, "k", received_at=NOW + DAY, expires_at=NOW + 2 * DAY)
    assert not keep(store, later).duplicate


def test_a_key_holds_until_the_moment_it_expires(store: Store) -> None:
    keep(store, arrival(store, "k"))
    assert keep(store, arrival(store, "k", received_at=NOW + DAY - 1)).duplicate


def test_a_delivery_of_a_clock_an_hour_back_is_still_a_duplicate(store: Store) -> None:
    keep(store, arrival(store, "k"))
    assert keep(store, arrival(store, "k", received_at=NOW - 3_600_000_000)).duplicate


def test_items_of_the_same_transaction_are_told_apart(store: Store) -> None:
    one, two = arrival(store, None, "x", "y"), arrival(store, None, "y", "z")
    assert [r.event_count for r in together(store, one, two)] == [2, 1]
    assert count(store, "events") == 3


def test_the_work_matches_the_events_that_were_new(store: Store) -> None:
    keep(store, arrival(store, None, "x", "y"))
    keep(store, arrival(store, None, "x", "z"))
    assert count(store, "work_items") == count(store, "events") == 3


def test_a_group_of_known_items_is_a_redelivery(store: Store) -> None:
    first = keep(store, arrival(store, None, "x", "y"))
    assert keep(store, arrival(store, None, "y", "x")) == Receipt(first.delivery_id, 0, True)
    assert (count(store, "deliveries"), count(store, "redeliveries")) == (1, 1)


def test_known_content_under_a_new_key_is_a_suspected_replay(store: Store) -> None:
    content = digest_of("content", b"signed")
    keep(store, arrival(store, "k1", content_digest=content))
    keep(store, arrival(store, "k2", content_digest=content))
    with store.read() as connection:
        marks = connection.execute(text("SELECT suspected_replay FROM events ORDER BY id"))
        assert [bool(mark) for mark in marks.scalars()] == [False, True]


def test_a_redelivery_does_not_make_its_content_suspect(store: Store) -> None:
    content = digest_of("content", b"signed")
    receipts = together(
        store,
        arrival(store, "k", content_digest=content),
        arrival(store, "k", content_digest=content),
    )
    assert [r.duplicate for r in receipts] == [False, True]


def test_a_poison_delivery_fails_alone(store: Store) -> None:
    poison = arrival(store, "bad", events=[replace(event(), title="\ud800")])
    others = [arrival(store, f"k{n}") for n in range(20)]

    async def send() -> list[Any]:
        jobs = [store.write(store_arrivals, a) for a in [*others[:10], poison, *others[10:]]]
        return await asyncio.gather(*jobs, return_exceptions=True)

    results = asyncio.run(send())
    assert [n for n, r in enumerate(results) if isinstance(r, Exception)] == [10]
    assert count(store, "deliveries") == 20


def test_the_key_of_a_poison_delivery_is_not_taken(store: Store) -> None:
    poison = arrival(store, "k", events=[replace(event(), title="\ud800")])

    async def send() -> Any:
        return await asyncio.gather(store.write(store_arrivals, poison), return_exceptions=True)

    asyncio.run(send())
    assert not keep(store, arrival(store, "k")).duplicate


def test_many_stores_at_once_agree_on_the_first(open_a_store: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    stores = [open_a_store() for _ in range(4)]
    made = [arrival(s, f"k{n}") for n in range(25) for s in stores]
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda i: keep(stores[i % 4], made[i]), range(len(made))))
    assert sum(not r.duplicate for r in receipts) == 25


def test_an_arrival_weighs_its_body_and_what_was_read_from_it(store: Store) -> None:
    made = arrival(store, "k", body=b"b" * 1000, events=[replace(event(), payload="p" * 500)])
    assert 1500 <= made.size_bytes < 1600
