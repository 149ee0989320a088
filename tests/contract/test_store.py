"""What Store.write promises, on every database."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from busy_writer import Gate, write_in_a_row, write_together
from servers.receiver import until
from sqlalchemy import Connection, make_url, text

from service.errors import NotStorable, StoreUnavailable
from service.store import Store, open_store
from service.store.wake import CHANNEL, PostgresWake
from service.store.writer import MAX_BATCH_BYTES, MAX_WAITING, MAX_WAITING_BYTES
from tests.contract.names import kept, put


class Large:
    """A payload that weighs."""


def test_what_was_written_is_let_go_of(store: Store) -> None:
    def handler(_connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        return [None] * len(payloads)

    gone = threading.Event()
    payload = Large()
    weakref.finalize(payload, gone.set)
    store.write_now(handler, payload)
    del payload
    assert gone.wait(30)


def test_a_result_comes_after_the_commit(store: Store) -> None:
    store.write_now(put, "t-1")
    assert kept(store) == ["t-1"]


def test_callers_that_wait_share_a_transaction(store: Store) -> None:
    names = [f"t-{n}" for n in range(20)]
    results = asyncio.run(write_together(store, *[(put, name) for name in names]))
    assert len(set(results)) == 1


def test_large_payloads_share_a_transaction_up_to_its_bytes(store: Store) -> None:
    third = MAX_BATCH_BYTES // 3
    jobs = [(put, f"t-{n}", third) for n in range(9)]
    results = asyncio.run(write_together(store, *jobs))
    assert [results.count(tx) for tx in sorted(set(results))] == [3, 3, 3]


def test_a_payload_larger_than_a_transaction_goes_alone(store: Store) -> None:
    jobs = [(put, "t-1"), (put, "t-2", 2 * MAX_BATCH_BYTES), (put, "t-3")]
    assert len(set(asyncio.run(write_together(store, *jobs)))) == 3


def test_each_caller_gets_the_result_of_its_own_payload(store: Store) -> None:
    def double(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[int]:
        return [2 * p for p in payloads]

    results = asyncio.run(write_together(store, *[(double, n) for n in range(10)]))
    assert results == [2 * n for n in range(10)]


def test_a_payload_that_the_database_refuses_fails_alone(store: Store) -> None:
    jobs = [(put, "t-1"), (put, "t-2"), (put, "t-2"), (put, "t-3")]
    results = asyncio.run(write_together(store, *jobs))
    assert [isinstance(r, NotStorable) for r in results] == [False, False, True, False]
    assert kept(store) == ["t-1", "t-2", "t-3"]


def test_a_handler_that_breaks_fails_its_own_callers_only(store: Store) -> None:
    def broken(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[Any]:
        raise LookupError("our own mistake")

    good, bad = asyncio.run(write_together(store, (put, "t-1"), (broken, None)))
    assert (type(good), type(bad)) == (int, LookupError)
    assert kept(store) == ["t-1"]


def test_a_handler_that_ends_the_transaction_fails_its_own_callers_only(store: Store) -> None:
    def ending(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[int]:
        connection.rollback()
        return put(connection, tx, payloads)

    good, bad = asyncio.run(write_together(store, (put, "t-1"), (ending, "t-2")))
    assert (type(good), type(bad)) == (int, RuntimeError)
    assert kept(store) == ["t-1"]


def test_text_that_no_database_takes_is_not_storable(store: Store) -> None:
    with pytest.raises(NotStorable):
        store.write_now(put, "t-\ud800")


def test_a_refused_payload_is_not_quoted(store: Store) -> None:
    with pytest.raises(NotStorable) as caught:
        store.write_now(put, "t-the-body\ud800")
    assert "the-body" not in str(caught.value)


def test_nothing_of_a_failed_transaction_stays(store: Store) -> None:
    def half(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[Any]:
        put(connection, tx, ["t-half"])
        raise LookupError

    with pytest.raises(LookupError):
        store.write_now(half, None)
    assert kept(store) == []


def test_transactions_in_a_row_have_numbers_of_their_own(store: Store) -> None:
    numbers = asyncio.run(write_in_a_row(store, (put, "t-1"), (put, "t-2"), (put, "t-3")))
    assert len(set(numbers)) == 3
    assert kept(store) == ["t-1", "t-2", "t-3"]


def test_a_transaction_in_a_row_fails_alone(store: Store) -> None:
    jobs = [(put, "t-1"), (put, "t-\ud800"), (put, "t-3")]
    results = asyncio.run(write_in_a_row(store, *jobs))
    assert [isinstance(r, NotStorable) for r in results] == [False, True, False]
    assert kept(store) == ["t-1", "t-3"]


def test_a_caller_that_gave_up_does_not_undo_the_write(store: Store) -> None:
    async def give_up() -> None:
        gate = Gate()
        busy = store.write(gate.hold, None)
        await asyncio.to_thread(gate.entered.wait, 30)
        given_up, waited_for = store.write(put, "t-1"), store.write(put, "t-2")
        given_up.cancel()
        gate.opened.set()
        await busy
        await waited_for

    asyncio.run(give_up())
    assert kept(store) == ["t-1", "t-2"]


def test_too_many_waiting_writes_are_turned_away(store: Store) -> None:
    async def flood() -> None:
        gate = Gate()
        busy = store.write(gate.hold, None)
        await asyncio.to_thread(gate.entered.wait, 30)
        futures = [store.write(echo, n) for n in range(MAX_WAITING)]
        with pytest.raises(StoreUnavailable):
            await store.write(echo, None)
        gate.opened.set()
        await busy
        assert await asyncio.gather(*futures) == list(range(MAX_WAITING))

    asyncio.run(flood())


def test_too_many_waiting_bytes_are_turned_away_until_there_is_room(store: Store) -> None:
    async def flood() -> None:
        gate = Gate()
        busy = store.write(gate.hold, None)
        await asyncio.to_thread(gate.entered.wait, 30)
        waiting = [store.write(echo, n, MAX_WAITING_BYTES // 4) for n in range(4)]
        with pytest.raises(StoreUnavailable, match="bytes wait"):
            await store.write(echo, None, 1)
        waiting.append(store.write(echo, 4))
        gate.opened.set()
        await busy
        assert await asyncio.gather(*waiting) == list(range(5))
        assert await store.write(echo, "room", MAX_WAITING_BYTES) == "room"

    asyncio.run(flood())


def test_a_payload_over_the_limit_is_taken_where_nothing_waits(store: Store) -> None:
    async def send() -> Any:
        return await store.write(echo, "large", MAX_WAITING_BYTES + 1)

    assert asyncio.run(send()) == "large"


def test_a_reader_sees_one_state(store: Store) -> None:
    count = text("SELECT count(*) FROM store_facts WHERE name LIKE 't-%'")
    with store.read() as connection:
        before = connection.execute(count).scalar_one()
        store.write_now(put, "t-1")
        assert connection.execute(count).scalar_one() == before


def echo(connection: Connection, tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
    return payloads


def test_closing_commits_what_is_queued(open_a_store: Callable[[], Store]) -> None:
    first, second = open_a_store(), open_a_store()

    async def close_in_haste() -> None:
        futures = [first.write(put, f"t-{n}") for n in range(50)]
        await asyncio.to_thread(first.close)
        await asyncio.gather(*futures)

    asyncio.run(close_in_haste())
    assert len(kept(second)) == 50


def test_a_closed_store_takes_no_more(open_a_store: Callable[[], Store]) -> None:
    store = open_a_store()
    store.write_now(put, "t-1")
    store.close()
    with pytest.raises(StoreUnavailable):
        store.write_now(put, "t-2")


def test_ids_may_be_taken_inside_the_first_transaction(store: Store) -> None:
    def take(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[int]:
        return [store.new_ids(3) for _ in payloads]

    assert store.write_now(take, None) > 0


def test_ids_of_two_processes_never_meet(open_a_store: Callable[[], Store]) -> None:
    one, two = open_a_store(), open_a_store()
    ids = [store.new_ids() for _ in range(5000) for store in (one, two)]
    assert len(set(ids)) == len(ids)


def test_ids_grow_with_time(store: Store) -> None:
    ids = [store.new_ids(2) for _ in range(1000)]
    assert ids == sorted(ids)


def test_subscribers_hear_of_work_that_another_process_committed(
    open_a_store: Callable[[], Store],
) -> None:
    from service.store.queue import ENRICH, NewWork, enqueue

    def add(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        enqueue(connection, [NewWork(n, ENRICH, "", "a", 1, 0) for n in payloads])
        return [None] * len(payloads)

    listener = open_a_store()
    speaker = open_a_store() if listener.dialect == "postgresql" else listener

    async def hear() -> None:
        heard = asyncio.Event()
        listener.subscribe(ENRICH, heard.set)
        for number in range(300):  # the subscription starts on a thread of its own
            await speaker.write(add, number)
            try:
                await asyncio.wait_for(heard.wait(), 0.1)
            except TimeoutError:
                continue
            return
        raise AssertionError("nobody told")

    asyncio.run(hear())


def test_subscribers_are_told_once_of_work_of_their_own_process(postgres_url: str) -> None:
    wake = PostgresWake(make_url(postgres_url))
    heard: list[str] = []

    async def hear(raw: psycopg.Connection) -> None:
        loop = asyncio.get_running_loop()
        last = asyncio.Event()
        for kind in ("ours", "others"):
            wake.subscribe(kind, loop, lambda kind=kind: heard.append(kind))
        wake.subscribe("others", loop, last.set)

        async def hear_others() -> None:
            last.clear()
            while not last.is_set():  # the subscription starts on a thread of its own
                raw.execute("SELECT pg_notify(%s, 'others')", (CHANNEL,))
                with suppress(TimeoutError):
                    await asyncio.wait_for(last.wait(), 0.1)

        await hear_others()
        raw.execute(f"LISTEN {CHANNEL}")
        wake.announce({"ours"})
        while "ours" not in {notice.payload for notice in raw.notifies(timeout=30, stop_after=1)}:
            continue
        await hear_others()  # which come after ours, if that comes at all

    with psycopg.connect(postgres_url, autocommit=True) as raw:
        asyncio.run(hear(raw))
    wake.close()
    assert heard.count("ours") == 1


def test_others_hear_after_the_reconnect_of_what_a_lost_connection_left(postgres_url: str) -> None:
    wake = PostgresWake(make_url(postgres_url))
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(f"LISTEN {CHANNEL}")
        wake.announce({"before"})
        heard = [notice.payload for notice in other.notifies(timeout=30, stop_after=1)]
        other.execute("SELECT pg_terminate_backend(%s, 30000)", (wake._own_pid,))
        wake.announce({"after"})
        heard += [notice.payload for notice in other.notifies(timeout=30, stop_after=1)]
    wake.close()
    assert heard == ["before", "after"]


def test_only_the_writer_has_a_large_page_cache(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 's'}")

    def asked(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[int]:
        return [connection.exec_driver_sql("PRAGMA cache_size").scalar_one()]

    with store.read() as connection:
        [read] = asked(connection, 0, [None])
    assert read < 0  # in KB, not pages
    assert store.write_now(asked, None) <= 4 * read
    store.close()


def test_what_is_committed_comes_into_the_database_beside_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = open_store(f"sqlite:///{path}")
    store.write_now(put, "t-copied")
    until(lambda: b"t-copied" in path.read_bytes())
    store.close()
