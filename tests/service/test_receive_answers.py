"""An answer leaves in one piece, and each that has no body leaves too."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from servers.lines import Line
from servers.receiver import RunningReceiver, Source, read_answer, receiving, status_of, wire
from servers.transports import Sent

from service.receiving.connections import MAX_PIPELINED, GuardedProtocol
from service.receiving.outbox import MAX_HELD_BYTES, Answers, Outbox
from service.store import Store

HEAD = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def written(*writes: tuple[Sent, bytes], end: Callable[[list[Answers]], None]) -> None:
    """Write in one turn of an event loop, do `end` in the same turn, then let it pass."""

    async def turn() -> None:
        outbox, loop = Outbox(), asyncio.get_running_loop()
        answers = {sent: Answers(sent, outbox, loop) for sent, _ in writes}
        for sent, data in writes:
            answers[sent].write(data)
        end(list(answers.values()))
        await asyncio.sleep(0)

    asyncio.run(turn())


def nothing(_: list[Answers]) -> None:
    pass


def test_a_head_and_its_body_are_one_write() -> None:
    sent = Sent()
    written((sent, HEAD), (sent, b"{}"), end=nothing)
    assert sent.pieces == [HEAD + b"{}"]


def test_nothing_is_sent_before_the_turn_is_over() -> None:
    sent = Sent()
    seen: list[bytes] = []
    written((sent, HEAD), end=lambda _: seen.extend(sent.pieces))
    assert (seen, sent.pieces) == ([], [HEAD])


def test_each_connection_gets_its_own() -> None:
    one, other = Sent(), Sent()
    written((one, HEAD), (other, INTERIM), (one, b"{}"), end=nothing)
    assert (one.pieces, other.pieces) == ([HEAD + b"{}"], [INTERIM])


def test_what_is_ready_is_sent_before_the_connection_closes() -> None:
    sent = Sent()
    written((sent, HEAD), end=lambda all_: all_[0].close())
    assert (sent.pieces, sent.closed) == ([HEAD], True)


def test_nothing_is_sent_to_a_connection_that_is_gone() -> None:
    gone, here = Sent(), Sent()
    written((gone, HEAD), (here, HEAD), end=lambda _: setattr(gone, "closed", True))
    assert (gone.pieces, here.pieces) == ([], [HEAD])


def test_a_connection_that_breaks_is_closed_and_costs_no_other_its_answer() -> None:
    broken, here = Sent(is_broken=True), Sent()
    written((broken, HEAD), (here, HEAD), end=nothing)
    assert (broken.closed, here.pieces) == (True, [HEAD])


def test_much_is_not_held_until_the_end_of_the_turn() -> None:
    sent = Sent()
    seen: list[int] = []
    written(
        (sent, b"x" * MAX_HELD_BYTES), (sent, b"y"), end=lambda _: seen.append(len(sent.pieces))
    )
    assert seen == [1]


class Answering(Line):
    """A line whose application answers /now at once, else never."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(self)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        if scope["path"] != "/now":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 202, "headers": LENGTH})
        await send({"type": "http.response.body", "body": b"{}"})


LENGTH = [(b"content-length", b"2")]
NOW = b"GET /now HTTP/1.1\r\nhost: here\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nhost: here\r\n\r\n"


def after(*came: bytes, end: Callable[[GuardedProtocol], object] = lambda _: None) -> Answering:
    """A connection on which this came, a turn for each; `end` before the last answer has left."""

    async def turns() -> Answering:
        line = Answering()
        for data in came:
            line.protocol.data_received(data)
            await asyncio.sleep(0)
        end(line.protocol)
        return line

    return asyncio.run(turns())


def end_of_the_clients_side(protocol: GuardedProtocol) -> None:
    if not protocol.eof_received():
        protocol.transport.close()


@pytest.mark.parametrize(
    "end",
    [
        end_of_the_clients_side,
        GuardedProtocol.shutdown,
        lambda protocol: protocol.data_received(b"what is this\r\n\r\n"),
    ],
    ids=["end of the client's side", "shutdown", "garbage"],
)
def test_an_answer_that_is_ready_leaves_before_the_connection_ends(
    end: Callable[[GuardedProtocol], object],
) -> None:
    sent = after(NOW, end=end).sent
    assert [status_of(piece) for piece in sent.pieces[:1]] == [202]
    assert sent.closed


def test_nothing_more_is_read_while_requests_wait_for_the_one_before() -> None:
    assert not after(NOW + LATER + LATER).sent.is_reading


def test_reading_goes_on_once_no_request_waits() -> None:
    line = after(NOW + NOW, b"", b"", b"")
    assert (line.asked, line.sent.is_reading) == (["/now", "/now"], True)


def test_a_client_that_sends_too_much_without_reading_is_let_go() -> None:
    assert after(LATER * (MAX_PIPELINED + 2)).sent.closed


def test_a_delivery_with_garbage_behind_it_is_answered_and_then_the_connection_ends(
    here: RunningReceiver,
) -> None:
    answer = here.raw(wire(here.sources["a"].delivery()) + b"what is this\r\n\r\n")
    assert (status_of(answer), answer.count(b"HTTP/1.1 ")) == (202, 1)


def test_a_delivery_before_one_that_breaks_off_is_answered(here: RunningReceiver) -> None:
    whole, cut = (wire(here.sources["a"].delivery()) for _ in range(2))
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.sendall(whole + cut[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert status_of(read_answer(connection)) == 202


def test_head_is_answered_and_the_connection_goes_on(here: RunningReceiver) -> None:
    with socket.create_connection(here.address, timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"HEAD /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
            assert status_of(connection.recv(65536)) == 405
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
            assert read_answer(connection).endswith(b'{"status":"ok"}')


def test_a_body_that_waits_to_be_asked_for_is_asked_for(here: RunningReceiver) -> None:
    made = here.sources["a"].delivery()
    head, gap, _ = wire(made, "expect: 100-continue").partition(b"\r\n\r\n")
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.sendall(head + gap)
        assert connection.recv(65536) == INTERIM
        connection.sendall(made.body)
        assert status_of(read_answer(connection)) == 202


def test_an_answer_without_content_is_no_part_of_the_next(kept: Store) -> None:
    source = Source(settings={"override": {"ack": {"status": 204}}})
    with receiving(kept, {"a": source}) as here:
        answers = [here.send("a") for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert not any("content-length" in answer.headers for answer in answers)  # RFC 9110, 8.6
