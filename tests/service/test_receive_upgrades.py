"""A client that would rather speak another protocol is answered in HTTP/1.1, its body read."""

import socket

import pytest
from servers.receiver import RunningReceiver, Source, read_answer, rows, status_of, wire

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
UPGRADES = pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])


@UPGRADES
def test_the_body_after_an_upgrade_is_verified_and_stored(
    here: RunningReceiver, upgrade: tuple[str, ...]
) -> None:
    made = here.sources["a"].delivery()
    assert status_of(here.raw(wire(made, *upgrade))) == 202
    assert [row.body for row in rows(here.store, "deliveries")] == [made.body]


def test_it_may_come_by_the_byte_and_another_after_it(here: RunningReceiver) -> None:
    with socket.create_connection(here.address, timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for upgrade in (H2C, (), WEBSOCKET):
            for byte in wire(here.sources["a"].delivery(), *upgrade):
                connection.sendall(bytes([byte]))
            assert status_of(read_answer(connection)) == 202


@UPGRADES
def test_a_wrong_signature_is_still_refused(
    here: RunningReceiver, upgrade: tuple[str, ...]
) -> None:
    made = Source("github").delivery()
    assert status_of(here.raw(wire(made, *upgrade))) == 401


def test_a_tunnel_is_not_opened(here: RunningReceiver) -> None:
    request = b"CONNECT /v1/webhooks/a HTTP/1.1\r\nhost: here\r\nupgrade: h2c\r\n\r\n"
    assert status_of(here.raw(request)) >= 400
