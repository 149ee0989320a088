"""How answers leave: whole, and those of one turn of the event loop one after the other."""

import asyncio

import structlog

MAX_HELD_BYTES = 64 * 1024  # of one connection that wait for the end of the turn
log = structlog.get_logger("hooksift.outbox")


class Outbox:
    """Answers that are ready in one turn of the event loop, sent one after the other at its end.

    Sending runs thousands of instructions of the kernel: in a row they are found in the processor's
    cache, and between two requests' own code they were not.
    """

    def __init__(self) -> None:
        self._waiting: list[Answers] = []

    def add(self, answers: "Answers", loop: asyncio.AbstractEventLoop) -> None:
        """Send what these hold once this turn is over."""
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(answers)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for answers in waiting:
            answers.flush()


class Answers:
    """A connection's way out: head and body, which ASGI asks for apart, leave in one piece."""

    __slots__ = ("_held_bytes", "_loop", "_outbox", "_parts", "_transport", "is_closing")

    def __init__(
        self, transport: asyncio.Transport, outbox: Outbox, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._outbox = outbox
        self._loop = loop
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn; many at once, so that the transport can say stop."""
        if not self._parts:
            self._outbox.add(self, self._loop)
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send now, if anybody is still there; never raises, as others' answers are due too."""
        parts, self._parts, self._held_bytes = self._parts, [], 0
        if parts and not self.is_closing():
            try:
                self._transport.write(b"".join(parts))
            except Exception as error:  # noqa: BLE001 - whatever it is, this connection is over
                log.error("not_answered", reason=type(error).__name__)  # noqa: TRY400 - no values
                self._transport.abort()

    def close(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        self._transport.close()
