"""What the notebooks' charts share: spans of time, axes in UTC, few colours, words for emptiness.

Any history must look right, from one event to ten million over years: the span of a point is chosen
by the time the events cover, the last span is drawn as wide as the others, and a chart of nothing
is a sentence.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Unpack

import polars as pl

from analytics.history import History
from analytics.looks import COLOURS, GREY, Words
from analytics.scope import Scope, arrived_at, within

POINTS = 120
SPANS = (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)  # seconds
UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
OTHERS = "all others"
FEW_POINTS = 30
DATES = 10  # on an axis
MOST_DAYS = 120  # on which a date says enough without its year


def step(history: History, **scope: Unpack[Scope]) -> timedelta:
    """The span, a second to a week, that gives a chart over the events about a hundred points."""
    first, last = history.sql(
        f"SELECT min(id) AS first, max(id) AS last FROM events WHERE {within(history, scope, 'id')}"
    ).row(0)
    covered = timedelta() if first is None else arrived_at(last) - arrived_at(first)
    spans = [timedelta(seconds=seconds) for seconds in SPANS]
    return next((one for one in spans if one * POINTS >= covered), spans[-1])


def span(length: timedelta) -> str:
    """A span of time in words: 6 hours, day."""
    seconds = round(length / timedelta(seconds=1))
    for unit, size in UNITS:
        if seconds % size == 0 and seconds >= size:
            count = seconds // size
            return unit if count == 1 else f"{count} {unit}s"
    return str(length)


def filled(frame: pl.DataFrame, step: timedelta, by: str, value: str) -> pl.DataFrame:
    """Every span and every name of `by`, 0 where nothing came, for an area drawn in steps.

    In: at datetime[us, UTC], `by` str, `value` number; out: the same, and the last span once more
    where it ends, or a step-after area would not show it.
    """
    if frame.is_empty():
        return frame
    first, last = frame["at"].min(), frame["at"].max()
    times = pl.DataFrame({"at": pl.datetime_range(first, last, step, eager=True)})  # type: ignore[arg-type]
    whole = (
        times.join(frame.select(by).unique(), how="cross")
        .join(frame.select("at", by, value), on=["at", by], how="left")
        .with_columns(pl.col(value).fill_null(0))
    )
    ended = whole.filter(pl.col("at") == last).with_columns(pl.col("at") + step)
    return pl.concat([whole, ended])


def largest(frame: pl.DataFrame, by: str, value: str, most: int = 8) -> list[str]:
    """The names of `by` with the largest sum of `value`; what is beyond `most` as "all others"."""
    names: list[str] = (
        frame.group_by(by)
        .agg(pl.col(value).sum())
        .sort(value, by, descending=[True, False])[by]
        .to_list()
    )
    return names if len(names) <= most + 1 else [*names[:most], OTHERS]


def lumped(frame: pl.DataFrame, by: str, value: str, names: Sequence[str]) -> pl.DataFrame:
    """The rows with every other name of `by` called "all others", `value` summed.

    Out: also rank i64 (the name's place in `names`), to stack by.
    """
    known = pl.col(by).is_in(list(names))
    ranks = {name: rank for rank, name in enumerate(names)}
    return (
        frame.with_columns(pl.when(known).then(by).otherwise(pl.lit(OTHERS)).alias(by))
        .group_by(pl.exclude(value))
        .agg(pl.col(value).sum())
        .with_columns(rank=pl.col(by).replace_strict(ranks, default=None, return_dtype=pl.Int64))
        .sort(*(["at"] if "at" in frame.columns else []), "rank")
    )


def colour(field: str, names: Sequence[str]) -> Any:
    """A colour for each name, in this order; grey for "all others"."""
    import altair as alt

    shades = [GREY if name == OTHERS else COLOURS[n % len(COLOURS)] for n, name in enumerate(names)]
    return alt.Color(f"{field}:N", sort=list(names), scale=alt.Scale(domain=names, range=shades))


def time_axis(times: pl.Series, step: timedelta) -> Any:
    """The horizontal axis `at` in UTC, as the findings say it; one moment alone stands amid."""
    import altair as alt

    scale = alt.Scale(type="utc")
    if times.n_unique() == 1:
        around = pl.Series([times[0] - step, times[0] + step]).dt.epoch("ms").to_list()
        scale = alt.Scale(type="utc", domain=around)
    return alt.X("at:T", title=None, scale=scale, axis=_axis(times, step))


def _axis(times: pl.Series, step: timedelta) -> Any:
    """Times of the day, with the date at midnight; dates where days are covered."""
    import altair as alt

    days = 0 if times.is_empty() else (times.max() - times.min()) / timedelta(days=1)  # type: ignore[operator]
    if days > MOST_DAYS:
        return alt.Axis()
    if days > 2:
        every = alt.TimeIntervalStep(interval="day", step=max(1, round(days / DATES)))
        return alt.Axis(format="%b %d", tickCount=every)
    clock = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
    midnight = "utchours(datum.value) + utcminutes(datum.value) + utcseconds(datum.value) == 0"
    return alt.Axis(
        labelExpr=f"utcFormat(datum.value, {midnight} ? '%b %d' : '{clock}')", tickCount=6
    )


def when() -> Any:
    """The tooltip of `at`, in UTC."""
    import altair as alt

    return alt.Tooltip(
        "utcyearmonthdatehoursminutesseconds(at):T", title="at, UTC", format="%Y-%m-%d %H:%M:%S"
    )


def dots(times: pl.Series) -> Any:
    """Points on a line that has few of them: a single one would not show otherwise."""
    import altair as alt

    return alt.OverlayMarkDef(size=50) if times.n_unique() <= FEW_POINTS else False


def whole() -> Any:
    """An axis of counts: nothing is said between two whole numbers. For `axis=` of X or Y."""
    import altair as alt

    return alt.Axis(labelExpr="datum.value % 1 ? '' : format(datum.value, ',d')")


def on_shade(field: str, above: float = 0.75) -> Any:
    """The colour of a number on a heat map's cell: white on a strong shade, else the page's own."""
    import altair as alt

    return alt.condition(
        f"datum.{field} > {above}", alt.value("#ffffff"), alt.value("currentColor")
    )


def shown(drawing: Any, frame: pl.DataFrame, otherwise: str) -> Any:
    """The chart or table; where its frame has no rows, what is to be said instead."""
    return Words(f"*{otherwise}*") if frame.is_empty() else drawing
