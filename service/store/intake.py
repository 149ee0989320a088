"""Storing deliveries: dedup keys, deliveries, events and their work in one transaction."""

import hashlib
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, text

from service.store.queue import ENRICH, NewWork, enqueue
from service.store.store import words_of
from service.store.tables import Rows

DELIVERY_COLUMNS = (
    "id",
    "source",
    "preset",
    "received_at",
    "method",
    "url",
    "headers",
    "body",
    "delivery_key",
    "address",
    "verified",
    "suspected_replay",
)
EVENT_COLUMNS = (
    "id",
    "delivery_id",
    "item_index",
    "source",
    "event_type",
    "subject",
    "received_at",
    "sent_at",
    "title",
    "text",
    "url",
    "customer",
    "level",
    "payload",
    "suspected_replay",
    "tx",
)
REDELIVERY_COLUMNS = ("id", "delivery_id", "source", "received_at", "tx")


class NewEvent(msgspec.Struct, frozen=True):
    """One item of an arrival. `digest` is its dedup key where items have their own."""

    digest: bytes | None
    event_type: str
    subject: str | None
    sent_at: int | None
    title: str
    text: str
    url: str | None
    customer: str | None
    level: str | None
    payload: str | None


class Arrival(msgspec.Struct, eq=False):
    """A verified request, read and split, that waits to be committed. Times in microseconds.

    The delivery has a dedup key (`digest`), its events have, or both; `content_digest` is that of
    what was signed, where the delivery has an id that the signature does not cover.
    """

    id: int
    source: str
    preset: str
    received_at: int
    method: str
    url: str
    headers: str
    body: bytes
    delivery_key: str | None
    address: str
    verified: bool
    priority: int
    digest: bytes | None
    content_digest: bytes | None
    expires_at: int
    events: list[NewEvent]

    @property
    def size_bytes(self) -> int:
        """About what it weighs in memory, and in the transaction that stores it."""
        parts = [len(event.text) + len(event.payload or "") for event in self.events]
        return len(self.body) + len(self.headers) + sum(parts)


class Receipt(msgspec.Struct, frozen=True):
    """What became of an arrival. `delivery_id` is the first one's when it is a duplicate."""

    delivery_id: int
    event_count: int
    duplicate: bool


def digest_of(*parts: str | bytes) -> bytes:
    """BLAKE2b-128 of the parts, each with its length, so that no two lists collide."""
    pieces: list[bytes] = []
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        pieces += (len(raw).to_bytes(8, "big"), raw)
    return hashlib.blake2b(b"".join(pieces), digest_size=16).digest()


def store_arrivals(connection: Connection, tx: int, arrivals: Sequence[Arrival]) -> list[Receipt]:
    """The handler that stores many callers' arrivals in one transaction."""
    owners = claim_keys(connection, arrivals)
    batch = Batch(tx, erased_owners(connection, arrivals, owners))
    receipts = [batch.take(arrival, owners) for arrival in arrivals]
    batch.insert(connection)
    return receipts


def claim_keys(connection: Connection, arrivals: Sequence[Arrival]) -> dict[bytes, int]:
    """Owners of the dedup keys that were taken before, or earlier in this batch."""
    keys: list[tuple[bytes, int, int]] = []
    now = 0
    for arrival in arrivals:
        now = max(now, arrival.received_at)
        own = [arrival.digest, arrival.content_digest, *(e.digest for e in arrival.events)]
        keys.extend((digest, arrival.id, arrival.expires_at) for digest in own if digest)
    owners: dict[bytes, int] = (
        words_of(connection).claim_keys(connection, keys, now) if keys else {}
    )
    return owners


def erased_owners(
    connection: Connection, arrivals: Sequence[Arrival], owners: dict[bytes, int]
) -> frozenset[int]:
    """Deliveries whose content comes again under another id, though it was erased."""
    seen = {owner for a in arrivals if (owner := owner_of(a.content_digest, a, owners))}
    if not seen:
        return frozenset()
    listed = ", ".join(str(owner) for owner in seen)
    rows = connection.execute(
        text(f"SELECT delivery_id FROM tombstones WHERE delivery_id IN ({listed})")
    )
    return frozenset(rows.scalars())


def owner_of(digest: bytes | None, arrival: Arrival, owners: dict[bytes, int]) -> int | None:
    """Who had the key before this arrival; None where the arrival itself is the first."""
    owner = owners.get(digest) if digest else None
    return None if owner == arrival.id else owner


class Batch:
    """The rows of one transaction, gathered before they are inserted table by table."""

    def __init__(self, tx: int, erased: frozenset[int] = frozenset()) -> None:
        self.tx = tx
        self.erased = erased
        self.deliveries: list[tuple[object, ...]] = []
        self.events: list[tuple[object, ...]] = []
        self.redeliveries: list[tuple[object, ...]] = []
        self.works: list[NewWork] = []

    def take(self, arrival: Arrival, owners: dict[bytes, int]) -> Receipt:
        """Decide by the database's answer whether this is new, and gather its rows."""
        first = owner_of(arrival.digest, arrival, owners)
        if first is not None:
            return self._duplicate(arrival, first)
        fresh: list[tuple[int, NewEvent]] = []
        seen: set[bytes] = set()
        for index, event in enumerate(arrival.events):
            owner = owner_of(event.digest, arrival, owners)
            if owner is not None:
                first = first or owner
            elif event.digest is None or event.digest not in seen:
                fresh.append((index, event))
            if event.digest is not None:
                seen.add(event.digest)
        if not fresh:
            return self._duplicate(arrival, first or arrival.id)
        original = owner_of(arrival.content_digest, arrival, owners)
        if original is not None and original in self.erased:
            return self._duplicate(arrival, original)
        self._store(arrival, fresh, original is not None)
        return Receipt(arrival.id, len(fresh), duplicate=False)

    def _duplicate(self, arrival: Arrival, first: int) -> Receipt:
        self.redeliveries.append((arrival.id, first, arrival.source, arrival.received_at, self.tx))
        return Receipt(first, 0, duplicate=True)

    def _store(self, arrival: Arrival, fresh: list[tuple[int, NewEvent]], replayed: bool) -> None:
        a = arrival
        self.deliveries.append(
            (
                a.id,
                a.source,
                a.preset,
                a.received_at,
                a.method,
                a.url,
                a.headers,
                a.body,
                a.delivery_key,
                a.address,
                a.verified,
                replayed,
            )
        )
        for index, e in fresh:
            self.events.append(
                (
                    a.id + index,
                    a.id,
                    index,
                    a.source,
                    e.event_type,
                    e.subject,
                    a.received_at,
                    e.sent_at,
                    e.title,
                    e.text,
                    e.url,
                    e.customer,
                    e.level,
                    e.payload,
                    replayed,
                    self.tx,
                )
            )
            self.works.append(
                NewWork(a.id + index, ENRICH, "", a.source, a.priority, a.received_at)
            )

    def insert(self, connection: Connection) -> None:
        """Insert what was gathered, with the commit where that is a gain."""
        enqueue(
            connection,
            self.works,
            Rows("deliveries", DELIVERY_COLUMNS, self.deliveries),
            Rows("events", EVENT_COLUMNS, self.events),
            Rows("redeliveries", REDELIVERY_COLUMNS, self.redeliveries),
            at_commit=True,
        )
