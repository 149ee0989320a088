"""Where messages arrive: answers 200 to everything and keeps what came."""

from typing import Any

from tests.servers.asgi import Answer, Call, FakeServer


class MessageServer(FakeServer):
    def __init__(self, status: int = 200, body: Any = b"ok") -> None:
        super().__init__()
        self.reply = Answer(status, body)

    def answer(self, call: Call) -> Answer:
        return self.reply
