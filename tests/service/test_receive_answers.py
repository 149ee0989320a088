"""An answer leaves in one piece, and each that has no body leaves too."""

import asyncio
import socket
from asyncio import Transport
from collections.abc import Callable

from servers.receiver import RunningReceiver, read_answer, status_of, wire

from service.receiving.connections import Answers, Outbox

HEAD = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sent(Transport):
    """A transport that keeps what it is told to send."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.pieces.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


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
