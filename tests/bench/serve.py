"""From received to enriched to landed, while `hooksift serve` runs at half of its maximum rate.

python -m tests.bench.serve [--seconds 10] [--minutes 0] [--both-cores] [--write]
The load has one core, and all of the service the other one: also its stub enrichment and landing,
with the default settings. With --both-cores it may use the load's too. Its maximum is what all its
stages get done: events of a run as fast as deliveries are acknowledged, by the time until the last
one is landed. The times are those that the rows hold, stamped by the transactions that wrote them:
their own ends are not in it.
"""

import argparse
import statistics
import time
from collections.abc import Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from analytics.errors import HistoryError
from analytics.history import connect
from analytics.place import place_of
from analytics.settings import HistorySettings
from service.store import Store, open_store
from service.store.tables import to_microseconds
from tests.bench.results import made_with, table, write_section
from tests.bench.running import (
    BOTH_CORES,
    SERVER_CORE,
    Server,
    age,
    bench_folder,
    databases,
    load,
    make_keys,
    running,
)
from tests.bench.settling import settle

TITLE = "From received to enriched to landed"
WARM_UP_SECONDS = 1.0
PATIENCE_SECONDS = 60
COLUMNS = (
    "store", "acknowledged, most a second", "received to landed, most a second", "measured at",
    "events", "acknowledged, p50 / p99 ms", "received to enriched, p50 / p99 ms",
    "enriched to landed, p50 / p99 / most s", "bound s",
)  # fmt: skip


def received_at(store: Store, since: datetime) -> dict[int, float]:
    """When each event was received, in seconds since 1970."""
    asked = "SELECT id, received_at FROM events WHERE received_at > :since"
    return moments(store, asked, to_microseconds(since))


def enriched_at(store: Store, since: datetime) -> dict[int, float]:
    """When the transaction that enriched each event wrote it, in seconds since 1970."""
    asked = "SELECT event_id, recorded_at FROM enrichments WHERE recorded_at > :since"
    return moments(store, asked, to_microseconds(since))


def moments(store: Store, asked: str, since: int) -> dict[int, float]:
    """An id and microseconds for each row."""
    with store.read() as connection:
        return {row[0]: row[1] / 1e6 for row in connection.execute(text(asked), {"since": since})}


def landed_at(server: Server, table_name: str, key: str, ids: Set[int]) -> dict[int, float]:
    """When each of these rows was landed, in seconds since 1970; waits until all are."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = f"SELECT {key}, epoch_us(landed_at) AS at FROM {table_name}"
    while True:
        with suppress(HistoryError), connect(place_of(HistorySettings(), server.data)) as history:
            found = {row[0]: row[1] / 1e6 for row in history.sql(asked).iter_rows()}
            if ids <= found.keys():
                return found
        if time.monotonic() > deadline:
            raise SystemExit(f"not all of {len(ids)} rows were landed in {PATIENCE_SECONDS} s")
        time.sleep(1)


def follow(server: Server, seconds: float) -> list[object]:
    """One row: the maximum, then each event's way at half of it."""
    store = open_store(server.url, upgrade=False)
    began = datetime.now(UTC)
    acknowledged = load(server, seconds)["rate"]
    settle(server)
    events = received_at(store, began)
    landed = landed_at(server, "enrichments", "event_id", events.keys())
    most = len(events) / (max(landed[event] for event in events) - min(events.values()))
    began = datetime.now(UTC)
    told = load(server, seconds, rate=most / 2)
    settle(server)
    events = received_at(store, began + timedelta(seconds=WARM_UP_SECONDS))
    enriched = enriched_at(store, began)
    store.close()
    landed = landed_at(server, "enrichments", "event_id", events.keys())
    waits = [(enriched[e] - at) * 1000 for e, at in events.items()]
    lags = [landed[e] - enriched[e] for e in events]
    bound = HistorySettings().interval_seconds + 1
    return [
        f"{acknowledged:,.0f}",
        f"{most:,.0f}",
        f"{told['rate']:,.0f}",
        f"{len(events):,}",
        f"{told['p50_ms']:.1f} / {told['p99_ms']:.1f}",
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
    parser.add_argument(
        "--both-cores", action="store_true", help="for the service; a section of its own"
    )
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    cores, option, where = SERVER_CORE, "", "one core"
    if asked.both_cores:
        cores, option, where = BOTH_CORES, " --both-cores", "both cores, the load beside it,"
    rows = []
    with bench_folder() as folder, databases(folder, asked.stores.split(",")) as makers:
        for name, make in makers.items():
            with running("serve", make(), make_keys(), folder, cores) as server:
                age([server], asked.minutes)
                rows.append([name, *follow(server, asked.seconds)])
    report = [
        (
            f"`python -m tests.bench.serve --seconds {asked.seconds:g} --minutes"
            f" {asked.minutes:g}{option}`: `hooksift serve` on {where} with the stub and landing"
            f" on, after {asked.minutes:g} minutes of running; times are those of the transactions"
            " that wrote the rows. The bound is the interval of landing and a second. PostgreSQL"
            " has a log as after long use."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        made_with("sqlalchemy", "psycopg", "duckdb", "polars"),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(f"{TITLE}, on both cores" if asked.both_cores else TITLE, report)


if __name__ == "__main__":
    main()
