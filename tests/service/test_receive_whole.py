"""Deliveries that came in one piece, which go past ASGI, are treated as all others are."""

import asyncio
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from servers.receiver import (
    RunningReceiver,
    Source,
    read_answer,
    receiving,
    rows,
    status_of,
    wire,
)
from servers.transports import Sent
from uvicorn.server import ServerState

from service.receiving.answers import Answer
from service.receiving.connections import MAX_PIPELINED, GuardedProtocol
from service.receiving.endpoint import Endpoint
from service.receiving.outbox import Outbox
from service.receiving.request import Payload, Request
from service.settings import ReceiveSettings
from service.store import Store, open_store

WHOLE = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}"
NEW_EACH_TIME = re.compile(rb'(?<=date: )[^\r]+|(?<="id":")\d+')


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield store
    store.close()


def answers_to(here: RunningReceiver, sent: bytes, count: int) -> list[bytes]:
    """What one connection is answered, in order."""
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.sendall(sent)
        whole = b""
        while whole.count(b"HTTP/1.1 ") < count or not whole.endswith(b"}"):
            piece = connection.recv(1 << 20)
            if not piece:
                break
            whole += piece
    return [b"HTTP/1.1 " + answer for answer in whole.split(b"HTTP/1.1 ")[1:]]


def test_its_answer_is_that_of_one_in_pieces(here: RunningReceiver) -> None:
    one, other = (wire(here.sources["a"].delivery()) for _ in range(2))
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(one)
        whole = read_answer(connection)
        connection.sendall(other[:-1])
        assert here.client.get("/healthz").status_code == 200  # so that it was read
        connection.sendall(other[-1:])
        pieces = read_answer(connection)
    assert NEW_EACH_TIME.sub(b"", whole) == NEW_EACH_TIME.sub(b"", pieces)


def test_a_signed_handshake_is_no_delivery(kept: Store) -> None:
    source = Source("slack")
    with receiving(kept, {"a": source}) as here:
        hello = source.delivery({"type": "url_verification", "challenge": "abc"})
        assert here.send("a", hello).text == "abc"
    assert rows(kept, "deliveries") == []


def test_two_of_one_connection_are_answered_in_order(here: RunningReceiver) -> None:
    made = [here.sources["a"].delivery(key=key) for key in ("one", "two")]
    answers_to(here, b"".join(wire(one) for one in made), 2)
    assert [row.delivery_key for row in here.rows("deliveries")] == ["one", "two"]


def test_many_that_wait_for_the_one_before_are_each_answered(kept: Store) -> None:
    with receiving(kept, {"a": Source()}, unverified_per_minute=1_000_000) as here:
        answers = answers_to(here, WHOLE * MAX_PIPELINED, MAX_PIPELINED)
    assert [status_of(answer) for answer in answers] == [401] * MAX_PIPELINED


def test_where_the_client_keeps_no_connection_it_ends_with_the_answer(
    here: RunningReceiver,
) -> None:
    sent = wire(here.sources["a"].delivery()).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    answer = here.raw(sent)
    assert (status_of(answer), b"connection: close" in answer) == (202, True)


class Failing:
    """Schemas whose check fails as nobody foresaw."""

    def check(self, _request: Request, _payload: Payload) -> None:
        raise ZeroDivisionError


@dataclass
class Unforeseen(Source):
    """A source whose deliveries fail so."""

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        schemas: Any = Failing()
        return replace(super().endpoint(name, receive), schemas=schemas)


def test_what_nobody_foresaw_is_the_servers_fault(kept: Store) -> None:
    with receiving(kept, {"a": Unforeseen()}) as here:
        answer = here.send("a")
    assert (answer.status_code, answer.json()["reason"]) == (500, "failed")


def answered(request: bytes, *, paused: bool = False) -> list[bytes]:
    """What a client is sent that reads, or does not: all are answered {}."""

    async def turns() -> list[bytes]:
        sent = Sent()
        config = uvicorn.Config(lambda: None, log_config=None, access_log=False)
        config.load()
        protocol = GuardedProtocol(
            config=config,
            server_state=ServerState(),
            app_state={},
            outbox=Outbox(),
            take=lambda _scope, _body, reply: reply(Answer(202, b"{}")),
        )
        protocol.connection_made(sent)
        if paused:
            protocol.pause_writing()
        protocol.data_received(request)
        for _ in range(3):
            await asyncio.sleep(0)
        pieces = list(sent.pieces)
        protocol.resume_writing()
        await asyncio.sleep(0)
        return pieces

    return asyncio.run(turns())


def test_the_answer_leaves_in_one_piece() -> None:
    assert [piece[-2:] for piece in answered(WHOLE)] == [b"{}"]


def test_the_answer_to_head_has_no_body() -> None:
    whole = b"".join(answered(WHOLE.replace(b"POST", b"HEAD")))
    assert (status_of(whole), whole[-4:]) == (202, b"\r\n\r\n")


def test_who_reads_no_answers_gets_none() -> None:
    assert answered(WHOLE, paused=True) == []
