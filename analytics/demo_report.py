"""What `hooksift demo` prints, all of it computed from the history, and whether it adds up."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl

import analytics
from analytics.history import History

SEVERITY_ORDER = ("low", "medium", "high", "critical")
LATENCY = (
    "ack: until the sender's answer, which is after the commit; queue: until a worker takes the"
    " event;\nmodel, commit: until it is classified, and that is stored; enriched: all of it since"
    " it arrived;\nland: from then until it is in the history"
)
CALLS = (
    "reused: a copy of an event that is known shares its call; degraded: the model could not answer"
)
CHECKED = ("received", "duplicate", "refused", "events", "dead")


def progress(history: History) -> tuple[int, int]:
    """Events in the history, and how many of them are finished: enriched, or given up."""
    totals = analytics.outcomes(history).select(
        pl.col("events").sum(), (pl.col("enriched") + pl.col("dead")).sum().alias("finished")
    )
    events, finished = totals.row(0)
    return int(events or 0), int(finished or 0)


class Table(NamedTuple):
    """A table of the report; `meaning` says what its heading and titles do not."""

    heading: str
    rows: pl.DataFrame
    meaning: str = ""


def tables(history: History) -> Iterator[Table]:
    """The report's tables."""
    outcomes = analytics.outcomes(history).drop("returned")  # nothing is written back here
    yield Table("What became of what each source sent", outcomes)
    yield Table("One event of each source, and what was made of it", one_of_each(history))
    yield Table("Events by category and severity", by_severity(history))
    yield Table("Latency, milliseconds", analytics.latency(history), LATENCY)
    yield Table("Failures by reason", failures(history))
    yield Table("Calls made against events enriched", analytics.calls(history), CALLS)


def one_of_each(history: History) -> pl.DataFrame:
    """The first event of each source that was enriched."""
    return history.sql(
        "SELECT source, title, category, severity, language FROM wide_events"
        " WHERE outcome = 'enriched'"
        " QUALIFY row_number() OVER (PARTITION BY source ORDER BY id) = 1 ORDER BY source"
    )


def by_severity(history: History) -> pl.DataFrame:
    """Event counts, a row for each category and a column for each severity, mildest first."""
    found = analytics.severities(history)
    wide = found.pivot("severity", index="category", values="event_count").fill_null(0)
    known = [name for name in SEVERITY_ORDER if name in wide.columns]
    others = [name for name in wide.columns if name not in known and name != "category"]
    return wide.select("category", *known, *others).sort("category")


def failures(history: History) -> pl.DataFrame:
    """Refused deliveries and dead events together, by reason."""
    refused = analytics.refused(history).select(
        "source",
        pl.lit("refused").alias("what"),
        "reason",
        pl.col("refused_count").alias("count"),
    )
    failed = analytics.failures(history).select(
        "source",
        pl.lit("failed attempt").alias("what"),
        pl.col("error_kind").alias("reason"),
        pl.col("attempt_count").alias("count"),
    )
    return pl.concat([refused, failed], how="vertical_relaxed").sort("what", "source", "reason")


def mismatches(history: History, sent: Mapping[str, Counter[str]]) -> list[str]:
    """A line for each number of the history that is not what was sent."""
    found = {row["source"]: row for row in analytics.outcomes(history).iter_rows(named=True)}
    lines = []
    for source in sorted(found.keys() | sent.keys()):
        want, have = sent.get(source, Counter()), found.get(source, {})
        wanted = {name: want[name] for name in CHECKED}
        wanted["enriched"] = want["events"] - want["dead"]
        for name, number in wanted.items():
            if have.get(name, 0) != number:
                lines.append(f"{source}: {name} is {have.get(name, 0)}, sent for {number}")
    return lines
