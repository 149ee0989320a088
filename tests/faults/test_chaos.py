"""The whole product on a PostgreSQL that crashes every few seconds, for CHAOS_SECONDS (60)."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from faults.counting import Count
from faults.crashing_postgres import Server
from faults.senders import Stream
from servers.receiver import Source, until

import analytics
from analytics.errors import HistoryError
from service.store import Store, open_store
from tests.servers.process import Process

EVERY_SECONDS = 3.0
PATIENCE_SECONDS = 120
CONFIG = """
data = "{data}"
store = "{url}"
[receive]
port = 0
unverified_per_minute = 1000000
[enrich]
lease_seconds = 5
[sources.a]
preset = "standard_webhooks"
secret = "{secret}"
"""


def storm(server: Server, stream: Stream, seconds: float) -> int:
    """Crash it again and again, each time once deliveries are taken again; how often."""
    pause = threading.Event()
    rounds = max(2, round(seconds / EVERY_SECONDS))
    for number in range(rounds):
        before = len(stream.acknowledged)
        until(lambda before=before: len(stream.acknowledged) > before + 20)
        pause.wait(EVERY_SECONDS / 2)
        server.restart("immediate" if number % 2 == 0 else "fast")
    before = len(stream.acknowledged)
    until(lambda: len(stream.acknowledged) > before + 20)
    return rounds


def ask(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def landed(data: Path, table: str) -> list[int]:
    """Event ids of a table of the history, as often as they are there."""
    column = "id" if table == "events" else "event_id"
    try:
        with analytics.connect(data) as history:
            return list(history.sql(f"SELECT {column} FROM {table}")[column])
    except HistoryError:
        return []


@pytest.mark.heavy
def test_crashes_under_load_lose_nothing_and_double_nothing(
    server: Server, tmp_path: Path, count: Count
) -> None:
    source, config, data = Source(), tmp_path / "hooksift.toml", tmp_path / "data"
    words = {"data": data, "url": server.url, "secret": source.keys.receiver}
    config.write_text(CONFIG.format(**words))
    process = Process(config, tmp_path / "log")
    try:
        with Stream(process.url.partition("/v1/")[0].rstrip("/"), source) as stream:
            storm(server, stream, float(os.environ.get("CHAOS_SECONDS", "60")))
        store = open_store(server.url)
        until(lambda: ask(store, "SELECT count(*) FROM work_items") == [(0,)], PATIENCE_SECONDS)
        stored = ask(store, "SELECT delivery_key, id FROM deliveries")
        enriched = [row[0] for row in ask(store, "SELECT event_id FROM enrichments")]
        until(lambda: len(landed(data, "enrichments")) >= len(enriched), PATIENCE_SECONDS)
    finally:
        process.end()
    store.close()
    events = landed(data, "events")
    count(
        acknowledged=len(stream.acknowledged),
        refused=len(stream.refused),
        stored=len(stored),
        enriched_once=len(enriched),
        landed_once=len(events),
    )
    assert set(stream.refused) <= {503}
    assert stream.acknowledged.items() <= dict(stored).items(), "an acknowledged one is missing"
    ids = sorted(number for _, number in stored)
    assert len(dict(stored)) == len(ids), "a delivery was stored twice"
    assert sorted(enriched) == ids, "an event has not exactly one enrichment"
    assert sorted(events) == sorted(landed(data, "enrichments")) == ids, "landed twice or never"
