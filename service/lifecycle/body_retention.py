"""Forgetting raw bodies, in the order of their events, and later those that had to wait.

The store remembers for each source how far this came, and which events before that were passed
because they still had work to do.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, text

MAX_PASSED = 1_000  # events that wait for their work; with more, later ones wait too
BUSY = "EXISTS (SELECT 1 FROM work_items w WHERE w.event_id = v.id)"


class OldBodies:
    """A source's raw bodies whose events have ids below `end`."""

    def __init__(self, source: str, end: int) -> None:
        self._fact = f"bodies emptied: {source}"
        self._values = {"source": source, "end": end}

    def empty(self, connection: Connection, limit: int) -> int:
        """Empty the bodies of so many events at most; of how many, 0 when there are no more."""
        done, passed = self._progress(connection)
        busy = busy_of(connection, passed)
        waited = events_of(connection, passed - busy)
        rows = waited[:limit]
        if not rows and len(busy) < MAX_PASSED:
            rows = self._next(connection, done, limit)
        if rows:
            empty_bodies(connection, rows)
            last = max(done, int(rows[-1][0]))
            still = {int(row[0]) for row in waited[limit:]}
            self._keep(connection, last, busy | still | self._passed(connection, done, last))
        return len(rows)

    def _progress(self, connection: Connection) -> tuple[int, set[int]]:
        row = connection.execute(
            text("SELECT number, value FROM store_facts WHERE name = :name"), {"name": self._fact}
        ).first()
        return (0, set()) if row is None else (int(row[0]), set(map(int, row[1].split())))

    def _next(self, connection: Connection, done: int, limit: int) -> Sequence[Any]:
        statement = text(
            "SELECT id, delivery_id FROM events v WHERE source = :source AND id < :end"
            f" AND id > :done AND NOT {BUSY} ORDER BY id LIMIT :limit"
        )
        return connection.execute(statement, {**self._values, "done": done, "limit": limit}).all()

    def _passed(self, connection: Connection, done: int, last: int) -> set[int]:
        statement = text(
            "SELECT id FROM events v WHERE source = :source AND id > :done AND id < :last"
            f" AND {BUSY}"
        )
        values = {"source": self._values["source"], "done": done, "last": last}
        return set(connection.execute(statement, values).scalars())

    def _keep(self, connection: Connection, last: int, passed: Collection[int]) -> None:
        connection.execute(
            text(
                "INSERT INTO store_facts (name, number, value) VALUES (:name, :last, :passed)"
                " ON CONFLICT (name) DO UPDATE SET number = excluded.number,"
                " value = excluded.value"
            ),
            {"name": self._fact, "last": last, "passed": " ".join(map(str, sorted(passed)))},
        )


def busy_of(connection: Connection, events: Collection[int]) -> set[int]:
    """Those of the events that still have work to do."""
    if not events:
        return set()
    listed = ", ".join(map(str, events))
    rows = connection.execute(
        text(f"SELECT DISTINCT event_id FROM work_items WHERE event_id IN ({listed})")
    )
    return set(rows.scalars())


def events_of(connection: Connection, events: Collection[int]) -> Sequence[Any]:
    """(event, delivery) of those of the events that are still there."""
    if not events:
        return ()
    listed = ", ".join(map(str, events))
    return connection.execute(
        text(f"SELECT id, delivery_id FROM events WHERE id IN ({listed}) ORDER BY id")
    ).all()


def empty_bodies(connection: Connection, rows: Sequence[Any]) -> None:
    """Empty the raw bodies behind these events, and their own JSON."""
    deliveries = ", ".join(sorted({str(row[1]) for row in rows}))
    events = ", ".join(str(row[0]) for row in rows)
    connection.execute(
        text(f"UPDATE deliveries SET body = :nothing WHERE id IN ({deliveries})"), {"nothing": b""}
    )
    connection.execute(text(f"UPDATE events SET payload = NULL WHERE id IN ({events})"))
