"""A claim of 50 with a small and with a large backlog, on both databases.

python -m tests.bench.claim [--stored 1000000] [--waiting 100000] [--write]
Waiting work is spread over ten sources; the rest of the stored events have none left to do.
"""

import argparse
import statistics
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from service.store import Store, open_store
from service.store.intake import EVENT_COLUMNS
from service.store.queue import ENRICH, ClaimRequest, NewWork, claim_each, complete, enqueue
from service.store.tables import Rows, to_microseconds
from tests.bench.results import made_with, table, write_section
from tests.bench.running import bench_folder, databases

CHUNK = 20_000
CLAIMS = 200
SOURCES = 10
TITLE = "A claim of 50"
COLUMNS = ("store", "stored", "waiting", "p50 ms", "p99 ms")


def fill(store: Store, stored: range, waiting: int) -> None:
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
                NewWork(n, ENRICH, "", f"s{n % SOURCES}", 1, now + n)
                for n in chunk
                if n - stored.start < waiting
            ]
            enqueue(connection, works, Rows("events", EVENT_COLUMNS, rows))
        return [None] * len(chunks)

    for start in range(stored.start, stored.stop, CHUNK):
        store.write_now(add, range(start, min(start + CHUNK, stored.stop)))


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


def measure(url: str, stored: int, waiting: int) -> list[list[str]]:
    """A row with a small and one with a large backlog."""
    store = open_store(url)
    filled = 0
    rows = []
    for total, work in ((stored // 100, waiting // 10), (stored, waiting)):
        fill(store, range(filled + 1, total + 1), min(work, total))
        filled = total
        if store.dialect == "postgresql":
            with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
                c.exec_driver_sql("VACUUM ANALYZE")
        with store.read() as connection:
            depth = connection.exec_driver_sql("SELECT count(*) FROM work_items").scalar_one()
        times = [claim_and_complete(store) for _ in range(CLAIMS // 2)]
        assert all(count == 50 for _, count in times)
        taken = sorted(t for t, _ in times)
        p50, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
        rows.append([store.dialect, f"{total:,}", f"{depth:,}", f"{p50:.2f}", f"{p99:.2f}"])
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
            row for make in makers.values() for row in measure(make(), asked.stored, asked.waiting)
        ]
    report = [
        (
            f"`python -m tests.bench.claim --stored {asked.stored} --waiting {asked.waiting}`:"
            f" {CLAIMS // 2} claims, each with its commit, of work spread over {SOURCES} sources;"
            " with a hundredth of the events stored, and with all."
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
