"""A writer kept busy, so that what is given to it meanwhile waits for its next transaction."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection

from service.store import Store

Job = tuple[Any, Any]  # a handler and its payload


class Gate:
    """A payload of this keeps the writer busy until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def hold(self, _connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        self.entered.set()
        assert self.opened.wait(30)
        return payloads


@asynccontextmanager
async def busy_intake(store: Store) -> AsyncIterator[None]:
    """What is taken in meanwhile waits for the next transaction."""
    gate, busy = Gate(), asyncio.get_running_loop().create_future()
    store.take_in(gate.hold, [(None, 0, busy)])
    await asyncio.to_thread(gate.entered.wait, 30)
    try:
        yield
    finally:
        gate.opened.set()
        await busy


async def write_together(store: Store, *jobs: tuple[Any, ...]) -> list[Any]:
    """All of these in one transaction: they gather while the writer is busy."""
    gate = Gate()
    busy = store.write(gate.hold, None)
    await asyncio.to_thread(gate.entered.wait, 30)
    futures = [store.write(*job) for job in jobs]
    gate.opened.set()
    await busy
    return await asyncio.gather(*futures, return_exceptions=True)


async def write_in_a_row(store: Store, *jobs: Job) -> list[Any]:
    """Each in a transaction of its own, for which there is work while the one before ends."""
    gate, holding, results = Gate(), [], []
    holding.append(store.write(gate.hold, None))
    for job in jobs:
        await asyncio.to_thread(gate.entered.wait, 30)
        before, gate = gate, Gate()
        holding.append(store.write(gate.hold, None))
        results.append(store.write(*job))
        before.opened.set()
    await asyncio.to_thread(gate.entered.wait, 30)
    gate.opened.set()
    await asyncio.gather(*holding, return_exceptions=True)
    return await asyncio.gather(*results, return_exceptions=True)
