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
    from analytics.arrivals import arrivals, events, outcomes, refused, senders, storms
    from analytics.categories import categories, severities, shifts, tags
    from analytics.causes import errors_before_tickets, sources_of
    from analytics.cost import calls, cost, cost_by_category, savings
    from analytics.errors import HistoryBusy, HistoryError, HistoryMissing
    from analytics.failures import actions, dead, failures
    from analytics.history import History, connect
    from analytics.latency import latency, latency_over_time
    from analytics.life import as_of, search, timeline
    from analytics.quality import (
        accuracy,
        calibration,
        confusion,
        disagreement,
        labelled,
        scores,
        twin_confusion,
    )
    from analytics.scope import newest_at

MODULES = {
    "arrivals": "arrivals events outcomes refused senders storms",
    "categories": "categories severities shifts tags",
    "causes": "errors_before_tickets sources_of",
    "cost": "calls cost cost_by_category savings",
    "errors": "HistoryBusy HistoryError HistoryMissing",
    "failures": "actions dead failures",
    "history": "History connect",
    "latency": "latency latency_over_time",
    "life": "as_of search timeline",
    "quality": "accuracy calibration confusion disagreement labelled scores twin_confusion",
    "scope": "newest_at",
}

__all__ = [
    "History",
    "HistoryBusy",
    "HistoryError",
    "HistoryMissing",
    "accuracy",
    "actions",
    "arrivals",
    "as_of",
    "calibration",
    "calls",
    "categories",
    "confusion",
    "connect",
    "cost",
    "cost_by_category",
    "dead",
    "disagreement",
    "errors_before_tickets",
    "events",
    "failures",
    "labelled",
    "latency",
    "latency_over_time",
    "newest_at",
    "outcomes",
    "refused",
    "savings",
    "scores",
    "search",
    "senders",
    "severities",
    "shifts",
    "sources_of",
    "storms",
    "tags",
    "timeline",
    "twin_confusion",
]


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names.split():
            return getattr(import_module(f"analytics.{module}"), name)
    raise AttributeError(f"module 'analytics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
