"""What comes in over ASGI: the path, the headers and the body, bounded in size, time and memory."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import quote

from service.receiving.answers import Turned, too_large, unavailable
from service.receiving.endpoint import Endpoint
from service.receiving.limits import HeldBytes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

PREFIX = "/v1/webhooks/"
SWALLOW_BYTES = 65_536
SWALLOW_SECONDS = 0.25


class ClientGone(Exception):  # noqa: N818 - an outcome, not a fault
    """The caller hung up before the whole body was here: there is nobody to answer."""


class BodyReader:
    """Reads bodies, within `timeout_seconds` each; those that come in pieces share `held`."""

    def __init__(self, timeout_seconds: float, held: HeldBytes) -> None:
        self._timeout_seconds = timeout_seconds
        self._held = held

    async def read(self, receive: Receive, max_bytes: int, sender: str) -> bytes:
        """The whole body. Raises Turned (413, 408, 503) or ClientGone."""
        message = await receive()
        body = piece_of(message)
        if message.get("more_body"):
            return await self._rest(receive, body, max_bytes, sender)
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body

    async def _rest(self, receive: Receive, chunk: bytes, max_bytes: int, sender: str) -> bytes:
        chunks, size, more = [chunk], len(chunk), True
        with self._held.share(sender) as share:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    while more:
                        if size > max_bytes:
                            raise too_large(max_bytes)
                        if not share.grow_to(size):
                            raise unavailable("bodies_too_many", "too many bodies are under way")
                        message = await receive()
                        chunks.append(piece_of(message))
                        size += len(chunks[-1])
                        more = message.get("more_body", False)
            except TimeoutError:
                late = f"the body did not arrive within {self._timeout_seconds:g} s"
                raise Turned(408, "body_timeout", late) from None
            if size > max_bytes:
                raise too_large(max_bytes)
            return b"".join(chunks)


def piece_of(message: MutableMapping[str, Any]) -> bytes:
    """The piece of a body that a message brings. Raises ClientGone."""
    if message["type"] == "http.disconnect":
        raise ClientGone
    piece: bytes = message.get("body", b"")
    return piece


def path_of(scope: Scope) -> str:
    """What follows /v1/webhooks/ in the path, with percent escapes undone."""
    path: str = scope["path"]
    return path[len(PREFIX) :]


def public_url(scope: Scope, endpoint: Endpoint, rest: str) -> str:
    """The URL as the provider knows it: configured, or the path alone; the query as sent.

    Where a secret is in the path, all that follows the source becomes one segment, so that none of
    it escapes being concealed.
    """
    query = scope["query_string"]
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if endpoint.secret_in_path:
        base = f"{endpoint.public_url or PREFIX + endpoint.source}/{quote(rest, safe='')}"
    else:
        base = endpoint.public_url or raw.decode("latin-1")
    return f"{base}?{query.decode('latin-1')}" if query else base


def headers_of(scope: Scope) -> Sequence[tuple[str, str]]:
    """Names in lower case, values as Latin-1."""
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]


def is_small(scope: Scope) -> bool:
    """Whether the request tells of a small body that is already on its way."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    return (
        b"expect" not in headers
        and len(length) < 6
        and (not length or int(length) <= SWALLOW_BYTES)
    )


async def swallow(receive: Receive) -> None:
    """Read a small body that nobody wants: closing on unread bytes would reset the connection,
    and the caller might never see the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SWALLOW_SECONDS):
            while size < SWALLOW_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
