"""What uvicorn leaves open: heads that never end, half-closed clients, wishes to upgrade; and the
way of whole deliveries, past ASGI."""

import asyncio
from collections.abc import Callable, Sized
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.receiving.answers import NO_CONTENT, Answer, Send, respond
from service.receiving.incoming import PREFIX, Scope
from service.receiving.outbox import Answers, Outbox

MAX_IDLE_BYTES = 64 * 1024
MAX_PIPELINED = 1_000  # requests of one connection that wait for the one before them

# What takes a whole delivery: its ASGI scope, its body, and who gets the answer.
Taker = Callable[[Scope, bytes, Callable[[Answer], object]], None]


class Reading(FlowControl):
    """Reads on only when no request waits for the one before it.

    uvicorn reads on after each answer: who sends without ever reading would fill the memory, and
    who ends after half a request would not be answered to the whole one before it.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read, if all that was read is under way."""
        if not self._waiting:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """Bounds what a client may send that neither ends a head nor lengthens a body: heads, trailers
    and chunk extensions, in size and in time. Answers a client that has closed its side. Declines
    every upgrade (Java's client asks for HTTP/2 by default) and reads the request as it is.

    Deliveries that came whole, as nearly all do, go straight to `take`, and their answers straight
    out; all else goes by ASGI. Nothing is timed per request: `sweep` looks at all connections now
    and then.
    """

    idle_bytes = 0
    due_since: float | None = None
    answers: Answers
    is_parsing = False
    begun: Any = None  # the delivery that began in what is being parsed
    running: Any = None  # the request that is being answered; others wait for it
    is_over = False  # whatever comes now is part of no request

    def __init__(
        self, *arguments: Any, outbox: Outbox, take: Taker | None = None, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self.outbox = outbox
        self.take = take

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self.flow = Reading(transport, self.pipeline)
        self.answers = Answers(transport, self.outbox, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection; requests that still wait for the one before them never begin."""
        super().connection_lost(exc)
        for waiting, _ in self.pipeline:
            forget(waiting)
        self.pipeline.clear()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Answer the next request: by ASGI, unless it is a delivery and may be whole."""
        self.running = cycle
        cycle.transport = self.answers
        is_delivery = cycle.scope["path"].startswith(PREFIX)
        if self.take is None or not is_delivery or cycle.waiting_for_100_continue:
            super()._start_asgi_task(cycle, app)
        elif self.is_parsing:
            self.begun = cycle
        else:  # it waited for the answer to the one before it, whose end this is
            self.loop.call_soon(self._deliver, cycle, self.take)

    def _deliver(self, cycle: Any, take: Taker) -> None:
        if cycle.more_body:
            super()._start_asgi_task(cycle, self.app)
            return
        body, cycle.body = bytes(cycle.body), bytearray()
        take(cycle.scope, body, partial(self._answer, cycle))

    def _answer(self, cycle: Any, answer: Answer) -> None:
        if (
            not cycle.keep_alive
            or answer.headers
            or self.flow.write_paused
            or cycle.scope["method"] == "HEAD"
        ):
            super()._start_asgi_task(cycle, partial(by_asgi, answer))
            return
        forget(cycle)
        if cycle.disconnected:
            return
        try:
            self.answers.write(b"".join(pieces_of(answer, cycle.default_headers)))
        except Exception:
            self.transport.abort()
            raise
        cycle.response_started = cycle.response_complete = True
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or end after the answers to whole requests before it."""
        if self._ends_after_an_answer():
            self.flow.pause_reading()
        else:
            super().send_400_response(msg)

    def _ends_after_an_answer(self) -> bool:
        """Whether a whole request waits for its answer: then it is the last one of this line."""
        self.answers.flush()
        if self.pipeline and self.cycle.more_body:  # a part of a request waits behind whole ones
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self.running
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        self.is_over = True
        return True

    def shutdown(self) -> None:
        """Stop once what is under way is answered."""
        self.answers.flush()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, in pieces small enough that a head of many headers is cut off soon."""
        if len(data) <= MAX_IDLE_BYTES:
            self._feed(data)
            return
        for start in range(0, len(data), MAX_IDLE_BYTES):
            if self.transport.is_closing():
                return
            self._feed(data[start : start + MAX_IDLE_BYTES])

    def _feed(self, data: bytes) -> None:
        if self.is_over:
            return
        before = self.cycle
        body_bytes = len(before.body) if before is not None else 0
        self._parse(data)
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()
            return
        cycle = self.cycle
        if cycle is not before or (cycle is not None and len(cycle.body) > body_bytes):
            self.idle_bytes, self.due_since = 0, None
            return
        self.idle_bytes += len(data)
        if self.idle_bytes > MAX_IDLE_BYTES and not self.transport.is_closing():
            self.send_400_response(
                f"The head or the trailers of a request are over {MAX_IDLE_BYTES} bytes."
            )

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self.is_parsing = True
        try:
            while data:
                data = self._parse_on(data)
        finally:
            self.is_parsing = False
        begun, self.begun = self.begun, None
        if begun is not None and self.take is not None:
            self._deliver(begun, self.take)

    def _parse_on(self, data: bytes) -> bytes:
        """Parse up to a wish to upgrade; what is left to parse, without the wish."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                return self._declined(data[upgrade.args[0] :])
        return b""

    def _should_upgrade(self) -> bool:
        """Whether a head asks for another protocol: then uvicorn begins no request for it.

        CONNECT counts as an upgrade without asking for one.
        """
        return any(name == b"upgrade" for name, _ in self.headers)

    def _declined(self, rest: bytes) -> bytes:
        """The head again without its wish: the parser takes what follows one for no body."""
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"".join([*head, b"\r\n", rest])

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that closed its sending side after whole requests still gets their answers."""
        return True if self._ends_after_an_answer() and self.scheme != "https" else None

    def check(self, now: float, allowed_seconds: float) -> None:
        """Close a connection on which a request, or the first of its body, is due for too long.

        A body that has begun is timed, and answered with 408, by the receive path.
        """
        cycle = self.cycle
        head_due = cycle is None or (cycle.response_complete and not self.timeout_keep_alive_task)
        body_due = cycle is not None and not cycle.response_complete and cycle.more_body
        if not head_due and not body_due:
            self.due_since = None
        elif self.due_since is None:
            self.due_since = now
        elif now - self.due_since > allowed_seconds and not self.transport.is_closing():
            self.transport.abort()


def forget(cycle: Any) -> None:
    """Let a request's connection go: they hold each other, and collections are rare."""
    cycle.on_response = None


async def by_asgi(answer: Answer, _scope: Any, _receive: Any, send: Send) -> None:
    """The ASGI application that gives this answer."""
    await respond(send, answer)


def pieces_of(answer: Answer, headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """An answer as HTTP/1.1, with these headers before those of its body, if it has one."""
    pieces = [STATUS_LINE[answer.status]]
    for name, value in headers:
        pieces += (name, b": ", value, b"\r\n")
    if answer.status == NO_CONTENT:
        pieces.append(b"\r\n")
        return pieces
    own = (answer.content_type.encode(), len(answer.body))
    pieces += (b"content-type: %b\r\ncontent-length: %d\r\n\r\n" % own, answer.body)
    return pieces


async def sweep(connections: set[Any], allowed_seconds: float) -> None:
    """Check all connections a few times within `allowed_seconds`, while the server runs."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(allowed_seconds / 4)
        now = loop.time()
        for connection in list(connections):
            connection.check(now, allowed_seconds)
