"""Events of a source in the order of their ids, which is that of time: what is too old goes.

A step looks at so many events at most, deletes what may go, and says up to where it came. Events
that still have work to do are passed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from service.store.store import words_of


class Removed(NamedTuple):
    """How many rows went, and after which id to go on; None where nothing is left."""

    row_count: int
    after: int | None


class Found(NamedTuple):
    """An old event, and whether it still has work to do."""

    id: int
    delivery_id: int
    is_busy: bool


def find_old(
    connection: Connection, source: str, after: int, end: int, limit: int
) -> Sequence[Found]:
    """So many events of the source at most with ids between the two, oldest first."""
    rows = connection.execute(
        text(
            "SELECT id, delivery_id,"
            " (SELECT min(w.event_id) FROM work_items w WHERE w.event_id = v.id) IS NOT NULL"
            f" FROM events v WHERE {words_of(connection).OF_SOURCE}"
            " ORDER BY source, id LIMIT :limit"
        ),
        {"source": source, "after": after, "end": end, "limit": limit},
    )
    return [Found(int(row[0]), int(row[1]), bool(row[2])) for row in rows]


def came_to(found: Sequence[Found], limit: int) -> int | None:
    """After which event to go on."""
    return found[-1].id if len(found) == limit else None


class OldEvents:
    """A source's events with ids below `end`, with their facts; a delivery goes with its last."""

    def __init__(self, source: str, end: int, followers: Sequence[str]) -> None:
        self._source = source
        self._end = end
        self._followers = followers

    def delete(self, connection: Connection, limit: int, after: int) -> Removed:
        """Delete those of so many events that have no work to do."""
        found = find_old(connection, self._source, after, self._end, limit)
        free = [event for event in found if not event.is_busy]
        deliveries = {event.delivery_id for event in free}
        delete_events(connection, [event.id for event in free], deliveries, self._followers)
        return Removed(len(free), came_to(found, limit))


def delete_events(
    connection: Connection,
    events: Sequence[int],
    deliveries: Iterable[int],
    followers: Sequence[str],
) -> None:
    """Delete events with all their facts, and of their deliveries those that have none left."""
    if not events:
        return
    listed = ", ".join(map(str, events))
    # First the work, which a worker holds, then the events, which `enrich-again` holds: whoever
    # writes about them meanwhile has ended then, and finds none later.
    for table in dict.fromkeys(("work_items", "events", *followers)):
        column = "id" if table == "events" else "event_id"
        connection.execute(text(f"DELETE FROM {table} WHERE {column} IN ({listed})"))
    candidates = ", ".join(map(str, sorted(deliveries)))
    connection.execute(
        text(
            f"DELETE FROM deliveries WHERE id IN ({candidates})"
            # An event's id lies within 4,096 of its delivery's, so the primary key finds it; for
            # NOT EXISTS PostgreSQL would read all events.
            " AND (SELECT min(v.id) FROM events v WHERE v.id BETWEEN deliveries.id"
            "  AND deliveries.id + 4095 AND v.delivery_id = deliveries.id) IS NULL"
        )
    )


class OldBodies:
    """A source's raw bodies whose events have ids below `end`.

    The store remembers up to which event all of them are empty.
    """

    def __init__(self, source: str, end: int) -> None:
        self._source = source
        self._end = end
        self._fact = f"bodies emptied: {source}"

    def empty(self, connection: Connection, limit: int, after: int) -> Removed:
        """Empty the bodies of those of so many events that have no work to do."""
        mark = self._mark(connection)
        after = max(after, mark)
        found = find_old(connection, self._source, after, self._end, limit)
        count = empty_bodies(connection, [event for event in found if not event.is_busy])
        if found and after == mark:  # else one was passed, and the next round begins with it
            busy = next((event for event in found if event.is_busy), None)
            self._keep_mark(connection, mark, found[-1].id if busy is None else busy.id - 1)
        return Removed(count, came_to(found, limit))

    def _mark(self, connection: Connection) -> int:
        number = connection.execute(
            text("SELECT number FROM store_facts WHERE name = :name"), {"name": self._fact}
        ).scalar()
        return int(number or 0)

    def _keep_mark(self, connection: Connection, before: int, mark: int) -> None:
        if mark > before:
            connection.execute(
                text(
                    "INSERT INTO store_facts (name, number, value) VALUES (:name, :mark, '')"
                    " ON CONFLICT (name) DO UPDATE SET number = excluded.number"
                ),
                {"name": self._fact, "mark": mark},
            )


def empty_bodies(connection: Connection, events: Sequence[Found]) -> int:
    """Empty the raw bodies behind these events, and their own JSON; how many were not empty."""
    if not events:
        return 0
    deliveries = ", ".join(sorted({str(event.delivery_id) for event in events}))
    listed = ", ".join(str(event.id) for event in events)
    emptied = connection.execute(
        text(
            f"UPDATE deliveries SET body = :nothing WHERE id IN ({deliveries}) AND body <> :nothing"
        ),
        {"nothing": b""},
    )
    connection.execute(
        text(f"UPDATE events SET payload = NULL WHERE id IN ({listed}) AND payload IS NOT NULL")
    )
    return emptied.rowcount
