"""Removing a person from the store, so that neither a redelivery nor a rebuild brings them back.

An event in which the person stands goes whole, with its attempts, enrichments, actions, labels and
work; its delivery goes with its last event, else loses its body. Each erased delivery leaves a
tombstone and dedup keys that never expire: sent again, it is acknowledged and not stored.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, text

from service.errors import HooksiftError
from service.extraction.extract import key_of_content
from service.lifecycle.audit import note_done
from service.lifecycle.events_by_age import delete_events
from service.lifecycle.owed import owe
from service.lifecycle.pacing import write_in_pieces
from service.lifecycle.person_scan import (
    Hit,
    Table,
    find_person,
    folded,
    rows_of,
    tables_of,
)
from service.store import Store
from service.store.intake import digest_of
from service.store.look import EVENTS_OF_DELIVERY
from service.store.store import words_of
from service.store.tables import to_microseconds

LEAST_LETTERS = 4
BATCH = 200  # ids that one question names
ROUNDS = 2  # what came in during a scan is found by the next
NEVER = to_microseconds(datetime(9999, 1, 1, tzinfo=UTC))
WHOLE_DELIVERY = frozenset({"headers", "url", "address", "delivery_key"})
UNREACHED = (
    "backups, exports and stores that a restore kept: delete them, or erase again after a restore",
    "what was written to tickets, chats and other systems, and what the sender still holds",
    "what a model's provider keeps of the calls made to it",
    "bodies in which the words stand in base64, or encrypted",
)
UNREACHED_POSTGRESQL = "PostgreSQL's own write-ahead log, its archive, and replicas"


class ErasureError(HooksiftError):
    """The person cannot be erased as asked."""


@dataclass(slots=True)
class Plan:
    """What has to go: events, the bodies of deliveries that stay, and rows of other tables."""

    events: set[int] = field(default_factory=set)
    deliveries: set[int] = field(default_factory=set)
    others: list[Hit] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.events or self.deliveries or self.others)

    def add(self, other: "Plan") -> None:
        """What another plan has is in this one too."""
        self.events |= other.events
        self.deliveries |= other.deliveries
        self.others += other.others

    def counts(self) -> dict[str, int]:
        """How much of what."""
        counted = {"events": len(self.events), "deliveries": len(self.deliveries)}
        for hit in self.others:
            counted[hit.table.name] = counted.get(hit.table.name, 0) + 1
        return {what: count for what, count in counted.items() if count}


def wanted_words(words: Iterable[str]) -> list[str]:
    """The words as the scan compares them. Raises ErasureError for ones that hit everybody."""
    wanted = [folded(word.strip()) for word in words]
    if not wanted or any(len(word) < LEAST_LETTERS for word in wanted):
        raise ErasureError(f"erase needs words of at least {LEAST_LETTERS} letters; got {wanted}")
    return wanted


def plan_erasure(connection: Connection, words: Sequence[str]) -> Plan:
    """What an erasure of these words (from `wanted_words`) would remove."""
    plan = Plan()
    whole: set[int] = set()
    bodies: set[int] = set()
    for hit in find_person(connection, words):
        if hit.table.name == "events":
            plan.events.add(hit.key[0])
        elif hit.event_id is not None:
            plan.events.add(hit.event_id)
        elif hit.table.name == "deliveries":
            (whole if WHOLE_DELIVERY.intersection(hit.columns) else bodies).add(hit.key[0])
        else:
            plan.others.append(hit)
    for delivery in whole | bodies:
        events = events_of(connection, delivery)
        if delivery in whole or not plan.events.intersection(events):
            plan.events |= events
    plan.deliveries = whole | bodies | deliveries_of(connection, plan.events)
    return plan


def events_of(connection: Connection, delivery: int) -> set[int]:
    """The events of a delivery."""
    rows = connection.execute(
        text(f"SELECT id FROM events WHERE {EVENTS_OF_DELIVERY}"),
        {"id": delivery},
    )
    return set(rows.scalars())


def deliveries_of(connection: Connection, events: Iterable[int]) -> set[int]:
    """The deliveries of events."""
    found: set[int] = set()
    wanted = sorted(events)
    for start in range(0, len(wanted), BATCH):
        listed = ", ".join(map(str, wanted[start : start + BATCH]))
        rows = connection.execute(text(f"SELECT delivery_id FROM events WHERE id IN ({listed})"))
        found.update(rows.scalars())
    return found


def keys_of(connection: Connection, deliveries: Container[int]) -> dict[int, list[bytes]]:
    """The dedup keys of deliveries, for each; all keys are read, once: no index leads to them."""
    found: dict[int, list[bytes]] = {}
    table = Table("dedup_keys", ("digest",), ("delivery_id",), False)
    indexed = ((bytes(row["digest"]), row["delivery_id"]) for row in rows_of(connection, table))
    recent = ((digest, owner) for digest, owner, _ in words_of(connection).recent_keys(connection))
    for digest, delivery in chain(indexed, recent):
        if delivery in deliveries:
            found.setdefault(delivery, []).append(digest)
    return found


def erase(store: Store, words: Iterable[str], now: datetime, plan: Plan | None = None) -> Plan:
    """Remove the person and return what went; the store may be in use meanwhile.

    Begins with `plan`, where one was made, and ends with a look at all tables that finds nothing.
    Raises ErasureError when the person still comes in, as fast as they are removed.
    """
    wanted = wanted_words(words)
    left = look(store, wanted) if plan is None else plan
    if left.empty:
        note_done(store, now, "erase", {}, 0)
    gone = Plan()
    rounds = 0
    while not left.empty:
        if rounds == ROUNDS:
            raise ErasureError(
                "the person is still being written about; stop the sender and erase again"
            )
        remove(store, left, now)
        gone.add(left)
        left = look(store, wanted)
        rounds += 1
    return gone


def look(store: Store, words: Sequence[str]) -> Plan:
    """What an erasure would remove now."""
    with store.read() as connection:
        return plan_erasure(connection, words)


def remove(store: Store, plan: Plan, now: datetime) -> None:
    """Note the deed and which events go, then remove what was planned, in small transactions."""
    with store.read() as connection:
        followers = [table.name for table in tables_of(connection) if table.has_event]
        keys = keys_of(connection, plan.deliveries) if plan.deliveries else {}
    counts = plan.counts()
    deed = note_done(store, now, "erase", counts, sum(counts.values()))
    if plan.events:
        owe(store, deed, plan.events)
    pieces = chain(
        write_in_pieces(
            store, erase_deliveries, sorted(plan.deliveries), plan.events, keys, followers, now
        ),
        write_in_pieces(store, _erase_events, sorted(plan.events), followers),
        write_in_pieces(store, _erase_rows, plan.others),
    )
    for _ in pieces:
        continue


def erase_deliveries(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
    """The handler for `store.write`: deliveries, of the events that go, their keys, and when."""
    for deliveries, events, keys, followers, now in payloads:
        mine = {delivery: events_of(connection, delivery) for delivery in deliveries}
        held = {
            delivery: {*keys.get(delivery, ()), *lost_keys(connection, delivery)}.union(
                content_keys(connection, its & events)
            ).difference(content_keys(connection, its - events))
            for delivery, its in mine.items()
        }
        _bury(connection, held, now)
        doomed = set().union(*mine.values()) & events
        _delete_events(connection, sorted(doomed), deliveries, followers)
        whole = [delivery for delivery in deliveries if not mine[delivery] - events]
        _delete_deliveries(connection, whole)
        listed = ", ".join(map(str, deliveries))
        connection.execute(
            text(f"UPDATE deliveries SET body = :nothing WHERE id IN ({listed})"), {"nothing": b""}
        )
    return [None] * len(payloads)


def _erase_events(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
    """Facts of events whose own row is gone already (retention took it, or this erasure)."""
    for events, followers in payloads:
        _delete_events(connection, events, (0,), followers)
    return [None] * len(payloads)


def _erase_rows(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
    for (hits,) in payloads:
        for hit in hits:
            condition = " AND ".join(f"{c} = :k{n}" for n, c in enumerate(hit.table.key))
            values = {f"k{n}": value for n, value in enumerate(hit.key)}
            connection.execute(text(f"DELETE FROM {hit.table.name} WHERE {condition}"), values)
    return [None] * len(payloads)


def _delete_events(
    connection: Connection,
    events: Sequence[int],
    deliveries: Iterable[int],
    followers: Sequence[str],
) -> None:
    if not events:
        return
    listed = ", ".join(map(str, events))
    connection.execute(
        text(  # so that no worker saves what it has learned from them meanwhile
            "UPDATE fingerprint_states SET edit_count = edit_count + 1"
            f" WHERE source IN (SELECT source FROM events WHERE id IN ({listed}))"
        )
    )
    connection.execute(
        text(
            "DELETE FROM reuse WHERE enrichment_id IN"
            f" (SELECT id FROM enrichments WHERE event_id IN ({listed}))"
        )
    )
    delete_events(connection, events, deliveries, followers)


def _delete_deliveries(connection: Connection, deliveries: Sequence[int]) -> None:
    if deliveries:
        listed = ", ".join(map(str, deliveries))
        for table, column in (("deliveries", "id"), ("redeliveries", "delivery_id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {column} IN ({listed})"))


def _bury(connection: Connection, deliveries: Mapping[int, Iterable[bytes]], now: datetime) -> None:
    """Leave tombstones, and dedup keys that hold for ever, for each delivery."""
    connection.execute(
        text(
            "INSERT INTO tombstones (delivery_id, erased_at) VALUES (:id, :at)"
            " ON CONFLICT (delivery_id) DO NOTHING"
        ),
        [{"id": delivery, "at": to_microseconds(now)} for delivery in deliveries],
    )
    held = [
        {"digest": digest, "id": delivery, "never": NEVER}
        for delivery, digests in deliveries.items()
        for digest in digests
    ]
    held.sort(key=itemgetter("digest"))  # as intake takes them, so that neither waits in a circle
    if held:
        connection.execute(
            text(
                "INSERT INTO dedup_keys (digest, delivery_id, expires_at)"
                " VALUES (:digest, :id, :never)"
                " ON CONFLICT (digest) DO UPDATE SET"
                " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at"
            ),
            held,
        )


def lost_keys(connection: Connection, delivery: int) -> list[bytes]:
    """The dedup key that a delivery had, as retention may have taken it."""
    row = connection.execute(
        text(
            "SELECT d.source, d.delivery_key, d.method, e.event_type, d.url, d.body"
            " FROM deliveries d LEFT JOIN events e ON e.id = d.id WHERE d.id = :id"
        ),
        {"id": delivery},
    ).first()
    if row is None:
        return []
    source, key, method, kind, url, body = row
    if key:
        return [digest_of("delivery", source, key)]
    return [digest_of("body", source, method, kind or "", url, bytes(body))]


def content_keys(connection: Connection, events: Iterable[int]) -> set[bytes]:
    """The dedup keys of events that are items, where an item is known by its content."""
    listed = ", ".join(map(str, events)) or "NULL"
    rows = connection.execute(
        text(f"SELECT source, payload FROM events WHERE id IN ({listed}) AND payload IS NOT NULL")
    )
    return {digest_of("item", row.source, key_of_content(row.payload.encode())) for row in rows}


def unreached(dialect: str) -> list[str]:
    """What an erasure cannot reach, for the person who must."""
    return [*UNREACHED, *([UNREACHED_POSTGRESQL] if dialect == "postgresql" else [])]
