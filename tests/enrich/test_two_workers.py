"""Two worker processes on one PostgreSQL, and a provider that counts its calls."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers.openai_server import answer_of, serve_openai
from servers.receiver import until
from work import event, one, put

from service.store import Store, open_store

DEADLINE_SECONDS = 120
CONFIG = """
data = "{data}"
store = "{store}"
[sources.errors]
preset = "sentry"
secret = "it is only a test"
[enrich]
enrichers = ["main"]
max_in_flight = 4
[enrich.models.main]
model = "m"
base_url = "{url}"
api_key = "none"
"""


def until_true(store: Store, condition: str) -> None:
    """Wait until a query's only value is true."""
    until(lambda: one(store, condition), DEADLINE_SECONDS)


@contextmanager
def two_workers(folder: Path, store_url: str, model_url: str) -> Iterator[None]:
    """Two processes of `hooksift work`, stopped at the end."""
    config = folder / "hooksift.toml"
    config.write_text(CONFIG.format(data=folder, store=store_url, url=model_url))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HOOKSIFT_")}
    command = [sys.executable, "-m", "hooksift", "--config", str(config), "work"]
    with (folder / "log").open("wb") as log:
        running = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment) for _ in range(2)
        ]
        try:
            yield
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(timeout=60)


@pytest.mark.heavy  # two processes start, which takes them a while on a busy machine
def test_an_alert_storm_over_two_workers_is_paid_once(tmp_path: Path, postgres_url: str) -> None:
    store = open_store(postgres_url)
    now = datetime.now(UTC)
    put(store, *(event(i, "errors", f"disk full on node {i}", "") for i in range(1, 61)), at=now)
    with serve_openai() as server:

        def answers_when_both_hold_copies(request: dict[str, object]) -> str:
            until_true(store, "SELECT count(DISTINCT lease) >= 2 FROM work_items")
            return answer_of(request)

        server.model = answers_when_both_hold_copies
        with two_workers(tmp_path, postgres_url, server.url):
            until_true(store, "SELECT count(*) = 60 FROM enrichments")
    store.close()
    assert len(server.requests) == 1
