"""How close to a provider's limit calls come, and how many are refused, over real HTTP.

    python tests/bench/pace.py [--seconds 60]

The provider is a server on loopback with a token bucket; the figures are its own counters.
"""

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.openai_server import Capacity, FakeOpenAI, serve_openai

from enrich.chain import Chain, Link
from enrich.enricher import EventText
from enrich.openai_enricher import OpenAIEnricher, make_client
from enrich.pace import Pace
from enrich.retry import RetryPolicy
from enrich.settings import ModelSettings
from enrich.taxonomy import built_in_taxonomy

SUPPORT = built_in_taxonomy("support")
EVENT = EventText(1, "tickets", "ticket", "Invoice", "I was charged twice.")
SCENES = [
    # calls a second, burst, latency in seconds, says Retry-After
    (10.0, 5, 0.5, True),
    (40.0, 10, 0.2, True),
    (40.0, 10, 0.2, False),
    (80.0, 40, 0.1, True),
]


async def ask_for(server: FakeOpenAI, seconds: float, callers: int = 64) -> None:
    settings = ModelSettings(model="gpt-4.1-mini", base_url=server.url, max_concurrency=64)
    enricher = OpenAIEnricher("main", settings, make_client(settings, "key"))
    pace = Pace("main", max_concurrency=64, clock=time.monotonic)
    chain = Chain((Link(enricher, pace),), RetryPolicy(), asyncio.sleep, random.random)
    end = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < end:
            asked = await chain.ask(EVENT, SUPPORT)
            if asked.answer is None:
                await asyncio.sleep(0.5 + random.random())

    await asyncio.gather(*(caller() for _ in range(callers)))
    await enricher.close()


def in_window(times: list[float], start: float, end: float) -> int:
    return sum(start <= at < end for at in times)


def limit_scenes(seconds: float) -> None:
    print(
        f"{'limit/s':>8} {'burst':>6} {'latency':>8} {'Retry-After':>12}"
        f" {'of limit':>9} {'refused':>8} {'calls':>6}"
    )
    for limit, burst, latency, says in SCENES:
        with serve_openai() as server:
            server.capacity = Capacity(limit, burst, retry_after=says)
            server.delay_seconds = latency
            started = time.monotonic()
            asyncio.run(ask_for(server, seconds))
            took = time.monotonic() - started
        calls = server.admitted_count + server.refused_count
        print(
            f"{limit:8.0f} {burst:6d} {latency:8.2f} {says!s:>12}"
            f" {server.admitted_count / (limit * took):9.3f}"
            f" {server.refused_count / calls:8.4f} {calls:6d}"
        )


def outage_scene(seconds: float) -> None:
    """Down for a third of the time; what arrives in the first second after it."""

    async def run(server: FakeOpenAI) -> tuple[float, float]:
        task = asyncio.create_task(ask_for(server, seconds))
        await asyncio.sleep(seconds / 3)
        server.down, fell = True, time.monotonic()
        await asyncio.sleep(seconds / 3)
        server.down, rose = False, time.monotonic()
        await task
        return fell, rose

    limit = 40.0
    with serve_openai() as server:
        server.capacity = Capacity(limit, 10)
        server.delay_seconds = 0.2
        fell, rose = asyncio.run(run(server))
    during = in_window(server.started_at, fell, rose)
    busiest = max(
        in_window(server.started_at, at, at + 1.0) for at in server.started_at if at >= rose
    )
    print(
        f"outage of {rose - fell:.0f} s: {during} calls while down; afterwards at most {busiest}"
        f" calls in any second (limit {limit:.0f} and a burst of 10)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    limit_scenes(seconds)
    outage_scene(seconds)


if __name__ == "__main__":
    main()
