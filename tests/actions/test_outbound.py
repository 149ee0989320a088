"""Outbound calls cannot be led astray: addresses, redirects, sizes, times, names."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import httpcore
import pytest

from enrich.actions import outbound
from enrich.actions.addresses import is_reachable
from enrich.actions.connections import checked_addresses
from enrich.actions.errors import (
    ActionError,
    DoubtError,
    ForbiddenAddressError,
    PermanentError,
    TransientError,
)
from enrich.actions.outbound import (
    Outbound,
    Reply,
    encoded_segment,
    parse_origin,
    retry_after_seconds,
)
from service.errors import SettingsError
from tests.servers.asgi import Answer, LocalHost
from tests.servers.message_server import MessageServer

LOOPBACK = [ip_network("127.0.0.1/32")]
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

FORBIDDEN = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "::a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]
ALLOWED = ["8.8.8.8", "1.1.1.1", "140.82.121.6", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_not_reached(address: str) -> None:
    assert not is_reachable(ip_address(address.partition("%")[0]), [])


@pytest.mark.parametrize("address", ALLOWED)
def test_what_is_public_is_reached(address: str) -> None:
    assert is_reachable(ip_address(address), [])


def test_a_network_that_is_allowed_is_reached() -> None:
    assert is_reachable(ip_address("10.2.3.4"), [ip_network("10.2.0.0/16")])


def test_its_neighbour_is_not() -> None:
    assert not is_reachable(ip_address("10.3.0.1"), [ip_network("10.2.0.0/16")])


def test_an_allowed_network_is_reached_through_a_mapped_address_too() -> None:
    assert is_reachable(ip_address("::ffff:10.2.3.4"), [ip_network("10.2.0.0/16")])


def names(*answers: Sequence[str]) -> Any:
    """A resolver that gives one answer after the other, the last for ever."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    resolve.asked = asked  # type: ignore[attr-defined]
    return resolve


def called(out: Outbound, *path: str, **options: Any) -> Reply:
    async def call() -> Reply:
        try:
            return await out.call(options.pop("method", "GET"), *path, **options)
        finally:
            await out.close()

    return asyncio.run(call())


def failure(out: Outbound, *path: str, **options: Any) -> ActionError:
    with pytest.raises(ActionError) as raised:
        called(out, *path, **options)
    return raised.value


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_leads_there_is_refused_before_connecting(address: str) -> None:
    out = Outbound("https://tickets.acme.example", resolver=names([address]))
    assert isinstance(failure(out), ForbiddenAddressError)


def test_one_bad_address_among_good_ones_is_refused() -> None:
    out = Outbound("https://acme.example", resolver=names(["8.8.8.8", "10.0.0.1"]))
    assert isinstance(failure(out), ForbiddenAddressError)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "localhost"]
)
def test_loopback_in_any_notation_is_refused(host: str) -> None:
    assert isinstance(failure(Outbound(f"https://{host}:9")), ForbiddenAddressError)


def test_the_address_that_was_checked_is_the_one_connected_to(local_host: LocalHost) -> None:
    server = MessageServer()
    local_host.add(server)
    prefix = server.url.rpartition("/")[2]
    resolver = names(["127.0.0.1"], ["10.255.255.1"])
    url = f"http://tickets.acme.example:{local_host.port}/{prefix}"
    called(Outbound(url, allowed=LOOPBACK, resolver=resolver), "x")
    assert (len(server.calls), resolver.asked) == (1, ["tickets.acme.example"])


def test_the_host_header_stays_the_configured_name(local_host: LocalHost) -> None:
    server = MessageServer()
    local_host.add(server)
    prefix = server.url.rpartition("/")[2]
    url = f"http://tickets.acme.example:{local_host.port}/{prefix}"
    called(Outbound(url, allowed=LOOPBACK, resolver=names(["127.0.0.1"])), "x")
    assert server.calls[0].headers["host"] == f"tickets.acme.example:{local_host.port}"


def test_tls_verifies_the_name_and_not_the_address() -> None:
    asked: list[str | None] = []

    class Context(ssl.SSLContext):
        def wrap_bio(
            self, incoming: Any, outgoing: Any, server_side: Any = False, *rest: Any, **more: Any
        ) -> Any:
            asked.append(rest[0] if rest else more.get("server_hostname"))
            return super().wrap_bio(incoming, outgoing, server_side, *rest, **more)

    async def call() -> None:
        async def hang_up(reader: Any, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        out = Outbound(
            f"https://tickets.acme.example:{port}",
            allowed=LOOPBACK,
            resolver=names(["127.0.0.1"]),
            ssl_context=Context(ssl.PROTOCOL_TLS_CLIENT),
        )
        with pytest.raises(TransientError):
            await out.call("GET")
        await out.close()
        server.close()
        await server.wait_closed()

    asyncio.run(call())
    assert asked == [b"tickets.acme.example"]


def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert isinstance(failure(Outbound("https://acme.example", resolver=resolve)), TransientError)


def test_a_name_without_addresses_is_tried_again() -> None:
    with pytest.raises(TransientError):
        asyncio.run(checked_addresses("acme.example", 443, [], names([])))


def test_the_second_address_is_tried_when_the_first_is_dead(local_host: LocalHost) -> None:
    server = MessageServer()
    local_host.add(server)
    prefix = server.url.rpartition("/")[2]
    allowed = [ip_network("127.0.0.0/8")]
    url = f"http://acme.example:{local_host.port}/{prefix}"
    resolver = names(["127.9.9.9", "127.0.0.1"])
    assert called(Outbound(url, allowed=allowed, resolver=resolver), "x").status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://api.acme.example",
        "ftp://api.acme.example",
        "api.acme.example",
        "https://",
        "https://user:pass@api.acme.example",
        "https://api.acme.example/#x",
        "https://api.acme.example:99999",
        "https://[::1",
        "",
        "file:///etc/passwd",
        "https://api acme.example",
        "https://api.acme.example/a b",
        "https://api.acme.example/a\r\nHost: evil.example",
        "https://api.acme.example/?q=ü",
    ],
)
def test_a_url_that_is_no_plain_https_url_is_refused_at_start(url: str) -> None:
    with pytest.raises(SettingsError):
        parse_origin(url, allow_http=False)


def test_a_refused_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingsError) as raised:
        parse_origin("http://hooks.acme.example/T0/secret", allow_http=False)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_segment_that_is_a_path_is_refused(segment: str) -> None:
    with pytest.raises(PermanentError):
        encoded_segment(segment)


@pytest.mark.parametrize(
    ("segment", "encoded"),
    [("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("a b", "a%20b"), ("%2e", "%252e"), ("ü", "%C3%BC")],
)
def test_a_segment_is_percent_encoded(segment: str, encoded: str) -> None:
    assert encoded_segment(segment) == encoded


@pytest.fixture
def server(local_host: LocalHost) -> MessageServer:
    made = MessageServer()
    local_host.add(made)
    return made


def open_out(server: MessageServer, **more: Any) -> Outbound:
    return Outbound(server.url, allowed=LOOPBACK, now=lambda: NOW, **more)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: MessageServer, status: int) -> None:
    server.plan(Answer(status, b"", {"Location": f"{server.url}/elsewhere"}))
    error = failure(open_out(server, headers={"authorization": "Bearer x"}), "x")
    assert (error.kind, len(server.calls)) == ("redirect", 1)


def test_an_answer_over_the_limit_is_not_read_on(server: MessageServer) -> None:
    server.plan(Answer(200, b"x" * 10_001))
    error = failure(open_out(server, max_response_bytes=10_000), "x")
    assert error.kind == "answer_too_large"


def test_a_write_whose_answer_is_over_the_limit_has_been_made(server: MessageServer) -> None:
    server.plan(Answer(200, b"x" * 10_001))
    reply = called(open_out(server, max_response_bytes=10_000), "x", method="POST", body={})
    assert (reply.status, reply.body) == (200, b"")


def test_a_large_error_page_is_judged_by_its_status(server: MessageServer) -> None:
    server.plan(Answer(503, b"x" * 10_001))
    reply = called(open_out(server, max_response_bytes=10_000), "x")
    assert reply.status == 503


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Evil: 1", "tok\u2026en", "a\x00"])
def test_a_credential_that_no_header_may_hold_is_refused_at_start(value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Outbound("https://api.acme.example", headers={"authorization": f"Bearer {value}"})
    assert "authorization" in str(raised.value)
    assert "Bearer" not in str(raised.value)


def test_an_answer_that_does_not_come_is_in_doubt(server: MessageServer) -> None:
    server.plan(Answer(hang=True))
    error = failure(open_out(server, timeout_seconds=0.2), "x")
    assert (type(error), error.kind) == (DoubtError, "timeout")


def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    out = Outbound("http://127.0.0.1:9", allowed=LOOPBACK)
    error = failure(out)
    assert (type(error), error.kind) == (TransientError, "unreachable")


@contextmanager
def full(host: str, port: int = 0) -> Iterator[int]:
    """A port whose host drops every further attempt to connect, as a firewall does."""
    with socket.create_server((host, port), backlog=0) as listening, ExitStack() as held:
        port = listening.getsockname()[1]
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield port


def test_a_server_that_no_connection_reaches_was_sent_nothing() -> None:
    with full("127.0.0.1") as port:
        error = failure(Outbound(f"http://127.0.0.1:{port}", allowed=LOOPBACK, timeout_seconds=0.4))
    assert (type(error), error.kind) == (TransientError, "unreachable")


def test_a_name_that_nobody_resolves_in_time_was_sent_nothing() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    out = Outbound("https://acme.example", resolver=resolve, timeout_seconds=0.2)
    error = failure(out)
    assert (type(error), error.kind) == (TransientError, "unreachable")


def test_where_one_address_drops_everything_the_next_is_tried(
    server: MessageServer, local_host: LocalHost
) -> None:
    prefix = server.url.rpartition("/")[2]
    with full("127.0.0.2", local_host.port):
        out = Outbound(
            f"http://acme.example:{local_host.port}/{prefix}",
            allowed=[ip_network("127.0.0.0/8")],
            resolver=names(["127.0.0.2", "127.0.0.1"]),
            timeout_seconds=1.0,
        )
        assert called(out, "x").status == 200


def test_no_compression_is_asked_for(server: MessageServer) -> None:
    called(open_out(server), "x")
    assert server.calls[0].headers["accept-encoding"] == "identity"


def test_no_cookie_is_sent_back(server: MessageServer) -> None:
    server.plan(Answer(200, b"{}", {"Set-Cookie": "a=b"}))
    out = open_out(server)

    async def twice() -> None:
        await out.call("GET", "x")
        await out.call("GET", "x")
        await out.close()

    asyncio.run(twice())
    assert "cookie" not in server.calls[1].headers


def test_a_proxy_of_the_environment_is_not_used(
    server: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert called(open_out(server), "x").status == 200


def test_a_body_never_shows_in_a_repr(server: MessageServer) -> None:
    server.plan(Answer(200, b"the secret"))
    assert "secret" not in repr(called(open_out(server), "x"))


def test_every_error_of_the_http_library_is_translated() -> None:
    roots = (*outbound._NOT_SENT, *outbound._IN_DOUBT, *outbound._OUR_FAULT)
    public = [getattr(httpcore, name) for name in httpcore.__all__]
    errors = [e for e in public if isinstance(e, type) and issubclass(e, Exception)]
    bases = {httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError}
    missing = [e for e in errors if e not in bases and not issubclass(e, roots)]
    assert missing == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("1e9", 86_400.0),
        ("nan", None),
        ("inf", 86_400.0),
        ("soon", None),
        ("", None),
        ("Mon, 02 Mar 2026 09:01:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 09:01:00", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30.0), (str(int(NOW.timestamp()) + 45), 45.0), ("soon", None)]
)
def test_a_reset_stands_in_for_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"ratelimit-reset": value}, NOW) == seconds
