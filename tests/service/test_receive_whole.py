"""Deliveries that came in one piece, which go past ASGI, are treated as all others are."""

import asyncio
import gc
import re
import socket
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest
from servers.lines import Line, a_few_turns, nothing
from servers.receiver import (
    RunningReceiver,
    Source,
    read_answer,
    receiving,
    rows,
    status_of,
    wire,
)

from service.receiving.answers import Answer
from service.receiving.connections import MAX_IDLE_BYTES, MAX_PIPELINED, GuardedProtocol
from service.receiving.endpoint import Endpoint
from service.receiving.request import Payload, Request
from service.settings import ReceiveSettings
from service.store import Store

WHOLE = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}"
CUT = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
NEW_EACH_TIME = re.compile(rb'(?<=date: )[^\r]+|(?<="id":")\d+')


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


class Waiting(Line):
    """A line whose deliveries are answered when told."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.replies: list[Callable[[Answer], object]] = []
        super().__init__(nothing, self.take)

    def take(self, _scope: Any, body: bytes, reply: Callable[[Answer], object]) -> None:
        """Keep a delivery until it is answered."""
        self.bodies.append(body)
        self.replies.append(reply)

    async def answer(self) -> None:
        """Answer all that came with 202 and {}, and let it leave."""
        while self.replies:
            self.replies.pop(0)(Answer(202, b"{}"))
            await a_few_turns()


Doing = Callable[[Waiting], Coroutine[Any, Any, None]]


def on_a_line(doing: Doing) -> Waiting:
    """A line after all of this was done on it."""

    async def done() -> Waiting:
        line = Waiting()
        await doing(line)
        return line

    return asyncio.run(done())


def answered(*came: bytes) -> Waiting:
    """A line on which this came, after all of it was answered."""

    async def doing(line: Waiting) -> None:
        for data in came:
            line.protocol.data_received(data)
        await line.answer()

    return on_a_line(doing)


def test_the_answer_leaves_in_one_piece() -> None:
    assert [piece[-2:] for piece in answered(WHOLE).sent.pieces] == [b"{}"]


def test_the_answer_to_head_has_no_body() -> None:
    whole = b"".join(answered(WHOLE.replace(b"POST", b"HEAD")).sent.pieces)
    assert (status_of(whole), whole[-4:]) == (202, b"\r\n\r\n")


def test_who_reads_no_answers_gets_them_once_he_does() -> None:
    seen: list[list[int]] = []

    async def doing(line: Waiting) -> None:
        line.protocol.pause_writing()
        line.protocol.data_received(WHOLE)
        await line.answer()
        seen.append(line.statuses)
        line.protocol.resume_writing()
        await a_few_turns()
        seen.append(line.statuses)

    on_a_line(doing)
    assert seen == [[], [202]]


@pytest.mark.parametrize("broken", [b"what is this\r\n\r\n", CUT + b"zz\r\n"])
def test_what_breaks_off_behind_a_whole_one_is_not_its_answer(broken: bytes) -> None:
    line = answered(WHOLE + broken)
    assert (line.statuses, line.sent.closed) == ([202], True)


def test_what_comes_behind_the_end_is_no_part_of_a_whole_one() -> None:
    endless = CUT + b"2;" + b"x" * 4 * MAX_IDLE_BYTES + b"\r\nno\r\n0\r\n\r\n"
    assert answered(WHOLE + WHOLE + endless).bodies == [b"{}", b"{}"]


def test_a_clients_last_word_may_be_half_a_request() -> None:
    async def doing(line: Waiting) -> None:
        line.protocol.data_received(WHOLE + CUT)
        assert line.protocol.eof_received()
        await line.answer()

    line = on_a_line(doing)
    assert (line.statuses, line.sent.closed) == ([202], True)


def test_a_server_that_stops_answers_what_it_took() -> None:
    async def doing(line: Waiting) -> None:
        line.protocol.data_received(WHOLE)
        line.protocol.shutdown()
        await line.answer()

    line = on_a_line(doing)
    assert (line.statuses, line.sent.closed) == ([202], True)


def test_any_number_of_wishes_to_upgrade_are_declined() -> None:
    wish = WHOLE.replace(b"\r\nhost", b"\r\nupgrade: h2c\r\nconnection: upgrade\r\nhost")
    assert answered(wish * 600).statuses == [202] * 600


def test_a_client_who_left_is_forgotten_at_once() -> None:
    """Collections are rare while serving: whatever is only a cycle stays for long."""

    async def doing(line: Waiting) -> None:
        line.protocol.data_received(WHOLE * 3)
        line.sent.close()
        line.protocol.connection_lost(ConnectionResetError())
        await line.answer()
        left.append(weakref.ref(line.protocol))
        del line.protocol

    left: list[weakref.ref[GuardedProtocol]] = []
    gc.disable()
    try:
        sent = on_a_line(doing).sent
        assert (sent.pieces, left[0]()) == ([], None)
    finally:
        gc.enable()


def test_its_body_is_not_held_beside_the_line() -> None:
    async def doing(line: Waiting) -> None:
        line.protocol.data_received(WHOLE)
        assert line.protocol.cycle.body == b""

    on_a_line(doing)


def test_a_body_over_the_limit_is_refused_though_its_length_was_not_told(kept: Store) -> None:
    with receiving(kept, {"a": Source("github", {"max_body_bytes": 1024})}) as here:
        head = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = here.raw(head + b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n")
    assert status_of(answer) == 413
