"""Which part of the history a question is about: a span of arrival times, and sources.

An id holds the millisecond at which its event arrived, so every table is cut by event id alone: no
join, and DuckDB skips the files whose ids are outside.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from analytics.errors import HistoryError
from analytics.history import History
from analytics.views import EPOCH_MS, ID_SHIFT

ENOUGH_EVENTS = 1_000_000


class Scope(TypedDict, total=False):
    """What every function takes by name; nothing given means everything.

    since:  events that arrived at or after it; a timedelta counts back from the newest event
    until:  events that arrived before it
    source: one source, or several
    """

    since: datetime | timedelta | None
    until: datetime | None
    source: str | Iterable[str] | None


def within(history: History, scope: Scope, id_column: str = "event_id", table: str = "") -> str:
    """An SQL condition for rows within the scope; `true` for an empty one.

    Raises HistoryError for a name that is none of Scope's, and a time that is none.
    """
    unknown = scope.keys() - Scope.__annotations__.keys()
    if unknown:
        known = ", ".join(Scope.__annotations__)
        raise HistoryError(f"no such filter: {', '.join(sorted(unknown))}; there are {known}")
    dot = f"{table}." if table else ""
    parts = []
    since, until, source = scope.get("since"), scope.get("until"), scope.get("source")
    if isinstance(since, timedelta):
        newest = newest_at(history)
        since = None if newest is None else newest - since
    if since is not None:
        parts.append(f"{dot}{id_column} >= {first_id(utc(since, 'since'))}")
    if until is not None:
        parts.append(f"{dot}{id_column} < {first_id(utc(until, 'until'))}")
    if source is not None:
        names = [source] if isinstance(source, str) else list(source)
        parts.append(f"{dot}source IN ({', '.join(map(quoted, names)) or 'NULL'})")
    return " AND ".join(parts) or "true"


def thinning(history: History, scope: Scope) -> int:
    """One of how many minutes of arrival is enough for percentiles over the scope: 1, 2, 4, ...

    Percentiles of a million events are as good as those of ten, and take a fraction of the time.
    """
    found = history.sql(f"SELECT count(*) AS n FROM events WHERE {within(history, scope, 'id')}")
    every = 1
    while int(found.item()) > every * ENOUGH_EVENTS:
        every *= 2
    return every


def thinned(every: int, id_column: str = "event_id") -> str:
    """SQL: one of `every` stretches of 65.536 s, whole ones, so that neighbours stay neighbours."""
    return "true" if every == 1 else f"({stretch(id_column)} & {every - 1}) = 0"


def stretch(id_column: str = "event_id") -> str:
    """SQL: in which stretch of 65.536 s it arrived; costs no division."""
    return f"({id_column} >> {ID_SHIFT + 16})"


def minute(id_column: str = "event_id") -> str:
    """SQL: the minute of arrival, counted from 1970."""
    return f"((({id_column} >> {ID_SHIFT}) + {EPOCH_MS}) // 60000)"


def newest_at(history: History) -> datetime | None:
    """When the newest event arrived, to the millisecond; None in an empty history."""
    newest = history.sql("SELECT max(id) AS id FROM events").item()
    return None if newest is None else arrived_at(newest)


def utc(moment: Any, name: str) -> datetime:
    """The moment in UTC. Raises HistoryError, with the argument's name, for what is no moment."""
    if not isinstance(moment, datetime):
        or_back = ", or timedelta(days=1), back from the newest event" if name == "since" else ""
        raise HistoryError(
            f"{name} is {moment!r}, a {type(moment).__name__}; pass a datetime,"
            f" e.g. datetime(2026, 3, 1, tzinfo=UTC){or_back}"
        )
    return moment.astimezone(UTC)


def first_id(moment: datetime) -> int:
    """The smallest id that an event arriving at `moment` can have."""
    milliseconds = int(moment.astimezone(UTC).timestamp() * 1000)
    return max(0, milliseconds - EPOCH_MS) << ID_SHIFT


def arrived_at(event_id: int) -> datetime:
    """When the event with this id arrived, to the millisecond."""
    return datetime.fromtimestamp(((event_id >> ID_SHIFT) + EPOCH_MS) / 1000, UTC)


def bucket(every: timedelta, id_column: str = "event_id") -> str:
    """SQL: the start of the span of `every` in which the event arrived, as milliseconds."""
    span = int(every / timedelta(milliseconds=1))
    return f"((({id_column} >> {ID_SHIFT}) + {EPOCH_MS}) // {span}) * {span}"


def moment(milliseconds: str) -> str:
    """SQL: milliseconds since 1970 as a TIMESTAMPTZ."""
    return f"make_timestamptz(CAST(({milliseconds}) * 1000 AS BIGINT))"


def quoted(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"
