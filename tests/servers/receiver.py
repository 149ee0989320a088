"""The real receiver on a free loopback port, in a thread, and deliveries signed for it."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx
from sqlalchemy import text

from service.metrics import Metrics
from service.preset import load_preset, load_presets
from service.receiving.app import create_app
from service.receiving.endpoint import Endpoint, compile_endpoint
from service.receiving.serving import serve_http
from service.settings import ReceiveSettings, SourceSettings
from service.signing.new_keys import Keys, new_keys
from service.signing.sign import Outgoing, sign
from service.store import Store

DIGEST_KEY = b"k" * 32
SECONDS = 30  # what a test waits for at most
_numbers = itertools.count(1)


class Clock:
    """Tells the time it was set to, and runs on from there."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class StoppedClock:
    """Always tells the same time."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Source:
    """A source of the tests: a preset with keys of its own, and its settings."""

    preset: str = "standard_webhooks"
    settings: Mapping[str, Any] = field(default_factory=dict)
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = new_keys(load_preset(self.preset))

    def delivery(
        self,
        body: bytes | str | Any = None,
        *,
        key: str = "",
        event_type: str = "",
        now: float | None = None,
        **more: Any,
    ) -> Outgoing:
        """A signed delivery: the preset's sample, or this body (as JSON unless it is bytes)."""
        sample = load_preset(self.preset).sample
        raw = sample.body.encode() if body is None else as_bytes(body)
        return sign(
            load_preset(self.preset),
            self.keys.sender,
            raw,
            now=time.time() if now is None else now,
            event_type=event_type or sample.type,
            delivery_id=key or f"d-{next(_numbers)}",
            **more,
        )

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        """The source compiled as the service does it."""
        more = {"secret": self.keys.receiver, **self.settings}
        settings = SourceSettings(preset=self.preset, **more)
        return compile_endpoint(name, settings, receive, load_presets(), DIGEST_KEY)


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class RunningReceiver:
    """A receiver that answers on `url` while it is entered."""

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        *,
        now: Callable[[], float] = time.time,
        admin_token: str = "",
        **receive: Any,
    ) -> None:
        self.store = store
        self.sources = sources
        self.metrics = Metrics()
        self._settings = ReceiveSettings(port=0, **receive)
        endpoints = {n: s.endpoint(n, self._settings) for n, s in sources.items()}
        self.app = create_app(endpoints, self._settings, store, self.metrics, admin_token, now)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def started(url: str) -> None:
            self.url = url
            self._started.set()

        await serve_http(self.app, self._settings, self._stop, started)

    def __enter__(self) -> "RunningReceiver":
        self._thread.start()
        assert self._started.wait(SECONDS), "the receiver did not start"
        self.client = httpx.Client(base_url=self.url, timeout=SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.client.close()
        self._begin_to_stop()
        self._thread.join(SECONDS)

    def _begin_to_stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        with suppress(RuntimeError):  # it has stopped already
            self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        """Begin to stop, as at a signal; back once no new connection is taken."""
        self._begin_to_stop()
        until(lambda: not self._takes_connections())

    def _takes_connections(self) -> bool:
        try:
            socket.create_connection(self.address, timeout=SECONDS).close()
        except ConnectionError:
            return False
        return True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def send(self, name: str, outgoing: Outgoing | None = None, **more: Any) -> httpx.Response:
        """Send a delivery (by default a fresh good one) to the source `name`."""
        made = outgoing or self.sources[name].delivery()
        arguments = {"headers": made.headers, "content": made.body, **more}
        return self.client.request(made.method, f"/v1/webhooks/{name}", **arguments)

    def raw(self, data: bytes, *, close_sending: bool = False) -> bytes:
        """Send bytes as they are; what comes back until the receiver closes or has answered."""
        with socket.create_connection(self.address, timeout=SECONDS) as connection:
            try:
                connection.sendall(data)
                if close_sending:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it closed before it had read everything: its answer may still be here
            return read_answer(connection)

    def metric(self, name: str, **labels: str) -> float:
        """A counter's value, 0 where it was never counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def rows(self, table: str) -> list[Any]:
        """All rows of a table, oldest first."""
        return rows(self.store, table)


def rows(store: Store, table: str, order: str = "id") -> list[Any]:
    """All rows of a table."""
    with store.read() as connection:
        return list(connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}")).all())


def wire(outgoing: Outgoing, *lines: str) -> bytes:
    """The delivery with these lines in its head, as it goes over the wire."""
    named = [f"{name}: {value}" for name, value in outgoing.headers]
    head = ["POST /v1/webhooks/a HTTP/1.1", "host: here", *lines, *named]
    head.append(f"content-length: {len(outgoing.body)}")
    return "\r\n".join([*head, "", ""]).encode() + outgoing.body


def read_answer(connection: socket.socket) -> bytes:
    """One HTTP answer with its body, or what came before the connection ended."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
            head, gap, body = data.partition(b"\r\n\r\n")
            if gap and head.startswith(b"HTTP/1.1 100"):
                data = body
            elif gap and len(body) >= content_length(head):
                return data
    except ConnectionResetError:
        pass
    return data


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def status_of(answer: bytes) -> int:
    """The status of a raw answer; 0 where there was none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Poll a condition until it holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (held := condition()):
        assert time.monotonic() < deadline, "the condition did not come to hold"
        pause.wait(0.01)
    return held


@contextmanager
def receiving(
    store: Store, sources: Mapping[str, Source], **more: Any
) -> Iterator[RunningReceiver]:
    """A running receiver of these sources."""
    with RunningReceiver(store, sources, **more) as running:
        yield running
