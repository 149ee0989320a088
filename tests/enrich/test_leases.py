"""Who holds an event while a model thinks: heartbeats, lost leases, suspects; on every database."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text
from work import NOW, Clock, Scripted, event, make_worker, one, put, rows, step

from enrich.enricher import EventText
from service.store import Store
from service.store.queue import ENRICH, ClaimRequest, claim_each
from service.store.tables import to_microseconds

LEASE_MICROSECONDS = 60_000_000
LATER_SECONDS = 50.0
POLL_SECONDS = 0.01
SECONDS = 30  # what a test waits for at most


@pytest.fixture
def clock() -> Clock:
    return Clock()


def change(store: Store, statement: str) -> None:
    """Write to the store behind the worker's back."""

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        connection.execute(text(statement))
        return [None] * len(payloads)

    store.write_now(handler, None)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition that is asked on a thread of its own."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(POLL_SECONDS)


class Thinking:
    """A model that has begun to think, and answers when told."""

    def __init__(self) -> None:
        self.began, self.answer = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def __call__(self, _event: EventText) -> None:
        self.began.set()
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class Told:
    """Keeps what the worker tells."""

    def __init__(self) -> None:
        self.lost = 0

    def attempted(self, source: str, outcome: str, count: int) -> None: ...

    def enriched(self, source: str, seconds: float) -> None: ...

    def lost_lease(self, count: int) -> None:
        self.lost += count


def test_a_heartbeat_holds_the_lease_while_the_model_thinks(store: Store, clock: Clock) -> None:
    put(store, event(1))

    async def main() -> list[Any]:
        thinking, stop = Thinking(), asyncio.Event()
        worker = make_worker(store, clock, Scripted(before=thinking))
        running = asyncio.create_task(worker.run(stop))
        await thinking.began.wait()
        clock.pass_by(seconds=LATER_SECONDS)
        held_until = to_microseconds(clock.now) + LEASE_MICROSECONDS
        asked = "SELECT available_at FROM work_items"
        await until(lambda: one(store, asked) == held_until)
        clock.pass_by(seconds=LATER_SECONDS)  # past the first lease
        request = ClaimRequest(ENRICH, 1, clock.now, 60, store.new_ids())
        others: list[Any] = await store.write(claim_each, request)
        thinking.answer.set()
        stop.set()
        await running
        return others

    assert asyncio.run(main()) == []
    assert rows(store, "SELECT event_id FROM enrichments") == [(1,)]


def test_a_worker_that_is_cancelled_leaves_nothing_running(store: Store, clock: Clock) -> None:
    put(store, event(1))

    async def main() -> set["asyncio.Task[Any]"]:
        thinking = Thinking()
        worker = make_worker(store, clock, Scripted(before=thinking))
        running = asyncio.create_task(worker.run(asyncio.Event()))
        await thinking.began.wait()
        running.cancel()
        await asyncio.wait([running])
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()


def test_a_worker_that_lost_the_lease_stops_thinking_and_says_so(
    store: Store, clock: Clock
) -> None:
    put(store, event(1))

    async def main() -> tuple[bool, int]:
        thinking, stop, told = Thinking(), asyncio.Event(), Told()
        worker = make_worker(store, clock, Scripted(before=thinking), observer=told)
        running = asyncio.create_task(worker.run(stop))
        await thinking.began.wait()
        await asyncio.to_thread(change, store, "UPDATE work_items SET lease = 1")
        await until(lambda: told.lost)
        stop.set()
        await running
        return thinking.cancelled, told.lost

    assert asyncio.run(main()) == (True, 1)
    assert rows(store, "SELECT lease FROM work_items") == [(1,)]


def test_a_result_after_the_lease_was_lost_is_not_written(store: Store, clock: Clock) -> None:
    put(store, event(1))

    async def steal(_event: EventText) -> None:
        await asyncio.to_thread(change, store, "UPDATE work_items SET lease = 1")

    step(make_worker(store, clock, Scripted(before=steal)))
    assert rows(store, "SELECT event_id FROM enrichments") == []
    assert rows(store, "SELECT lease FROM work_items") == [(1,)]


def test_an_event_that_may_take_the_process_down_is_handled_alone(
    store: Store, clock: Clock
) -> None:
    put(store, *[event(number) for number in range(1, 5)])
    change(store, "UPDATE work_items SET tries = 2 WHERE event_id = 2")
    step(make_worker(store, clock))
    found = rows(store, "SELECT event_id, tx FROM enrichments ORDER BY event_id")
    calm = {tx for event_id, tx in found if event_id != 2}
    assert len(found) == 4
    assert len(calm) == 1
    assert dict(found)[2] not in calm


def test_work_is_held_for_the_lease_that_was_set(store: Store, clock: Clock) -> None:
    put(store, event(1))
    seen: list[int] = []

    async def look(_event: EventText) -> None:
        seen.append(await asyncio.to_thread(one, store, "SELECT available_at FROM work_items"))

    step(make_worker(store, clock, Scripted(before=look)))
    assert seen == [to_microseconds(NOW) + LEASE_MICROSECONDS]
