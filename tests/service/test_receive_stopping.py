"""Deliveries that wait for something when the service stops: what they are told is true."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from busy_writer import busy_intake
from servers.lines import Line, a_few_turns, nothing
from servers.receiver import RunningReceiver, Source, receiving, rows, until, wire

from service.metrics import Metrics
from service.preset import load_preset
from service.receiving import receiver
from service.receiving.app import Application, create_app
from service.receiving.endpoint import Endpoint
from service.receiving.reading import compile_reader
from service.receiving.receiver import Receiver
from service.settings import ReceiveSettings
from service.signing.outgoing import Outgoing
from service.store import Store
from service.verification.known import KnownKeys

PUBLIC_URL = "https://hooks.example/a"
SECONDS = 30


@dataclass
class Keyed(Source):
    """A source whose signing key is fetched, and comes when told."""

    preset: str = "gcp_pubsub"
    settings: Mapping[str, Any] = field(default_factory=lambda: {"public_url": PUBLIC_URL})
    asked: threading.Event = field(default_factory=threading.Event)

    async def fetch(self, _url: str, _body: bytes | None = None) -> bytes:
        self.coming: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.asked.set()
        return await self.coming

    def give_key(self) -> None:
        key = json.dumps({"keys": [self.keys.known.jwk]}).encode()
        self.coming.get_loop().call_soon_threadsafe(self.coming.set_result, key)

    def give_none(self) -> None:
        self.coming.get_loop().call_soon_threadsafe(self.coming.set_exception, OSError("down"))

    def delivery(self, *arguments: Any, **more: Any) -> Outgoing:
        return super().delivery(*arguments, url=PUBLIC_URL, **more)

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        known = KnownKeys(fetch=self.fetch)
        reader = compile_reader(load_preset(self.preset), [self.keys.receiver], known=known)
        return replace(super().endpoint(name, receive), reader=reader)


@pytest.fixture
def keyed() -> Keyed:
    return Keyed()


def test_one_that_waits_for_the_store_is_stored_and_acknowledged(store: Store) -> None:
    async def send(here: RunningReceiver) -> httpx.Response:
        async with busy_intake(store):
            sent = asyncio.create_task(asyncio.to_thread(here.send, "a"))
            await asyncio.to_thread(until, lambda: store.waiting_count)
            await asyncio.to_thread(here.stop)
        return await sent

    with receiving(store, {"a": Source()}) as here:
        answer = asyncio.run(send(here))
    (delivery,) = rows(store, "deliveries")
    assert (answer.status_code, answer.json()["id"]) == (202, str(delivery.id))


def answered(kept: Store, source: Keyed, then: Callable[[], None]) -> int:
    """The status of the answer to a delivery that waits for a key; `then` once nobody is let in."""
    with receiving(kept, {"a": source}) as here, ThreadPoolExecutor(1) as thread:
        sent = thread.submit(here.send, "a")
        assert source.asked.wait(SECONDS)
        here.stop()
        then()
        return sent.result(SECONDS).status_code


def test_one_whose_key_comes_then_is_stored_and_acknowledged(kept: Store, keyed: Keyed) -> None:
    assert answered(kept, keyed, keyed.give_key) == 204
    assert len(rows(kept, "deliveries")) == 1


def test_one_whose_key_cannot_be_had_is_told_to_come_again(kept: Store, keyed: Keyed) -> None:
    assert answered(kept, keyed, keyed.give_none) == 503
    assert rows(kept, "deliveries") == []


Doing = Callable[[Receiver, Line], Coroutine[Any, Any, None]]


def line_after(kept: Store, source: Keyed, doing: Doing) -> Line:
    """The line of a delivery that waits for its key, after its receiver's loop did this."""

    async def waiting() -> Line:
        settings = ReceiveSettings()
        app = create_app({"a": source.endpoint("a", settings)}, settings, kept, Metrics())
        assert isinstance(app, Application)
        line = Line(nothing, app.receiver.take)
        line.protocol.data_received(wire(source.delivery()))
        await asyncio.to_thread(source.asked.wait, SECONDS)
        await doing(app.receiver, line)
        return line

    return asyncio.run(waiting())


def test_a_key_that_is_on_its_way_is_waited_for(kept: Store, keyed: Keyed) -> None:
    async def finish(receiver: Receiver, line: Line) -> None:
        finishing = asyncio.create_task(receiver.finish())
        await a_few_turns()
        assert not finishing.done()
        keyed.give_key()
        await finishing
        await asyncio.to_thread(until, lambda: line.statuses)

    assert line_after(kept, keyed, finish).statuses == [204]


def test_a_key_that_takes_too_long_is_not(
    kept: Store, keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "KEY_FETCH_SECONDS", 0.01)

    async def finish(receiver: Receiver, line: Line) -> None:
        async with asyncio.timeout(SECONDS):
            await receiver.finish()
        await asyncio.to_thread(until, lambda: line.statuses)

    assert line_after(kept, keyed, finish).statuses == [503]


def test_one_that_waits_to_the_very_end_is_told_nothing(kept: Store, keyed: Keyed) -> None:
    async def leave(_receiver: Receiver, _line: Line) -> None:
        await a_few_turns()

    assert line_after(kept, keyed, leave).sent.pieces == []
    assert rows(kept, "deliveries") == []
