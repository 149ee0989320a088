"""The views of the history: what is derived from its facts, in one place for every reader.

The lander keeps them in the catalog, so that the plain DuckDB command line has them;
`analytics.connect` defines them for its own session, so that they also fit an older history.

Only few events are ever enriched twice, so supersession is worked out for those alone: a window
over ten million enrichments took several seconds, this a tenth of one.
"""

EPOCH_MS = 1_704_067_200_000  # 2024-01-01, where the time in an id starts
ID_SHIFT = 22

ENRICHMENTS_OVER_TIME = """
SELECT e.*, n.superseded_at
FROM enrichments e
LEFT JOIN (
    SELECT id, lead(recorded_at) OVER (PARTITION BY event_id ORDER BY revision) AS superseded_at
    FROM enrichments
    WHERE NOT candidate AND event_id IN (
        SELECT event_id FROM enrichments WHERE revision > 1 AND NOT candidate)
) n USING (id)
"""

# Written as two branches with NOT IN, because of a join with the few later revisions DuckDB now and
# then builds the table of the ten million side.
CURRENT_ENRICHMENTS = """
SELECT * FROM enrichments
WHERE revision = 1 AND NOT candidate
  AND event_id NOT IN (SELECT event_id FROM enrichments WHERE revision > 1 AND NOT candidate)
UNION ALL
SELECT * FROM enrichments
WHERE revision > 1 AND NOT candidate
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1
"""

# Few events die: they are looked up among the enrichments, never the enrichments among them.
DEAD_EVENTS = """
WITH gone AS (
    SELECT event_id, any_value(source) AS source, arg_max(error_kind, number) AS error_kind,
           max(finished_at) AS died_at
    FROM attempts WHERE outcome = 'dead' GROUP BY event_id
), saved AS (
    SELECT DISTINCT event_id FROM enrichments
    WHERE NOT candidate AND event_id IN (SELECT event_id FROM gone)
)
SELECT * FROM gone ANTI JOIN saved USING (event_id)
"""

RETURNED_EVENTS = """
WITH back AS (
    SELECT DISTINCT event_id, source FROM actions WHERE outcome IN ('echo', 'labelled')
), ended AS (
    SELECT event_id FROM enrichments
    WHERE NOT candidate AND event_id IN (SELECT event_id FROM back)
    UNION ALL
    SELECT event_id FROM dead_events
)
SELECT * FROM back ANTI JOIN ended USING (event_id)
"""

# Deliveries whose first item was a duplicate, so that no event with index 0 stands for them. With
# them, deliveries are counted without telling ten million ids apart.
HEADLESS_DELIVERIES = """
WITH later AS (SELECT source, delivery_id, id FROM events WHERE item_index > 0)
SELECT source, delivery_id, min(id) AS id
FROM later
WHERE delivery_id NOT IN (
    SELECT delivery_id FROM events
    WHERE item_index = 0 AND delivery_id IN (SELECT delivery_id FROM later))
GROUP BY source, delivery_id
"""

CURRENT_LABELS = """
SELECT event_id, field, arg_max(value, id) AS value, arg_max(author, id) AS author,
       max(recorded_at) AS recorded_at
FROM labels
GROUP BY event_id, field
"""

WIDE_EVENTS = """
SELECT ev.* EXCLUDE (body),
       CASE WHEN en.event_id IS NOT NULL THEN 'enriched'
            WHEN dead.event_id IS NOT NULL THEN 'dead'
            WHEN ev.id IN (SELECT event_id FROM returned_events) THEN 'returned'
            ELSE 'waiting' END AS outcome,
       dead.error_kind AS dead_because,
       en.category, en.severity, en.sentiment, en.language, en.tags, en.summary, en.confidence,
       en.suspicious, en.degraded, en.cache_hit, en.fingerprint, en.provider, en.model,
       en.prompt_version, en.cost_usd, en.recorded_at AS enriched_at,
       label_category.value AS labelled_category, label_severity.value AS labelled_severity
FROM events ev
LEFT JOIN current_enrichments en ON en.event_id = ev.id
LEFT JOIN dead_events dead ON dead.event_id = ev.id
LEFT JOIN current_labels label_category
       ON label_category.event_id = ev.id AND label_category.field = 'category'
LEFT JOIN current_labels label_severity
       ON label_severity.event_id = ev.id AND label_severity.field = 'severity'
"""

VIEWS = {
    "enrichments_over_time": ENRICHMENTS_OVER_TIME,
    "current_enrichments": CURRENT_ENRICHMENTS,
    "dead_events": DEAD_EVENTS,
    "returned_events": RETURNED_EVENTS,
    "headless_deliveries": HEADLESS_DELIVERIES,
    "current_labels": CURRENT_LABELS,
    "wide_events": WIDE_EVENTS,
}
