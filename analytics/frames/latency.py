"""Where the time goes between a delivery's arrival and its row in the history."""

from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, thinned, thinning, within
from analytics.views import EPOCH_MS, ID_SHIFT

ARRIVED_US = f"((event_id >> {ID_SHIFT}) + {EPOCH_MS}) * 1000"
STAGES_OF = {
    "answered": ("ack",),
    "tried": ("queue", "model"),
    "written": ("commit", "enriched", "land"),
}
STAGES = tuple(stage for stages in STAGES_OF.values() for stage in stages)


def latency(history: History, *, by_source: bool = False, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Percentiles of every stage of successful enrichments, first revisions only.

    Stages: ack (request headers until the answer was sent, accepted deliveries), queue (claimable
    until claimed), model (inside the enricher), commit (answered until the store's transaction
    wrote it; that transaction's end, fsync included, is part of land), enriched (arrived until
    then, retries included), land (from then until in the history).
    Over more than a million events, those of every n-th minute of arrival are measured.
    Out: source str (with by_source), stage str, count i64, p50_ms, p95_ms, p99_ms, max_ms f64 (ms).
    """
    every = thinning(history, scope)
    some = f"{thinned(every)} AND {within(history, scope)}"
    key = "source, " if by_source else ""
    measured = (f"{rows}_ms AS ({_percentiles(key, rows)})" for rows in STAGES_OF)
    shown = (_shown(key, rows, stage) for rows, stages in STAGES_OF.items() for stage in stages)
    found = history.sql(
        f"""
WITH answered AS (
    SELECT source, unnest(ack_ms) AS ack FROM acknowledgements
    WHERE {thinned(every, "id")} AND {within(history, scope, "id")}),
tried AS MATERIALIZED (
    SELECT event_id, source, number, finished_at, latency_ms AS model,
           (epoch_us(claimed_at) - epoch_us(available_at)) / 1000.0 AS queue
    FROM attempts WHERE outcome = 'enriched' AND {some}),
written AS (
    SELECT source, (epoch_us(recorded_at) - epoch_us(finished_at)) / 1000.0 AS commit,
           (epoch_us(recorded_at) - {ARRIVED_US}) / 1000.0 AS enriched,
           (epoch_us(landed_at) - epoch_us(recorded_at)) / 1000.0 AS land
    FROM (SELECT event_id, source, recorded_at, landed_at FROM enrichments
          WHERE revision = 1 AND NOT candidate AND {some})
    LEFT JOIN (SELECT event_id, finished_at FROM tried WHERE number = 1) USING (event_id)),
{", ".join(measured)}
{" UNION ALL ".join(shown)}"""
    )
    order = pl.Enum(STAGES)
    return found.sort(*(["source"] if by_source else []), pl.col("stage").cast(order))


def _percentiles(key: str, rows: str) -> str:
    columns = ", ".join(
        f"count({stage}) AS {stage}_count,"
        f" quantile_cont({stage}, [0.5, 0.95, 0.99, 1.0]) AS {stage}_ms"
        for stage in STAGES_OF[rows]
    )
    return f"SELECT {key}{columns} FROM {rows} {'GROUP BY source' if key else ''}"


def _shown(key: str, rows: str, stage: str) -> str:
    return (
        f"SELECT {key}'{stage}' AS stage, {stage}_count AS count, {stage}_ms[1] AS p50_ms,"
        f" {stage}_ms[2] AS p95_ms, {stage}_ms[3] AS p99_ms, {stage}_ms[4] AS max_ms"
        f" FROM {rows}_ms"
    )


def latency_over_time(
    history: History, *, every: timedelta = timedelta(hours=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """From arrival until the store has written the enrichment, over time.

    Out: at datetime[us, UTC] (start of the span in which they arrived), event_count i64,
    p50_ms, p95_ms, p99_ms f64 (ms).
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", event_count,
                   us[1] / 1000 AS p50_ms, us[2] / 1000 AS p95_ms, us[3] / 1000 AS p99_ms
        FROM (SELECT {bucket(every)} AS ms, count(*) AS event_count,
                     quantile_cont(epoch_us(recorded_at) - {ARRIVED_US}, [0.5, 0.95, 0.99]) AS us
              FROM enrichments
              WHERE revision = 1 AND NOT candidate AND {within(history, scope)} GROUP BY ALL)
        ORDER BY "at"
        """
    )
