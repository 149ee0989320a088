"""Running the HTTP side: sockets, TLS and uvicorn."""

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from litestar import Litestar

from service.errors import SettingsError
from service.garbage import settle_memory
from service.receiving.app import Application
from service.receiving.connections import GuardedProtocol, sweep
from service.receiving.outbox import Outbox
from service.settings import ReceiveSettings

BACKLOG = 4096
SWITCH_SECONDS = 0.0003  # after which a thread that computes gives way; Python has 5 ms
KEEP_ALIVE_SECONDS = 75  # longer than the balancers in front of us, so that they close first


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process stops all stages, not only this one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs the process."""
        yield


def listen(settings: ReceiveSettings, section: str = "receive") -> socket.socket:
    """The listening socket. Raises SettingsError, about the section, when it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        made = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # which names the address once more
        where = f"cannot listen on {settings.host}:{settings.port}: {reason}"
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            remedy = "choose another port, or stop what uses it"
            raise SettingsError(f"{section}.port: {where}; {remedy}") from error
        raise SettingsError(
            f"{section}.host: {where}; use 127.0.0.1, or 0.0.0.0 for all"
        ) from error
    # With Nagle's algorithm the second of two pipelined answers would wait 40 ms for an ACK.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def make_server(app: Litestar, settings: ReceiveSettings) -> Server:
    """uvicorn on this application; TLS and client certificates where configured.

    Raises SettingsError when the certificate's files cannot be used.
    """
    take = app.receiver.take if isinstance(app, Application) else None
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="none",
        http=partial(GuardedProtocol, outbox=Outbox(), take=take),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # we judge X-Forwarded-For ourselves, by trusted_proxies
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        ssl_ca_certs=settings.client_ca or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.client_ca else ssl.CERT_NONE,
    )
    try:
        config.load()
    except OSError as error:
        files = [settings.tls_cert, settings.tls_key, settings.client_ca]
        raise SettingsError(
            f"receive.tls_cert: {', '.join(filter(None, files))} cannot be used together:"
            f" {error.strerror or error}; give PEM files that fit together"
        ) from error
    return Server(config)


class Listener:
    """An address that is ours, and the server that will answer there."""

    def __init__(self, app: Litestar, settings: ReceiveSettings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._server = make_server(app, settings)

    async def serve(
        self, stop: asyncio.Event, started: Callable[[str], None] = lambda _: None
    ) -> None:
        """Serve until `stop` is set, then answer what is under way. `started` gets the base URL."""
        raise_file_limit()
        sys.setswitchinterval(SWITCH_SECONDS)
        server, seconds = self._server, self._settings.body_timeout_seconds
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[self._listening]))
            stopping = group.create_task(stop.wait())
            sweeping = group.create_task(sweep(server.server_state.connections, seconds))
            try:
                while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
                if server.started:
                    settle_memory()
                    started(base_url(self._listening, tls=bool(self._settings.tls_cert)))
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                server.should_exit = True
                stopping.cancel()
                sweeping.cancel()


@contextlib.contextmanager
def listener(
    app: Litestar, settings: ReceiveSettings, section: str = "receive"
) -> Iterator[Listener]:
    """Hold the address, so that whoever cannot have it is told before anything else starts.

    Raises SettingsError, about the section, where it is taken, or TLS cannot be had.
    """
    with listen(settings, section) as listening:
        yield Listener(app, settings, listening)


async def serve_http(
    app: Litestar,
    settings: ReceiveSettings,
    stop: asyncio.Event,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Listen and serve until `stop` is set. Raises SettingsError as `listener` does."""
    with listener(app, settings) as held:
        await held.serve(stop, started)


def base_url(listening: socket.socket, *, tls: bool) -> str:
    """Where it answers, with the port it really got."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def raise_file_limit() -> None:
    """As many open connections as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
