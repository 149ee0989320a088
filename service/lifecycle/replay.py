"""Giving work back to the queue: events to be enriched again, dead letters to be tried again.

Nothing is doubled by it. Work that still waits is left alone; an enrichment made again is a further
revision; and an action carries the same name whatever the revision, by which it is known what was
done already.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from service.lifecycle.audit import note_done, note_more
from service.lifecycle.pacing import write_in_pieces
from service.store import Store
from service.store.look import DEAD_LETTERS, Filter
from service.store.queue import ENRICH
from service.store.tables import to_microseconds

BULK = 2  # priority of replayed events: what comes in now goes first


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to replay: these ids (of events or deliveries), or all that a filter finds."""

    ids: tuple[int, ...] = ()
    filter: Filter = field(default_factory=Filter)
    kind: str = ""
    reason: str = ""

    def described(self) -> dict[str, Any]:
        """For the audit."""
        found = {key: str(value) for key, value in asdict(self.filter).items() if value}
        named = {"ids": [str(i) for i in self.ids[:100]], "kind": self.kind, "reason": self.reason}
        return {**found, **named}


class Item(NamedTuple):
    """One work item to give back."""

    event_id: int
    kind: str
    name: str
    source: str


def events_to_replay(connection: Connection, chosen: Chosen) -> list[Item]:
    """Events that are chosen and not waiting for an enricher already, oldest first."""
    condition, values = chosen.filter.condition()
    statement = (
        "SELECT v.id, v.source FROM events v"
        f" WHERE {condition} AND {_named(chosen, 'v.id', 'v.delivery_id')}"
        " AND NOT EXISTS (SELECT 1 FROM work_items w"
        "  WHERE w.event_id = v.id AND w.kind = 'enrich' AND w.name = '') ORDER BY v.id"
    )
    rows = connection.execute(text(statement), values)
    return [Item(int(event), ENRICH, "", source) for event, source in rows]


def letters_to_replay(connection: Connection, chosen: Chosen) -> list[Item]:
    """Dead letters that are chosen, oldest event first."""
    condition, values = chosen.filter.condition()
    if chosen.kind:
        condition += " AND v.kind = :kind"
        values["kind"] = chosen.kind
    if chosen.reason:
        condition += " AND replace(v.reason, :reason, '') <> v.reason"  # LIKE has wildcards
        values["reason"] = chosen.reason
    rows = connection.execute(
        text(
            f"SELECT v.event_id, v.kind, v.name, v.source FROM {DEAD_LETTERS} v"
            f" WHERE {condition} AND {_named(chosen, 'v.event_id', 'v.delivery_id')}"
            " ORDER BY v.event_id, v.kind, v.name"
        ),
        values,
    )
    return [Item(int(row[0]), *row[1:]) for row in rows]


def _named(chosen: Chosen, *columns: str) -> str:
    """Any of the columns is one of the ids; true where none are given."""
    if not chosen.ids:
        return "TRUE"
    listed = ", ".join(str(int(some_id)) for some_id in chosen.ids)
    return "(" + " OR ".join(f"{column} IN ({listed})" for column in columns) + ")"


def give_back(store: Store, items: Sequence[Item], now: datetime, deed: str, asked: Chosen) -> int:
    """Enqueue the items in small transactions, each of which notes it; how many were enqueued.

    A dead letter goes in the transaction that makes it work again.
    """
    entry_id = note_done(store, now, deed, asked.described(), 0)
    return sum(write_in_pieces(store, _enqueue, items, now, entry_id))


def _enqueue(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[int]:
    return [_enqueue_batch(connection, *payload) for payload in payloads]


def _enqueue_batch(
    connection: Connection, items: Sequence[Item], now: datetime, entry_id: int
) -> int:
    """A row each unless one is there; not `queue.enqueue`, which takes none for granted."""
    at, count = to_microseconds(now), 0
    for item in items:
        values = {**item._asdict(), "priority": BULK, "at": at}
        made = connection.execute(
            text(
                "INSERT INTO work_items"
                " (event_id, kind, name, source, priority, available_at, tries)"
                " VALUES (:event_id, :kind, :name, :source, :priority, :at, 0)"
                " ON CONFLICT (event_id, kind, name) DO NOTHING"
            ),
            values,
        )
        count += made.rowcount
        connection.execute(
            text(
                "DELETE FROM dead_letters"
                " WHERE event_id = :event_id AND kind = :kind AND name = :name"
            ),
            {"event_id": item.event_id, "kind": item.kind, "name": item.name},
        )
    woken: set[str] = connection.info.setdefault("woken", set())
    woken.update(item.kind for item in items)
    note_more(connection, entry_id, count)
    return count
