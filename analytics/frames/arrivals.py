"""What arrived: events, deliveries, duplicates, refusals, storms, and how senders behave."""

from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, stretch, thinned, thinning, within
from analytics.views import ID_SHIFT

HOUR = timedelta(hours=1)


def events(history: History, *, limit: int = 1_000, **scope: Unpack[Scope]) -> pl.DataFrame:
    """The newest events with their enrichment in force and their outcome, a row each.

    Out: every column of `events` but the body; outcome str (enriched, dead, returned, waiting);
    dead_because str; category, severity, sentiment, language, summary, model, ... str;
    tags list[str]; confidence f64 0 to 1; cost_usd f64; enriched_at datetime[us, UTC];
    labelled_category, labelled_severity str (a person's word, else null). Newest first.
    """
    chosen = (
        f"SELECT id FROM events WHERE {within(history, scope, 'id')}"
        f" ORDER BY id DESC LIMIT {int(limit)}"
    )
    found = history.sql(chosen)
    if found.is_empty():
        return history.sql("SELECT * FROM wide_events WHERE false")
    # Given as a span too, so that files outside it are not opened by any of the joined tables.
    low, high = found["id"].min(), found["id"].max()
    return history.sql(wide_query(low, high, f"e.id IN ({chosen})"))


def wide_query(low: object, high: object, condition: str) -> str:
    """The wide view cut to a span of ids before it is joined."""
    span = f"BETWEEN {low} AND {high}"
    return f"""
WITH ev AS (SELECT * EXCLUDE (body) FROM events e WHERE e.id {span} AND {condition}),
en AS (SELECT * FROM enrichments WHERE event_id {span} AND NOT candidate
       QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1),
dead AS (SELECT event_id, arg_max(error_kind, number) AS error_kind FROM attempts
         WHERE event_id {span} AND outcome = 'dead' GROUP BY event_id),
lab AS (SELECT event_id, arg_max(value, id) FILTER (field = 'category') AS labelled_category,
               arg_max(value, id) FILTER (field = 'severity') AS labelled_severity
        FROM labels WHERE event_id {span} GROUP BY event_id)
SELECT ev.*,
       CASE WHEN en.event_id IS NOT NULL THEN 'enriched'
            WHEN dead.event_id IS NOT NULL THEN 'dead'
            WHEN ev.id IN (SELECT event_id FROM returned_events) THEN 'returned'
            ELSE 'waiting' END AS outcome,
       CASE WHEN en.event_id IS NULL THEN dead.error_kind END AS dead_because,
       en.category, en.severity, en.sentiment, en.language, en.tags, en.summary, en.confidence,
       en.suspicious, en.degraded, en.cache_hit, en.fingerprint, en.provider, en.model,
       en.prompt_version, en.cost_usd, en.recorded_at AS enriched_at,
       lab.labelled_category, lab.labelled_severity
FROM ev LEFT JOIN en ON en.event_id = ev.id LEFT JOIN dead ON dead.event_id = ev.id
LEFT JOIN lab ON lab.event_id = ev.id
ORDER BY ev.id DESC"""


def arrivals(history: History, *, every: timedelta = HOUR, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Events over time, per source.

    Out: at datetime[us, UTC] (start of the span), source str, event_count i64.
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", source, event_count FROM (
            SELECT {bucket(every, "id")} AS ms, source, count(*) AS event_count
            FROM events WHERE {within(history, scope, "id")} GROUP BY ALL)
        ORDER BY "at", source"""
    )


def outcomes(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """What became of all that each source sent.

    Out: source str; received i64 (deliveries accepted, first copies), duplicate i64 (deliveries
    acknowledged again), refused i64 (deliveries), events i64, enriched i64, dead i64,
    returned i64 (events that only brought back what we or a person did to our tags),
    waiting i64 (events).
    """
    return history.sql(
        f"""
WITH items AS (
    SELECT source, count(*) AS events, count(*) FILTER (item_index = 0) AS whole
    FROM events WHERE {within(history, scope, "id")} GROUP BY source),
headless AS (
    SELECT source, count(*) AS headless
    FROM headless_deliveries WHERE {within(history, scope, "id")} GROUP BY source),
arrived AS (
    SELECT source, events, whole + coalesce(headless, 0) AS received
    FROM items LEFT JOIN headless USING (source)),
again AS (
    SELECT source, count(*) AS duplicate
    FROM redeliveries WHERE {within(history, scope, "id")} GROUP BY source),
refused AS (
    SELECT source, sum(refused_count)::BIGINT AS refused
    FROM refusals WHERE {within(history, scope, "id")} GROUP BY source),
done AS (
    SELECT source, count(*) AS enriched
    FROM current_enrichments WHERE {within(history, scope)} GROUP BY source),
gone AS (
    SELECT source, count(*) AS dead
    FROM dead_events WHERE {within(history, scope)} GROUP BY source),
returned AS (
    SELECT source, count(*) AS returned
    FROM returned_events WHERE {within(history, scope)} GROUP BY source)
SELECT source, coalesce(received, 0) AS received, coalesce(duplicate, 0) AS duplicate,
       coalesce(refused, 0) AS refused, coalesce(events, 0) AS events,
       coalesce(enriched, 0) AS enriched, coalesce(dead, 0) AS dead,
       coalesce(returned, 0) AS returned,
       coalesce(events, 0) - coalesce(enriched, 0) - coalesce(dead, 0) - coalesce(returned, 0)
           AS waiting
FROM arrived FULL JOIN again USING (source) FULL JOIN refused USING (source)
FULL JOIN done USING (source) FULL JOIN gone USING (source)
FULL JOIN returned USING (source)
ORDER BY source"""
    )


def refused(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Deliveries that were not accepted, and why.

    Out: source str, reason str, refused_count i64, address_count i64 (address prefixes),
    first_at, last_at datetime[us, UTC].
    """
    return history.sql(
        f"""SELECT source, reason, sum(refused_count)::BIGINT AS refused_count,
                   count(DISTINCT address_prefix) AS address_count,
                   min(first_at) AS first_at, max(last_at) AS last_at
        FROM refusals WHERE {within(history, scope, "id")}
        GROUP BY source, reason ORDER BY refused_count DESC, source, reason"""
    )


def storms(
    history: History,
    *,
    every: timedelta = timedelta(minutes=1),
    times: float = 10.0,
    least: int = 50,
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Bursts: stretches in which a source sent `times` its median span and at least `least`.

    Out: source str, began_at, ended_at datetime[us, UTC], event_count i64, peak_count i64 (in one
    span), usual_count f64 (median of the spans in which it sent anything). Largest first.
    """
    span = int(every / timedelta(milliseconds=1))
    return history.sql(
        f"""
WITH spans AS (
    SELECT source, {bucket(every, "id")} AS ms, count(*) AS event_count
    FROM events WHERE {within(history, scope, "id")} GROUP BY ALL),
usual AS (SELECT source, median(event_count) AS usual_count FROM spans GROUP BY source),
high AS (
    SELECT source, ms, event_count, usual_count,
           ms - {span} * row_number() OVER (PARTITION BY source ORDER BY ms) AS run
    FROM spans JOIN usual USING (source)
    WHERE event_count >= greatest({least}, {times} * usual_count))
SELECT source, {moment("min(ms)")} AS began_at, {moment(f"max(ms) + {span}")} AS ended_at,
       sum(event_count)::BIGINT AS event_count, max(event_count) AS peak_count,
       any_value(usual_count) AS usual_count
FROM high GROUP BY source, run ORDER BY event_count DESC, source"""
    )


def senders(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """How well each source behaves as a sender: a scorecard.

    Out: source, preset str; deliveries, duplicates, refusals i64 (deliveries);
    duplicate_share, refused_share, out_of_order_share, unverified_share f64 0 to 1
    (out of order: sent before one that had arrived earlier); lag_p50_ms, lag_p99_ms f64 (from when
    the provider says it happened to its arrival; null where it does not say);
    retry_after_p50_ms f64 (from a delivery's arrival to that of its duplicate);
    replay_count i64 (suspected replays); body_p50_bytes f64.
    Order is compared within about a minute; over more than a million events, clocks and sizes are
    those of every n-th minute.
    """
    every = thinning(history, scope)
    return history.sql(
        f"""
WITH headless AS (
    SELECT source, count(*) AS headless
    FROM headless_deliveries WHERE {within(history, scope, "id")} GROUP BY source),
items AS (
    SELECT source, any_value(preset) AS preset, count(*) FILTER (item_index = 0) AS whole,
           avg((NOT verified)::INT) AS unverified_share,
           count(*) FILTER (suspected_replay) AS replay_count
    FROM events WHERE {within(history, scope, "id")} GROUP BY source),
arrived AS (
    SELECT *, whole + coalesce(headless, 0) AS deliveries
    FROM items LEFT JOIN headless USING (source)),
seen AS (
    SELECT source, body_bytes, epoch_us(received_at) - epoch_us(sent_at) AS lag_us,
           CASE WHEN {stretch("id")} = lag({stretch("id")}) OVER earlier
                THEN sent_at < lag(sent_at) OVER earlier END AS is_late
    FROM events WHERE {thinned(every, "id")} AND {within(history, scope, "id")}
    WINDOW earlier AS (PARTITION BY source ORDER BY id)),
clocked AS (
    SELECT source, avg(is_late::INT) AS out_of_order_share,
           quantile_cont(lag_us, 0.5) / 1000 AS lag_p50_ms,
           quantile_cont(lag_us, 0.99) / 1000 AS lag_p99_ms,
           quantile_cont(body_bytes, 0.5)::DOUBLE AS body_p50_bytes
    FROM seen GROUP BY source),
again AS (
    SELECT source, count(*) AS duplicates,
           median(((id >> {ID_SHIFT}) - (delivery_id >> {ID_SHIFT}))::DOUBLE) AS retry_after_p50_ms
    FROM redeliveries WHERE {within(history, scope, "id")} GROUP BY source),
not_taken AS (
    SELECT source, sum(refused_count)::BIGINT AS refusals
    FROM refusals WHERE {within(history, scope, "id")} GROUP BY source)
SELECT source, preset, coalesce(deliveries, 0) AS deliveries,
       coalesce(duplicates, 0) AS duplicates, coalesce(refusals, 0) AS refusals,
       coalesce(duplicates / (deliveries + duplicates), 0) AS duplicate_share,
       coalesce(refusals, 0) / (coalesce(deliveries, 0) + coalesce(duplicates, 0)
                                + coalesce(refusals, 0)) AS refused_share,
       out_of_order_share, unverified_share, lag_p50_ms, lag_p99_ms, retry_after_p50_ms,
       coalesce(replay_count, 0) AS replay_count, body_p50_bytes
FROM arrived LEFT JOIN clocked USING (source)
FULL JOIN again USING (source) FULL JOIN not_taken USING (source)
ORDER BY deliveries DESC, source"""
    )
