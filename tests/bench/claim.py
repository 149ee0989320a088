"""A claim of 50 with a small and with a large backlog, on both databases.

python -m tests.bench.claim [--stored 1000000] [--waiting 100000] [--write]
Waiting work is spread over ten sources; the rest of the stored events have none left to do.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from service.store import Store, open_store
from service.store.intake import EVENT_COLUMNS
from service.store.queue import ENRICH, ClaimRequest, NewWork, claim_each, complete, enqueue
from service.store.tables import Rows, to_microseconds
from tests.bench.results import made_with, table, write_section
from tests.bench.running import bench_folder, databases
from tests.servers.statistics import analyse

CHUNK = 20_000
CLAIMS = 100
SOURCES = 10
TITLE = "A claim of 50"
COLUMNS = ("store", "stored", "waiting", "p50 ms", "p99 ms", "p50 as ratio")


def fill(store: Store, stored: int, waiting: int) -> None:
    """Events, the first `waiting` of them with work."""
    now = to_microseconds(datetime.now(UTC)) - 60_000_000

    def add(connection: Connection, tx: int, chunks: Any) -> list[None]:
        for chunk in chunks:
            rows = [
                (
                    n,
                    n,
                    0,
                    f"s{n % SOURCES}",
                    "t",
                    f"T-{n}",
                    now,
                    now,
                    f"Ticket {n}",
                    "text",
                    None,
                    None,
                    None,
                    None,
                    False,
                    tx,
                )
                for n in chunk
            ]
            works = [
                NewWork(n, ENRICH, "", f"s{n % SOURCES}", 1, now + n) for n in chunk if n <= waiting
            ]
            enqueue(connection, works, Rows("events", EVENT_COLUMNS, rows))
        return [None] * len(chunks)

    for start in range(1, stored + 1, CHUNK):
        store.write_now(add, range(start, min(start + CHUNK, stored + 1)))


def claim_and_complete(store: Store) -> tuple[float, int]:
    """Milliseconds of a claim of 50, and how many it gave; they are completed afterwards."""

    def done(connection: Connection, tx: int, payloads: Any) -> list[Any]:
        return [complete(connection, claims) for claims in payloads]

    request = ClaimRequest(ENRICH, 50, datetime.now(UTC), 60, store.new_ids())
    began = time.perf_counter()
    claims = store.write_now(claim_each, request)
    took = (time.perf_counter() - began) * 1000
    store.write_now(done, claims)
    return took, len(claims)


def filled(url: str, stored: int, waiting: int) -> Store:
    """A store with so many events, the first `waiting` of them with work."""
    store = open_store(url)
    fill(store, stored, waiting)
    analyse(store)
    return store


def measure(make: Callable[[], str], stored: int, waiting: int) -> list[list[str]]:
    """A row with a small and one with a large backlog; claims alternate between the two."""
    sizes = ((stored // 100, waiting // 10), (stored, waiting))
    stores = [filled(make(), *size) for size in sizes]
    times: list[list[float]] = [[], []]
    for _ in range(CLAIMS):
        for store, taken in zip(stores, times, strict=True):
            took, count = claim_and_complete(store)
            assert count == 50
            taken.append(took)
    medians = [statistics.median(taken) for taken in times]
    rows = []
    for store, size, taken, p50 in zip(stores, sizes, times, medians, strict=True):
        p99 = sorted(taken)[int(len(taken) * 0.99)]
        counts = [f"{count:,}" for count in size]
        rows.append([store.dialect, *counts, f"{p50:.2f}", f"{p99:.2f}", f"{p50 / medians[0]:.2f}"])
        store.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    with bench_folder() as folder, databases(folder, ["sqlite", "postgresql"]) as makers:
        rows = [
            row for make in makers.values() for row in measure(make, asked.stored, asked.waiting)
        ]
    report = [
        (
            f"`python -m tests.bench.claim --stored {asked.stored} --waiting {asked.waiting}`:"
            f" {CLAIMS} claims, each with its commit, of work spread over {SOURCES} sources;"
            " in turn from a store with a hundredth of the events, and from one with all."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        made_with("sqlalchemy", "psycopg"),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
