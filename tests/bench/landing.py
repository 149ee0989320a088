"""How far the history is behind, and what landing costs the sender: one run, landing off and on.

python -m tests.bench.landing [--seconds 10] [--rate 500] [--rounds 3] [--write]
`hooksift receive` on one core; every other round `hooksift land` works beside it on the same core.
A lag is from the received request until the landing transaction wrote the event.
"""

import argparse
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from analytics.settings import HistorySettings
from service.store import open_store
from tests.bench.results import made_with, table, write_section
from tests.bench.running import (
    SERVER_CORE,
    Server,
    bench_folder,
    databases,
    load,
    make_keys,
    pinned,
    running,
)
from tests.bench.serve import landed_at, percentiles, received_at

TITLE = "Landing"
COLUMNS = (
    "store", "a second", "received to landed, p50 / p99 / most s",
    "ack without landing, p50 / p99 ms", "ack with landing, p50 / p99 ms", "p50, p99 as ratios",
)  # fmt: skip


@contextmanager
def landing(server: Server) -> Iterator[None]:
    """`hooksift land` beside the server for as long as the block runs."""
    config = str(server.data / "hooksift.toml")
    command = pinned(SERVER_CORE, sys.executable, "-m", "hooksift", "--config", config, "land")
    with (server.data / "land.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def measured(server: Server, seconds: float, rate: float) -> tuple[dict[str, Any], list[float]]:
    """One round with landing: what the load says, and each event's lag in seconds."""
    with landing(server):
        first = datetime.now(UTC)
        load(server, 2, rate=10)  # until the lander is up
        store = open_store(server.url, upgrade=False)
        landed_at(server, "events", "id", received_at(store, first).keys())
        began = datetime.now(UTC)
        told = load(server, seconds, rate=rate)
        events = received_at(store, began)
        store.close()
        landed = landed_at(server, "events", "id", events.keys())
    return told, [landed[event] - at for event, at in events.items()]


def compare(server: Server, seconds: float, rate: float, rounds: int) -> list[str]:
    """One row: rounds without and with landing, one after the other."""
    without, beside, lags = [], [], list[float]()
    for _ in range(rounds):
        without.append(load(server, seconds, rate=rate))
        told, found = measured(server, seconds, rate)
        beside.append(told)
        lags += found
    acks = [[statistics.median(run[name] for run in runs) for name in ("p50_ms", "p99_ms")]
            for runs in (without, beside)]  # fmt: skip
    ratios = [after / before for before, after in zip(*acks, strict=True)]
    return [
        f"{statistics.median(run['rate'] for run in beside):,.0f}",
        " / ".join(f"{value:.2f}" for value in (*percentiles(lags), max(lags))),
        *(" / ".join(f"{value:.1f}" for value in ack) for ack in acks),
        ", ".join(f"{ratio:.2f}" for ratio in ratios),
    ]


def main() -> None:
    parser: Any = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    rows = []
    with bench_folder() as folder, databases(folder, asked.stores.split(",")) as makers:
        for name, make in makers.items():
            with running("receive", make(), make_keys(), folder) as server:
                rows.append([name, *compare(server, asked.seconds, asked.rate, asked.rounds)])
    report = [
        (
            f"`python -m tests.bench.landing --seconds {asked.seconds:g} --rate {asked.rate:g}"
            f" --rounds {asked.rounds}`: `hooksift receive` on one core, and every other round"
            " `hooksift land` beside it on the same core; medians of the rounds. A lag is from the"
            " received request until the landing transaction wrote the event; landing starts every"
            f" {HistorySettings().interval_seconds:g} s."
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
