"""The receive path: one ASGI application, mounted at /v1/webhooks.

The order of the checks is the product's promise to the provider and to whoever runs it; each may
only refuse. Nothing is answered with 2xx before the commit that holds the delivery is on disk.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import structlog

from service.acks import AckTimes
from service.confirming import confirmation, enqueue_each
from service.endpoint import Endpoint
from service.errors import NotStorable, StoreUnavailable
from service.handshake import Reply
from service.intake import Arrival, Receipt, store_arrivals
from service.limits import RateLimit
from service.metrics import Metrics
from service.pairing_watch import PairingWatch
from service.quarantine import QuarantineBuffer
from service.refusals import UNKNOWN_SOURCE, RefusalCounter
from service.request import IntakeError, KeyMissing, Refused, Request, Unfit, Unparsable
from service.settings import ReceiveSettings
from service.store import Store
from service.verify import Verified

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/v1/webhooks/"
JSON = "application/json"
RETRY_SECONDS = 5
# Refused with the body unread: the connection is closed rather than read to a stranger's end.
BEFORE_THE_BODY = {
    "unknown_source",
    "unknown_path",
    "body_too_large",
    "body_timeout",
    "address_not_allowed",
    "address_rate",
}
KEY_FETCH_SECONDS = 5
SWALLOW_BYTES = 65_536
SWALLOW_SECONDS = 0.25

log = structlog.get_logger("hooksift.receive")


class Answer(NamedTuple):
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


class Receiver:
    """Answers webhook requests. One for each process; all it shares is the store."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        settings: ReceiveSettings,
        store: Store,
        metrics: Metrics,
        refusals: RefusalCounter,
        acks: AckTimes,
        quarantine: QuarantineBuffer,
        now: Callable[[], float] = time.time,
        watch: PairingWatch | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._watch = watch
        self._body_timeout = settings.body_timeout_seconds
        self._proxies = [ip_network(text, strict=False) for text in settings.trusted_proxies]
        self._store = store
        self._metrics = metrics
        self._refusals = refusals
        self._acks = acks
        self._quarantine = quarantine
        self._now = now
        per_second = settings.unverified_per_minute / 60
        self._strangers = RateLimit(per_second, settings.unverified_per_minute)
        self._fast = {name: FastMetrics(metrics, name) for name in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Never raises for what was sent; a stranger's worst is a 4xx."""
        started = time.perf_counter()
        source, _, rest = path_of(scope).partition("/")
        address = self._address(scope)
        endpoint = self._endpoints.get(source)
        try:
            answer = await self._answer(endpoint, scope, receive, source, rest, address)
        except Turned as turned:
            if turned.reason in BEFORE_THE_BODY - {"body_timeout"} and is_small(scope):
                await swallow(receive)
            answer = self._refuse(endpoint, turned, address)
        except (Unparsable, Unfit) as bad:
            answer = self._refuse(endpoint, Turned(400, bad.reason, bad.message), address)
        except StoreUnavailable as error:
            log.warning("not_stored", source=source, reason=str(error))
            later = unavailable("store_unavailable", "cannot store now; send it again")
            answer = self._refuse(endpoint, later, address)
        except ClientGone:
            return
        await respond(send, answer)
        if endpoint is not None and answer.status < 300:
            seconds = time.perf_counter() - started
            self._fast[source].ack_seconds(seconds)
            self._acks.add(source, seconds)

    async def _answer(
        self,
        endpoint: Endpoint | None,
        scope: Scope,
        receive: Receive,
        source: str,
        rest: str,
        address: str,
    ) -> Answer:
        if endpoint is None:
            raise Turned(404, "unknown_source", f"no source {source[:100]!r} here")
        if rest and not endpoint.secret_in_path:
            raise Turned(404, "unknown_path", "nothing below this source")
        request = Request(scope["method"], public_url(scope, endpoint), headers_of(scope), b"")
        self._check_sender(endpoint, request, address)
        request.body = await self._body(endpoint, request, receive)
        pairing = self._watch is not None and source in self._watch.open
        reply = endpoint.reader.handshakes.unsigned(request, pairing=pairing)
        if reply is not None:
            await self._pair(endpoint, reply, address)
            return self._handshake(endpoint, reply)
        if request.method not in endpoint.methods:
            allow = ", ".join(sorted(endpoint.methods))
            message = f"{request.method[:20]}; this source takes {allow}"
            raise Turned(405, "method_not_allowed", message, allow=allow)
        try:
            verified = await self._verify(endpoint, request)
            return await self._take(endpoint, request, verified, address)
        except (Turned, IntakeError) as refused:
            at = int(self._now() * 1_000_000)
            self._quarantine.keep(endpoint, request, refused.reason, address, at)
            raise

    def _check_sender(self, endpoint: Endpoint, request: Request, address: str) -> None:
        length = request.header("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > endpoint.max_body_bytes:
            raise too_large(endpoint)
        if not endpoint.allows(address):
            raise Turned(403, "address_not_allowed", "your address is not on this source's list")
        now = time.monotonic()
        if self._strangers.left(address, now) < 1:
            wait = self._strangers.wait_seconds(address, now)
            raise Turned(429, "address_rate", "too many refused deliveries from you", wait)

    async def _body(self, endpoint: Endpoint, request: Request, receive: Receive) -> bytes:
        message = await self._next_message(receive)
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > endpoint.max_body_bytes:
                raise too_large(endpoint)
            return body
        chunks, size = [body], len(body)
        try:
            async with asyncio.timeout(self._body_timeout):
                while message.get("more_body"):
                    if size > endpoint.max_body_bytes:
                        raise too_large(endpoint)
                    message = await self._next_message(receive)
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
        except TimeoutError:
            raise Turned(
                408, "body_timeout", f"the body did not arrive within {self._body_timeout:g} s"
            ) from None
        if size > endpoint.max_body_bytes:
            raise too_large(endpoint)
        return b"".join(chunks)

    async def _next_message(self, receive: Receive) -> MutableMapping[str, Any]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def _verify(self, endpoint: Endpoint, request: Request) -> Verified:
        try:
            try:
                return endpoint.reader.verify(request, self._now())
            except KeyMissing as missing:
                async with asyncio.timeout(KEY_FETCH_SECONDS):
                    await missing.load()
                return endpoint.reader.verify(request, self._now())
        except TimeoutError:
            raise unavailable("key_unavailable", "the signing key cannot be fetched now") from None
        except Refused as refused:
            if refused.reason == "key_unavailable":
                raise unavailable(refused.reason, refused.message) from None
            status = endpoint.preset.ack.refused_status
            raise Turned(status, refused.reason, refused.message) from None

    async def _take(
        self, endpoint: Endpoint, request: Request, verified: Verified, address: str
    ) -> Answer:
        fast = self._fast[endpoint.source]
        fast.secret_matched(verified.secret_index)
        payload = endpoint.parse(request)
        reply = endpoint.reader.handshakes.signed(request, payload, verified.secret_index)
        if reply is not None:
            await self._confirm_later(endpoint, reply)
            return self._handshake(endpoint, reply)
        limit = endpoint.rate_limit
        if limit is not None and not limit.take("", time.monotonic()):
            wait = limit.wait_seconds("", time.monotonic())
            status = endpoint.preset.ack.overload_status
            raise Turned(status, "source_rate", "more deliveries than this source takes", wait)
        if endpoint.schemas is not None:
            endpoint.schemas.check(request, payload)
        received_at = int(self._now() * 1_000_000)
        arrival = endpoint.arrival(
            request, payload, verified, self._store.new_ids, received_at, address
        )
        receipt = await self._commit(arrival)
        return self._acknowledge(endpoint, arrival, receipt)

    async def _commit(self, arrival: Arrival) -> Receipt:
        try:
            receipt: Receipt = await self._store.write(store_arrivals, arrival, arrival.size_bytes)
        except NotStorable as error:
            log.warning("not_storable", source=arrival.source, reason=str(error))
            raise Turned(400, "not_storable", "the database cannot hold this delivery") from None
        return receipt

    def _acknowledge(self, endpoint: Endpoint, arrival: Arrival, receipt: Receipt) -> Answer:
        ack = endpoint.preset.ack
        status = "duplicate" if receipt.duplicate else "accepted"
        self._fast[endpoint.source].received(status)
        log.info(
            status,
            source=arrival.source,
            id=receipt.delivery_id,
            events=receipt.event_count,
            bytes=len(arrival.body),
        )
        code = ack.duplicate_status if receipt.duplicate else ack.status
        if ack.body is not None:
            return Answer(code, ack.body.encode(), ack.content_type)
        body = (
            f'{{"id":"{receipt.delivery_id}","status":"{status}","events":{receipt.event_count}}}'
        )
        return Answer(code, body.encode())

    async def _pair(self, endpoint: Endpoint, reply: Reply, address: str) -> None:
        """Keep the secret that came in-band. One secret for each opening: others are refused."""
        secret = reply.pairing_secret
        if secret is None or self._watch is None:
            return
        if not await self._watch.take(endpoint.source, secret, address):
            status = endpoint.preset.ack.refused_status
            raise Turned(status, "already_paired", "another secret came first, or it is too late")

    async def _confirm_later(self, endpoint: Endpoint, reply: Reply) -> None:
        """What must be fetched becomes durable work before anybody is answered."""
        if reply.confirm_url is not None:
            at = datetime.fromtimestamp(self._now(), UTC)
            work = confirmation(self._store, endpoint.source, reply.confirm_url, at)
            await self._store.write(enqueue_each, work)

    def _handshake(self, endpoint: Endpoint, reply: Reply) -> Answer:
        self._fast[endpoint.source].received("handshake")
        log.info("handshake", source=endpoint.source, status=reply.status)
        headers = tuple((n.encode(), v.encode("latin-1", "replace")) for n, v in reply.headers)
        return Answer(reply.status, reply.body.encode(), reply.content_type, headers)

    def _refuse(self, endpoint: Endpoint | None, turned: Turned, address: str) -> Answer:
        source = endpoint.source if endpoint else UNKNOWN_SOURCE
        self._refusals.count(source, turned.reason, address, int(self._now() * 1_000_000))
        self._metrics.refused.labels(source, turned.reason).inc()
        if turned.status < 500 and turned.reason not in ("source_rate", "address_rate"):
            self._strangers.take(address, time.monotonic())
        return refusal_answer(turned)

    def _address(self, scope: Scope) -> str:
        """The caller's address: the last one in X-Forwarded-For that no trusted proxy added."""
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if not self._proxies or not self._trusts(address):
            return address
        forwarded = [v for n, v in scope["headers"] if n == b"x-forwarded-for"]
        hops = b",".join(forwarded).decode("latin-1").split(",")
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            if not self._trusts(hop):
                return hop[:64]
        return address

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


class ClientGone(Exception):  # noqa: N818 - an outcome, not a fault
    """The caller hung up before the whole body was here: there is nobody to answer."""


class FastMetrics:
    """One source's counters with their labels looked up once."""

    def __init__(self, metrics: Metrics, source: str) -> None:
        statuses = ("accepted", "duplicate", "handshake")
        self._received = {s: metrics.received.labels(source, s) for s in statuses}
        self._matches = metrics.secret_matches
        self._matched: dict[int, Any] = {}
        self._source = source
        self.ack_seconds = metrics.ack_seconds.labels(source).observe

    def received(self, status: str) -> None:
        """One more verified delivery."""
        self._received[status].inc()

    def secret_matched(self, index: int) -> None:
        """Which of several secrets still matches."""
        child = self._matched.get(index)
        if child is None:
            child = self._matches.labels(self._source, str(index)) if index >= 0 else None
            self._matched[index] = child
        if child is not None:
            child.inc()


def path_of(scope: Scope) -> str:
    """What follows /v1/webhooks/ in the path, as sent."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if path.startswith(PREFIX):
        return path[len(PREFIX) :]
    return path[len(root) :].lstrip("/") if root and path.startswith(root) else path.lstrip("/")


def public_url(scope: Scope, endpoint: Endpoint) -> str:
    """The URL as the provider knows it: configured, or the path alone; the query as sent."""
    query = scope["query_string"]
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    base = endpoint.public_url or raw.decode("latin-1")
    if endpoint.public_url and endpoint.secret_in_path:
        base += f"/{raw.decode('latin-1').rpartition('/')[2]}"
    return f"{base}?{query.decode('latin-1')}" if query else base


def headers_of(scope: Scope) -> Sequence[tuple[str, str]]:
    """Names in lower case, values as Latin-1."""
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]


def too_large(endpoint: Endpoint) -> Turned:
    """413 with the limit."""
    return Turned(413, "body_too_large", f"the body is over {endpoint.max_body_bytes} bytes")


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


async def respond(send: Send, answer: Answer) -> None:
    """Send an answer in two messages."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type.encode()),
                (b"content-length", b"%d" % len(answer.body)),
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
