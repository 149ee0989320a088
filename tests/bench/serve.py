"""From received to enriched to landed, while `hooksift serve` runs at half of its maximum rate.

python -m tests.bench.serve [--seconds 10] [--minutes 0] [--write]
Stub enrichment and landing with the default settings. A reader looks at the store every few ms and
at the history every 100 ms, and times each event by when it first saw it there, so each figure is
from the received request to the commit as others see it, and a little over.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from analytics.errors import HistoryError
from analytics.history import connect
from analytics.place import place_of
from analytics.settings import HistorySettings
from service.store import Store, open_store
from service.store.news import mark, news
from service.store.tables import to_microseconds
from tests.bench.results import made_with, table, write_section
from tests.bench.running import Server, age, bench_folder, databases, load, make_keys, running
from tests.bench.settling import settle

TITLE = "From received to enriched to landed"
STORE_PAUSE, HISTORY_PAUSE = 0.003, 0.1
WARM_UP_SECONDS = 1.0
PATIENCE_SECONDS = 60
MANY = 1_000_000
COLUMNS = (
    "store", "serve, most a second", "measured at", "events", "received to enriched, p50 / p99 ms",
    "enriched to landed, p50 / p99 / most s", "bound s",
)  # fmt: skip


class Watch:
    """Looks again and again on a thread of its own; when it saw each event first."""

    def __init__(self, look: Callable[[], list[int]], pause_seconds: float) -> None:
        self.seen: dict[int, float] = {}
        self._look = look
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            for event_id in self._look():
                self.seen.setdefault(event_id, time.time())

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def looking_at_store(store: Store) -> Callable[[], list[int]]:
    """Events whose enrichment was committed since the last look."""
    with store.read() as connection:
        since = [mark(connection)]

    def look() -> list[int]:
        with store.read() as connection:
            until = mark(connection)
            found = news(connection, "enrichments", since[0], until, 0, MANY)
        since[0] = until
        return [row.event_id for row in found]

    return look


def looking_at_history(server: Server, since: datetime) -> Callable[[], list[int]]:
    """Events whose enrichment was landed since the last look."""
    place = place_of(HistorySettings(), server.data)
    last = [since]

    def look() -> list[int]:
        try:
            with connect(place, threads=1) as history:
                found = history.sql(
                    "SELECT event_id, landed_at FROM enrichments WHERE landed_at > ?", [last[0]]
                )
        except HistoryError:  # not made yet
            return []
        last[0] = max([last[0], *found["landed_at"]])
        return list(found["event_id"])

    return look


def received_at(store: Store, since: datetime) -> dict[int, float]:
    """When each event was received, in seconds since 1970, once the run was warm."""
    asked = text("SELECT id, received_at FROM events WHERE received_at > :since")
    values = {"since": to_microseconds(since) + int(WARM_UP_SECONDS * 1e6)}
    with store.read() as connection:
        return {row[0]: row[1] / 1e6 for row in connection.execute(asked, values)}


def follow(server: Server, seconds: float) -> list[object]:
    """One row: the maximum, then each event's way at half of it."""
    most = load(server, seconds)["rate"]
    settle(server)
    store = open_store(server.url, upgrade=False)
    began = datetime.now(UTC)
    with (
        Watch(looking_at_store(store), STORE_PAUSE) as enriched,
        Watch(looking_at_history(server, began), HISTORY_PAUSE) as landed,
    ):
        told = load(server, seconds, rate=most / 2)
        events = received_at(store, began)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (events.keys() <= landed.seen.keys() and events.keys() <= enriched.seen.keys()):
            if time.monotonic() > deadline:
                raise SystemExit(f"not all of {len(events)} events were landed in time")
            time.sleep(0.1)
    store.close()
    waits = [(enriched.seen[e] - at) * 1000 for e, at in events.items()]
    lags = [max(0.0, landed.seen[e] - enriched.seen[e]) for e in events]
    bound = HistorySettings().interval_seconds + 1
    return [
        f"{most:,.0f}",
        f"{told['rate']:,.0f}",
        f"{len(events):,}",
        " / ".join(f"{value:.0f}" for value in percentiles(waits)),
        " / ".join(f"{value:.2f}" for value in (*percentiles(lags), max(lags))),
        f"{bound:g}",
    ]


def percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    return statistics.median(values), statistics.quantiles(values, n=100)[98]


def main() -> None:
    parser: Any = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=0, help="of running before")
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    rows = []
    with bench_folder() as folder, databases(folder, asked.stores.split(",")) as makers:
        for name, make in makers.items():
            with running("serve", make(), make_keys(), folder) as server:
                age([server], asked.minutes)
                rows.append([name, *follow(server, asked.seconds)])
    report = [
        (
            f"`python -m tests.bench.serve --seconds {asked.seconds:g} --minutes"
            f" {asked.minutes:g}`: `hooksift serve` on one core with the stub and landing on, after"
            f" {asked.minutes:g} minutes of running; a reader sees each commit within"
            f" {STORE_PAUSE * 1000:g} ms in the store and {HISTORY_PAUSE * 1000:g} ms in the"
            " history, and this is included. The bound is the interval of landing and a second."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        made_with("sqlalchemy", "psycopg", "duckdb", "polars"),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
