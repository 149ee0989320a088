"""Requests of one turn of the event loop share steps and a transaction, and nothing else."""

import asyncio
import gc
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from busy_writer import Gate
from servers.receiver import RunningReceiver, Source, receiving, rows, until

from service.metrics import Metrics, SourceMetrics
from service.preset import load_preset
from service.receiving.batching import ENOUGH, Batching
from service.receiving.endpoint import Endpoint
from service.receiving.handshake import Reply
from service.receiving.reading import compile_reader
from service.receiving.request import Payload, Refused, Request, Unparsable
from service.settings import ReceiveSettings
from service.signing.outgoing import Outgoing
from service.store import Store
from service.store.intake import Receipt
from service.verification.known import KnownKeys

PUBLIC_URL = "https://hooks.example/a"


def request_of(made: Outgoing) -> Request:
    headers = [(name.lower(), value) for name, value in made.headers]
    return Request(made.method, "/v1/webhooks/a", headers, made.body)


def the_receipt(_endpoint: Endpoint, _request: Request, receipt: Receipt) -> Receipt:
    return receipt


def outcomes_of(
    kept: Store,
    source: Source,
    requests: list[Request],
    *,
    now: Callable[[], float] = time.time,
    gone: frozenset[int] = frozenset(),
    apart: bool = False,
    acknowledge: Callable[..., Any] = the_receipt,
    **changed: Any,
) -> list[Any]:
    """What becomes of them, in one turn of the loop, or `apart` in one each; those numbered in
    `gone` have nobody who waits."""

    async def outcomes() -> list[Any]:
        endpoint = replace(source.endpoint("a", ReceiveSettings()), **changed)
        kept.new_ids()
        batching = Batching(kept, {"a": SourceMetrics(Metrics(), "a")}, now, acknowledge)
        loop = asyncio.get_running_loop()
        outcomes = [loop.create_future() for _ in requests]
        for request, outcome in zip(requests, outcomes, strict=True):
            batching.take(endpoint, request, "192.0.2.1", outcome)
            if apart:
                await asyncio.sleep(0)
        for number in gone:
            outcomes[number].cancel()
        return await asyncio.gather(*outcomes, return_exceptions=True)

    return asyncio.run(outcomes())


def test_each_gets_its_own_outcome(kept: Store) -> None:
    source = Source("slack")
    hello = {"type": "url_verification", "challenge": "abc"}
    forged = request_of(source.delivery())
    forged.body += b" "
    outcomes = outcomes_of(
        kept,
        source,
        [
            forged,
            request_of(source.delivery({"type": "event_callback", "event_id": "1"})),
            request_of(source.delivery(b"{")),
            request_of(source.delivery(hello)),
            request_of(source.delivery({"type": "event_callback", "event_id": "1"})),
        ],
    )
    assert [type(outcome) for outcome in outcomes] == [Refused, Receipt, Unparsable, Reply, Receipt]


def test_the_second_of_two_equal_ones_is_the_duplicate(kept: Store) -> None:
    source = Source()
    first, second = outcomes_of(
        kept, source, [request_of(source.delivery(key="same")) for _ in range(2)]
    )
    assert second == Receipt(first.delivery_id, 0, duplicate=True)


def test_all_take_a_step_before_any_takes_the_next(kept: Store) -> None:
    """The clock is read when a signature is checked, and again when a delivery is made of it."""
    source, start = Source(), int(time.time())
    clock = itertools.count(start)
    requests = [request_of(source.delivery()) for _ in range(3)]
    outcomes_of(kept, source, requests, now=lambda: float(next(clock)))
    received = [row.received_at // 1_000_000 - start for row in rows(kept, "deliveries")]
    assert received == [3, 4, 5]


def test_nothing_is_stored_for_one_who_no_longer_waits(kept: Store) -> None:
    source = Source()
    requests = [request_of(source.delivery(key=f"m-{number}")) for number in range(3)]
    outcomes_of(kept, source, requests, gone=frozenset({1}))
    assert [row.delivery_key for row in rows(kept, "deliveries")] == ["m-0", "m-2"]


def given_to_the_store(kept: Store, count: int) -> list[int]:
    """How many requests the store has been given after each turn, of which each brings one."""
    source = Source()

    async def take_all() -> list[int]:
        endpoint = source.endpoint("a", ReceiveSettings())
        batching = Batching(kept, {"a": SourceMetrics(Metrics(), "a")}, time.time, the_receipt)
        outcomes: list[asyncio.Future[Any]] = []
        given = []
        gate = Gate()
        busy = kept.write(gate.hold, None)
        await asyncio.to_thread(gate.entered.wait, 30)
        for _ in range(count):
            outcomes.append(asyncio.get_running_loop().create_future())
            batching.take(endpoint, request_of(source.delivery()), "192.0.2.1", outcomes[-1])
            await asyncio.sleep(0)
            given.append(kept.waiting_count)
        await asyncio.sleep(0)
        given.append(kept.waiting_count)
        gate.opened.set()
        await asyncio.gather(busy, *outcomes)
        return given

    kept.new_ids()
    return asyncio.run(take_all())


def test_requests_gather_until_a_turn_brings_none(kept: Store) -> None:
    assert given_to_the_store(kept, 5) == [0, 0, 0, 0, 0, 5]


def test_enough_requests_wait_for_no_others(kept: Store) -> None:
    given = given_to_the_store(kept, ENOUGH + 2)
    assert given == [0] * (ENOUGH - 1) + [ENOUGH] * 3 + [ENOUGH + 2]


def test_an_acknowledgement_that_fails_is_its_own(kept: Store) -> None:
    source = Source()
    requests = [request_of(source.delivery(key=f"m-{number}")) for number in range(3)]

    def all_but_one(_endpoint: Endpoint, request: Request, receipt: Receipt) -> Receipt:
        if request is requests[1]:
            raise KeyError
        return receipt

    outcomes = outcomes_of(kept, source, requests, acknowledge=all_but_one)
    assert [type(outcome) for outcome in outcomes] == [Receipt, KeyError, Receipt]


def test_what_waits_for_the_store_holds_no_parsed_body(kept: Store) -> None:
    """It takes up to thirty times the room of its bytes, by which what waits is bounded."""
    source = Source()
    body: dict[str, Any] = {"nested": {"mark": []}}

    def parsed(*_acknowledged: Any) -> list[Payload]:
        return [e for e in gc.get_objects() if type(e) is Payload and e.value == body]

    request = request_of(source.delivery(body))
    assert outcomes_of(kept, source, [request], acknowledge=parsed) == [[]]


class Panic(BaseException):
    """What a library in Rust raises where it is at its end."""


class Panicking:
    """Schemas whose check panics at its second body."""

    def __init__(self) -> None:
        self.checked = 0

    def check(self, _request: Request, _payload: Payload) -> None:
        self.checked += 1
        if self.checked == 2:
            raise Panic


def test_a_panic_leaves_nobody_of_the_turn_waiting(kept: Store) -> None:
    source = Source()
    requests = [request_of(source.delivery()) for _ in range(3)]
    outcomes = outcomes_of(kept, source, requests, schemas=Panicking())
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3


def test_a_panic_leaves_those_of_earlier_turns_alone(kept: Store) -> None:
    source = Source()
    requests = [request_of(source.delivery()) for _ in range(2)]
    outcomes = outcomes_of(kept, source, requests, apart=True, schemas=Panicking())
    assert [type(outcome) for outcome in outcomes] == [Receipt, RuntimeError]


@pytest.mark.parametrize("body", [b"not signed", b"{"])
def test_a_refused_body_is_let_go_at_once(kept: Store, body: bytes) -> None:
    """Collections are rare while serving: whatever is only a cycle stays for long."""
    source = Source()
    made = source.delivery(body)
    if body == b"not signed":
        made = made._replace(body=b"something else")

    def held() -> list[Request]:
        return [e for e in gc.get_objects() if type(e) is Request and e.body == made.body]

    with receiving(kept, {"a": source}) as here:
        gc.collect()
        gc.disable()
        try:
            assert here.send("a", made).status_code in (400, 401)
            until(lambda: not held(), 5)
        finally:
            gc.enable()


@dataclass
class Fetched(Source):
    """A source whose signing key is fetched; `answers` are what its address says, in order."""

    preset: str = "gcp_pubsub"
    answers: tuple[bytes | Exception, ...] = ()

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        left = list(self.answers)

        async def fetch(url: str, body: bytes | None = None) -> bytes:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        reader = compile_reader(
            load_preset(self.preset), [self.keys.receiver], known=KnownKeys(fetch=fetch)
        )
        return replace(super().endpoint(name, receive), reader=reader)


def answered(kept: Store, source: Fetched, *answers: bytes | Exception) -> httpx.Response:
    source.answers = answers
    with receiving(kept, {"a": source}) as here:
        return here.send("a", source.delivery(url=PUBLIC_URL))


@pytest.fixture
def fetched() -> Fetched:
    return Fetched(settings={"public_url": PUBLIC_URL})


def test_a_delivery_waits_for_the_key_that_it_needs(kept: Store, fetched: Fetched) -> None:
    keys = json.dumps({"keys": [fetched.keys.known.jwk]}).encode()
    assert answered(kept, fetched, keys).status_code == 204


def test_a_key_that_its_address_does_not_have_is_a_refusal(kept: Store, fetched: Fetched) -> None:
    answer = answered(kept, fetched, b'{"keys": []}')
    assert (answer.status_code, answer.json()["reason"]) == (401, "unknown_key")


def test_a_key_that_cannot_be_had_now_is_not_the_senders_fault(
    kept: Store, fetched: Fetched
) -> None:
    answer = answered(kept, fetched, OSError("down"))
    assert (answer.status_code, answer.json()["reason"]) == (503, "key_unavailable")


def test_a_sender_whose_keys_cannot_be_had_is_limited_too(kept: Store, fetched: Fetched) -> None:
    fetched.answers = (OSError("down"),)
    with receiving(kept, {"a": fetched}, unverified_per_minute=2) as here:
        made = fetched.delivery(url=PUBLIC_URL)
        codes = [here.send("a", made).status_code for _ in range(3)]
    assert codes == [503, 503, 429]


def test_many_at_once_over_http_are_all_stored(kept: Store) -> None:
    source = Source()

    async def send(here: RunningReceiver) -> list[int]:
        async with httpx.AsyncClient(base_url=here.url, timeout=30) as client:
            made = [source.delivery() for _ in range(64)]
            sent = (client.post("/v1/webhooks/a", headers=m.headers, content=m.body) for m in made)
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    with receiving(kept, {"a": source}) as here:
        statuses = asyncio.run(send(here))
    assert (statuses, len(rows(kept, "deliveries"))) == ([202] * 64, 64)
