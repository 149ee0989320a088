"""The servers that `receive.py` compares, one process each: KIND STORE-URL SECRET on argv.

tutorial    FastAPI + SQLModel + BackgroundTasks, as their documentation writes it
ours        the receive path as `hooksift receive` runs it
nocommit    the same, answered without waiting for a commit that never happens
bare        a Litestar @post handler that verifies and parses, and nothing else
empty       an ASGI application that reads the body and answers: what the HTTP server alone costs
"""

import asyncio
import base64
import hashlib
import hmac
import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

PRESET = "standard_webhooks"


def signature(secret: bytes, headers: Any, body: bytes) -> bytes:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))


def tutorial(url: str, secret: str) -> Any:
    """One session and one commit a request, in the thread pool; work in a background task."""
    from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
    from sqlalchemy import event
    from sqlalchemy.exc import IntegrityError
    from sqlmodel import Field, Session, SQLModel, create_engine, select

    key = base64.b64decode(secret.removeprefix("whsec_"))

    class Delivery(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        webhook_id: str = Field(unique=True)
        source: str
        event_type: str
        body: str
        received_at: datetime

    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=40)
    if url.startswith("sqlite"):

        @event.listens_for(engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
                connection.execute(f"PRAGMA {pragma}")

    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables["delivery"]])

    def get_session() -> Any:
        with Session(engine) as session:
            yield session

    async def get_body(request: Request) -> bytes:
        return await request.body()

    def process(delivery_id: int) -> None:
        """Where the tutorial would call the model."""

    app = FastAPI()

    @app.post("/v1/webhooks/{source}", status_code=202)
    def receive(
        source: str,
        request: Request,
        background: BackgroundTasks,
        body: Annotated[bytes, Depends(get_body)],
        session: Annotated[Session, Depends(get_session)],
    ) -> dict[str, Any]:
        given = request.headers.get("webhook-signature", "").encode()
        if not hmac.compare_digest(given, signature(key, request.headers, body)):
            raise HTTPException(401)
        payload = msgspec.json.decode(body)
        webhook_id = request.headers["webhook-id"]
        delivery = Delivery(
            webhook_id=webhook_id,
            source=source,
            event_type=payload["type"],
            body=body.decode(),
            received_at=datetime.now(UTC),
        )
        session.add(delivery)
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            first = session.exec(select(Delivery).where(Delivery.webhook_id == webhook_id)).one()
            return {"id": first.id, "status": "duplicate"}
        assert delivery.id is not None
        background.add_task(process, delivery.id)
        return {"id": delivery.id, "status": "accepted"}

    return app


def bare(_url: str, secret: str) -> Any:
    """What the framework costs: verify and parse, no store, no log, no metrics."""
    from litestar import Litestar, Request, Response, post
    from litestar.exceptions import NotAuthorizedException
    from litestar.params import FromPath

    key = base64.b64decode(secret.removeprefix("whsec_"))

    @post("/v1/webhooks/{source:str}", status_code=202)
    async def receive(source: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        body = await request.body()
        given = request.headers.get("webhook-signature", "").encode()
        if not hmac.compare_digest(given, signature(key, request.headers, body)):
            raise NotAuthorizedException
        msgspec.json.decode(body)
        return Response(b'{"status":"accepted"}', media_type="application/json")

    return Litestar([receive], openapi_config=None, logging_config=None)


def empty(_url: str, _secret: str) -> Any:
    """What the HTTP server costs, below everything else."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"21")]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"status":"accepted"}'})

    return answer


def ours(url: str, secret: str, *, commit: bool = True) -> Any:
    """The product, logging to standard error as always."""
    from service import logs
    from service.metrics import Metrics
    from service.preset import load_presets
    from service.receiving.app import create_app
    from service.receiving.endpoint import compile_endpoint
    from service.settings import ReceiveSettings, SourceSettings
    from service.store import open_store
    from service.store.intake import Receipt, store_arrivals

    logs.set_up()
    store = open_store(url)
    store.new_ids()
    take_in = store.take_in

    def answer_at_once(handler: Any, writes: Any) -> None:
        if handler is not store_arrivals:
            take_in(handler, writes)
            return
        for arrival, _, outcome in writes:
            outcome.set_result(Receipt(arrival.id, len(arrival.events), False))

    if not commit:
        store.take_in = answer_at_once  # type: ignore[method-assign]
    receive = ReceiveSettings()
    settings = SourceSettings(preset=PRESET, secret=secret)
    endpoint = compile_endpoint("bench", settings, receive, load_presets(), b"k" * 32)
    return create_app({"bench": endpoint}, receive, store, Metrics())


def main() -> None:
    """Serve until SIGTERM; print the port once it answers."""
    import uvloop

    from service.receiving.serving import serve_http
    from service.settings import ReceiveSettings
    from service.stopping import run_until_told

    kind, url, secret = sys.argv[1:]
    makers = {
        "tutorial": tutorial,
        "bare": bare,
        "empty": empty,
        "ours": ours,
        "nocommit": lambda u, s: ours(u, s, commit=False),
    }
    app = makers[kind](url, secret)

    async def serve(stop: asyncio.Event) -> None:
        await serve_http(
            app, ReceiveSettings(port=0), stop, lambda base: print(base, os.getpid(), flush=True)
        )

    if path := os.environ.get("BENCH_PROFILE"):
        import cProfile

        profile = cProfile.Profile()
        profile.runcall(run_until_told, serve, uvloop.new_event_loop)
        profile.dump_stats(path)
    else:
        run_until_told(serve, uvloop.new_event_loop)


if __name__ == "__main__":
    main()
