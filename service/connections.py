"""What uvicorn leaves open about connections: heads that never end, and half-closed clients."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 2 * 1024 * 1024  # checked each time data arrives, so a little more gets through


class GuardedProtocol(HttpToolsProtocol):
    """Bounds a request's head in size and in time, and answers a client that has closed its side.

    Nothing is timed per request: `sweep` looks at all connections now and then.
    """

    head_bytes = 0
    due_since: float | None = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless what it was fed is still no whole head."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or not (before is None or before.response_complete):
            self.head_bytes, self.due_since = 0, None
            return
        self.head_bytes += len(data)
        if self.head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request is limited to {MAX_HEAD_BYTES} bytes.")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that closed its sending side after a whole request still gets its answer."""
        cycle = self.cycle
        waits = cycle is not None and not cycle.response_complete and not cycle.more_body
        if not waits or self.scheme == "https":
            return None
        cycle.keep_alive = False
        return True

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


async def sweep(connections: set[Any], allowed_seconds: float) -> None:
    """Check all connections a few times within `allowed_seconds`, while the server runs."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(allowed_seconds / 4)
        now = loop.time()
        for connection in list(connections):
            connection.check(now, allowed_seconds)
