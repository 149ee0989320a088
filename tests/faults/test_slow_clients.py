"""Clients that dawdle, stop half-way or close their side: others are served all the same."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from faults.counting import Count
from faults.senders import many, send_once
from servers.receiver import RunningReceiver, Source, read_answer, receiving, rows, status_of

from service.signing.sign import Outgoing
from service.store import Store

EACH = 30  # clients of each kind
HALF_A_HEAD = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: here\r\nx-slow: "
HALF_A_BODY = b"POST /v1/webhooks/a HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\n{"


@contextmanager
def dawdlers(
    here: RunningReceiver, sent: bytes, *, half_closed: bool = False
) -> Iterator[list[socket.socket]]:
    """Connections that have sent this and say no more."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(here.address, timeout=30))
            for _ in range(EACH)
        ]
        for connection in opened:
            connection.sendall(sent)
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
        yield opened


def raw(outgoing: Outgoing) -> bytes:
    """The delivery as it goes over the wire."""
    lines = [f"{name}: {value}" for name, value in outgoing.headers]
    head = ["POST /v1/webhooks/a HTTP/1.1", "host: here", *lines]
    head.append(f"content-length: {len(outgoing.body)}")
    return "\r\n".join([*head, "", ""]).encode() + outgoing.body


def send_by_the_byte(here: RunningReceiver, outgoing: Outgoing) -> int:
    """The status that a body gets which arrives a byte at a time."""
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw(outgoing):
            connection.sendall(bytes([byte]))
        return status_of(read_answer(connection))


def test_slow_loris_and_half_closed_clients_leave_room_for_work(
    open_a_store: Callable[[], Store], count: Count
) -> None:
    store, source = open_a_store(), Source()
    with (
        receiving(store, {"a": source}, body_timeout_seconds=5) as here,
        dawdlers(here, HALF_A_HEAD),
        dawdlers(here, HALF_A_BODY),
        dawdlers(here, HALF_A_BODY, half_closed=True),
    ):
        outcome = send_once(here.url, many(source, 60))
        by_the_byte = send_by_the_byte(here, source.delivery(key="slow"))
        half_closed = status_of(here.raw(raw(source.delivery(key="h")), close_sending=True))
    stored = {row.delivery_key: row.id for row in rows(store, "deliveries")}
    count(acknowledged=len(outcome.acknowledged) + 2, stored=len(stored))
    assert (by_the_byte, half_closed, len(outcome.acknowledged)) == (202, 202, 60)
    assert outcome.acknowledged.items() <= stored.items()
    assert len(stored) == 62


def test_dawdlers_are_cut_off(open_a_store: Callable[[], Store]) -> None:
    with (
        receiving(open_a_store(), {"a": Source()}, body_timeout_seconds=0.5) as here,
        dawdlers(here, HALF_A_HEAD) as without_a_head,
        dawdlers(here, HALF_A_BODY) as without_a_body,
    ):
        cut = {read_answer(connection) for connection in without_a_head}
        told = {status_of(read_answer(connection)) for connection in without_a_body}
    assert (cut, told) == ({b""}, {408})
