"""What one could do instead of a history: pandas and Polars over the store, a plain DuckDB file.

Three of the questions, as a user would write them over the store itself.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analytics.export import export_history
from analytics.history import connect
from analytics.place import Place


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


def compared(place: Place, store: Path, plain: Path) -> list[list[str]]:
    """A row for each question: seconds of ours, and of the others with how many times ours."""
    if not store.exists():
        fill_store(place, store)
    if not plain.exists():
        list(export_history(place, plain))
    ours = with_history(place)
    others = (with_duckdb_file(plain), with_polars(store), with_pandas(store))
    return [
        [
            name,
            f"{ours[name]:.2f}",
            *(f"{other[name]:.2f} ({other[name] / ours[name]:.1f} x)" for other in others),
        ]
        for name in THREE
    ]
