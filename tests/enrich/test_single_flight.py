"""Workers of one store ask about one error once, whichever of them claims its copies."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from work import Clock, Scripted, event, make_worker, one, put, rows

from enrich.errors import UnprocessableError
from enrich.worker import Worker
from service.store import Store

OpenAStore = Callable[[], Store]


def copies(*ids: int) -> list[Any]:
    return [event(i, "errors", f"disk full on node {i}", "") for i in ids]


class Overlap:
    """Two workers, the second of which claims while the first waits for its model."""

    def __init__(self, open_a_store: OpenAStore) -> None:
        self.store = open_a_store()
        self.clock = Clock()
        self.first_asks = asyncio.Event()
        self.first_may_end = asyncio.Event()
        self.first_model = Scripted(before=self._hold)
        self.second_model = Scripted()
        self.looked_count = 0
        self.first = make_worker(self.store, self.clock, self.first_model, reuses=True)
        self.second = make_worker(
            open_a_store(), self.clock, self.second_model, reuses=True, sleep=self._look
        )

    async def _hold(self, _event: Any) -> None:
        self.first_asks.set()
        await self.first_may_end.wait()

    async def _look(self, _seconds: float) -> None:
        """The second worker found the flight taken and waits."""
        self.looked_count += 1
        self.before_looking()
        await asyncio.sleep(0.01)

    def before_looking(self) -> None:
        self.first_may_end.set()

    async def run(self) -> None:
        put(self.store, *copies(1, 2))
        first = asyncio.create_task(self.first.step())
        await self.first_asks.wait()
        put(self.store, *copies(3, 4))
        await self.second.step()
        self.first_may_end.set()
        await first


def run(open_a_store: OpenAStore, kind: type[Overlap] = Overlap) -> Overlap:
    async def both() -> Overlap:
        scene = kind(open_a_store)
        await scene.run()
        return scene

    return asyncio.run(both())


def test_another_workers_copies_wait_for_the_first(open_a_store: OpenAStore) -> None:
    assert run(open_a_store).second_model.asked == []


def test_another_workers_copies_share_the_firsts_enrichment(open_a_store: OpenAStore) -> None:
    store = run(open_a_store).store
    assert one(store, "SELECT count(DISTINCT copied_from) FROM enrichments") == 1


def test_every_copy_is_enriched(open_a_store: OpenAStore) -> None:
    store = run(open_a_store).store
    assert rows(store, "SELECT event_id FROM enrichments ORDER BY 1") == [(1,), (2,), (3,), (4,)]


class Dying(Overlap):
    """The first worker never comes back: its lease runs out while the second waits."""

    def before_looking(self) -> None:
        self.clock.pass_by(seconds=61)


def test_a_worker_that_died_holds_up_nobody_beyond_its_lease(open_a_store: OpenAStore) -> None:
    assert len(run(open_a_store, Dying).second_model.asked) == 1


class Failing(Overlap):
    """The first worker's model refuses."""

    async def run(self) -> None:
        self.first_model.script = deque([UnprocessableError("refused", "no")] * 9)
        await super().run()


def test_a_flight_that_failed_is_begun_by_the_next(open_a_store: OpenAStore) -> None:
    assert len(run(open_a_store, Failing).second_model.asked) == 1


def test_traces_of_ended_flights_are_swept(open_a_store: OpenAStore) -> None:
    scene = run(open_a_store)
    casework = scene.second._casework
    asyncio.run(casework.sweep_flights())
    assert rows(scene.store, "SELECT event_id FROM flights") == []


def test_the_stub_takes_no_flight(store: Store) -> None:
    put(store, *copies(1, 2))
    worker: Worker = make_worker(store, Clock(), reuses=True)
    asyncio.run(worker.step())
    assert rows(store, "SELECT event_id FROM flights") == []
