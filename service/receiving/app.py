"""The Litestar application: the receive path, health, metrics and the OpenAPI description."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import structlog
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.errors import HooksiftError, StoreUnavailable
from service.metrics import Metrics, QueueCollector
from service.receiving.acks import AckTimes, store_acks
from service.receiving.endpoint import Endpoint
from service.receiving.incoming import PREFIX
from service.receiving.pairing_watch import PairingWatch
from service.receiving.quarantine import QuarantineBuffer, store_quarantine
from service.receiving.receiver import Receiver
from service.receiving.refusals import RefusalCounter, say_refused, store_refusals
from service.settings import ReceiveSettings
from service.store import Handler, Store
from service.store.tables import to_microseconds

FLUSH_SECONDS = 1.0
ADDED_BY_PROXIES = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
log = structlog.get_logger("hooksift.app")


class Application(Litestar):
    """Litestar, with the receive path in front: its routing would cost each delivery 6 us of 60."""

    __slots__ = ("receiver",)

    def __init__(self, receiver: Receiver, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.receiver = receiver

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        """Deliveries go straight to the receiver, all else through the framework."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            return self.receiver(scope, receive, send)
        return super().__call__(scope, receive, send)


def create_app(
    endpoints: Mapping[str, Endpoint],
    settings: ReceiveSettings,
    store: Store,
    metrics: Metrics,
    admin_token: str = "",
    now: Callable[[], float] = time.time,
    watch: PairingWatch | None = None,
) -> Litestar:
    """The receiver. Reads no environment and opens nothing: all it needs is handed in."""
    if not endpoints:
        log.warning("no_source", reason="all is refused; add [sources.NAME]")
    refusals = RefusalCounter()
    acks = AckTimes(metrics.ack_seconds)
    current = dict(endpoints)
    quarantine = QuarantineBuffer()
    receiver = Receiver(current, settings, store, metrics, refusals, acks, quarantine, now, watch)
    metrics.registry.register(QueueCollector(store))

    @asynccontextmanager
    async def flushing(_: Litestar) -> AsyncIterator[None]:
        stop = asyncio.Event()
        flushes = asyncio.create_task(flush_until(stop, refusals, acks, quarantine, store))
        watching = asyncio.create_task(watch.run(current)) if watch is not None else None
        try:
            yield
        finally:
            if watching is not None:
                watching.cancel()
            await receiver.finish()
            stop.set()
            await flushes

    app = Application(
        receiver,
        route_handlers=[healthz, readyz, prometheus],
        lifespan=[flushing],
        openapi_config=OpenAPIConfig(
            title="Hooksift",
            version="1",
            description="Receives webhooks and never loses one.",
            render_plugins=[JsonRenderPlugin()],  # others' pages load scripts from elsewhere
        ),
        logging_config=None,
        exception_handlers={404: nothing_there},
        state=State({"store": store, "metrics": metrics, "admin_token": admin_token}),
    )
    describe_receive(app)
    return app


@get("/healthz", sync_to_thread=False, summary="The process answers")
def healthz() -> dict[str, str]:
    """Always 200 while the process runs; says nothing of the store."""
    return {"status": "ok"}


@get("/readyz", summary="The store can be used; loopback or admin token only")
async def readyz(request: Request[Any, Any, State]) -> Response[dict[str, str]]:
    """503 while the store cannot be reached, so that a balancer sends nothing here."""
    admit(request)
    store: Store = request.app.state.store
    try:
        await asyncio.to_thread(probe, store)
    except StoreUnavailable as error:
        return Response({"status": "unavailable", "reason": str(error)}, status_code=503)
    return Response({"status": "ready"})


@get("/metrics", summary="Prometheus metrics of this process; loopback or admin token only")
async def prometheus(request: Request[Any, Any, State]) -> Response[bytes]:
    """Each process serves its own."""
    admit(request)
    body = await asyncio.to_thread(generate_latest, request.app.state.metrics.registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)


def nothing_there(_: Request[Any, Any, State], _error: Exception) -> Response[dict[str, Any]]:
    """404, with the path that was probably meant."""
    detail = f"nothing is here; deliveries go to POST {PREFIX}SOURCE"
    return Response({"status_code": 404, "detail": detail}, status_code=404)


def admit(request: Request[Any, Any, State]) -> None:
    """Loopback, or `Authorization: Bearer <admin token>`. Raises NotAuthorizedException."""
    client = request.client
    direct = not any(name in request.headers for name in ADDED_BY_PROXIES)
    if client is not None and direct and is_loopback(client.host):
        return
    token: str = request.app.state.admin_token
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return
    raise NotAuthorizedException("answers on loopback, or with the admin token")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def probe(store: Store) -> None:
    """One statement that any working store answers."""
    with store.read() as connection:
        connection.exec_driver_sql("SELECT 1 FROM store_facts").first()


async def flush_until(
    stop: asyncio.Event,
    refusals: RefusalCounter,
    acks: AckTimes,
    quarantine: QuarantineBuffer,
    store: Store,
) -> None:
    """Write what was counted and kept each second, and once more at the end."""
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await stop.wait()
        await flush(refusals, acks, quarantine, store)


async def flush(
    refusals: RefusalCounter, acks: AckTimes, quarantine: QuarantineBuffer, store: Store
) -> None:
    """Write refusals, ack times and quarantine, each by itself.

    Refusals are in the log once they are stored, and counted again if that fails; ack times and
    quarantined bytes are let go.
    """
    refused, times, kept = refusals.drain(), acks.drain(), quarantine.drain()
    window_at = to_microseconds(datetime.now(UTC))
    if refused:
        if await stored(store, store_refusals(store.new_ids), refused):
            say_refused(refused)
        else:
            refusals.give_back(refused)
    if times:
        await stored(store, store_acks(store.new_ids, window_at), times)
    if kept:
        await stored(store, store_quarantine(store.new_ids), kept)


async def stored(store: Store, handler: Handler, rows: Any) -> bool:
    """Whether these counts are on disk; says in the log when they are not."""
    try:
        await store.write(handler, rows)
    except HooksiftError as error:
        log.warning("counts_not_stored", reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - one row that does not fit must not end all flushing
        log.error("counts_not_stored", reason=type(error).__name__)  # noqa: TRY400 - no values
        return False
    return True


def describe_receive(app: Litestar) -> None:
    """Add the receive path, which is a mounted ASGI application, to the OpenAPI description."""
    text = Schema(type=OpenAPIType.STRING)
    number = Schema(type=OpenAPIType.INTEGER)
    accepted = Schema(
        type=OpenAPIType.OBJECT,
        properties={"id": text, "status": text, "events": number},
        required=["id", "status", "events"],
    )
    refused = Schema(
        type=OpenAPIType.OBJECT,
        properties={"status": text, "reason": text, "message": text},
        required=["status", "reason", "message"],
    )

    def answer(description: str, schema: Schema) -> OpenAPIResponse:
        content = {"application/json": OpenAPIMediaType(schema=schema)}
        return OpenAPIResponse(description=description, content=content)

    app.openapi_schema.paths = {
        **(app.openapi_schema.paths or {}),
        "/v1/webhooks/{source}": PathItem(
            post=Operation(
                operation_id="ReceiveDelivery",
                summary="Receive a delivery of a configured source",
                description="Status codes and bodies follow the source's preset where it has its"
                " own. Other methods are taken where the preset says so.",
                parameters=[Parameter(name="source", param_in="path", required=True, schema=text)],
                request_body=RequestBody(
                    content={"*/*": OpenAPIMediaType(schema=Schema())}, required=True
                ),
                responses={
                    "202": answer("Stored on disk", accepted),
                    "200": answer("Duplicate: stored before under this id", accepted),
                    "400": answer("Verified, but the body cannot be read", refused),
                    "401": answer("Not verified", refused),
                    "404": answer("No such source", refused),
                    "405": answer("Method not taken", refused),
                    "408": answer("The body came too slowly", refused),
                    "413": answer("Body over the limit", refused),
                    "429": answer("Too many; see Retry-After", refused),
                    "500": answer("A fault of ours; send it again", refused),
                    "503": answer("Cannot store now; see Retry-After", refused),
                },
            )
        ),
    }
