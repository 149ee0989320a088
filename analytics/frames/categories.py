"""What the events were about."""

from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, within


def categories(
    history: History, *, every: timedelta = timedelta(days=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """Categories over time, by arrival of the event; enrichments in force.

    Out: at datetime[us, UTC] (start of the span), category str, event_count i64.
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", category, event_count FROM (
            SELECT {bucket(every)} AS ms, category, count(*) AS event_count
            FROM current_enrichments WHERE {within(history, scope)} GROUP BY ALL)
        ORDER BY "at", category"""
    )


def severities(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """Category against severity, enrichments in force.

    Out: category, severity str; event_count i64, share f64 (of its category, 0 to 1).
    """
    return history.sql(
        f"""SELECT category, severity, count(*) AS event_count,
                   count(*) / sum(count(*)) OVER (PARTITION BY category) AS share
        FROM current_enrichments WHERE {within(history, scope)}
        GROUP BY category, severity ORDER BY category, severity"""
    )


def tags(history: History, *, limit: int = 50, **scope: Unpack[Scope]) -> pl.DataFrame:
    """The most frequent tags, enrichments in force.

    Out: tag str, event_count i64.
    """
    return history.sql(
        f"""SELECT tag, count(*) AS event_count
        FROM (SELECT unnest(tags) AS tag FROM current_enrichments WHERE {within(history, scope)})
        GROUP BY tag ORDER BY event_count DESC, tag LIMIT {int(limit)}"""
    )


def shifts(
    history: History, *, every: timedelta = timedelta(days=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """How each category's share of the last whole span differs from the spans before.

    Out: category str, share f64, usual_share f64 (mean of the earlier spans), change f64
    (share - usual_share), z f64 (change in standard deviations of the earlier spans; null with
    fewer than three). Largest change first.
    """
    counts = categories(history, every=every, **scope)
    if counts.is_empty():
        return pl.DataFrame(schema={"category": pl.String} | dict.fromkeys(SHIFTS, pl.Float64))
    shares = (
        counts.pivot("category", index="at", values="event_count")
        .fill_null(0)
        .unpivot(index="at", variable_name="category", value_name="event_count")
        .with_columns(share=pl.col("event_count") / pl.col("event_count").sum().over("at"))
    )
    spans = shares["at"].unique().sort()
    last = spans[-2] if len(spans) > 1 else spans[-1]  # the newest span has not ended
    earlier = (
        shares.filter(pl.col("at") < last)
        .group_by("category")
        .agg(usual_share=pl.col("share").mean(), deviation=pl.col("share").std(), spans=pl.len())
    )
    return (
        shares.filter(pl.col("at") == last)
        .join(earlier, on="category", how="left")
        .with_columns(change=pl.col("share") - pl.col("usual_share"))
        .with_columns(
            z=pl.when((pl.col("spans") >= 3) & (pl.col("deviation") > 0)).then(
                pl.col("change") / pl.col("deviation")
            )
        )
        .select("category", *SHIFTS)
        .sort(pl.col("change").abs(), descending=True, nulls_last=True)
    )


SHIFTS = ("share", "usual_share", "change", "z")
