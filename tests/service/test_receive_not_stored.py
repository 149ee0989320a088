"""What is answered where the store does not take a delivery, over real HTTP, on both databases."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import msgspec
import pytest
from busy_writer import busy_intake
from servers.receiver import RunningReceiver, Source, receiving, rows, until
from sqlalchemy import Connection

from service.receiving.endpoint import Endpoint
from service.settings import ReceiveSettings
from service.store import Store
from service.store.ids import IdMaker
from service.store.writer import MAX_WAITING, MAX_WAITING_BYTES


@dataclass
class Unstorable(Source):
    """A source whose deliveries hold text that no database takes."""

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        endpoint = super().endpoint(name, receive)
        return replace(endpoint, preset=msgspec.structs.replace(endpoint.preset, name="\ud800"))


@pytest.fixture
def here(store: Store) -> Iterator[RunningReceiver]:
    with receiving(store, {"a": Source(), "unstorable": Unstorable()}) as running:
        yield running


def test_a_delivery_that_no_database_holds_is_a_bad_request(here: RunningReceiver) -> None:
    answer = here.send("unstorable")
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "refused",
        "reason": "not_storable",
        "message": "the database cannot hold this delivery",
    }


def test_nothing_of_it_is_stored(here: RunningReceiver) -> None:
    here.send("unstorable")
    tables = {"deliveries": "id", "events": "id", "work_items": "event_id"}
    assert [rows(here.store, table, order) for table, order in tables.items()] == [[], [], []]


def test_its_neighbours_of_the_same_transaction_are_stored(here: RunningReceiver) -> None:
    async def send() -> list[httpx.Response]:
        async with busy_intake(here.store):
            sent = [
                asyncio.create_task(asyncio.to_thread(here.send, name))
                for name in ("a", "unstorable", "a")
            ]
            await asyncio.to_thread(until, lambda: here.store.waiting_count == len(sent))
        return await asyncio.gather(*sent)

    first, bad, second = asyncio.run(send())
    assert [answer.status_code for answer in (first, bad, second)] == [202, 400, 202]
    told = {answer.json()["id"] for answer in (first, second)}
    assert {str(row.id) for row in here.rows("deliveries")} == told


def share_ids(store: Store) -> None:
    """Its next ids are those of another process that has the same node, in the same millisecond."""
    store._ids = IdMaker(7, lambda: 1_772_442_900_000)


def test_a_delivery_whose_id_is_taken_is_to_be_sent_again(here: RunningReceiver) -> None:
    share_ids(here.store)
    here.send("a")
    share_ids(here.store)
    answer = here.send("a")
    assert (answer.status_code, answer.json()["reason"]) == (503, "store_unavailable")


def test_a_delivery_whose_id_was_taken_is_stored_under_the_next(here: RunningReceiver) -> None:
    share_ids(here.store)
    here.send("a")
    share_ids(here.store)
    assert [here.send("a").status_code for _ in range(2)] == [503, 202]


def echo(_connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
    return payloads


@pytest.fixture(
    params=[[0] * MAX_WAITING, [MAX_WAITING_BYTES]], ids=["too many deliveries", "too many bytes"]
)
def answer(here: RunningReceiver, request: pytest.FixtureRequest) -> httpx.Response:
    """What is told while as much waits for the store as may."""

    async def send() -> httpx.Response:
        loop = asyncio.get_running_loop()
        waiting = [(None, size, loop.create_future()) for size in request.param]
        async with busy_intake(here.store):
            here.store.take_in(echo, waiting)
            answer = await asyncio.to_thread(here.send, "a")
        await asyncio.gather(*(told for _, _, told in waiting))
        return answer

    return asyncio.run(send())


def test_where_too_much_waits_one_is_told_to_come_back(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_where_too_much_waited_the_next_one_is_stored(
    here: RunningReceiver, answer: httpx.Response
) -> None:
    assert here.send("a").status_code == 202
    assert len(here.rows("deliveries")) == 1
