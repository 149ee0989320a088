"""What is over its time goes, in small pieces; everything else stays."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from service.lifecycle.events_by_age import OldEvents
from service.lifecycle.retention import Forgotten, before, forget, run_retention
from service.settings import RetentionSettings, SourceSettings
from service.store import Store, open_store
from service.store.look import first_id_at
from service.store.queue import ENRICH, NewWork, enqueue
from service.store.tables import to_microseconds
from tests.analytics.store_facts import put, put_event_rows
from tests.contract.costs import cost_of
from tests.servers.receiver import rows, until
from tests.servers.statistics import analyse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = RetentionSettings(keep_bodies_days=30, keep_rows_days=100, batch_rows=2)


def aged(days: float, count: int = 1) -> list[int]:
    """Ids of events that are so old."""
    first = first_id_at(NOW - timedelta(days=days))
    return list(range(first, first + count))


def fill(store: Store, days: float, count: int = 1, source: str = "support") -> list[int]:
    """Deliveries of that age, each with an event that has every kind of fact."""
    events = aged(days, count)
    put_event_rows(store, events, source=source)
    for event in events:
        for table in ("attempts", "enrichments", "actions", "labels"):
            put(store, table, {"event_id": event, "source": source})
    return events


def round_of(
    store: Store,
    settings: RetentionSettings = SETTINGS,
    sources: Mapping[str, SourceSettings] | None = None,
) -> dict[str, int]:
    """One round of retention; what it removed."""
    forgotten: Forgotten = asyncio.run(forget(store, settings, sources or {}, NOW))
    return forgotten.counts


def bodies(store: Store) -> list[bytes]:
    return [bytes(row.body) for row in rows(store, "deliveries")]


def test_old_events_go_with_all_that_was_made_of_them(store: Store) -> None:
    fill(store, 101, 5)
    round_of(store)
    tables = ("events", "deliveries", "attempts", "enrichments", "actions", "labels")
    assert [rows(store, table) for table in tables] == [[]] * 6


def test_young_events_stay_with_all_that_was_made_of_them(store: Store) -> None:
    fill(store, 29, 3)
    assert round_of(store) == {}
    assert [len(rows(store, t)) for t in ("events", "deliveries", "labels")] == [3, 3, 3]


def test_between_the_two_times_only_the_body_goes(store: Store) -> None:
    fill(store, 31, 3)
    assert round_of(store) == {"bodies": 3}
    assert bodies(store) == [b"", b"", b""]


def test_a_body_younger_than_its_time_stays(store: Store) -> None:
    fill(store, 29)
    round_of(store)
    assert bodies(store) == [b'{"ticket": 7}']


def test_a_second_round_finds_nothing_to_do(store: Store) -> None:
    fill(store, 31, 3)
    round_of(store)
    assert round_of(store) == {}


def test_the_longest_time_that_may_be_asked_for_keeps_everything(store: Store) -> None:
    fill(store, 31)
    settings = RetentionSettings(
        keep_bodies_days=36_500, keep_rows_days=36_500, keep_refusals=1_000_000_000
    )
    assert round_of(store, settings) == {}


def test_a_source_may_keep_longer(store: Store) -> None:
    fill(store, 101, source="shop")
    shop = SourceSettings(preset="github", keep_rows_days=200, keep_bodies_days=200)
    assert round_of(store, sources={"shop": shop}) == {}
    assert len(bodies(store)) == 1


def test_a_source_may_keep_less(store: Store) -> None:
    fill(store, 3, source="shop")
    fill(store, 3.5, source="support2")
    shop = SourceSettings(preset="github", keep_rows_days=2)
    assert round_of(store, sources={"shop": shop})["events"] == 1
    assert [row.source for row in rows(store, "events")] == ["support2"]


def give_work(store: Store, *events: int) -> None:
    works = [NewWork(event, ENRICH, "", "support", 1, to_microseconds(NOW)) for event in events]

    def add(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        return [enqueue(connection, works) for _ in payloads]

    store.write_now(add, None)


def take_work_away(store: Store) -> None:
    def remove(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        connection.execute(text("DELETE FROM work_items"))
        return [None] * len(payloads)

    store.write_now(remove, None)


def test_an_event_that_still_has_work_stays(store: Store) -> None:
    (event,) = fill(store, 101)
    give_work(store, event)
    assert round_of(store) == {}


def test_a_body_that_waited_for_its_work_goes_once_that_is_done(store: Store) -> None:
    events = fill(store, 31, 5)
    give_work(store, events[1])
    assert round_of(store) == {"bodies": 4}
    assert round_of(store) == {}
    take_work_away(store)
    assert round_of(store) == {"bodies": 1}
    assert bodies(store) == [b""] * 5
    assert round_of(store) == {}


def test_bodies_that_wait_hold_up_no_others(store: Store) -> None:
    *waiting, last = fill(store, 31, 1_100)
    give_work(store, *waiting)
    assert round_of(store, SETTINGS.model_copy(update={"batch_rows": 500})) == {"bodies": 1}
    assert [row.id for row in rows(store, "deliveries") if not row.body] == [last]


def test_an_event_that_waits_is_looked_at_again_in_the_next_round(store: Store) -> None:
    events = fill(store, 101, 5)
    give_work(store, events[0])
    assert round_of(store)["events"] == 4
    take_work_away(store)
    assert round_of(store)["events"] == 1


@pytest.mark.parametrize("busy", [False, True])
def test_a_step_reads_little_of_what_it_leaves(store: Store, busy: bool) -> None:
    """Others' older events, and those that were passed in this round."""
    source = "support" if busy else "another"
    passed = fill(store, 200, 3_000, source=source)
    if busy:
        give_work(store, *passed)
    fill(store, 101, 40)
    old = OldEvents("support", before(NOW, 100), ["enrichments", "labels"])

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[int]:
        after = passed[-1] if busy else 0
        return [cost_of(connection, lambda c: old.delete(c, 10, after)) for _ in payloads]

    analyse(store)
    store.write_now(handler, None)  # the first also reads what the second finds prepared
    assert store.write_now(handler, None) < 2_500
    assert len(rows(store, "events")) == 3_020


def test_a_delivery_stays_while_one_of_its_events_does(store: Store) -> None:
    first = aged(100)[0] - 1  # the last id that is too old; the next is young enough
    put_event_rows(store, [first])
    put(store, "events", {"id": first + 1, "delivery_id": first, "item_index": 1})
    round_of(store)
    assert [row.id for row in rows(store, "events")] == [first + 1]
    assert [row.id for row in rows(store, "deliveries")] == [first]


@pytest.mark.parametrize("table", ["redeliveries", "acknowledgements", "refusals"])
def test_old_counts_go(store: Store, table: str) -> None:
    put(store, table, {"id": aged(101)[0]}, {"id": aged(99)[0]})
    assert round_of(store) == {table: 1}
    assert [row.id for row in rows(store, table)] == aged(99)


def test_refusals_above_their_number_go_oldest_first(store: Store) -> None:
    kept = 1_000
    put(store, "refusals", *({"id": i} for i in aged(1, kept + 5)))
    settings = SETTINGS.model_copy(update={"keep_refusals": kept})
    assert round_of(store, settings) == {"refusals": 5}
    assert [row.id for row in rows(store, "refusals")] == aged(1, kept + 5)[5:]


def add_keys(store: Store, *days: int) -> None:
    """Dedup keys that expire so many days from now, of deliveries with these numbers."""

    def add(connection: Connection, _tx: int, payloads: Sequence[int]) -> list[None]:
        for day in payloads:
            at = to_microseconds(NOW + timedelta(days=day))
            statement = (
                "INSERT INTO dedup_keys (digest, delivery_id, expires_at)"
                f" VALUES ({literal(connection, day + 2)}, {day}, {at})"
            )
            connection.exec_driver_sql(statement)
        return [None] * len(payloads)

    for day in days:
        store.write_now(add, day)


def test_expired_dedup_keys_go_and_no_other(store: Store) -> None:
    add_keys(store, -1, 1)
    assert round_of(store) == {"dedup_keys": 1}
    assert [row.delivery_id for row in rows(store, "dedup_keys", "delivery_id")] == [1]


def test_a_dedup_key_that_is_just_renewed_stays(postgres_url: str) -> None:
    """As by intake, when the same comes again after a while."""
    store = open_store(postgres_url)
    add_keys(store, -1)
    with psycopg.connect(postgres_url) as raw:
        raw.execute(
            "UPDATE dedup_keys SET expires_at = %s", [to_microseconds(NOW + timedelta(days=1))]
        )
        retention = threading.Thread(target=round_of, args=[store])
        retention.start()
        until(lambda: not retention.is_alive() or waits_for_a_lock(store))
        raw.commit()
        retention.join()
    assert len(rows(store, "dedup_keys", "delivery_id")) == 1
    store.close()


def waits_for_a_lock(store: Store) -> bool:
    """Whether anybody does, in this PostgreSQL database."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with store.read_once() as connection:
        return bool(connection.exec_driver_sql(query).scalar_one())


def literal(connection: Connection, byte: int) -> str:
    """One byte as the database writes it."""
    return f"x'{byte:02x}'" if connection.dialect.name == "sqlite" else f"'\\x{byte:02x}'"


def test_others_write_between_two_pieces(store: Store) -> None:
    fill(store, 101, 6)
    seen: list[int] = []

    async def both() -> None:
        deleting = asyncio.create_task(forget(store, SETTINGS, {}, NOW))
        while not deleting.done():
            count: int = await store.write(count_events, None)
            seen.append(count)
        await deleting

    asyncio.run(both())
    assert {2, 4} & set(seen)


def count_events(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[int]:
    found = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
    return [int(found) for _ in payloads]


def test_the_task_looks_at_once_and_stops_when_told(store: Store) -> None:
    fill(store, 101)

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(run_retention(store, SETTINGS, {}, stop, lambda: NOW))
        await asyncio.to_thread(until, lambda: rows(store, "events") == [])
        stop.set()
        await task

    asyncio.run(run())
