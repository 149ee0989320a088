"""`hooksift send`: sign deliveries as a provider does, and send them over HTTP."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from service.signing.sending import Report, Sender, Sent


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `send`."""

    @app.command()
    def send(
        source: Annotated[str, typer.Argument(help="A source of the config")],
        count: Annotated[int, typer.Option(min=1, help="How many deliveries")] = 1,
        rate: Annotated[float, typer.Option(min=0, help="Deliveries a second; 0: at once")] = 0,
        url: Annotated[
            str, typer.Option(help="Base of the receiver, e.g. http://127.0.0.1:8080")
        ] = "",
        body: Annotated[
            Path | None, typer.Option(help="File to send, as it is; the preset's sample if none")
        ] = None,
        event_type: Annotated[str, typer.Option("--type", help="The event's type")] = "",
        header: Annotated[
            list[str] | None, typer.Option(help="A further header, 'Name: value'; repeatable")
        ] = None,
        secret: Annotated[
            str,
            typer.Option(help="env:NAME, file:PATH or the secret; the source's first if none"),
        ] = "",
        ca: Annotated[
            Path | None, typer.Option(help="PEM file that vouches for the server")
        ] = None,
        client_cert: Annotated[
            Path | None, typer.Option(help="PEM file with our certificate and its key")
        ] = None,
    ) -> None:
        """Sign and send deliveries of SOURCE as its provider does, and time the answers.

        Sample bodies get an id of their own each where the provider writes one. Exit code 1 when
        any delivery was not answered with 2xx.
        """
        sender = sender_of(load_settings(), source, url, secret)
        sender = with_content(sender, body, event_type, header or [])
        report = run(sender, count, rate or None, ca, client_cert)
        show(source, sender.target, report)
        if not report.all_taken:
            raise typer.Exit(1)


def sender_of(settings: ServiceSettings, source: str, url: str, secret: str) -> "Sender":
    """Who signs for this source and where it sends to. Raises SettingsError, typer.BadParameter."""
    from service.receiving.assembly import known_presets
    from service.receiving.endpoint import prepared
    from service.secrets import resolve
    from service.signing.sending import Sender

    configured = settings.sources.get(source)
    if configured is None:
        known = ", ".join(sorted(settings.sources)) or "none; add [sources.NAME] to hooksift.toml"
        raise typer.BadParameter(f"no source {source!r}; configured: {known}")
    if url and not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--url {url!r} has no scheme; write http://{url}")
    presets = known_presets(settings)
    if configured.preset not in presets:
        raise typer.BadParameter(f"source {source}: no preset {configured.preset!r}")
    reference = secret or (configured.secrets[0] if configured.secrets else "")
    target = f"{(url or base_url(settings)).rstrip('/')}/v1/webhooks/{source}"
    public = settings.receive.public_url.rstrip("/")
    return Sender(
        preset=prepared(presets[configured.preset], configured),
        secret=resolve(reference) if reference else "",
        target=target,
        public_url=configured.public_url
        or (f"{public}/v1/webhooks/{source}" if public else target),
    )


def base_url(settings: ServiceSettings) -> str:
    """Where the receiver of these settings answers on this machine."""
    receive = settings.receive
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    host = everywhere.get(receive.host, receive.host)
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if receive.tls_cert else 'http'}://{shown}:{receive.port}"


def with_content(
    sender: "Sender", body: Path | None, event_type: str, headers: list[str]
) -> "Sender":
    """The sender with what the command line gave."""
    from dataclasses import replace

    pairs = [line.partition(":") for line in headers]
    if any(not colon for _, colon, _ in pairs):
        raise typer.BadParameter("a header is written 'Name: value'")
    return replace(
        sender,
        body=read_bytes(body) if body else None,
        event_type=event_type,
        headers={name.strip(): value.strip() for name, _, value in pairs},
    )


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises typer.BadParameter that says why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror or error}") from error


def run(
    sender: "Sender",
    count: int,
    per_second: float | None,
    ca: Path | None,
    client_cert: Path | None,
) -> "Report":
    """Send, with a progress bar when there is somebody to see it."""
    import ssl

    import httpx
    from rich.console import Console
    from rich.progress import Progress

    from service.signing.sending import report_of, send_all

    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    if client_cert:
        context.load_cert_chain(client_cert)

    async def send() -> "list[Sent]":
        console = Console(stderr=True)
        async with httpx.AsyncClient(verify=context, timeout=30) as client:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
                task = bar.add_task("sending", total=count)
                return await send_all(
                    client,
                    lambda: sender.make(time.time()),
                    count,
                    per_second,
                    lambda: bar.advance(task),
                )

    sender.make(time.time())  # a secret that cannot sign is told before anything is sent
    return report_of(asyncio.run(send()))


def show(source: str, target: str, report: "Report") -> None:
    """The table of answers and the percentiles of the time they took."""
    from rich.console import Console
    from rich.table import Table

    from service.signing.sending import UNTRUSTED

    console = Console()
    console.print(f"{source} -> {target}", markup=False, highlight=False, soft_wrap=True)
    table = Table("status", "answer", "deliveries")
    for status, word, count in report.outcomes:
        table.add_row(str(status or "-"), word, str(count))
    console.print(table)
    unanswered = [word for status, word, _ in report.outcomes if not status]
    if any(word.startswith(UNTRUSTED) for word in unanswered):
        console.print(f"{UNTRUSTED}: --ca names a PEM file that vouches for the server")
    elif unanswered:
        console.print("nothing answered there: is `hooksift serve` running? --url names another")
    if report.p50_ms == report.p50_ms:  # not nan: something was answered
        console.print(
            f"ack ms  p50 {report.p50_ms:.1f}  p95 {report.p95_ms:.1f}  p99 {report.p99_ms:.1f}",
            highlight=False,
        )
