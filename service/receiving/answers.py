"""What the receive path says back, and how it turns a request away."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"
RETRY_SECONDS = 5
NO_CONTENT = 204  # has no body, which would be read as the next answer, and no length
# Refused with the body unread: the connection is closed rather than read to a stranger's end.
BEFORE_THE_BODY = frozenset(
    {
        "unknown_source",
        "unknown_path",
        "body_too_large",
        "body_timeout",
        "bodies_too_many",
        "address_not_allowed",
        "address_rate",
    }
)


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, ready to send."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Turned(Exception):  # noqa: N818 - an outcome, not a fault
    """The request goes no further: refused for `reason`, answered with `status`."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.allow = allow


def too_large(max_bytes: int) -> Turned:
    """413 with the limit."""
    return Turned(413, "body_too_large", f"the body is over {max_bytes} bytes")


def unavailable(reason: str, message: str) -> Turned:
    """503 with Retry-After: nothing is wrong with the delivery."""
    return Turned(503, reason, message, RETRY_SECONDS)


def refusal_answer(turned: Turned) -> Answer:
    """The answer that says what is wrong, and when to come back if that helps."""
    words = {"status": "refused", "reason": turned.reason, "message": turned.message}
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if turned.retry_after is not None:
        headers = ((b"retry-after", b"%d" % max(1, round(turned.retry_after + 0.5))),)
    if turned.allow:
        headers = (*headers, (b"allow", turned.allow.encode()))
    if turned.reason in BEFORE_THE_BODY:
        headers = (*headers, (b"connection", b"close"))
    return Answer(turned.status, json.dumps(words).encode(), JSON, headers)


async def respond(send: Send, answer: Answer) -> None:
    """Send an answer in two messages."""
    headers = [*answer.headers]
    if answer.status != NO_CONTENT:
        length = b"%d" % len(answer.body)
        headers += (b"content-type", answer.content_type.encode()), (b"content-length", length)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
