"""What went wrong: attempts that failed, events that gave up, actions that did not happen."""

from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, within


def failures(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Failed attempts by source, provider and reason.

    Out: source, provider, error_kind str; attempt_count i64 (failed attempts),
    event_count i64 (events they belong to), recovered_count i64 (of those, enriched later),
    dead_count i64 (of those, given up), example str (the newest error), last_at datetime[us, UTC].
    """
    return history.sql(
        f"""
WITH failed AS (
    SELECT event_id, source, provider, coalesce(error_kind, '(none)') AS error_kind,
           count(*) AS attempt_count, bool_or(outcome = 'dead') AS gave_up,
           arg_max(error, id) AS example, max(finished_at) AS last_at
    FROM attempts WHERE outcome <> 'enriched' AND {within(history, scope)} GROUP BY ALL),
gone AS (SELECT DISTINCT event_id, true AS is_gone FROM failed WHERE gave_up),
saved AS (
    SELECT DISTINCT event_id, true AS is_saved FROM enrichments
    WHERE NOT candidate AND event_id IN (SELECT event_id FROM failed))
SELECT f.source, f.provider, f.error_kind, sum(attempt_count)::BIGINT AS attempt_count,
       count(*) AS event_count,
       count(is_saved) AS recovered_count,
       count(is_gone) FILTER (is_saved IS NULL) AS dead_count,
       arg_max(f.example, f.last_at) AS example, max(f.last_at) AS last_at
FROM failed f LEFT JOIN saved USING (event_id) LEFT JOIN gone USING (event_id)
GROUP BY f.source, f.provider, f.error_kind ORDER BY attempt_count DESC, f.source, f.error_kind"""
    )


def dead(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Events that gave up and were not enriched since.

    Out: event_id i64, source, event_type, title, error_kind str, attempt_count i64,
    errors list[str] (of every attempt, in order), received_at, died_at datetime[us, UTC].
    """
    return history.sql(
        f"""
WITH gone AS MATERIALIZED (
    SELECT * FROM dead_events WHERE {within(history, scope)}),
tried AS (
    SELECT event_id, count(*) AS attempt_count, list(error ORDER BY id) AS errors FROM attempts
    WHERE event_id IN (SELECT event_id FROM gone) GROUP BY event_id),
told AS (
    SELECT id AS event_id, event_type, title, received_at FROM events
    WHERE id IN (SELECT event_id FROM gone))
SELECT event_id, source, event_type, title, error_kind, attempt_count, errors, received_at, died_at
FROM gone JOIN tried USING (event_id) LEFT JOIN told USING (event_id)
ORDER BY died_at DESC, event_id"""
    )


def actions(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Write-backs and notifications by what carried them out and how they ended.

    Out: source, rule, adapter, outcome, error_kind str; action_count i64 (tries),
    event_count i64, p50_ms, p99_ms f64 (ms).
    """
    # Polars tells the events of a list apart by sorting, in a third of the time that DuckDB takes.
    found = history.sql(
        f"""SELECT * EXCLUDE (ms), ms[1] AS p50_ms, ms[2] AS p99_ms FROM (
            SELECT source, rule, adapter, outcome, error_kind, count(*) AS action_count,
                   list(event_id) AS event_count,
                   quantile_cont(epoch_ms(finished_at) - epoch_ms(started_at), [0.5, 0.99]) AS ms
            FROM actions WHERE {within(history, scope)} GROUP BY ALL)
        ORDER BY action_count DESC, source, rule, adapter, outcome, error_kind"""
    )
    return found.with_columns(pl.col("event_count").list.n_unique().cast(pl.Int64))
