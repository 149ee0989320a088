"""Errors that precede tickets."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, bucket, quoted, within

ERROR_PRESETS = (
    "alertmanager", "aws_sns", "checkly", "cloudwatch", "datadog", "gcp_monitoring", "grafana",
    "graylog", "honeybadger", "instana", "newrelic", "opsgenie", "pagerduty", "pingdom", "raygun",
    "rollbar", "sentry", "statuspage", "uptimerobot", "bugsnag", "betterstack",
)  # fmt: skip
TICKET_PRESETS = (
    "freshdesk", "front", "github", "gitlab", "helpscout", "hubspot", "intercom", "jira", "linear",
    "zendesk", "zoho_desk",
)  # fmt: skip


def sources_of(history: History, presets: Iterable[str]) -> list[str]:
    """The sources whose deliveries had one of these presets, in order."""
    names = ", ".join(map(quoted, presets))
    found = history.sql(
        f"SELECT DISTINCT source FROM events WHERE preset IN ({names}) ORDER BY source"
    )
    return found["source"].to_list()


def errors_before_tickets(
    history: History,
    *,
    minutes: int = 30,
    errors: Iterable[str] | None = None,
    tickets: Iterable[str] | None = None,
    candidates: int = 200,
    least: int = 20,
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Which errors come before more tickets than usual, and of which category.

    For each of the `candidates` most frequent error fingerprints: the tickets of each category
    that arrived within `minutes` after a minute in which the error was seen, against how many
    arrive in as much time otherwise. A minute is counted once however often the error came in it,
    and overlapping windows once. `errors` and `tickets` name sources; by default those whose preset
    is known for one or the other.
    Out: fingerprint, error_title, category str; error_count i64, window_minutes i64 (minutes
    covered by the windows), ticket_count i64 (in them), expected f64 (tickets in as many minutes
    elsewhere), lift f64 (ticket_count / expected), z f64 (how unlikely by chance, in standard
    deviations). Only rows with at least `least` tickets and more than expected; highest z first.
    """
    error_sources = list(errors) if errors is not None else sources_of(history, ERROR_PRESETS)
    ticket_sources = list(tickets) if tickets is not None else sources_of(history, TICKET_PRESETS)
    if not error_sources or not ticket_sources:
        return pl.DataFrame(schema=SCHEMA)
    minute = bucket(timedelta(minutes=1))
    of_errors: Scope = {**scope, "source": error_sources}
    of_tickets: Scope = {**scope, "source": ticket_sources}
    query = f"""
WITH err AS MATERIALIZED (
    SELECT fingerprint, {minute} // 60000 AS minute, count(*) AS n, min(event_id) AS first_event
    FROM current_enrichments
    WHERE fingerprint IS NOT NULL
      AND {within(history, of_errors)} GROUP BY ALL),
top AS MATERIALIZED (
    SELECT fingerprint, sum(n)::BIGINT AS error_count, min(first_event) AS first_event
    FROM err GROUP BY fingerprint ORDER BY error_count DESC LIMIT {int(candidates)}),
tick AS MATERIALIZED (
    SELECT category, {minute} // 60000 AS minute, count(*) AS n
    FROM current_enrichments
    WHERE {within(history, of_tickets)} GROUP BY ALL),
bounds AS (SELECT min(minute) AS low, max(minute) AS high FROM (
    SELECT minute FROM tick UNION ALL SELECT minute FROM err)),
totals AS (
    SELECT category, sum(n) AS all_tickets, any_value(high - low + 1) AS all_minutes
    FROM tick CROSS JOIN bounds GROUP BY category),
covered AS MATERIALIZED (
    SELECT DISTINCT fingerprint, minute + step AS minute
    FROM err SEMI JOIN top USING (fingerprint)
    CROSS JOIN (SELECT unnest(range(1, {int(minutes)} + 1)) AS step)
    WHERE minute + step <= (SELECT high FROM bounds)),
size AS (SELECT fingerprint, count(*) AS window_minutes FROM covered GROUP BY fingerprint),
hit AS (
    SELECT fingerprint, category, sum(n)::BIGINT AS ticket_count
    FROM covered JOIN tick USING (minute) GROUP BY ALL)
SELECT fingerprint, e.title AS error_title, category, error_count, window_minutes, ticket_count,
       (all_tickets - ticket_count) / (all_minutes - window_minutes) * window_minutes AS expected,
       ticket_count / expected AS lift, (ticket_count - expected) / sqrt(expected) AS z
FROM hit JOIN size USING (fingerprint) JOIN top USING (fingerprint) JOIN totals USING (category)
LEFT JOIN events e ON e.id = top.first_event
WHERE all_minutes > window_minutes AND ticket_count >= {int(least)}
  AND all_tickets > ticket_count AND ticket_count > expected
ORDER BY z DESC, fingerprint, category"""
    return history.sql(query)


def aftermath(
    history: History,
    fingerprint: str,
    category: str,
    *,
    minutes: int = 60,
    tickets: Iterable[str] | None = None,
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Tickets of a category in the minutes around the first minute of each burst of an error.

    A burst begins where the error had not been seen for `minutes`.
    Out: minute i64 (-minutes to minutes; 0 is when the burst began), burst_count i64,
    ticket_count i64 (all bursts together), per_burst f64.
    """
    ticket_sources = list(tickets) if tickets is not None else sources_of(history, TICKET_PRESETS)
    of_tickets: Scope = {**scope, "source": ticket_sources}
    minute = f"{bucket(timedelta(minutes=1))} // 60000"
    return history.sql(
        f"""
WITH err AS (SELECT DISTINCT {minute} AS minute FROM current_enrichments
             WHERE fingerprint = {quoted(fingerprint)} AND {within(history, scope)}),
began AS (SELECT minute FROM (SELECT minute, lag(minute) OVER (ORDER BY minute) AS before FROM err)
          WHERE before IS NULL OR minute - before > {int(minutes)}),
tick AS (SELECT {minute} AS minute, count(*) AS n FROM current_enrichments
         WHERE category = {quoted(category)} AND {within(history, of_tickets)} GROUP BY ALL),
steps AS (SELECT unnest(range(-{int(minutes)}, {int(minutes)} + 1)) AS step)
SELECT step AS minute, (SELECT count(*) FROM began) AS burst_count,
       coalesce(sum(n), 0)::BIGINT AS ticket_count,
       coalesce(sum(n), 0) / greatest(1, (SELECT count(*) FROM began)) AS per_burst
FROM steps CROSS JOIN began LEFT JOIN tick ON tick.minute = began.minute + step
GROUP BY step ORDER BY step"""
    )


SCHEMA = {
    "fingerprint": pl.String,
    "error_title": pl.String,
    "category": pl.String,
    "error_count": pl.Int64,
    "window_minutes": pl.Int64,
    "ticket_count": pl.Int64,
    "expected": pl.Float64,
    "lift": pl.Float64,
    "z": pl.Float64,
}
