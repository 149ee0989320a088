"""What Store.take_in promises, on every database."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from busy_writer import Gate
from sqlalchemy import Connection

from service.store import Handler, Store, open_store
from service.store.queue import NewWork, enqueue
from service.store.wake import LocalWake
from tests.contract.names import kept, put


def put_work(connection: Connection, tx: int, names: Sequence[Any]) -> list[int]:
    """A handler: write each name down, and the work it brings."""
    enqueue(connection, [NewWork(tx, "t", name, "s", 1, 0) for name in names])
    return put(connection, tx, names)


def taken_in(store: Store, *names: str, handler: Handler = put) -> "list[asyncio.Future[Any]]":
    """What becomes of each."""
    futures = [asyncio.get_running_loop().create_future() for _ in names]
    store.take_in(handler, [(name, 0, told) for name, told in zip(names, futures, strict=True)])
    return futures


def test_the_result_comes_after_the_commit(store: Store) -> None:
    async def take_in() -> list[str]:
        await asyncio.gather(*taken_in(store, "t-1", "t-2"))
        return kept(store)

    assert asyncio.run(take_in()) == ["t-1", "t-2"]


def test_what_comes_together_is_one_transaction(store: Store) -> None:
    async def take_in() -> list[int]:
        return await asyncio.gather(*taken_in(store, "t-1", "t-2", "t-3"))

    assert len(set(asyncio.run(take_in()))) == 1


def test_deliveries_do_not_wait_for_other_writes(postgres_url: str) -> None:
    store = open_store(postgres_url)

    async def take_in() -> None:
        gate = Gate()
        busy = store.write(gate.hold, None)
        await asyncio.to_thread(gate.entered.wait, 30)
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(*taken_in(store, "t-1"))
        finally:
            gate.opened.set()
            await busy

    asyncio.run(take_in())
    store.close()


def test_closing_commits_what_was_taken_in(open_a_store: Callable[[], Store]) -> None:
    first, second = open_a_store(), open_a_store()

    async def close_in_haste() -> None:
        futures = [*taken_in(first, "t-1", "t-2"), first.write(put, "t-3")]
        await asyncio.to_thread(first.close)
        await asyncio.gather(*futures)

    asyncio.run(close_in_haste())
    assert kept(second) == ["t-1", "t-2", "t-3"]


def test_all_that_one_process_writes_has_ids_of_one_node(store: Store) -> None:
    def node() -> int:
        query = "SELECT number FROM store_facts WHERE name = 'node'"
        with store.read_once() as connection:
            return int(connection.exec_driver_sql(query).scalar_one())

    async def write_both() -> None:
        await asyncio.gather(*taken_in(store, "t-1"), store.write(put, "t-2"))

    before = node()
    asyncio.run(write_both())
    assert node() == before + 1


class Untold(LocalWake):
    """Tells nobody of work: it has no thread to do that with."""

    def announce(self, kinds: set[str]) -> None:
        raise RuntimeError("can't start new thread")


def test_what_is_on_disk_is_told_so_though_the_news_of_it_cannot_be_passed_on(store: Store) -> None:
    async def take_in() -> list[int]:
        store._wake = Untold()
        return await asyncio.gather(*taken_in(store, "t-1", "t-2", handler=put_work))

    tx = asyncio.run(take_in())
    assert (len(set(tx)), kept(store)) == (1, ["t-1", "t-2"])
