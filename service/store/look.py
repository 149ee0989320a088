"""Questions to the store, for people: plain SQL, both databases, nothing written.

Facts that `enrich` owns are read by the names of their tables; what a row holds is said there.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from service.store.ids import ID_EPOCH_MS, NODE_BITS, SEQUENCE_BITS
from service.store.tables import from_microseconds, to_microseconds

Row = dict[str, Any]

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
IN_FORCE = (
    "f.event_id = v.id AND NOT f.candidate AND f.revision ="
    " (SELECT max(revision) FROM enrichments n WHERE n.event_id = v.id AND NOT n.candidate)"
)
# Dead letters with what a filter asks of events. A confirmation's is about none: its id is its own.
DEAD_LETTERS = (
    "(SELECT d.*, d.event_id AS id, e.delivery_id, e.event_type, e.title"
    " FROM dead_letters d LEFT JOIN events e ON e.id = d.event_id)"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events: of a source, a type (or types that begin with it and a dot), a time."""

    source: str = ""
    event_type: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def condition(self, event: str = "v") -> tuple[str, dict[str, Any]]:
        """SQL on the events' columns, and its parameters."""
        parts = ["TRUE"]
        values: dict[str, Any] = {}
        if self.source:
            parts.append(f"{event}.source = :source")
            values["source"] = self.source
        if self.event_type:
            begins = f"substr({event}.event_type, 1, {len(self.event_type) + 1}) = :types"
            parts.append(f"({event}.event_type = :type OR {begins})")
            values |= {"type": self.event_type, "types": f"{self.event_type}."}
        if self.since:
            parts.append(f"{event}.id >= :first")
            values["first"] = first_id_at(self.since)
        if self.until:
            parts.append(f"{event}.id < :end")
            values["end"] = first_id_at(self.until)
        return " AND ".join(parts), values


MAX_ID = 2**63 - 1


def first_id_at(moment: datetime) -> int:
    """The least id that can have been made then: ids begin with their time."""
    milliseconds = to_microseconds(moment) // 1000 - ID_EPOCH_MS
    return min(max(0, milliseconds) << (NODE_BITS + SEQUENCE_BITS), MAX_ID)


def moment_of(words: str, now: datetime) -> datetime:
    """`30m`, `6h`, `2d` ago, or an ISO date or time (UTC unless it says otherwise).

    Raises ValueError.
    """
    if words[-1:] in UNITS and words[:-1].replace(".", "", 1).isdecimal():
        try:
            return now - timedelta(seconds=float(words[:-1]) * UNITS[words[-1]])
        except OverflowError:
            raise ValueError(f"{words!r} is before all time; write 30m, 6h or 2d") from None
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise ValueError(f"{words!r} is no time; write 30m, 6h, 2d or 2026-03-01T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def list_events(
    connection: Connection, chosen: Filter, limit: int, category: str = "", severity: str = ""
) -> list[Row]:
    """Events, newest first, each with its enrichment in force and what is still to do."""
    condition, values = chosen.condition()
    for column, wanted in (("category", category), ("severity", severity)):
        if wanted:
            condition += f" AND f.{column} = :{column}"
            values[column] = wanted
    rows = connection.execute(
        text(
            "SELECT v.id, v.delivery_id, v.source, v.event_type, v.subject, v.received_at, v.title,"
            " v.level, v.suspected_replay, f.category, f.severity, f.tags, f.confidence,"
            " f.summary, f.fingerprint, f.degraded,"
            " (SELECT min(kind) FROM dead_letters d WHERE d.event_id = v.id) AS dead,"
            " (SELECT min(kind) FROM work_items w WHERE w.event_id = v.id) AS waiting"
            f" FROM events v LEFT JOIN enrichments f ON {IN_FORCE}"
            f" WHERE {condition} ORDER BY v.id DESC LIMIT :limit"
        ),
        {**values, "limit": limit},
    )
    return [readable(row) for row in rows.mappings()]


def has_events(connection: Connection, source: str) -> bool:
    """Whether any event of a source is in the store."""
    statement = text("SELECT 1 FROM events WHERE source = :source LIMIT 1")
    return connection.execute(statement, {"source": source}).first() is not None


def list_refusals(connection: Connection, chosen: Filter, limit: int) -> list[Row]:
    """What was refused, newest first: how often, why, and from where."""
    condition, values = Filter(chosen.source, "", chosen.since, chosen.until).condition("r")
    rows = connection.execute(
        text(
            "SELECT r.source, r.reason, r.address_prefix, r.refused_count, r.first_at, r.last_at"
            f" FROM refusals r WHERE {condition} ORDER BY r.id DESC LIMIT :limit"
        ),
        {**values, "limit": limit},
    )
    return [readable(row) for row in rows.mappings()]


def list_dead(connection: Connection, chosen: Filter, kind: str, limit: int) -> list[Row]:
    """Work that gave up, newest first, with what it was about."""
    condition, values = chosen.condition()
    rows = connection.execute(
        text(
            "SELECT v.event_id, v.kind, v.name, v.source, v.tries, v.died_at, v.reason, v.title,"
            f" v.event_type FROM {DEAD_LETTERS} v"
            f" WHERE {condition} AND (:kind = '' OR v.kind = :kind)"
            " ORDER BY v.died_at DESC, v.event_id, v.kind, v.name LIMIT :limit"
        ),
        {**values, "kind": kind, "limit": limit},
    )
    return [readable(row) for row in rows.mappings()]


def letters_of(connection: Connection, event_id: int) -> list[Row]:
    """The dead letters of an id, be it of no event."""
    return of_event(connection, "dead_letters", event_id, FACTS_OF_EVENT["dead_letters"])


def delivery_of(connection: Connection, some_id: int) -> int | None:
    """The delivery that an id stands for: its own, one of its events', or a redelivery's."""
    for table, column in (("deliveries", "id"), ("events", "delivery_id")):
        statement = f"SELECT {column} FROM {table} WHERE id = :id"
        found = connection.execute(text(statement), {"id": some_id}).scalar()
        if found is not None:
            return int(found)
    again = connection.execute(
        text("SELECT delivery_id FROM redeliveries WHERE id = :id"), {"id": some_id}
    ).scalar()
    return None if again is None else int(again)


def show_delivery(connection: Connection, delivery_id: int) -> Row:
    """A delivery with all that is known of it; its body only as a size."""
    found = (
        connection.execute(
            text(
                "SELECT id, source, preset, received_at, method, url, delivery_key, address,"
                " verified, suspected_replay, headers, length(body) AS body_bytes"
                " FROM deliveries WHERE id = :id"
            ),
            {"id": delivery_id},
        )
        .mappings()
        .first()
    )
    shown = readable(found) if found else {"id": str(delivery_id), "gone": True}
    events = of_delivery(connection, "events", delivery_id, EVENTS_OF_DELIVERY)
    shown |= {
        "redeliveries": of_delivery(connection, "redeliveries", delivery_id),
        "events": events,
    }
    for event in events:
        for table, order in FACTS_OF_EVENT.items():
            event[table] = of_event(connection, table, int(event["id"]), order)
    return shown


FACTS_OF_EVENT = {
    "attempts": "id",
    "enrichments": "revision, id",
    "actions": "id",
    "labels": "id",
    "work_items": "kind, name",
    "dead_letters": "kind, name",
}


# An event's id lies within 4,096 of its delivery's, so the primary key finds it.
EVENTS_OF_DELIVERY = "id BETWEEN :id AND :id + 4095 AND delivery_id = :id"


def of_delivery(
    connection: Connection, table: str, delivery_id: int, condition: str = "delivery_id = :id"
) -> list[Row]:
    """Rows of a table that belong to a delivery, oldest first."""
    rows = connection.execute(
        text(f"SELECT * FROM {table} WHERE {condition} ORDER BY id"), {"id": delivery_id}
    )
    return [readable(row) for row in rows.mappings()]


def of_event(connection: Connection, table: str, event_id: int, order: str) -> list[Row]:
    """Rows of a table that belong to an event."""
    rows = connection.execute(
        text(f"SELECT * FROM {table} WHERE event_id = :id ORDER BY {order}"), {"id": event_id}
    )
    return [readable(row) for row in rows.mappings()]


def body_of(connection: Connection, delivery_id: int) -> bytes | None:
    """The exact bytes of a delivery; None where there is no such delivery."""
    body = connection.execute(
        text("SELECT body FROM deliveries WHERE id = :id"), {"id": delivery_id}
    ).scalar()
    return None if body is None else bytes(body)


def readable(row: RowMapping) -> Row:
    """A row as people and JSON take it: ids as text (63 bits are too many for JavaScript), times
    as aware datetimes, flags as booleans, without the store's own bookkeeping."""
    return {
        str(name): readable_value(str(name), value)
        for name, value in row.items()
        if name not in ("tx", "lease")
    }


def readable_value(name: str, value: Any) -> Any:
    """One value, by its column's name."""
    if value is None:
        return None
    if name.endswith("_at"):
        return from_microseconds(int(value))
    if name == "id" or name.endswith("_id") or name == "copied_from":
        return str(value)
    if name in ("suspected_replay", "verified", "candidate", "suspicious", "degraded", "cache_hit"):
        return bool(value)
    return value
