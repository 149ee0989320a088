"""Fake providers over real HTTP: one uvicorn on loopback, each fake under a path of its own."""

import asyncio
import json
import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import uvicorn

LOOPBACK = ["127.0.0.1/32"]


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    method: str
    path: str
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def parts(self) -> list[str]:
        """The path's segments, percent-decoded one by one."""
        return [unquote(part) for part in self.raw_path.strip("/").split("/")]


@dataclass(frozen=True)
class Answer:
    """What to answer; `hang` performs the call and then never answers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


class FakeServer:
    """Answers calls, counts them, and gives planned answers first."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[Answer] = []
        self.planned: deque[Answer] = deque()
        self.planned_writes: deque[Answer | None] = deque()
        self.hang_after_next = False
        self.before_write: Callable[[], None] | None = None
        self.url = ""

    def answer(self, call: Call) -> Answer:
        raise NotImplementedError

    def plan(self, *answers: Answer) -> None:
        """Give these answers to the next calls instead of performing them."""
        self.planned.extend(answers)

    def answer_writes(self, *answers: Answer | None) -> None:
        """Give these answers to the next calls that are no GET; None performs one."""
        self.planned_writes.extend(answers)

    def receive(self, call: Call) -> Answer:
        self.calls.append(call)
        self.answers.append(self._answer(call))
        return self.answers[-1]

    def _answer(self, call: Call) -> Answer:
        if self.planned:
            return self.planned.popleft()
        if call.method != "GET" and self.planned_writes:
            planned = self.planned_writes.popleft()
            if planned is not None:
                return planned
        if call.method != "GET" and self.before_write is not None:
            hook, self.before_write = self.before_write, None
            hook()
        answer = self.answer(call)
        if self.hang_after_next and call.method != "GET":
            self.hang_after_next = False
            return Answer(hang=True)
        return answer

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)


class LocalHost:
    """The one server; `add` gives a fake its URL."""

    def __init__(self) -> None:
        self._fakes: dict[str, FakeServer] = {}
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()

    def add(self, fake: FakeServer) -> str:
        prefix = uuid.uuid4().hex[:8]
        self._fakes[prefix] = fake
        fake.url = f"http://127.0.0.1:{self.port}/{prefix}"
        return fake.url

    def close(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(5)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        raw = scope["raw_path"].decode().partition("?")[0].lstrip("/")
        prefix, _, rest = raw.partition("/")
        call = Call(
            scope["method"],
            unquote(f"/{rest}"),
            f"/{rest}",
            dict(parse_qsl(scope["query_string"].decode())),
            {k.decode(): v.decode("latin-1") for k, v in scope["headers"]},
            body,
        )
        answer = self._fakes[prefix].receive(call)
        if answer.hang:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await respond(send, answer)


async def respond(send: Any, answer: Answer) -> None:
    headers = dict(answer.headers)
    content = b""
    if isinstance(answer.body, bytes):
        content = answer.body
    elif answer.body is not None:
        content = json.dumps(answer.body).encode()
        headers.setdefault("content-type", "application/json")
    headers["content-length"] = str(len(content))
    pairs = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})


def run(awaitable: Any) -> Any:
    """Run one coroutine to its end."""
    return asyncio.run(awaitable)
