"""The receive path: one ASGI application, mounted at /v1/webhooks.

The order of the checks is the product's promise to the provider and to whoever runs it; each may
only refuse. Nothing is answered with 2xx before the commit that holds the delivery is on disk.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_network
from typing import Any

import structlog

from service.metrics import Metrics, SourceMetrics
from service.receiving.acks import AckTimes
from service.receiving.addresses import counted_by, sender_of
from service.receiving.answers import (
    BEFORE_THE_BODY,
    NO_CONTENT,
    Answer,
    Send,
    Turned,
    respond,
    too_large,
)
from service.receiving.batching import Batching
from service.receiving.call import Call
from service.receiving.confirming import confirmation, enqueue_each
from service.receiving.endpoint import Endpoint
from service.receiving.handshake import Reply
from service.receiving.incoming import (
    BodyReader,
    ClientGone,
    Receive,
    Scope,
    headers_of,
    is_small,
    path_of,
    public_url,
    swallow,
)
from service.receiving.limits import HeldBytes
from service.receiving.pairing_watch import PairingWatch
from service.receiving.quarantine import QuarantineBuffer
from service.receiving.refusals import RefusalCounter
from service.receiving.refuser import Refuser
from service.receiving.request import KeyMissing, Refused, Request
from service.settings import ReceiveSettings
from service.store import Store
from service.store.intake import Receipt

KEY_FETCH_SECONDS = 5
MAX_HELD_BYTES = 256 << 20  # of bodies that are still coming in

log = structlog.get_logger("hooksift.receive")


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
        most = max((e.max_body_bytes for e in endpoints.values()), default=0)
        held = HeldBytes(max(MAX_HELD_BYTES, 4 * most))
        self._bodies = BodyReader(settings.body_timeout_seconds, held)
        self._proxies = [ip_network(text, strict=False) for text in settings.trusted_proxies]
        self._store = store
        self._acks = acks
        self._now = now
        self._refuser = Refuser(metrics, refusals, quarantine, settings.unverified_per_minute, now)
        self._by_source = {name: SourceMetrics(metrics, name) for name in endpoints}
        self._batching = Batching(store, self._by_source, now, self._acknowledge)
        self._tasks: set[asyncio.Task[None]] = set()

    @cached_property
    def _log(self) -> Any:
        """The logger itself: what `get_logger` gives looks it up at each call."""
        return log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request whose body may still be coming. Never raises for what was sent."""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        call = self._call(scope, told.set_result)
        try:
            endpoint = self._begin(call, scope)
            counted = counted_by(call.address)
            body = await self._bodies.read(receive, endpoint.max_body_bytes, counted)
            self._go_on(call, endpoint, body)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - whoever sent it is told
            if is_early(error) and is_small(scope):
                await swallow(receive)
            self._refuser.refuse(call, error)
        try:
            await respond(send, await told)
        finally:
            call.let_go()

    def take(self, scope: Scope, body: bytes, reply: Callable[[Answer], object]) -> None:
        """One whole request; `reply` gets its answer once, now or later. Never raises.

        A coroutine, a task and the messages of ASGI would cost each delivery a sixth more.
        """
        call = self._call(scope, reply)
        try:
            self._go_on(call, self._begin(call, scope), body)
        except Exception as error:  # noqa: BLE001 - whoever sent it is told
            self._refuser.refuse(call, error)

    def _call(self, scope: Scope, reply: Callable[[Answer], object]) -> Call:
        source, _, rest = path_of(scope).partition("/")
        return Call(source, rest, sender_of(scope, self._proxies), reply, self)

    def _begin(self, call: Call, scope: Scope) -> Endpoint:
        """The source of a request, its body unread, whose sender may go on. Raises Turned."""
        endpoint = call.endpoint = self._endpoints.get(call.source)
        if endpoint is None:
            raise Turned(404, "unknown_source", f"no source {call.source[:100]!r} here")
        if call.rest and not endpoint.secret_in_path:
            raise Turned(404, "unknown_path", "nothing below this source")
        url = public_url(scope, endpoint, call.rest)
        request = call.request = Request(scope["method"], url, headers_of(scope), b"")
        length = request.header("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > endpoint.max_body_bytes:
            raise too_large(endpoint.max_body_bytes)
        if not endpoint.allows(call.address):
            raise Turned(403, "address_not_allowed", "your address is not on this source's list")
        self._refuser.check(call.address)
        return endpoint

    def _go_on(self, call: Call, endpoint: Endpoint, body: bytes) -> None:
        """With the whole request: what it asks for is told to the call. Raises Turned."""
        request = call.request
        request.body = body
        if len(body) > endpoint.max_body_bytes:
            raise too_large(endpoint.max_body_bytes)
        pairing = self._watch is not None and endpoint.source in self._watch.open
        reply = endpoint.reader.handshakes.unsigned(request, pairing=pairing)
        if reply is not None:
            self._greet_stranger(call, reply)
        elif request.method in endpoint.methods:
            self._batching.take(endpoint, request, call.address, call)
        else:
            allow = ", ".join(sorted(endpoint.methods))
            message = f"{request.method[:20]}; this source takes {allow}"
            raise Turned(405, "method_not_allowed", message, allow=allow)

    def _greet_stranger(self, call: Call, reply: Reply) -> None:
        """Answer an unsigned handshake: it counts against its address, and only pairing is told."""
        self._refuser.take(call.address)
        if reply.pairing_secret is not None:
            self.greet(call, reply)
        else:
            call.tell(greeting(reply))

    def greet(self, call: Call, reply: Reply) -> None:
        """Answer a handshake, once all that it asks for is on disk."""
        self._start(call, self._shake_hands(call, reply), self._refuser.refuse)

    async def _shake_hands(self, call: Call, reply: Reply) -> None:
        endpoint = call.endpoint
        assert endpoint is not None
        await self._pair(endpoint, reply, call.address)
        await self._confirm_later(endpoint, reply)
        self._by_source[endpoint.source].received("handshake")
        log.info("handshake", source=endpoint.source, status=reply.status)
        call.tell(greeting(reply))

    async def _fetch_key(self, call: Call, missing: KeyMissing) -> None:
        """Fetch the key that a signature needs, then take the request again, once."""
        assert call.endpoint is not None
        try:
            async with asyncio.timeout(KEY_FETCH_SECONDS):
                await missing.load()
        except TimeoutError:
            raise Refused("key_unavailable", "the signing key cannot be fetched now") from None
        self._batching.take(call.endpoint, call.request, call.address, call)

    def _start(
        self,
        call: Call,
        doing: Coroutine[Any, Any, None],
        failed: Callable[[Call, BaseException], None],
    ) -> None:
        """Do for a call what takes a while."""

        async def until_done() -> None:
            try:
                await doing
            except Exception as error:  # noqa: BLE001 - whoever sent it is told
                failed(call, error)

        task = asyncio.get_running_loop().create_task(until_done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, call: Call, error: BaseException) -> None:
        """Say why a whole request is not stored, and keep it where a person may look into it."""
        if isinstance(error, KeyMissing) and not call.has_asked_for_key:
            call.has_asked_for_key = True
            self._start(call, self._fetch_key(call, error), self.fail)
        else:
            self._refuser.refuse(call, error, keep=True)

    async def finish(self) -> None:
        """Wait for handshakes and keys that are under way, but not for long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=KEY_FETCH_SECONDS)

    def accepted(self, source: str, seconds: float) -> None:
        """Count how long a delivery waited for its 2xx."""
        self._acks.add(source, seconds)

    def _acknowledge(self, endpoint: Endpoint, request: Request, receipt: Receipt) -> Answer:
        ack = endpoint.preset.ack
        status = "duplicate" if receipt.duplicate else "accepted"
        self._by_source[endpoint.source].received(status)
        self._log.info(
            status,
            source=endpoint.source,
            id=receipt.delivery_id,
            events=receipt.event_count,
            bytes=len(request.body),
        )
        code = ack.duplicate_status if receipt.duplicate else ack.status
        if code == NO_CONTENT:
            return Answer(code, b"", ack.content_type)
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


def greeting(reply: Reply) -> Answer:
    """The answer to a handshake."""
    headers = tuple((n.encode(), v.encode("latin-1", "replace")) for n, v in reply.headers)
    return Answer(reply.status, reply.body.encode(), reply.content_type, headers)


def is_early(error: Exception) -> bool:
    """Whether the request was turned away with its body unread, and none of it is late."""
    return isinstance(error, Turned) and error.reason in BEFORE_THE_BODY - {"body_timeout"}
