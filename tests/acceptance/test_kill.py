"""What was acknowledged is never lost, whenever the process dies."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import analytics
from analytics.errors import HistoryError
from service.signing.demo_deliveries import Planned, Sender, plan
from tests.servers.process import Process

KILL_AFTER = 120  # acknowledgements
DEADLINE_SECONDS = 60


async def burst(process: Process, planned: list[Planned]) -> list[int]:
    """Send until the process is killed in the middle; the ids that were acknowledged."""
    acknowledged: list[int] = []
    turns = asyncio.Semaphore(32)

    async def one(client: httpx.AsyncClient, p: Planned) -> None:
        o = p.outgoing
        async with turns:
            try:
                answer = await client.request(o.method, o.url, headers=o.headers, content=o.body)
            except httpx.TransportError:
                return
        if answer.status_code in (200, 202) and p.outcome == "accepted":
            acknowledged.append(int(answer.json()["id"]))
        if len(acknowledged) == KILL_AFTER:
            process.popen.send_signal(signal.SIGKILL)

    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        await asyncio.gather(*(one(client, p) for p in planned))
    return acknowledged


def landed(data: Path, wanted: set[int]) -> dict[int, int]:
    """Deliveries of the history with the enrichments of their first event, once all are there."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    found: dict[int, int] = {}
    while time.monotonic() < deadline:
        try:
            with analytics.connect(data) as history:
                frame = history.sql(
                    "SELECT e.delivery_id, count(n.id) AS enrichments FROM events e"
                    " LEFT JOIN enrichments n ON n.event_id = e.id AND n.revision = 1"
                    " WHERE e.item_index = 0 GROUP BY e.id, e.delivery_id"
                )
            found = dict(frame.iter_rows())
        except HistoryError:
            found = {}
        if all(found.get(delivery) for delivery in wanted):
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_after_sigkill_every_acknowledged_delivery_is_enriched_and_landed_once(
    start: Callable[..., Process],
    sources: dict[str, Sender],
    tmp_path: Path,
    seed: int,
    record_property: Any,
) -> None:
    process = start()
    planned = [
        p
        for p in plan(sources, 400, time.time(), random.Random(seed))
        if p.outcome == "accepted" and not p.dead_count and not p.source.startswith("stripe")
    ]
    acknowledged = asyncio.run(burst(process, planned))
    assert len(acknowledged) >= KILL_AFTER
    process.end()
    again = start()
    found = landed(tmp_path / "data", set(acknowledged))
    again.end()
    record_property("acknowledged", len(acknowledged))
    record_property("landed_once", sum(found.get(delivery) == 1 for delivery in acknowledged))
    assert {delivery: found.get(delivery) for delivery in acknowledged} == dict.fromkeys(
        acknowledged, 1
    )


def test_sigterm_ends_with_everything_enriched_and_landed(
    start: Callable[..., Process], sources: dict[str, Sender], tmp_path: Path
) -> None:
    process = start()
    planned = [
        p for p in plan(sources, 100, time.time(), random.Random(3)) if p.outcome == "accepted"
    ]
    with httpx.Client(base_url=process.url) as client:
        for p in planned:
            o = p.outgoing
            client.request(o.method, o.url, headers=o.headers, content=o.body)
    assert process.end() == 0
    with analytics.connect(tmp_path / "data") as history:
        waiting = analytics.outcomes(history)["waiting"].sum()
    # the one that nothing can read waits for its second try
    assert waiting == sum(p.dead_count for p in planned)
