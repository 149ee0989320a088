"""Where the time goes between a delivery's arrival and its row in the history."""

from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, thinned, thinning, within
from analytics.views import EPOCH_MS, ID_SHIFT

ARRIVED_US = f"((event_id >> {ID_SHIFT}) + {EPOCH_MS}) * 1000"
STAGES = ("ack", "queue", "model", "commit", "enriched", "land")


def latency(history: History, *, by_source: bool = False, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Percentiles of every stage of successful enrichments, first revisions only.

    Stages: ack (request headers until the answer was sent, accepted deliveries), queue (claimable
    until claimed), model (inside the enricher), commit (answered until the store's transaction
    wrote it; that transaction's end, fsync included, is part of land), enriched (arrived until
    then, retries included), land (from then until in the history).
    Over more than a million events, those of every n-th minute of arrival are measured.
    Out: source str (with by_source), stage str, count i64, p50_ms, p95_ms, p99_ms, max_ms f64 (ms).
    """
    key = "source, " if by_source else ""
    every = thinning(history, scope)
    some = f"{thinned(every)} AND {within(history, scope)}"
    queue_model = _stages(
        key,
        f"FROM attempts WHERE outcome = 'enriched' AND {some}",
        {
            "queue": "(epoch_us(claimed_at) - epoch_us(available_at)) / 1000.0",
            "model": "latency_ms",
        },
    )
    whole = _stages(
        key,
        f"""FROM (SELECT event_id, source, recorded_at, landed_at FROM enrichments
                  WHERE revision = 1 AND NOT candidate AND {some})
            LEFT JOIN (SELECT event_id, finished_at FROM attempts
                       WHERE outcome = 'enriched' AND number = 1 AND {some})
            USING (event_id)""",
        {
            "commit": "(epoch_us(recorded_at) - epoch_us(finished_at)) / 1000.0",
            "enriched": f"(epoch_us(recorded_at) - {ARRIVED_US}) / 1000.0",
            "land": "(epoch_us(landed_at) - epoch_us(recorded_at)) / 1000.0",
        },
    )
    ack = _stages(
        key,
        f"""FROM (SELECT source, unnest(ack_ms) AS ack_ms FROM acknowledgements
                  WHERE {thinned(every, "id")} AND {within(history, scope, "id")})""",
        {"ack": "ack_ms"},
    )
    found = pl.concat(history.sql(query) for query in (ack, queue_model, whole))
    order = pl.Enum(STAGES)
    return found.sort(*(["source"] if by_source else []), pl.col("stage").cast(order))


def _stages(key: str, rows: str, stages: dict[str, str]) -> str:
    columns = ", ".join(
        f"count({value}) AS {name}_count,"
        f" quantile_cont({value}, [0.5, 0.95, 0.99, 1.0]) AS {name}_ms"
        for name, value in stages.items()
    )
    group = f"GROUP BY {key.rstrip(', ')}" if key else ""
    parts = [
        f"SELECT {key}'{name}' AS stage, {name}_count AS count, {name}_ms[1] AS p50_ms,"
        f" {name}_ms[2] AS p95_ms, {name}_ms[3] AS p99_ms, {name}_ms[4] AS max_ms FROM stages"
        for name in stages
    ]
    return f"WITH stages AS (SELECT {key}{columns} {rows} {group}) " + " UNION ALL ".join(parts)


def latency_over_time(
    history: History, *, every: timedelta = timedelta(hours=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """From arrival until the store has written the enrichment, over time.

    Out: at datetime[us, UTC] (start of the span in which they arrived), event_count i64,
    p50_ms, p95_ms, p99_ms f64 (ms; from a sketch, within about 2 %).
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", event_count,
                   q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms
        FROM (SELECT {bucket(every)} AS ms, count(*) AS event_count,
                     approx_quantile((epoch_us(recorded_at) - {ARRIVED_US}) / 1000.0,
                                     [0.5, 0.95, 0.99]) AS q
              FROM enrichments
              WHERE revision = 1 AND NOT candidate AND {within(history, scope)} GROUP BY ALL)
        ORDER BY "at"
        """
    )
