"""What enrichment costs, and what was not spent."""

from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, within


def calls(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Calls made against events enriched, per source.

    Out: source str; enriched i64 (events), calls i64, reused i64 (events whose enrichment was
    copied), degraded i64 (events the fall-back answered), calls_per_event f64.
    """
    return history.sql(
        f"""
WITH made AS (
    SELECT source, sum(call_count)::BIGINT AS calls
    FROM attempts WHERE {within(history, scope)} GROUP BY source),
found AS (
    SELECT source, count(*) AS enriched, count(*) FILTER (cache_hit) AS reused,
           count(*) FILTER (degraded) AS degraded
    FROM current_enrichments WHERE {within(history, scope)} GROUP BY source)
SELECT source, coalesce(enriched, 0) AS enriched, coalesce(calls, 0) AS calls,
       coalesce(reused, 0) AS reused, coalesce(degraded, 0) AS degraded,
       calls / nullif(enriched, 0) AS calls_per_event
FROM made FULL JOIN found USING (source) ORDER BY source"""
    )


def cost(
    history: History, *, every: timedelta = timedelta(days=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """Money and tokens over time, by source, provider and model; failed attempts count too.

    Out: at datetime[us, UTC]; source, provider, model str; calls, input_tokens,
    output_tokens i64; cost_usd, wasted_usd f64 (spent on attempts that brought nothing).
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", * EXCLUDE (ms) FROM (
            SELECT {bucket(every)} AS ms, source, provider, model,
                   sum(call_count)::BIGINT AS calls, sum(input_tokens)::BIGINT AS input_tokens,
                   sum(output_tokens)::BIGINT AS output_tokens, sum(cost_usd) AS cost_usd,
                   coalesce(sum(cost_usd) FILTER (outcome <> 'enriched'), 0) AS wasted_usd
            FROM attempts WHERE {within(history, scope)} GROUP BY ALL)
        ORDER BY "at", source, provider, model"""
    )


def savings(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """What reuse, the local classifier and budgets saved: what those events would have cost.

    An event that cost nothing is valued at the mean of its source's events that a paid model
    answered; at the mean of all such events where its source has none.
    Out: source str; way str (reused, degraded, local: another enricher that costs nothing);
    event_count i64; saved_usd f64; spent_usd f64 (what the source did cost).
    """
    return history.sql(
        f"""
WITH found AS (
    SELECT source, cache_hit, degraded, cost_usd > 0 AS paid, count(*) AS n, sum(cost_usd) AS usd
    FROM current_enrichments WHERE {within(history, scope)} GROUP BY ALL),
sums AS (
    SELECT source, CASE WHEN cache_hit THEN 'reused' WHEN degraded THEN 'degraded'
                        WHEN paid THEN 'paid' ELSE 'local' END AS way,
           sum(n)::BIGINT AS event_count, sum(usd) AS usd
    FROM found GROUP BY ALL),
price AS (
    SELECT source, sum(usd) / sum(event_count) AS usd_each, sum(usd) AS spent_usd
    FROM sums WHERE way = 'paid' GROUP BY source),
usual AS (SELECT sum(usd) / sum(event_count) AS usd_each FROM sums WHERE way = 'paid')
SELECT source, way, event_count,
       event_count * coalesce(price.usd_each, usual.usd_each, 0) AS saved_usd,
       coalesce(spent_usd, 0) AS spent_usd
FROM sums LEFT JOIN price USING (source) CROSS JOIN usual
WHERE way <> 'paid' ORDER BY saved_usd DESC, source, way"""
    )


def cost_by_category(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """What each category cost.

    Out: category str; event_count i64; cost_usd f64; usd_per_thousand f64 (events).
    """
    return history.sql(
        f"""SELECT category, count(*) AS event_count, sum(cost_usd) AS cost_usd,
                   1000 * sum(cost_usd) / count(*) AS usd_per_thousand
        FROM current_enrichments WHERE {within(history, scope)}
        GROUP BY category ORDER BY cost_usd DESC, category"""
    )
