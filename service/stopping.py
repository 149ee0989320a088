"""Services run until they are told to stop: by SIGTERM, or by Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("hooksift.stopping")


def run_until_told(
    service: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run a service, whose event is set when it is to stop.

    To be called before what takes a second to import: a service that is told while it starts stops
    as gracefully, once it has started. A start that takes long, as with a migration, is not cut
    short by that.
    """

    async def run() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await service(stop)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT ask for a graceful stop, which is logged."""

    def asked(number: signal.Signals) -> None:
        log.info("stopping", signal=number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
