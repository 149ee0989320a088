"""Errors that precede tickets."""

from collections.abc import Iterable
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, minute, quoted, thinned, thinning, within

ERROR_PRESETS = (
    "alertmanager", "aws_sns", "checkly", "cloudwatch", "datadog", "gcp_monitoring", "grafana",
    "graylog", "honeybadger", "instana", "newrelic", "opsgenie", "pagerduty", "pingdom", "raygun",
    "rollbar", "sentry", "statuspage", "uptimerobot", "bugsnag", "betterstack",
)  # fmt: skip
NEVER = 1 << 40  # a minute that does not come
TICKET_PRESETS = (
    "freshdesk", "front", "github", "gitlab", "helpscout", "hubspot", "intercom", "jira", "linear",
    "zendesk", "zoho_desk",
)  # fmt: skip


def sources_of(history: History, presets: Iterable[str]) -> list[str]:
    """The sources whose deliveries had one of these presets, in order."""
    found = history.sql("SELECT DISTINCT source, preset FROM events")
    named = found.filter(found["preset"].is_in(list(presets)))
    return named["source"].unique().sort().to_list()


def errors_before_tickets(
    history: History,
    *,
    minutes: int = 30,
    errors: Iterable[str] | None = None,
    tickets: Iterable[str] | None = None,
    candidates: int = 60,
    least: int = 20,
    **scope: Unpack[Scope],
) -> pl.DataFrame:
    """Which errors come before more tickets than usual, and of which category.

    For each of the `candidates` most frequent error fingerprints (as a sample tells): the
    tickets of each category that arrived within `minutes` after a minute in which the error was
    seen, against how many arrive in as much time otherwise. A minute is counted once however
    often the error came in it, and overlapping windows once; an error whose windows cover more
    than four fifths of the time is left out, as there is no elsewhere to compare with. `errors`
    and `tickets` name sources; by default those whose preset is known for one or the other.
    Out: fingerprint, error_title, category str; error_count i64, window_minutes i64 (minutes
    covered by the windows), ticket_count i64 (in them), expected f64 (tickets in as many minutes
    elsewhere), lift f64 (ticket_count / expected), z f64 (how unlikely by chance, in standard
    deviations). Only rows with at least `least` tickets and more than expected; highest z first.
    """
    error_sources = list(errors) if errors is not None else sources_of(history, ERROR_PRESETS)
    ticket_sources = list(tickets) if tickets is not None else sources_of(history, TICKET_PRESETS)
    if not error_sources or not ticket_sources:
        return pl.DataFrame(schema=SCHEMA)
    of_errors: Scope = {**scope, "source": error_sources}
    of_tickets: Scope = {**scope, "source": ticket_sources}
    every = thinning(history, of_errors)
    frequent = history.sql(
        f"""SELECT fingerprint FROM enrichments
        WHERE revision = 1 AND fingerprint IS NOT NULL AND {thinned(every)}
          AND {within(history, of_errors)}
        GROUP BY fingerprint ORDER BY count(*) DESC, fingerprint LIMIT {int(candidates)}"""
    )
    if frequent.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    # As a list and not as a subquery, whose join would be built of the large side.
    likely = ", ".join(map(quoted, frequent["fingerprint"]))
    # Windows that touch are joined into one, and tickets are counted as differences of running
    # totals at the ends: a join of every minute with every window took half a minute at 10 M.
    query = f"""
WITH err AS MATERIALIZED (
    SELECT fingerprint, {minute()} AS minute, count(*) AS n, min(event_id) AS first_event
    FROM enrichments
    WHERE revision = 1 AND fingerprint IN ({likely})
      AND {within(history, of_errors)}
    GROUP BY ALL),
top AS MATERIALIZED (
    SELECT fingerprint, sum(n)::BIGINT AS error_count, min(first_event) AS first_event
    FROM err GROUP BY fingerprint),
tick AS MATERIALIZED (
    SELECT category, {minute()} AS minute, count(*) AS n
    FROM current_enrichments WHERE {within(history, of_tickets)} GROUP BY ALL),
bounds AS MATERIALIZED (
    SELECT min(low) AS low, max(high) AS high FROM (
        SELECT min(minute) AS low, max(minute) AS high FROM tick
        UNION ALL SELECT min(minute), max(minute) FROM err)),
marks AS MATERIALIZED (
    SELECT fingerprint, minute,
           minute - lag(minute, 1, 0) OVER sorted > {int(minutes)} AS begins,
           lead(minute, 1, {NEVER}) OVER sorted - minute > {int(minutes)} AS ends
    FROM err WINDOW sorted AS (PARTITION BY fingerprint ORDER BY minute)),
points AS MATERIALIZED (
    SELECT fingerprint, least(minute + {int(minutes)}, high) AS minute, 1 AS sign
    FROM marks CROSS JOIN bounds WHERE ends
    UNION ALL
    SELECT fingerprint, minute, -1 FROM marks WHERE begins),
size AS MATERIALIZED (
    SELECT fingerprint, sum(sign * minute)::BIGINT AS window_minutes,
           any_value(high - low + 1) AS all_minutes
    FROM points CROSS JOIN bounds GROUP BY fingerprint
    HAVING window_minutes BETWEEN 1 AND 0.8 * all_minutes),
running AS (
    SELECT category, minute, sum(coalesce(n, 0)) OVER (PARTITION BY category ORDER BY minute) AS n
    FROM (SELECT unnest(range(low, high + 1)) AS minute FROM bounds)
    CROSS JOIN (SELECT DISTINCT category FROM tick) LEFT JOIN tick USING (category, minute)),
hit AS (
    SELECT fingerprint, category, sum(sign * n)::BIGINT AS ticket_count
    FROM points SEMI JOIN size USING (fingerprint) JOIN running USING (minute) GROUP BY ALL),
totals AS (SELECT category, sum(n) AS all_tickets FROM tick GROUP BY category),
judged AS (
    SELECT fingerprint, category, window_minutes, ticket_count,
           (all_tickets - ticket_count) / (all_minutes - window_minutes) * window_minutes
               AS expected
    FROM hit JOIN size USING (fingerprint) JOIN totals USING (category)
    WHERE ticket_count >= {int(least)} AND all_tickets > ticket_count),
named AS (
    SELECT id AS first_event, title AS error_title FROM events
    WHERE id IN (SELECT first_event FROM top))
SELECT fingerprint, error_title, category, error_count, window_minutes, ticket_count, expected,
       ticket_count / expected AS lift, (ticket_count - expected) / sqrt(expected) AS z
FROM judged JOIN top USING (fingerprint) LEFT JOIN named USING (first_event)
WHERE ticket_count > expected ORDER BY z DESC, fingerprint, category"""
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
    return history.sql(
        f"""
WITH err AS (SELECT DISTINCT {minute()} AS minute FROM current_enrichments
             WHERE fingerprint = {quoted(fingerprint)} AND {within(history, scope)}),
began AS (SELECT minute FROM (SELECT minute, lag(minute) OVER (ORDER BY minute) AS before FROM err)
          WHERE before IS NULL OR minute - before > {int(minutes)}),
tick AS (SELECT {minute()} AS minute, count(*) AS n FROM current_enrichments
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
