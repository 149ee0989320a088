"""The history of every event, for notebooks: `connect()`, and questions that answer in frames.

    from datetime import timedelta
    import analytics
    history = analytics.connect()
    analytics.outcomes(history)
    analytics.latency(history, since=timedelta(days=1), source="support")
    history.sql("SELECT source, count(*) FROM events GROUP BY source")

Every function takes `since`, `until` and `source` by name (see `analytics.scope.Scope`). Nothing
here writes. Names load on first use, so that `analytics.settings` costs neither DuckDB nor Polars.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics.charts import (
        colour,
        dots,
        filled,
        largest,
        lumped,
        on_shade,
        shown,
        span,
        step,
        time_axis,
        when,
        whole,
    )
    from analytics.errors import HistoryBusy, HistoryError, HistoryMissing
    from analytics.frames.arrivals import arrivals, events, outcomes, refused, senders, storms
    from analytics.frames.categories import categories, severities, shifts, tags
    from analytics.frames.causes import aftermath, errors_before_tickets, sources_of
    from analytics.frames.cost import calls, cost, cost_by_category, savings
    from analytics.frames.failures import actions, dead, failures
    from analytics.frames.latency import latency, latency_over_time
    from analytics.frames.life import as_of, search, timeline
    from analytics.frames.quality import (
        accuracy,
        calibration,
        confusion,
        disagreement,
        labelled,
        scores,
        twin_confusion,
    )
    from analytics.history import History, connect
    from analytics.looks import finding, look, table
    from analytics.scope import newest_at

MODULES = {
    "charts": "colour dots filled largest lumped on_shade shown span step time_axis when whole",
    "frames.arrivals": "arrivals events outcomes refused senders storms",
    "frames.categories": "categories severities shifts tags",
    "frames.causes": "aftermath errors_before_tickets sources_of",
    "frames.cost": "calls cost cost_by_category savings",
    "errors": "HistoryBusy HistoryError HistoryMissing",
    "frames.failures": "actions dead failures",
    "history": "History connect",
    "frames.latency": "latency latency_over_time",
    "frames.life": "as_of search timeline",
    "looks": "finding look table",
    "frames.quality": "accuracy calibration confusion disagreement labelled scores twin_confusion",
    "scope": "newest_at",
}

__all__ = [
    "History",
    "HistoryBusy",
    "HistoryError",
    "HistoryMissing",
    "accuracy",
    "actions",
    "aftermath",
    "arrivals",
    "as_of",
    "calibration",
    "calls",
    "categories",
    "colour",
    "confusion",
    "connect",
    "cost",
    "cost_by_category",
    "dead",
    "disagreement",
    "dots",
    "errors_before_tickets",
    "events",
    "failures",
    "filled",
    "finding",
    "labelled",
    "largest",
    "latency",
    "latency_over_time",
    "look",
    "lumped",
    "newest_at",
    "on_shade",
    "outcomes",
    "refused",
    "savings",
    "scores",
    "search",
    "senders",
    "severities",
    "shifts",
    "shown",
    "sources_of",
    "span",
    "step",
    "storms",
    "table",
    "tags",
    "time_axis",
    "timeline",
    "twin_confusion",
    "when",
    "whole",
]


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names.split():
            return getattr(import_module(f"analytics.{module}"), name)
    raise AttributeError(f"module 'analytics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
