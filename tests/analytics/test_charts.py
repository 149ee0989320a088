"""What the notebooks' charts share, down to a history of one moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analytics.charts import OTHERS, colour, dots, filled, largest, lumped, shown, span, time_axis
from analytics.charts import step as step_of
from analytics.history import History

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def counts(*rows: tuple[int, str, int]) -> pl.DataFrame:
    """Hours after AT, source, events."""
    schema: dict[str, Any] = {
        "at": pl.Datetime("us", "UTC"),
        "source": pl.String,
        "event_count": pl.Int64,
    }
    return pl.DataFrame(
        [(AT + hour * HOUR, source, n) for hour, source, n in rows], schema, orient="row"
    )


def test_the_span_of_a_point_follows_the_time_that_events_cover(made: History) -> None:
    whole, hour = step_of(made), step_of(made, since=HOUR)
    assert (whole, hour) == (timedelta(hours=3), timedelta(minutes=1))


def test_an_empty_history_has_the_smallest_span(empty: History) -> None:
    assert step_of(empty) == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("length", "words"),
    [(timedelta(seconds=5), "5 seconds"), (HOUR, "hour"), (timedelta(days=14), "2 weeks")],
)
def test_a_span_in_words(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_a_single_span_is_drawn_as_wide_as_it_is() -> None:
    found = filled(counts((0, "a", 3)), HOUR, "source", "event_count")
    assert found.rows() == [(AT, "a", 3), (AT + HOUR, "a", 3)]


def test_a_span_in_which_nothing_came_is_zero() -> None:
    found = filled(counts((0, "a", 3), (2, "a", 4)), HOUR, "source", "event_count")
    assert found["event_count"].to_list() == [3, 0, 4, 4]


def test_nothing_stays_nothing() -> None:
    assert filled(counts(), HOUR, "source", "event_count").is_empty()


def test_the_rest_is_lumped_together() -> None:
    frame = counts((0, "a", 5), (0, "b", 1), (0, "c", 2), (0, "d", 1))
    names = largest(frame, "source", "event_count", most=2)
    found = lumped(frame, "source", "event_count", names)
    assert found.select("source", "event_count", "rank").rows() == [
        ("a", 5, 0),
        ("c", 2, 1),
        (OTHERS, 2, 2),
    ]


def test_a_single_name_too_many_keeps_its_name() -> None:
    frame = counts((0, "a", 5), (0, "b", 1), (0, "c", 2))
    assert largest(frame, "source", "event_count", most=2) == ["a", "c", "b"]


def test_no_two_names_have_one_colour() -> None:
    names = [*"abcdefgh", OTHERS]
    shades = colour("source", names).to_dict()["scale"]["range"]
    assert len(set(shades)) == len(names)


def test_one_moment_stands_amid_its_axis() -> None:
    at = int(AT.timestamp() * 1000)
    axis = time_axis(counts((0, "a", 1))["at"], HOUR).to_dict()
    assert axis["scale"] == {"type": "utc", "domain": [at - 3_600_000, at + 3_600_000]}


def test_few_points_of_a_line_are_seen_and_many_are_not() -> None:
    few, many = pl.Series([1, 2]), pl.Series(range(100))
    assert (bool(dots(few)), bool(dots(many))) == (True, False)


def test_a_chart_of_nothing_is_a_sentence() -> None:
    assert str(shown("chart", counts(), "Nothing arrived.")) == "*Nothing arrived.*"


def test_days_are_told_by_their_date() -> None:
    axis = time_axis(counts((0, "a", 1), (240, "a", 1))["at"], HOUR).to_dict()["axis"]
    assert axis == {"format": "%b %d", "tickCount": {"interval": "day", "step": 1}}


def test_within_a_day_the_date_is_told_at_midnight() -> None:
    axis = time_axis(counts((0, "a", 1), (30, "a", 1))["at"], HOUR).to_dict()["axis"]
    assert "? '%b %d' : '%H:%M'" in axis["labelExpr"]
