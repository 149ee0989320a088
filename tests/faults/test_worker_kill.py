"""SIGKILL of a worker: nothing acknowledged is lost, nothing takes effect twice.

A model that has answered a worker which died before its commit is asked and paid again: that is
counted.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faults.counting import Count
from faults.senders import many, send_once
from servers.receiver import Source, receiving

from hooksift import load_settings, make_workers, run_workers
from service.metrics import Metrics
from service.store import Store
from tests.servers.asgi import LocalHost
from tests.servers.message_server import MessageServer
from tests.servers.openai_server import FakeOpenAI, serve_openai

TESTS = Path(__file__).parents[1]
SENT = 6
LEFT = "SELECT count(*) FROM work_items"
CONFIG = """
data = "{data}"
store = "{url}"
[sources.a]
preset = "standard_webhooks"
secret = "{secret}"
[enrich]
enrichers = ["main"]
[enrich.models.main]
model = "gpt-4.1-mini"
base_url = "{model}"
api_key = "none"
[[rules]]
name = "tell"
min_confidence = 0
actions = [{{ target = "ops", group_within = 0 }}]
[targets.ops]
adapter = "slack"
url = "{channel}"
allow_addresses = ["127.0.0.1/32"]
calls_per_second = 1000
"""


@dataclass
class Scene:
    """A store with work, a model, a channel, and workers that come and go."""

    store: Store
    config: Path
    model: FakeOpenAI
    channel: MessageServer
    source: Source = field(default_factory=Source)

    def receive(self) -> int:
        """Deliveries by the real receiver; how many were acknowledged."""
        with receiving(self.store, {"a": self.source}) as here:
            return len(send_once(here.url, many(self.source, SENT)).acknowledged)

    def die(self, moment: str) -> None:
        """A worker in a process of its own, killed at that moment."""
        command = [sys.executable, "-m", "faults.dying_worker", str(self.config), moment]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        ended = subprocess.run(
            command, env=environment, timeout=300, capture_output=True, text=True
        )
        assert ended.returncode == -9, ended.stderr[-2000:]

    def recover(self) -> None:
        """Another worker, once the leases ran out, until nothing is left to do."""
        self.store.write_now(end_leases, None)
        asyncio.run(asyncio.wait_for(self._work(), 120))

    async def _work(self) -> None:
        stop = asyncio.Event()
        settings = load_settings(self.config)
        workers = make_workers(settings, self.store, Metrics())
        working = asyncio.create_task(run_workers(workers, stop))
        while not working.done() and self.ask(LEFT) != [(0,)]:  # noqa: ASYNC110 - polls the store
            await asyncio.sleep(0.02)
        stop.set()
        await working

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]


def end_leases(connection: Any, tx: int, payloads: Any) -> list[None]:
    connection.exec_driver_sql("UPDATE work_items SET available_at = 0")
    return [None] * len(payloads)


@pytest.fixture
def scene(store: Store, store_url: str, tmp_path: Path) -> Iterator[Scene]:
    config, host, channel = tmp_path / "hooksift.toml", LocalHost(), MessageServer()
    with serve_openai() as model:
        made = Scene(store, config, model, channel)
        words = {"secret": made.source.keys.receiver, "model": model.url}
        words |= {"url": store_url, "data": str(tmp_path), "channel": host.add(channel)}
        config.write_text(CONFIG.format(**words))
        yield made
    host.close()


@pytest.mark.parametrize("moment", ["before-commit", "after-commit"])
def test_a_worker_that_dies_enriches_and_acts_once_all_the_same(
    scene: Scene, moment: str, count: Count
) -> None:
    acknowledged = scene.receive()
    scene.die(moment)
    paid = len(scene.model.requests)
    kept = len(scene.ask("SELECT id FROM enrichments"))
    scene.recover()
    enriched = scene.ask("SELECT event_id, count(*) FROM enrichments GROUP BY event_id")
    again = len(scene.model.requests) - len(enriched)
    count(acknowledged=acknowledged, enriched_once=len(enriched), acted_once=SENT, paid_again=again)
    assert [times for _, times in enriched] == [1] * SENT
    assert len(scene.channel.calls) == SENT
    assert again == paid - kept
    assert (kept == 0) == (moment == "before-commit")
