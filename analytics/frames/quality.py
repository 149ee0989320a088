"""How good the enrichments are: against people's labels, against the stub, over time."""

from datetime import timedelta
from typing import Literal, Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, moment, within
from analytics.views import EPOCH_MS, ID_SHIFT

Field = Literal["category", "severity"]


def labelled(
    history: History, *, field: Field = "category", **scope: Unpack[Scope]
) -> pl.DataFrame:
    """Events that a person has labelled, with what the enricher in force had said.

    Out: event_id i64, source str, label str (the person's last word), predicted str,
    confidence f64, provider, model, prompt_version str, degraded bool,
    labelled_at datetime[us, UTC].
    """
    condition = within(history, scope)
    # The few labelled ones are looked up among all enrichments, before those in force are told.
    return history.sql(
        f"""
WITH words AS (
    SELECT event_id, any_value(source) AS source, arg_max(value, id) AS label,
           max(recorded_at) AS labelled_at
    FROM labels WHERE field = '{field}' AND {condition} GROUP BY event_id),
said AS (
    SELECT event_id, {field} AS predicted, confidence, provider, model, prompt_version, degraded
    FROM enrichments
    WHERE NOT candidate AND event_id IN (SELECT event_id FROM words) AND {condition}
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1)
SELECT event_id, source, label, predicted, confidence, provider, model, prompt_version, degraded,
       labelled_at
FROM words JOIN said USING (event_id) ORDER BY event_id"""
    )


def confusion(
    history: History, *, field: Field = "category", **scope: Unpack[Scope]
) -> pl.DataFrame:
    """What people said against what the enricher said.

    Out: label, predicted str; event_count i64; share f64 (of that label's events, 0 to 1).
    """
    return (
        labelled(history, field=field, **scope)
        .group_by("label", "predicted")
        .agg(event_count=pl.len().cast(pl.Int64))
        .with_columns(share=pl.col("event_count") / pl.col("event_count").sum().over("label"))
        .sort("label", "predicted")
    )


def scores(history: History, *, field: Field = "category", **scope: Unpack[Scope]) -> pl.DataFrame:
    """Precision, recall and F1 of each value, against people's labels.

    Out: value str; label_count, predicted_count, right_count i64; precision, recall, f1 f64
    (0 to 1; null where undefined).
    """
    pairs = labelled(history, field=field, **scope)
    labels = pairs.group_by(value="label").agg(
        label_count=pl.len(), right_count=(pl.col("label") == pl.col("predicted")).sum()
    )
    said = pairs.group_by(value="predicted").agg(predicted_count=pl.len())
    counts = ("label_count", "predicted_count", "right_count")
    precision, recall = pl.col("precision"), pl.col("recall")
    return (
        labels.join(said, on="value", how="full", coalesce=True)
        .with_columns(pl.col(name).fill_null(0).cast(pl.Int64) for name in counts)
        .with_columns(
            precision=_share("right_count", "predicted_count"),
            recall=_share("right_count", "label_count"),
        )
        .with_columns(
            f1=pl.when(precision + recall > 0).then(2 * precision * recall / (precision + recall))
        )
        .select("value", *counts, "precision", "recall", "f1")
        .sort("label_count", "value", descending=[True, False])
    )


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def accuracy(
    history: History,
    *,
    field: Field = "category",
    every: timedelta = timedelta(days=1),
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Share of labelled events that the enricher had right, over time and by model.

    In the span of the event's arrival.
    Out: at datetime[us, UTC], model, prompt_version str, label_count i64, accuracy f64 (0 to 1).
    """
    span = int(every / timedelta(milliseconds=1))
    arrived_ms = (pl.col("event_id").cast(pl.Int64) // 2**ID_SHIFT) + EPOCH_MS
    return (
        labelled(history, field=field, **scope)
        .with_columns(at=pl.from_epoch(arrived_ms // span * span, time_unit="ms"))
        .with_columns(pl.col("at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        .group_by("at", "model", "prompt_version")
        .agg(
            label_count=pl.len().cast(pl.Int64),
            accuracy=(pl.col("label") == pl.col("predicted")).mean(),
        )
        .sort("at", "model", "prompt_version")
    )


def calibration(
    history: History, *, field: Field = "category", bins: int = 10, **scope: Unpack[Scope]
) -> pl.DataFrame:
    """Whether confidence means what it says: accuracy of labelled events by stated confidence.

    Out: confidence_from f64 (lower edge of the bin), label_count i64,
    mean_confidence, accuracy f64 (0 to 1). Well calibrated where the last two are equal.
    """
    edge = (pl.col("confidence") * bins).floor().clip(0, bins - 1) / bins
    return (
        labelled(history, field=field, **scope)
        .group_by(confidence_from=edge)
        .agg(
            label_count=pl.len().cast(pl.Int64),
            mean_confidence=pl.col("confidence").mean(),
            accuracy=(pl.col("label") == pl.col("predicted")).mean(),
        )
        .sort("confidence_from")
    )


def disagreement(
    history: History, *, every: timedelta = timedelta(days=1), **scope: Unpack[Scope]
) -> pl.DataFrame:
    """How often model and stub differ, over time: a drift alarm that needs no labels.

    Only enrichments of a model that carry the stub's word and were not copied.
    Out: at datetime[us, UTC], source, model str, compared_count i64,
    category_share, severity_share f64 (of differing events, 0 to 1).
    """
    return history.sql(
        f"""SELECT {moment("ms")} AS "at", * EXCLUDE (ms) FROM (
            SELECT {bucket(every)} AS ms, source, model, count(*) AS compared_count,
                   avg((category <> twin_category)::INT) AS category_share,
                   avg((severity <> twin_severity)::INT) AS severity_share
            FROM current_enrichments
            WHERE twin_category IS NOT NULL AND provider <> 'stub' AND NOT cache_hit
              AND {within(history, scope)}
            GROUP BY ALL)
        ORDER BY "at", source, model"""
    )


def twin_confusion(history: History, **scope: Unpack[Scope]) -> pl.DataFrame:
    """The model's category against the stub's.

    Out: category (the model's), twin_category (the stub's) str; event_count i64.
    """
    return history.sql(
        f"""SELECT category, twin_category, count(*) AS event_count
        FROM current_enrichments
        WHERE twin_category IS NOT NULL AND {within(history, scope)}
        GROUP BY ALL ORDER BY event_count DESC, category, twin_category"""
    )
