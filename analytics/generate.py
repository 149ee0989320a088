"""`hooksift generate`: a realistic made-up history of any size, for tests and benchmarks."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from analytics import generated_facts as facts
from analytics.generated_plan import Plan, plan
from analytics.history import attach
from analytics.lock import held, lock_of
from analytics.place import Place
from analytics.upkeep import prepare

STRETCH_EVENTS = 250_000


def generate(
    place: Place,
    event_count: int,
    *,
    days: float = 30,
    until: datetime | None = None,
    seed: int = 1,
    memory_mb: int = 2048,
    threads: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write about `event_count` events of the last `days` and all that follows from them.

    The same seed and `until` make the same history. Returns how many events were written.
    `on_progress` gets the events written so far. Meant for a new history: ids of two runs with
    overlapping days would collide.
    """
    planned = plan(event_count, days, until or datetime.now(UTC), seed)
    if not place.is_postgresql:
        Path(place.catalog).parent.mkdir(parents=True, exist_ok=True)
    with held(lock_of(place, "writer"), 10):
        lake = attach(place, read_only=False, threads=threads, memory_mb=memory_mb)
        try:
            prepare(lake)
            written = 0
            _define(lake, planned, seed)
            for stretch in _stretches(planned.minutes):
                written += _write(lake, stretch)
                on_progress(written)
        finally:
            lake.close()
    return written


def _define(lake: duckdb.DuckDBPyConnection, planned: Plan, seed: int) -> None:
    for statement in (*facts.macros(seed), *facts.text_macros(), facts.reuse_macro()):
        lake.execute(statement)
    span = planned.ended_at - planned.began_at
    switch_ms = int((planned.began_at + span * 0.55).timestamp() * 1000)
    outages = ", ".join(
        f"[{int(start.timestamp() * 1000)}, {int(end.timestamp() * 1000)}]"
        for start, end in planned.outages
    )
    lake.execute(
        f"CREATE OR REPLACE TEMP TABLE facts AS SELECT {switch_ms} AS switch_ms,"
        f" [{outages}]::BIGINT[][] AS outages"
    )


def _stretches(minutes: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The plan in stretches of time with about STRETCH_EVENTS events, so that memory is bounded."""
    numbered = minutes.with_columns(
        stretch=pl.col("count").cum_sum() // STRETCH_EVENTS
    ).with_columns(stretch=pl.col("stretch").min().over("ms"))
    for _, part in numbered.group_by("stretch", maintain_order=True):
        yield part.drop("stretch")


def _write(lake: duckdb.DuckDBPyConnection, stretch: pl.DataFrame) -> int:
    lake.register("stretch", stretch.to_arrow())
    lake.execute(facts.made_statement())
    lake.execute(facts.thoughts_statement())
    lake.execute("BEGIN")
    for statement in (
        facts.events_statement(),
        facts.attempts_statement(),
        facts.enrichments_statement(),
        *facts.lesser_statements(),
    ):
        lake.execute(statement)
    lake.execute("COMMIT")
    lake.unregister("stretch")
    return int(stretch["count"].sum())
