"""Connections of a server, without a network."""

import asyncio
from typing import Any

import uvicorn
from servers.receiver import status_of
from servers.transports import Sent
from uvicorn.server import ServerState

from service.receiving.connections import GuardedProtocol, Taker
from service.receiving.outbox import Outbox


class Line:
    """One connection of a server that runs this application, and takes whole deliveries so."""

    def __init__(
        self,
        app: Any,
        take: Taker | None = None,
        outbox: Outbox | None = None,
        *,
        is_broken: bool = False,
    ) -> None:
        self.sent = Sent(is_broken=is_broken)
        config = uvicorn.Config(app, log_config=None, access_log=False)
        config.load()
        self.protocol = GuardedProtocol(
            config=config,
            server_state=ServerState(),
            app_state={},
            outbox=outbox or Outbox(),
            take=take,
        )
        self.protocol.connection_made(self.sent)

    @property
    def statuses(self) -> list[int]:
        """Those of the answers that have left."""
        answers = b"".join(self.sent.pieces).split(b"HTTP/1.1 ")[1:]
        return [status_of(b"HTTP/1.1 " + answer) for answer in answers]


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that is not asked."""


async def a_few_turns() -> None:
    """Let what is ready on this event loop happen."""
    for _ in range(5):
        await asyncio.sleep(0)
