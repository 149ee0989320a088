"""What a stranger can make the receiver hold or work through: bounded, whatever is sent."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from servers.receiver import RunningReceiver, Source, receiving, status_of, until

from service.store import open_store

HEAD = b"POST /v1/webhooks/gh HTTP/1.1\r\nhost: h\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
FAR_TOO_MUCH = 64 << 20


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """One receiver for the whole module; a body may take longer than any of its tests."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('receive') / 'store.sqlite'}")
    with receiving(store, {"gh": Source("github")}, unverified_per_minute=1_000_000) as running:
        yield running
    store.close()


def pushed(here: RunningReceiver, start: bytes, more: bytes) -> int:
    """How many bytes it takes of `more`, again and again, until it closes the connection."""
    count = 0
    with socket.create_connection(here.address, timeout=10) as connection:
        connection.sendall(start)
        with suppress(ConnectionResetError, BrokenPipeError):
            while count < FAR_TOO_MUCH:
                connection.sendall(more)
                count += len(more)
    return count


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEAD, b"a: b\r\n" * 10_000),
        (HEAD + b"a: ", b"b" * 60_000),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"a: b\r\n" * 10_000),
        (CHUNKED + b"1\r\na\r\n0\r\na: ", b"b" * 60_000),
        (CHUNKED + b"1;", b"a" * 60_000),
    ],
    ids=["headers", "a header", "trailers", "a trailer", "a chunk extension"],
)
def test_what_never_ends_is_cut_off(here: RunningReceiver, start: bytes, more: bytes) -> None:
    assert pushed(here, start, more) < FAR_TOO_MUCH


@pytest.mark.parametrize(("size", "status"), [(60_000, 401), (140_000, 400)])
def test_a_head_is_taken_up_to_its_limit(here: RunningReceiver, size: int, status: int) -> None:
    answer = here.raw(HEAD + b"content-length: 2\r\na: " + b"b" * size + b"\r\n\r\n{}")
    assert status_of(answer) == status


def test_one_sender_may_hold_so_many_bodies_and_no_more(here: RunningReceiver) -> None:
    """A quarter of 256 MB: the seventh body of 10 MB is one too many."""
    refused = ("hooksift_deliveries_refused_total", {"source": "gh", "reason": "bodies_too_many"})
    before = here.metric(refused[0], **refused[1])
    with ExitStack() as opened:
        for _ in range(7):
            connection = opened.enter_context(socket.create_connection(here.address, timeout=10))
            with suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(HEAD + b"content-length: 10000000\r\n\r\n" + b"x" * 9_900_000)
        until(lambda: here.metric(refused[0], **refused[1]) == before + 1)


def test_what_was_held_is_given_back(here: RunningReceiver) -> None:
    """Seven bodies of 10 MB one after the other, of which none was finished."""
    for _ in range(7):
        with socket.create_connection(here.address, timeout=10) as connection:
            connection.sendall(HEAD + b"content-length: 10000000\r\n\r\n" + b"x" * 9_900_000)
    body = b"x" * 9_900_000
    answer = here.raw(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert status_of(answer) == 401
