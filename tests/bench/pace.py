"""How close to a provider's limit a worker's calls come, and how many of them are refused.

    python -m tests.bench.pace [--seconds 60] [--write]

A worker with a full store calls a server on loopback, over real HTTP, that refuses what is above
its limit. The worker knows nothing of the limit; the figures are the server's own counters.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from enrich.composition import make_stage
from enrich.settings import EnrichSettings, ModelSettings
from service.store import Store, open_store
from service.store.intake import EVENT_COLUMNS
from service.store.queue import ENRICH, NewWork, enqueue
from service.store.tables import Rows, to_microseconds
from tests.bench.results import made_with, table, write_section
from tests.bench.running import bench_folder, databases
from tests.servers.openai_server import Capacity, FakeOpenAI, serve_openai

TITLE = "Calls to a model with a limit"
COLUMNS = (
    "store", "limit", "a second", "burst", "answers in s", "Retry-After",
    "of the limit", "refused", "calls",
)  # fmt: skip
USUAL_CHARACTERS = 8_000  # of a request
OUTAGE_LIMIT, OUTAGE_BURST = 20.0, 10


class Scene(NamedTuple):
    """A provider's limit and how it behaves."""

    kind: str
    per_second: float
    burst: float
    latency_seconds: float
    retry_after: Any

    def capacity(self) -> Capacity:
        """A fresh one."""
        if self.kind == "tokens":
            return Capacity(self.per_second, self.burst, self.retry_after, cost=share_of_usual)
        window = 10.0 if self.kind == "10 s windows" else None
        return Capacity(self.per_second, self.burst, self.retry_after, window_seconds=window)

    def allows(self, seconds: float) -> float:
        """What the provider would let through in that time."""
        return self.per_second * seconds + (0 if self.kind == "10 s windows" else self.burst)


SCENES = {
    "sqlite": (
        Scene("calls", 5, 5, 1.0, "exact"),
        Scene("calls", 10, 5, 0.5, "exact"),
        Scene("calls", 20, 10, 0.2, "whole seconds"),
        Scene("calls", 20, 20, 1.0, "never"),
        Scene("tokens", 20, 40, 0.2, "exact"),
        Scene("10 s windows", 20, 200, 0.2, "whole seconds"),
    ),
    "postgresql": (
        Scene("calls", 10, 5, 0.5, "whole seconds"),
        Scene("calls", 20, 10, 0.2, "exact"),
        Scene("tokens", 20, 40, 0.2, "never"),
    ),
}


def share_of_usual(request: Any) -> float:
    """What a request costs: its length, one being a usual one."""
    return len(json.dumps(request)) / USUAL_CHARACTERS


def fill(store: Store, count: int) -> None:
    """Tickets of several lengths, all to be enriched."""
    now = to_microseconds(datetime.now(UTC)) - 60_000_000

    def add(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        rows = [
            (n, n, 0, "tickets", "ticket", f"T-{n}", now, None, f"Ticket {n}",
             "I was charged twice. " * (1 + 61 * (n % 5)), None, None, None, None, False, tx)
            for n in range(1, count + 1)
        ]  # fmt: skip
        works = [NewWork(n, ENRICH, "", "tickets", 1, now) for n in range(1, count)]
        enqueue(connection, works, Rows("events", EVENT_COLUMNS, rows))
        return [None] * len(payloads)

    store.write_now(add, None)


async def work(url: str, server: FakeOpenAI, seconds: float) -> None:
    """A worker for so long, as `hooksift work` wires it."""
    store = open_store(url)
    fill(store, int(100 * seconds) + 500)
    model = ModelSettings(model="m", base_url=server.url, api_key="none", max_concurrency=64)
    settings = EnrichSettings(enrichers=("main",), models={"main": model}, drain_seconds=0)
    stage = make_stage(store, settings, {}, {"tickets": "support"})
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await stage.worker.run(stop)
    await stage.close()
    store.close()


def measure(store: str, url: str, scene: Scene, seconds: float) -> list[str]:
    """One row."""
    with serve_openai() as server:
        server.capacity = scene.capacity()
        server.delay_seconds = scene.latency_seconds
        asyncio.run(work(url, server, seconds))
        started = server.started_at[0]
    admitted = in_window(server.admitted_at, started, started + seconds)
    refused = in_window(server.refused_at, started, started + seconds)
    used = admitted
    if scene.kind == "tokens":
        used = sum(share_of_usual(r) for r in server.requests) * admitted / (admitted + refused)
    return [
        store, scene.kind, f"{scene.per_second:g}", f"{scene.burst:g}",
        f"{scene.latency_seconds:g}", scene.retry_after, f"{used / scene.allows(seconds):.3f}",
        f"{refused / (admitted + refused):.2%}", f"{admitted + refused:,}",
    ]  # fmt: skip


def in_window(times: list[float], start: float, end: float) -> int:
    """How many of the moments are in it."""
    return sum(start <= at < end for at in times)


def measure_outage(url: str, seconds: float) -> str:
    """Down for a third of the time: who calls meanwhile, and how many come back at once."""

    async def run(server: FakeOpenAI) -> tuple[float, float]:
        task = asyncio.create_task(work(url, server, seconds))
        await asyncio.sleep(seconds / 3)
        server.down, fell = True, time.monotonic()
        await asyncio.sleep(seconds / 3)
        server.down, rose = False, time.monotonic()
        await task
        return fell, rose

    with serve_openai() as server:
        server.capacity = Capacity(OUTAGE_LIMIT, OUTAGE_BURST)
        server.delay_seconds = 0.2
        fell, rose = asyncio.run(run(server))
    back = [at for at in server.started_at if at >= rose]
    busiest = max((in_window(back, at, at + 1.0) for at in back), default=0)
    first = f"{back[0] - rose:.1f} s" if back else "never"
    return (
        f"An outage of {rose - fell:.0f} s (limit {OUTAGE_LIMIT:g} a second, burst"
        f" {OUTAGE_BURST}): {in_window(server.started_at, fell, rose)} calls while down, the first"
        f" {first} after it, never more than {busiest} in any second."
    )


def main() -> None:
    """Measure every scene and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each scene")
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    rows = []
    with bench_folder() as folder, databases(folder, list(SCENES)) as makers:
        for store, scenes in SCENES.items():
            for scene in scenes:
                rows.append(measure(store, makers[store](), scene, asked.seconds))
                print(*rows[-1], sep="\t", flush=True)
        outage = measure_outage(makers["sqlite"](), max(asked.seconds, 45.0))
    report = [
        (
            f"`python -m tests.bench.pace --seconds {asked.seconds:g}`: a worker that knows no"
            " limit against a server that has one, from the first call on. Of the limit: the share"
            " of what the server would have let through, burst included. Tokens: a call costs what"
            " its length says, 0.4 to 1.5."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        outage,
        "",
        made_with("openai", "tenacity", "sqlalchemy"),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
