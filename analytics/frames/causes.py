"""Errors that precede tickets."""

from collections.abc import Iterable
from typing import Unpack

import polars as pl

from analytics.history import History
from analytics.scope import Scope, minute, quoted, within

ERROR_PRESETS = (
    "alertmanager", "aws_sns", "checkly", "cloudwatch", "datadog", "gcp_monitoring", "grafana",
    "graylog", "honeybadger", "instana", "newrelic", "opsgenie", "pagerduty", "pingdom", "raygun",
    "rollbar", "sentry", "statuspage", "uptimerobot", "bugsnag", "betterstack",
)  # fmt: skip
ELSEWHERE = 0.8  # of the time that windows may cover
TICKET_PRESETS = (
    "freshdesk", "front", "github", "gitlab", "helpscout", "hubspot", "intercom", "jira", "linear",
    "zendesk", "zoho_desk",
)  # fmt: skip


def sources_of(history: History, presets: Iterable[str]) -> list[str]:
    """The sources whose deliveries had one of these presets, in order."""
    return _of(_sources(history, {}), presets)


def _sources(history: History, scope: Scope) -> pl.DataFrame:
    condition = within(history, scope, "id")
    return history.sql(f"SELECT DISTINCT source, preset FROM events WHERE {condition}")


def _of(found: pl.DataFrame, presets: Iterable[str]) -> list[str]:
    named = found.filter(pl.col("preset").is_in(list(presets)))
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

    For each of the `candidates` most frequent error fingerprints: the tickets of each category that
    arrived within `minutes` after a minute in which the error was seen, against how many arrive in
    as much time otherwise. A minute is counted once however often the error came in it, and
    overlapping windows once; an error whose windows cover more than four fifths of the time is left
    out, as there is no elsewhere to compare with. `errors` and `tickets` name sources; by default
    those whose preset is known for one or the other.
    Out: fingerprint, error_title, category str; error_count i64, window_minutes i64 (minutes
    covered by the windows), ticket_count i64 (in them), expected f64 (tickets in as many minutes
    elsewhere), lift f64 (ticket_count / expected), z f64 (how unlikely by chance, in standard
    deviations). Only rows with at least `least` tickets and more than expected; highest z first.
    """
    found = _sources(history, scope)
    error_sources = _of(found, ERROR_PRESETS) if errors is None else list(errors)
    ticket_sources = _of(found, TICKET_PRESETS) if tickets is None else list(tickets)
    seen = _frequent_errors(history, scope, error_sources, candidates)
    came = _tickets(history, {**scope, "source": ticket_sources})
    if seen.is_empty() or not came:
        return pl.DataFrame(schema=SCHEMA)
    each = [*seen["minute"], *came.values()]
    span = range(min(part[0] for part in each), max(part[-1] for part in each) + 1)
    windows = _windows(seen, minutes, span)
    excess = pl.col("ticket_count") - pl.col("expected")
    judged = (
        _tickets_within(windows, came)
        .filter(pl.col("ticket_count") >= least, pl.col("all_tickets") > pl.col("ticket_count"))
        .with_columns(
            expected=(pl.col("all_tickets") - pl.col("ticket_count"))
            / (len(span) - pl.col("window_minutes"))
            * pl.col("window_minutes")
        )
        .filter(excess > 0)
        .with_columns(
            lift=pl.col("ticket_count") / pl.col("expected"), z=excess / pl.col("expected").sqrt()
        )
    )
    return (
        judged.join(_titles(history, seen), on="fingerprint")
        .select(*SCHEMA)
        .sort("z", "fingerprint", "category", descending=[True, False, False])
    )


def _frequent_errors(
    history: History, scope: Scope, sources: list[str], candidates: int
) -> pl.DataFrame:
    """In which minutes the most frequent errors of the sources were seen.

    Sources are compared of the most frequent only, mostly all errors: of every event it takes half
    as long again. Out: fingerprint, source str; minute list[i64] (of each event, in order),
    error_count, first_event i64.
    """
    condition = f"revision = 1 AND fingerprint IS NOT NULL AND {within(history, scope)}"
    ranked = history.sql(
        f"""SELECT fingerprint FROM enrichments WHERE {condition}
        GROUP BY fingerprint ORDER BY count(*) DESC, fingerprint"""
    )["fingerprint"]
    looked_at = candidates
    while True:
        likely = ", ".join(map(quoted, ranked.head(looked_at))) or "NULL"
        found = history.sql(
            f"""SELECT fingerprint, any_value(source) AS source, list({minute()}) AS minute,
                       count(*) AS error_count, min(event_id) AS first_event
            FROM enrichments WHERE {condition} AND fingerprint IN ({likely})
            GROUP BY fingerprint ORDER BY error_count DESC, fingerprint"""
        )
        errors = found.filter(pl.col("source").is_in(sources)).head(candidates)
        if errors.height == candidates or looked_at >= len(ranked):
            return errors.with_columns(pl.col("minute").list.sort())
        looked_at *= 8


def _tickets(history: History, scope: Scope) -> dict[str, pl.Series]:
    """The minutes in which tickets of each category came, in order, one for each ticket.

    Counted by searching in them: DuckDB takes longer for a million groups than for a dozen lists.
    """
    found = history.sql(
        f"""SELECT category, list({minute()}) AS minute FROM current_enrichments
        WHERE category IS NOT NULL AND {within(history, scope)} GROUP BY category"""
    ).with_columns(pl.col("minute").list.sort())
    return dict(zip(found["category"], found["minute"], strict=True))


def _windows(seen: pl.DataFrame, minutes: int, span: range) -> pl.DataFrame:
    """The times just after each error; those that touch are one. Only where there is elsewhere.

    Out: fingerprint str; begin, end i64 (minutes; end included, begin not);
    window_minutes i64 (of all windows of the error).
    """
    found = seen.select("fingerprint", "minute").explode("minute")
    begins = found.select(
        (pl.col("fingerprint") != pl.col("fingerprint").shift())
        | (pl.col("minute").diff() > minutes)
    ).to_series()
    begins = begins.fill_null(True)
    ends = begins.shift(-1, fill_value=True)
    end = pl.col("minute").filter(ends) + minutes
    return (
        found.select(
            pl.col("fingerprint").filter(begins),
            begin=pl.col("minute").filter(begins),
            end=end.clip(upper_bound=span[-1]),
        )
        .with_columns(window_minutes=(pl.col("end") - pl.col("begin")).sum().over("fingerprint"))
        .filter(pl.col("window_minutes").is_between(1, ELSEWHERE * len(span)))
    )


def _tickets_within(windows: pl.DataFrame, came: dict[str, pl.Series]) -> pl.DataFrame:
    """How many tickets of each category came within the windows of each error.

    Out: fingerprint, category str; window_minutes, ticket_count, all_tickets i64.
    """
    found = []
    for category, minutes in came.items():
        until_end, until_begin = (
            minutes.search_sorted(windows[edge], side="right").cast(pl.Int64)
            for edge in ("end", "begin")
        )
        found.append(
            windows.with_columns(ticket_count=until_end - until_begin)
            .group_by("fingerprint", "window_minutes")
            .agg(pl.col("ticket_count").sum())
            .with_columns(
                category=pl.lit(category), all_tickets=pl.lit(len(minutes), dtype=pl.Int64)
            )
        )
    return pl.concat(found)


def _titles(history: History, seen: pl.DataFrame) -> pl.DataFrame:
    """The title of each error's first event. Out: fingerprint, error_title str, error_count i64."""
    first = seen["first_event"].sort()
    titles = history.sql(
        f"""SELECT id AS first_event, title AS error_title FROM events
        WHERE id IN ({", ".join(map(str, first))}) AND id BETWEEN {first[0]} AND {first[-1]}"""
    )
    return seen.select("fingerprint", "error_count", "first_event").join(
        titles, on="first_event", how="left"
    )


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
