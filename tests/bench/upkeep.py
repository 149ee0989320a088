"""What senders notice while a large store forgets, gives work back and erases a person.

python -m tests.bench.upkeep [--events 200000] [--seconds 10] [--write]
`hooksift receive` on one core takes deliveries at a fixed rate, the load comes from the other, and
the work on the same store is done by this process, wherever there is room.
"""

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from service.lifecycle.erasure import look, remove
from service.lifecycle.replay import Chosen, give_back, letters_to_replay
from service.lifecycle.retention import forget
from service.settings import RetentionSettings
from service.store import Store, open_store
from service.store.intake import DELIVERY_COLUMNS, EVENT_COLUMNS
from service.store.look import first_id_at
from service.store.queue import ENRICH
from service.store.store import words_of
from service.store.tables import Rows
from tests.bench.results import made_with, table, write_section
from tests.bench.running import Server, bench_folder, databases, load, make_keys, running
from tests.servers.statistics import analyse

CHUNK = 10_000
SOURCES = 10
DAYS = 400
LETTERS = 20_000
PERSON_EACH = 200  # of so many events one is the person's
PERSON = "ada.lovelace@example.com"
RATE = 100.0
KEEP = RetentionSettings(keep_bodies_days=90, keep_rows_days=200)
TITLE = "Beside upkeep"
COLUMNS = ("store", "beside", "rows", "rows/s", "ack p50 / p99 ms")
KEY_COLUMNS = ("digest", "delivery_id", "expires_at")
LETTER_COLUMNS = ("event_id", "kind", "name", "source", "tries", "died_at", "reason")


def fill(store: Store, events: int) -> None:
    """Deliveries of 1 KB with their events and keys; the newest have dead letters."""
    now = datetime.now(UTC)

    def add(connection: Connection, tx: int, chunks: Any) -> list[None]:
        for chunk in chunks:
            parts = [rows_of(n, first_id_at(now - timedelta(days=DAYS * (1 - n / events))), tx)
                     for n in chunk]  # fmt: skip
            deliveries, stored, keys, letters = zip(*parts, strict=True)
            dead = [row for n, row in zip(chunk, letters, strict=True) if n >= events - LETTERS]
            words_of(connection).insert_rows(
                connection,
                Rows("deliveries", DELIVERY_COLUMNS, deliveries),
                Rows("events", EVENT_COLUMNS, stored),
                Rows("dedup_keys", KEY_COLUMNS, keys),
                Rows("dead_letters", LETTER_COLUMNS, dead),
            )
        return [None] * len(chunks)

    for start in range(0, events, CHUNK):
        store.write_now(add, range(start, min(start + CHUNK, events)))
    analyse(store)


def rows_of(n: int, some_id: int, tx: int) -> tuple[tuple[Any, ...], ...]:
    """A delivery, its event, its dedup key, and a dead letter for it."""
    source, customer = f"s{n % SOURCES}", PERSON if n % PERSON_EACH == 0 else None
    body = b'{"text": "%s"}' % (b"the export ends without a message " * 30)
    delivery = (some_id, source, "github", 0, "POST", "/", "[]", body, f"k{n}", "", True, False)
    nothing = (None, None, False, tx)  # level, payload, suspected_replay, tx
    event = (some_id, some_id, 0, source, "t", f"T-{n}", 0, 0, f"Ticket {n}", "text", None,
             customer, *nothing)  # fmt: skip
    key = (some_id.to_bytes(16, "big"), some_id, 1 << 62)
    return delivery, event, key, (some_id, ENRICH, "", source, 5, 0, "rate_limited")


def forgetting(store: Store, seconds: float) -> Callable[[], int]:
    """Retention, for so long."""

    async def for_a_while() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        return sum((await forget(store, KEEP, {}, datetime.now(UTC), stop)).counts.values())

    return lambda: asyncio.run(for_a_while())


def replaying(store: Store) -> Callable[[], int]:
    """Dead letters become work again."""
    with store.read() as connection:
        items = letters_to_replay(connection, Chosen())
    return lambda: give_back(store, items, datetime.now(UTC), "dead replay", Chosen())


def erasing(store: Store) -> Callable[[], int]:
    """A person goes; where they stand is known."""
    plan = look(store, [PERSON])

    def erase() -> int:
        remove(store, plan, datetime.now(UTC))
        return len(plan.events)

    return erase


def beside(server: Server, seconds: float, work: Callable[[], int]) -> list[str]:
    """Cells of a row: what was done, how fast, and what a sender saw meanwhile."""
    done: list[float] = []

    def run() -> None:
        began = time.perf_counter()
        count = work()
        done.extend((count, time.perf_counter() - began))

    thread = threading.Thread(target=run)
    thread.start()
    told = load(server, seconds, rate=RATE)
    thread.join()
    count, took = done
    rows = [f"{count:,.0f}", f"{count / took:,.0f}"] if count else ["", ""]
    return [*rows, f"{told['p50_ms']:.1f} / {told['p99_ms']:.1f}"]


def measure(url: str, events: int, seconds: float, folder: Any) -> list[list[str]]:
    """A row for each kind of upkeep, and one for none."""
    store = open_store(url)
    fill(store, events)
    with running("receive", url, make_keys(), folder) as server:
        works: dict[str, Callable[[], int]] = {
            "nothing": lambda: 0,
            "retention": forgetting(store, seconds),
            "`dead replay`": replaying(store),
            "`erase`": erasing(store),
        }
        rows = []
        for name, work in works.items():
            rows.append([store.dialect, name, *beside(server, seconds, work)])
            print(*rows[-1], file=sys.stderr)
    store.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    with bench_folder() as folder, databases(folder, ["sqlite", "postgresql"]) as makers:
        rows = [
            row
            for make in makers.values()
            for row in measure(make(), asked.events, asked.seconds, folder)
        ]
    report = [
        (
            f"`python -m tests.bench.upkeep --events {asked.events} --seconds {asked.seconds:g}`:"
            f" {asked.events:,} events of {DAYS} days, {RATE:g} deliveries a second, and another"
            " process at work on the same store."
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
