"""`make bench-history`: the notebooks' questions on a large history, and what else one could do.

    python -P tests/bench/history.py [--events 10000000] [--folder DIR] [--rivals 1000000]

Each question runs in a process of its own, twice: seconds of the first and second answer, seconds
of all cores for the second, and the most memory the process ever held. Then the same three
questions put to pandas and Polars over the SQLite store, and to a plain DuckDB file, all on one
made-up history in one run.
"""

import argparse
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import analytics
from analytics.export import export_history
from analytics.generate import generate
from analytics.history import History, connect
from analytics.place import Place

UNTIL = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 90
ONE_DAY = {"since": timedelta(days=1)}
LIMIT_SECONDS, LIMIT_MB = 2.0, 2048


def fingerprint_of(history: History) -> str:
    """A frequent error."""
    found = history.sql("SELECT fingerprint FROM enrichments WHERE fingerprint IS NOT NULL LIMIT 1")
    return str(found.item())


def days_ago(history: History, days: int) -> datetime:
    """So long before the newest event."""
    newest = analytics.newest_at(history)
    assert newest is not None
    return newest - timedelta(days=days)


QUESTIONS: dict[str, Callable[[History], Any]] = {
    "outcomes": analytics.outcomes,
    "arrivals, per day": lambda h: analytics.arrivals(h, every=timedelta(days=1)),
    "arrivals, per hour": analytics.arrivals,
    "events, newest 1,000": analytics.events,
    "storms": analytics.storms,
    "senders": analytics.senders,
    "refused": analytics.refused,
    "latency": analytics.latency,
    "latency over time": analytics.latency_over_time,
    "failures": analytics.failures,
    "dead": analytics.dead,
    "actions": analytics.actions,
    "categories": analytics.categories,
    "severities": analytics.severities,
    "tags": analytics.tags,
    "shifts": analytics.shifts,
    "calls": analytics.calls,
    "cost": analytics.cost,
    "savings": analytics.savings,
    "cost by category": analytics.cost_by_category,
    "scores": analytics.scores,
    "confusion": analytics.confusion,
    "calibration": analytics.calibration,
    "accuracy": analytics.accuracy,
    "disagreement": analytics.disagreement,
    "twin confusion": analytics.twin_confusion,
    "errors before tickets": analytics.errors_before_tickets,
    "aftermath": lambda h: analytics.aftermath(h, fingerprint_of(h), "billing"),
    "timeline": lambda h: analytics.timeline(
        h, h.sql("SELECT max(event_id) AS i FROM labels").item()
    ),
    "as of": lambda h: analytics.as_of(h, days_ago(h, 30)),
}
SEARCHES: dict[str, Callable[[History], Any]] = {
    "search, 1 day": lambda h: analytics.search(h, "no such words", **ONE_DAY),
    "search, 7 days": lambda h: analytics.search(h, "no such words"),
    "search, everything": lambda h: analytics.search(h, "no such words", since=None),
}


def one(folder: str, name: str) -> None:
    """Ask one question twice, in this process; print seconds and megabytes as JSON."""
    with connect(folder, memory_mb=1400) as history:
        seconds = []
        for _ in range(2):
            started, busy = time.perf_counter(), time.process_time()
            answer = (QUESTIONS | SEARCHES)[name](history)
            seconds.append(time.perf_counter() - started)
            busy = time.process_time() - busy
        most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": busy, "mb": most_mb, "rows": answer.height}))


def ask_all(folder: Path, questions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question in a process of its own."""
    for name in questions:
        command = [sys.executable, "-P", __file__, "--one", name, "--folder", str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            continue
        yield name, json.loads(run.stdout)


def made(folder: Path, events: int) -> Place:
    """A made-up history there; an old one is used again."""
    place = Place(str(folder / "catalog.sqlite"), str(folder / "files"))
    if not Path(place.catalog).exists():
        started = time.perf_counter()
        generate(place, events, days=DAYS, until=UNTIL)
        print(f"made {events:,} events in {time.perf_counter() - started:.0f} s", flush=True)
    return place


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def report_history(folder: Path, questions: dict[str, Any]) -> dict[str, float]:
    """Print a table; returns the seconds of each second answer."""
    print("| question | first s | second s | CPU s | most MB | rows |\n|---|---|---|---|---|---|")
    seconds = {}
    for name, found in ask_all(folder, questions):
        first, second = found["seconds"]
        over = " **over**" if second > LIMIT_SECONDS or found["mb"] > LIMIT_MB else ""
        print(
            f"| {name} | {first:.2f} | {second:.2f}{over} | {found['cpu']:.2f}"
            f" | {found['mb']:.0f} | {found['rows']} |",
            flush=True,
        )
        seconds[name] = second
    return seconds


# The rivals: three of the questions, as a user would write them over the store itself.


def fill_store(place: Place, file: Path) -> None:
    """The store's own tables, with the history's rows, as they stand before retention."""
    from service.store import open_store

    open_store(f"sqlite:///{file}").close()
    target = sqlite3.connect(file)
    target.execute("PRAGMA synchronous = OFF")
    with connect(place) as history:
        for table, columns in STORE_COLUMNS.items():
            marks = ", ".join("?" * len(columns))
            names = ", ".join(columns)
            rows = history.connection.execute(
                f"SELECT {', '.join(columns.values())} FROM {table_of(table)}"
            )
            while part := rows.fetchmany(20_000):
                target.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", part)
    target.commit()
    target.close()


def table_of(table: str) -> str:
    """Which history table holds what the store's table holds."""
    return "events" if table == "deliveries" else table


def us(column: str) -> str:
    return f"epoch_us({column})"


STORE_COLUMNS: dict[str, dict[str, str]] = {
    "deliveries": {
        "id": "delivery_id", "source": "source", "preset": "preset",
        "received_at": us("received_at"), "method": "method", "url": "request_url",
        "headers": "'[[\"content-type\",\"application/json\"],[\"user-agent\",\"provider/1.0\"]]'",
        "body": "encode(body)", "delivery_key": "delivery_key", "address": "'198.51.100.7'",
        "verified": "verified", "suspected_replay": "suspected_replay",
    },
    "events": {
        "id": "id", "delivery_id": "delivery_id", "item_index": "item_index", "source": "source",
        "event_type": "event_type", "subject": "subject", "received_at": us("received_at"),
        "sent_at": us("sent_at"), "title": "title", "text": "text", "url": "url",
        "customer": "customer", "level": "level", "suspected_replay": "suspected_replay",
        "tx": "1",
    },
    "attempts": {
        **{name: name for name in (
            "id", "event_id", "source", "number", "outcome", "error_kind", "error", "latency_ms",
            "call_count", "provider", "model", "prompt_version", "input_tokens", "output_tokens",
            "cost_usd", "request_id")},
        "available_at": us("available_at"), "claimed_at": us("claimed_at"),
        "finished_at": us("finished_at"), "tx": "1",
    },
    "enrichments": {
        **{name: name for name in (
            "id", "event_id", "source", "revision", "candidate", "category", "severity",
            "sentiment", "language", "summary", "confidence", "suspicious", "degraded",
            "cache_hit", "copied_from", "fingerprint", "provider", "model", "prompt_version",
            "input_tokens", "output_tokens", "cost_usd", "latency_ms", "redacted_count",
            "twin_category", "twin_severity")},
        "tags": "to_json(tags)::VARCHAR", "recorded_at": us("recorded_at"), "tx": "1",
    },
}  # fmt: skip

GRID = "SELECT category, severity, revision, event_id FROM enrichments WHERE candidate = 0"
WAITS = (
    "SELECT claimed_at - available_at AS queue, latency_ms FROM attempts WHERE outcome = 'enriched'"
)
DAYS_OF = "SELECT source, received_at FROM events"


def with_pandas(file: Path) -> dict[str, float]:
    """Seconds of each question: rows into pandas, then grouped there."""
    import pandas as pd

    connection = sqlite3.connect(file)

    def grid() -> None:
        frame = pd.read_sql_query(GRID, connection)
        frame = frame.sort_values("revision").drop_duplicates("event_id", keep="last")
        frame.groupby(["category", "severity"]).size()

    def waits() -> None:
        frame = pd.read_sql_query(WAITS, connection)
        frame.quantile([0.5, 0.95, 0.99])

    def days() -> None:
        frame = pd.read_sql_query(DAYS_OF, connection)
        frame["day"] = frame["received_at"] // 86_400_000_000
        frame.groupby(["source", "day"]).size()

    return timed(grid, waits, days)


def with_polars(file: Path) -> dict[str, float]:
    """Seconds of each question: rows into Polars, then grouped there."""
    import polars as pl

    connection = sqlite3.connect(file)

    def read(query: str) -> pl.DataFrame:
        return pl.read_database(query, connection, infer_schema_length=None)

    def grid() -> None:
        frame = read(GRID).sort("revision").unique("event_id", keep="last")
        frame.group_by("category", "severity").len()

    def waits() -> None:
        frame = read(WAITS)
        for quantile in (0.5, 0.95, 0.99):
            frame.select(pl.all().quantile(quantile))

    def days() -> None:
        frame = read(DAYS_OF).with_columns(day=pl.col("received_at") // 86_400_000_000)
        frame.group_by("source", "day").len()

    return timed(grid, waits, days)


def with_duckdb_file(file: Path) -> dict[str, float]:
    """Seconds of each question in a plain DuckDB file with the same tables."""
    import duckdb

    connection = duckdb.connect(str(file), read_only=True)
    return timed(*(lambda q=query: connection.execute(q).pl() for query in SAME_SQL))  # type: ignore[misc]


def with_history(place: Place) -> dict[str, float]:
    """Seconds of each question through the history, in the same words."""
    with connect(place) as history:
        return timed(*(lambda q=query: history.sql(q) for query in SAME_SQL))  # type: ignore[misc]


SAME_SQL = (
    "SELECT category, severity, count(*) AS n FROM current_enrichments GROUP BY ALL",
    (
        "SELECT quantile_cont(epoch_us(claimed_at) - epoch_us(available_at), [0.5, 0.95, 0.99]),"
        " quantile_cont(latency_ms, [0.5, 0.95, 0.99]) FROM attempts WHERE outcome = 'enriched'"
    ),
    "SELECT source, date_trunc('day', received_at) AS day, count(*) AS n FROM events GROUP BY ALL",
)
THREE = ("category x severity", "queue and model percentiles", "events per source and day")


def timed(*questions: Callable[[], Any]) -> dict[str, float]:
    """Seconds of each, the better of two."""
    found = {}
    for name, question in zip(THREE, questions, strict=True):
        runs = []
        for _ in range(2):
            started = time.perf_counter()
            question()
            runs.append(time.perf_counter() - started)
        found[name] = min(runs)
    return found


def rivals(folder: Path, events: int) -> None:
    """Compare on `events` events, all in this run."""
    place = made(folder / f"h{events}", events)
    store, plain = folder / f"store{events}.sqlite", folder / f"plain{events}.duckdb"
    if not store.exists():
        fill_store(place, store)
    if not plain.exists():
        list(export_history(place, plain))
    ours = with_history(place)
    print(f"\n{events:,} events, seconds, better of two (and times ours)\n")
    print("| question | history | plain DuckDB file | Polars over store | pandas over store |")
    print("|---|---|---|---|---|")
    others = (with_duckdb_file(plain), with_polars(store), with_pandas(store))
    for name in THREE:
        cells = [f"{other[name]:.2f} ({other[name] / ours[name]:.1f} x)" for other in others]
        print(f"| {name} | {ours[name]:.2f} | {' | '.join(cells)} |")
    sizes = (size_of(folder / f"h{events}"), plain.stat().st_size, store.stat().st_size)
    shown = ", ".join(
        f"{what} {size / events:,.0f}"
        for what, size in zip(("history", "plain DuckDB file", "store"), sizes, strict=True)
    )
    print(f"\nBytes per event: {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rivals", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("hooksift-bench"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        one(str(told.folder), told.one)
        return
    told.folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(told.folder).free < told.events * 1_000:
        sys.exit(f"{told.folder} needs {told.events * 1_000 / 1e9:.0f} GB free")
    large = told.folder / f"h{told.events}"
    made(large, told.events)
    print(f"\n{told.events:,} events\n")
    slow = report_history(large, QUESTIONS)
    print("\nSearch in bodies (reads them; no limit)\n")
    report_history(large, SEARCHES)
    small = told.folder / f"h{told.rivals}"
    made(small, told.rivals)
    print(f"\nGrowth from {told.rivals:,} to {told.events:,} events\n")
    quick = {name: found["seconds"][1] for name, found in ask_all(small, dict.fromkeys(slow))}
    print("| question | seconds at both | growth |\n|---|---|---|")
    for name, seconds in slow.items():
        before = quick[name]
        print(f"| {name} | {before:.2f} → {seconds:.2f} | {seconds / before:.1f} x |")
    for folder, events in ((small, told.rivals), (large, told.events)):
        print(f"\n{events:,} events: {size_of(folder) / events:,.0f} bytes per event on disk")
    rivals(told.folder, told.rivals)


if __name__ == "__main__":
    main()
