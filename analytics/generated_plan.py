"""The plan of a made-up history: how many events of which source in which minute, and why.

Working hours, weekends, storms of one error, an outage of the model's provider, and errors that
bring tickets some minutes later: what the notebooks are there to find.
"""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl
import pyarrow as pa


class MadeSource(NamedTuple):
    """One source of the made-up company."""

    name: str
    preset: str
    kind: str  # ticket, error or other
    share: float  # of all events


SOURCES = (
    MadeSource("app-errors", "sentry", "error", 0.27),
    MadeSource("shop-errors", "sentry", "error", 0.09),
    MadeSource("cluster-alerts", "alertmanager", "error", 0.10),
    MadeSource("dashboards", "grafana", "error", 0.05),
    MadeSource("on-call", "pagerduty", "error", 0.03),
    MadeSource("support", "zendesk", "ticket", 0.13),
    MadeSource("chat", "intercom", "ticket", 0.09),
    MadeSource("code", "github", "ticket", 0.08),
    MadeSource("operations", "jira", "ticket", 0.04),
    MadeSource("product", "linear", "ticket", 0.02),
    MadeSource("payments", "stripe", "other", 0.06),
    MadeSource("orders", "standard_webhooks", "other", 0.04),
)


class Cause(NamedTuple):
    """An error that brings tickets of a category after so many minutes."""

    fingerprint: int
    category: str
    delay_minutes: int


CAUSES = (Cause(3, "billing", 12), Cause(7, "account_access", 6), Cause(11, "delivery", 20))
STORM_MINUTES = 9
OUTAGES_EACH_DAYS = 12.0


class Plan(NamedTuple):
    """Counts per minute, source and theme; the times at which the model's provider was down."""

    minutes: pl.DataFrame  # ms i64, source str, theme i64 (fingerprint, -1 for none), count i64
    outages: list[tuple[datetime, datetime]]
    began_at: datetime
    ended_at: datetime


def plan(event_count: int, days: float, until: datetime, seed: int) -> Plan:
    """A plan for about `event_count` events in the `days` before `until`; the same for a seed."""
    chance = random.Random(seed)  # noqa: S311 - made-up data, the same for a seed
    until = until.astimezone(UTC).replace(second=0, microsecond=0)
    began_at = until - timedelta(days=days)
    span = max(1, int(days * 1440))
    usual = _usual(chance, event_count * 0.93, began_at, span)
    storms = _storms(chance, event_count * 0.07, began_at, span, max(3, int(days * 2)))
    frame = pl.concat([usual, pl.DataFrame(storms, schema=usual.schema, orient="row")])
    return Plan(
        frame.sort("ms", "source", "theme"), _outages(chance, began_at, days), began_at, until
    )


def _usual(chance: random.Random, events: float, began_at: datetime, span: int) -> pl.DataFrame:
    """Counts but for storms: more about midday, fewer on Saturdays and Sundays."""
    hours = pl.col("at").dt.hour() + pl.col("at").dt.minute() / 60
    weekend = pl.col("at").dt.weekday() > 5
    minutes = pl.select(
        at=pl.lit(began_at) + pl.duration(minutes=pl.int_range(span, dtype=pl.Int64))
    ).with_columns(
        weight=(0.35 + 0.65 * (-((hours - 13.5) ** 2) / 18).exp())
        * pl.when(weekend).then(0.45).otherwise(1.0)
    )
    mean = pl.col("weight") / minutes["weight"].sum() * pl.col("share") * events
    return (
        minutes.join(pl.DataFrame(SOURCES, schema=MadeSource._fields, orient="row"), how="cross")
        .select(
            ms=pl.col("at").dt.epoch("ms"),
            source="name",
            theme=pl.lit(-1, pl.Int64),
            # Times 0 to 2, as some minutes are busier; the last share rounds fairly.
            count=(
                mean * (_shares(chance, span) + _shares(chance, span)) + _shares(chance, span)
            ).cast(pl.Int64),
        )
        .filter(pl.col("count") > 0)
    )


def _shares(chance: random.Random, span: int) -> pl.Series:
    """A number from 0 to 1 for each minute and source."""
    count = span * len(SOURCES)
    drawn = pa.py_buffer(chance.randbytes(4 * count))
    return pl.Series(pa.Array.from_buffers(pa.uint32(), count, [None, drawn])) / 2**32


def _storms(
    chance: random.Random, events: float, began_at: datetime, span: int, storm_count: int
) -> list[tuple[int, str, int, int]]:
    rows: list[tuple[int, str, int, int]] = []
    for place in range(storm_count):
        cause = CAUSES[place % len(CAUSES)]
        start = chance.randrange(max(1, span - 60))
        size = events / storm_count * chance.uniform(0.5, 1.5)
        for step in range(STORM_MINUTES):
            ms = _ms(began_at, start + step)
            errors = _poisson(chance, size * 0.8 / STORM_MINUTES)
            rows.append((ms, "app-errors", cause.fingerprint, errors))
            after = _ms(began_at, start + step + cause.delay_minutes)
            for source, share in (("support", 0.12), ("chat", 0.08)):
                tickets = _poisson(chance, size * share / STORM_MINUTES)
                if start + step + cause.delay_minutes < span:
                    rows.append((after, source, cause.fingerprint, tickets))
    return [row for row in rows if row[3] > 0]


def _ms(began_at: datetime, minute: int) -> int:
    return int((began_at + timedelta(minutes=minute)).timestamp()) * 1000


def _outages(
    chance: random.Random, began_at: datetime, days: float
) -> list[tuple[datetime, datetime]]:
    outages = []
    for _ in range(max(1, round(days / OUTAGES_EACH_DAYS))):
        start = began_at + timedelta(days=chance.uniform(0.2, 0.9) * days)
        outages.append((start, start + timedelta(minutes=40)))
    return outages


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count
