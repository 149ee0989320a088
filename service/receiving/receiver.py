"""The receive path: one ASGI application, mounted at /v1/webhooks.

The order of the checks is the product's promise to the provider and to whoever runs it; each may
only refuse. Nothing is answered with 2xx before the commit that holds the delivery is on disk.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_network
from typing import Any

import structlog

from service.errors import NotStorable, StoreUnavailable
from service.metrics import Metrics, SourceMetrics
from service.receiving.acks import AckTimes
from service.receiving.addresses import counted_by, sender_of
from service.receiving.answers import (
    BEFORE_THE_BODY,
    Answer,
    Send,
    Turned,
    refusal_answer,
    respond,
    too_large,
    unavailable,
)
from service.receiving.batching import Batching
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
from service.receiving.limits import HeldBytes, RateLimit
from service.receiving.pairing_watch import PairingWatch
from service.receiving.quarantine import QuarantineBuffer
from service.receiving.refusals import UNKNOWN_SOURCE, RefusalCounter
from service.receiving.request import (
    IntakeError,
    KeyMissing,
    Refused,
    Request,
    Unfit,
    Unparsable,
)
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
        self._metrics = metrics
        self._refusals = refusals
        self._acks = acks
        self._quarantine = quarantine
        self._now = now
        per_second = settings.unverified_per_minute / 60
        self._strangers = RateLimit(per_second, settings.unverified_per_minute)
        self._by_source = {name: SourceMetrics(metrics, name) for name in endpoints}
        self._batching = Batching(store, self._by_source, now, self._acknowledge)

    @cached_property
    def _log(self) -> Any:
        """The logger itself: what `get_logger` gives looks it up at each call."""
        return log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Never raises for what was sent; a stranger's worst is a 4xx."""
        started = time.perf_counter()
        source, _, rest = path_of(scope).partition("/")
        address = sender_of(scope, self._proxies)
        endpoint = self._endpoints.get(source)
        try:
            if endpoint is None:
                raise unknown_source(source)
            counted = counted_by(address)
            request = self._begin(endpoint, scope, rest, address, counted)
            request.body = await self._bodies.read(receive, endpoint.max_body_bytes, counted)
            answer = await self._answer(endpoint, request, address)
        except Turned as turned:
            if turned.reason in BEFORE_THE_BODY - {"body_timeout"} and is_small(scope):
                await swallow(receive)
            answer = self._refuse(endpoint, turned, address)
        except Refused as refused:
            assert endpoint is not None
            answer = self._refuse(endpoint, refused_by(endpoint, refused), address)
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
            self._acks.add(source, time.perf_counter() - started)

    def _begin(
        self, endpoint: Endpoint, scope: Scope, rest: str, address: str, counted: str
    ) -> Request:
        """The request so far, its body unread, from a sender who may go on. Raises Turned."""
        if rest and not endpoint.secret_in_path:
            raise Turned(404, "unknown_path", "nothing below this source")
        url = public_url(scope, endpoint, rest)
        request = Request(scope["method"], url, headers_of(scope), b"")
        length = request.header("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > endpoint.max_body_bytes:
            raise too_large(endpoint.max_body_bytes)
        if not endpoint.allows(address):
            raise Turned(403, "address_not_allowed", "your address is not on this source's list")
        now = time.monotonic()
        if self._strangers.left(counted, now) < 1:
            wait = self._strangers.wait_seconds(counted, now)
            raise Turned(429, "address_rate", "too many refused deliveries from you", wait)
        return request

    async def _answer(self, endpoint: Endpoint, request: Request, address: str) -> Answer:
        """What a whole request is told, once all that it asks for is on disk."""
        pairing = self._watch is not None and endpoint.source in self._watch.open
        reply = endpoint.reader.handshakes.unsigned(request, pairing=pairing)
        if reply is not None:
            await self._pair(endpoint, reply, address)
            return self._handshake(endpoint, reply)
        if request.method not in endpoint.methods:
            allow = ", ".join(sorted(endpoint.methods))
            message = f"{request.method[:20]}; this source takes {allow}"
            raise Turned(405, "method_not_allowed", message, allow=allow)
        try:
            try:
                outcome = await self._batching.take(endpoint, request, address)
            except KeyMissing as missing:
                await fetch_key(missing)
                outcome = await self._batching.take(endpoint, request, address)
        except NotStorable as error:
            log.warning("not_storable", source=endpoint.source, reason=str(error))
            raise Turned(400, "not_storable", "the database cannot hold this delivery") from None
        except (Turned, IntakeError) as refused:
            at = int(self._now() * 1_000_000)
            self._quarantine.keep(endpoint, request, refused.reason, address, at)
            raise
        if isinstance(outcome, Answer):
            return outcome
        await self._confirm_later(endpoint, outcome)
        return self._handshake(endpoint, outcome)

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
        self._by_source[endpoint.source].received("handshake")
        log.info("handshake", source=endpoint.source, status=reply.status)
        headers = tuple((n.encode(), v.encode("latin-1", "replace")) for n, v in reply.headers)
        return Answer(reply.status, reply.body.encode(), reply.content_type, headers)

    def _refuse(self, endpoint: Endpoint | None, turned: Turned, address: str) -> Answer:
        source = endpoint.source if endpoint else UNKNOWN_SOURCE
        self._refusals.count(source, turned.reason, address, int(self._now() * 1_000_000))
        self._metrics.refused.labels(source, turned.reason).inc()
        if turned.status < 500 and turned.reason not in ("source_rate", "address_rate"):
            self._strangers.take(counted_by(address), time.monotonic())
        return refusal_answer(turned)


async def fetch_key(missing: KeyMissing) -> None:
    """Fetch the key that a signature needs. Raises Turned and Refused."""
    try:
        async with asyncio.timeout(KEY_FETCH_SECONDS):
            await missing.load()
    except TimeoutError:
        raise unavailable("key_unavailable", "the signing key cannot be fetched now") from None


def unknown_source(name: str) -> Turned:
    """404 with the name, cut."""
    return Turned(404, "unknown_source", f"no source {name[:100]!r} here")


def refused_by(endpoint: Endpoint, refused: Refused) -> Turned:
    """How a source turns away a request that does not prove its sender."""
    if refused.reason == "key_unavailable":
        return unavailable(refused.reason, refused.message)
    return Turned(endpoint.preset.ack.refused_status, refused.reason, refused.message)
