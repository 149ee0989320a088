"""One event's whole life; what was believed at a time; looking into bodies."""

from datetime import datetime, timedelta
from typing import Unpack

import polars as pl

from analytics.errors import HistoryError
from analytics.history import History
from analytics.scope import Scope, quoted, utc, within


def timeline(history: History, event_id: int | str) -> pl.DataFrame:
    """Everything that happened to one event, in order of time.

    Out: at datetime[us, UTC]; what str (sent, received, duplicate, claimed, attempt, enrichment,
    action, label, landed); outcome str; detail str. Empty for an id that the history does not hold.
    """
    try:
        number = int(event_id)
    except (TypeError, ValueError) as error:
        raise HistoryError(
            f"event_id is {event_id!r}; pass a number, as in the column `id` of `events`"
        ) from error
    return history.sql(
        f"""
WITH ev AS (SELECT * FROM events WHERE id = {number})
SELECT received_at AS "at", 'received' AS what, event_type AS outcome, title AS detail FROM ev
UNION ALL
SELECT sent_at, 'sent', 'by ' || source, subject FROM ev WHERE sent_at IS NOT NULL
UNION ALL
SELECT landed_at, 'landed', 'in the history', NULL FROM ev
UNION ALL
SELECT received_at, 'duplicate', 'acknowledged, not stored', NULL FROM redeliveries
WHERE delivery_id = (SELECT delivery_id FROM ev)
UNION ALL
SELECT claimed_at, 'claimed', 'attempt ' || number, provider FROM attempts
WHERE event_id = {number}
UNION ALL
SELECT finished_at, 'attempt', outcome, coalesce(error_kind || ': ' || error,
       printf('%s, %.0f ms, %d calls, %.6f USD', model, latency_ms, call_count, cost_usd))
FROM attempts WHERE event_id = {number}
UNION ALL
SELECT recorded_at, 'enrichment', category || ' / ' || severity,
       'revision ' || revision || CASE WHEN candidate THEN ' (candidate)' ELSE '' END
       || CASE WHEN cache_hit THEN ', reused' ELSE '' END
       || CASE WHEN degraded THEN ', degraded' ELSE '' END || ': ' || summary
FROM enrichments WHERE event_id = {number}
UNION ALL
SELECT finished_at, 'action', outcome, adapter || ' ' || target || coalesce(': ' || error, '')
FROM actions WHERE event_id = {number}
UNION ALL
SELECT recorded_at, 'label', field || ' = ' || value, author || ' by ' || origin
FROM labels WHERE event_id = {number}
ORDER BY "at", what
        """
    )


def as_of(
    history: History, moment: datetime, *, limit: int = 1_000, **scope: Unpack[Scope]
) -> pl.DataFrame:
    """The newest events as they were believed to be at `moment`.

    By when the store took each fact, not by when the history did: an enrichment or label recorded
    later is not seen, one superseded later is in force.
    Out: id i64, source, event_type, title str, received_at datetime[us, UTC], outcome str
    (enriched, dead, returned, waiting), category, severity, summary, model, prompt_version str,
    confidence f64, revision i32, recorded_at, superseded_at datetime[us, UTC] (also where it came
    after `moment`), labelled_category, labelled_severity str. Newest first.
    """
    at = f"TIMESTAMPTZ '{utc(moment, 'moment').isoformat()}'"
    chosen = (
        f"SELECT id FROM events WHERE received_at <= {at} AND {within(history, scope, 'id')}"
        f" ORDER BY id DESC LIMIT {int(limit)}"
    )
    return history.sql(
        f"""
WITH ev AS MATERIALIZED (SELECT id, source, event_type, title, received_at FROM events
                         WHERE id IN ({chosen})),
span AS (SELECT min(id) AS low, max(id) AS high FROM ev),
all_en AS (SELECT * FROM enrichments WHERE NOT candidate
           AND event_id BETWEEN (SELECT low FROM span) AND (SELECT high FROM span)),
en AS (SELECT * FROM (
           SELECT *, lead(recorded_at) OVER (PARTITION BY event_id ORDER BY revision)
                     AS superseded_at FROM all_en)
       WHERE recorded_at <= {at} AND (superseded_at IS NULL OR superseded_at > {at})),
gone AS (SELECT DISTINCT event_id FROM attempts WHERE outcome = 'dead' AND finished_at <= {at}
         AND event_id BETWEEN (SELECT low FROM span) AND (SELECT high FROM span)),
returned AS (SELECT event_id FROM actions
             WHERE outcome IN ('echo', 'labelled') AND finished_at <= {at}),
lab AS (SELECT event_id, arg_max(value, id) FILTER (field = 'category') AS labelled_category,
               arg_max(value, id) FILTER (field = 'severity') AS labelled_severity
        FROM labels WHERE recorded_at <= {at} GROUP BY event_id)
SELECT ev.*,
       CASE WHEN en.event_id IS NOT NULL THEN 'enriched'
            WHEN gone.event_id IS NOT NULL THEN 'dead'
            WHEN ev.id IN (SELECT event_id FROM returned) THEN 'returned'
            ELSE 'waiting' END AS outcome,
       en.category, en.severity, en.summary, en.model, en.prompt_version, en.confidence,
       en.revision, en.recorded_at, en.superseded_at, lab.labelled_category, lab.labelled_severity
FROM ev LEFT JOIN en ON en.event_id = ev.id LEFT JOIN gone ON gone.event_id = ev.id
LEFT JOIN lab ON lab.event_id = ev.id ORDER BY ev.id DESC"""
    )


def search(
    history: History,
    words: str,
    *,
    limit: int = 100,
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Events whose body, title or text holds `words`, ignoring case; the newest first.

    Bodies are read, so the range is bounded: the last seven days unless `since` says otherwise
    (None: everything).
    Out: id i64, source, event_type, title, snippet str (80 characters either side),
    received_at datetime[us, UTC].
    """
    if not words.strip():
        raise HistoryError("search for at least one word")
    needle = quoted(words.lower())
    scope.setdefault("since", timedelta(days=7))
    condition = within(history, scope, "id")
    return history.sql(
        f"""SELECT id, source, event_type, title,
                   substr(body, greatest(1, place - 80), {len(words)} + 160) AS snippet, received_at
        FROM (SELECT *, instr(lower(body), {needle}) AS place FROM events
              WHERE {condition} AND (contains(lower(body), {needle})
                                     OR contains(lower(title), {needle})
                                     OR contains(lower(text), {needle})))
        ORDER BY id DESC LIMIT {int(limit)}"""
    )
