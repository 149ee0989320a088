"""`hooksift receive`: the HTTP stage alone."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import typer

from service.receiving.assembly import ServiceSettings
from service.settings import ReceiveSettings

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Serve /metrics, /healthz and /readyz here; metrics.port if not given",
    ),
]


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `receive`."""

    @app.command()
    def receive(
        host: Annotated[str, typer.Option(help="Address to listen on; receive.host if empty")] = "",
        port: Annotated[
            int | None,
            typer.Option(
                min=0, max=65535, help="Port; 0 picks a free one; receive.port if not given"
            ),
        ] = None,
        tls_cert: Annotated[str, typer.Option(help="PEM file of the certificate chain")] = "",
        tls_key: Annotated[str, typer.Option(help="PEM file of its private key")] = "",
        client_ca: Annotated[
            str, typer.Option(help="PEM file; clients must show a certificate of it")
        ] = "",
    ) -> None:
        """Take in webhooks: verify, store, acknowledge. Enriches and lands nothing.

        Prints its address once it answers; stops on SIGTERM or Ctrl-C after what is under way.
        """
        settings = load_settings()
        place = changed(settings.receive, host, port, tls_cert, tls_key, client_ca)
        run_receiver(settings, place)


def changed(
    receive: ReceiveSettings,
    host: str,
    port: int | None,
    tls_cert: str,
    tls_key: str,
    client_ca: str,
) -> ReceiveSettings:
    """The section with what the command line says instead."""
    texts = {"host": host, "tls_cert": tls_cert, "tls_key": tls_key, "client_ca": client_ca}
    changes: dict[str, object] = {key: value for key, value in texts.items() if value}
    if port is not None:
        changes["port"] = port
    return ReceiveSettings.model_validate({**receive.model_dump(), **changes})


def run_receiver(settings: ServiceSettings, place: ReceiveSettings) -> None:
    """Serve until told to stop."""
    from service import logs
    from service.stopping import run_until_told

    async def serve(stop: asyncio.Event) -> None:
        from service.metrics import Metrics
        from service.receiving.assembly import build_app, open_configured_store
        from service.receiving.serving import serve_http

        with closing(open_configured_store(settings)) as store:
            application = build_app(settings, store, Metrics())
            await serve_http(application, place, stop, announce)

    logs.set_up(settings.log_level)
    run_until_told(serve, fast_loop())


def announce(base_url: str) -> None:
    """One line on standard output, at once: a script may wait for it."""
    typer.echo(f"hooksift listens on {base_url} (POST {base_url}/v1/webhooks/SOURCE)")


def with_metrics_port(settings: Any, port: int | None) -> Any:
    """The settings with what the command line says of [metrics] port."""
    if port is None:
        return settings
    place = settings.metrics.model_copy(update={"port": port})
    return settings.model_copy(update={"metrics": place})


def announce_metrics(base_url: str) -> None:
    """One line on standard output of a process that receives nothing."""
    typer.echo(f"hooksift serves {base_url}/metrics")


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it exists: it costs half the CPU for each request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
