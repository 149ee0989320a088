"""Every table that `service` owns, one SQLModel class each.

Rows of facts (events, redeliveries, refusals) are written once and never changed; each carries the
number of the store transaction that wrote it (`tx`), from which the history finds what is new.
Work items and dead letters are the only rows that move.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, TypeDecorator
from sqlmodel import Field, SQLModel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FACTS = (  # tables whose rows are news once, by the transaction that wrote them (`tx`)
    "events",
    "redeliveries",
    "acknowledgements",
    "refusals",
    "attempts",
    "enrichments",
    "actions",
    "labels",
)


class Rows(NamedTuple):
    """Rows for one table, their values as databases store them."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a BIGINT.

    One form on both databases: sorts, compares and lands without parsing, and SQLite, which has no
    time type, cannot lose the offset.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_microseconds(value)


class RowId(TypeDecorator[int]):
    """A 63-bit id; on SQLite spelled INTEGER, which makes the primary key the row itself."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """The aware UTC datetime of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)


class Delivery(SQLModel, table=True):
    """One accepted HTTP request, its exact bytes stored once."""

    __tablename__: ClassVar[str] = "deliveries"

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    source: str = Field(sa_type=Text)
    preset: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_type=Instant)
    method: str = Field(sa_type=Text)
    url: str = Field(sa_type=Text, description="path and query, as received")
    headers: str = Field(
        sa_type=Text, description="JSON list of [name, value]; credentials digested"
    )
    body: bytes = Field(
        sa_type=LargeBinary, description="exact bytes; empty once retention dropped them"
    )
    delivery_key: str | None = Field(
        default=None, sa_type=Text, description="the provider's own id"
    )
    address: str = Field(sa_type=Text, description="the client's IP address")
    verified: bool = Field(description="false where the preset binds no sender")
    suspected_replay: bool = Field(
        default=False, description="signed content was seen under another id"
    )


class Event(SQLModel, table=True):
    """One item of a delivery. Its id is the delivery's id plus its index."""

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (Index("events_tx", "tx"), Index("events_source", "source", "id"))

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    delivery_id: int = Field(sa_type=BigInteger)
    item_index: int
    source: str = Field(sa_type=Text)
    event_type: str = Field(sa_type=Text)
    subject: str | None = Field(
        default=None, sa_type=Text, description="the ticket, issue or alert group"
    )
    received_at: datetime = Field(sa_type=Instant)
    sent_at: datetime | None = Field(
        default=None, sa_type=Instant, description="when the provider says it happened"
    )
    title: str = Field(default="", sa_type=Text)
    text: str = Field(
        default="", sa_type=Text, description="the human text: body, stack trace, log lines"
    )
    url: str | None = Field(default=None, sa_type=Text, description="where a person opens it")
    customer: str | None = Field(default=None, sa_type=Text)
    level: str | None = Field(
        default=None, sa_type=Text, description="the provider's own severity word"
    )
    payload: str | None = Field(
        default=None,
        sa_type=Text,
        description="this item's JSON where the delivery holds several, else null: the body",
    )
    suspected_replay: bool = False
    tx: int = Field(sa_type=BigInteger)


class Redelivery(SQLModel, table=True):
    """A verified delivery that was a duplicate: acknowledged, counted, not stored again."""

    __tablename__: ClassVar[str] = "redeliveries"
    __table_args__ = (
        Index("redeliveries_tx", "tx"),
        Index("redeliveries_delivery", "delivery_id"),
    )

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    delivery_id: int = Field(sa_type=BigInteger, description="the first delivery")
    source: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_type=Instant)
    tx: int = Field(sa_type=BigInteger)


class DedupKey(SQLModel, table=True):
    """Outlives bodies and rows: at least as long as the provider can redeliver."""

    __tablename__: ClassVar[str] = "dedup_keys"
    __table_args__ = (Index("dedup_keys_expiry", "expires_at"), {"sqlite_with_rowid": False})

    digest: bytes = Field(
        sa_type=LargeBinary, primary_key=True, description="BLAKE2b-128 of what identifies it"
    )
    delivery_id: int = Field(sa_type=BigInteger)
    expires_at: datetime = Field(sa_type=Instant)


class RecentDedupKeys(SQLModel, table=True):
    """The dedup keys that one transaction brought, until they move. On SQLite only."""

    __tablename__: ClassVar[str] = "dedup_recent"
    __table_args__: ClassVar[Any] = {"info": {"dialect": "sqlite"}}

    id: int = Field(sa_type=RowId, primary_key=True)
    keys: bytes = Field(
        sa_type=LargeBinary,
        description="32 bytes each, big-endian: digest, delivery id, microseconds of the expiry",
    )


class WorkItem(SQLModel, table=True):
    """Something durable still to do; deleted when done.

    `available_at` says when it may be claimed next; a claim moves it to the end of the lease and
    writes its token into `lease`, so an expired lease is simply an item that is available again.
    """

    __tablename__: ClassVar[str] = "work_items"
    __table_args__ = (
        Index("work_items_next", "kind", "source", "priority", "available_at"),
        {"sqlite_with_rowid": False},
    )

    event_id: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    kind: str = Field(sa_type=Text, primary_key=True, description="enrich, act or confirm")
    name: str = Field(
        default="", sa_type=Text, primary_key=True, description="which action; empty for enrich"
    )
    source: str = Field(sa_type=Text)
    priority: int = Field(default=1, description="0 urgent, 1 normal, 2 bulk")
    available_at: datetime = Field(sa_type=Instant)
    tries: int = Field(default=0, description="claims made so far")
    lease: int | None = Field(
        default=None, sa_type=BigInteger, description="token of the claim that holds it"
    )


class DeadLetter(SQLModel, table=True):
    """A work item that gave up; every attempt's error is kept beside it in the attempts."""

    __tablename__: ClassVar[str] = "dead_letters"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}

    event_id: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    kind: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(default="", sa_type=Text, primary_key=True)
    source: str = Field(sa_type=Text)
    tries: int
    died_at: datetime = Field(sa_type=Instant)
    reason: str = Field(sa_type=Text)


class Refusal(SQLModel, table=True):
    """How many deliveries one address prefix had refused for one reason, within one second."""

    __tablename__: ClassVar[str] = "refusals"
    __table_args__ = (Index("refusals_tx", "tx"),)

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    source: str = Field(
        sa_type=Text, description="'(unknown)' for every source that is not configured"
    )
    reason: str = Field(sa_type=Text)
    address_prefix: str = Field(sa_type=Text, description="/24 of an IPv4, /48 of an IPv6 address")
    refused_count: int
    first_at: datetime = Field(sa_type=Instant)
    last_at: datetime = Field(sa_type=Instant)
    tx: int = Field(sa_type=BigInteger)


class Acknowledgement(SQLModel, table=True):
    """How long the accepted deliveries of one source waited for their answer, within one second."""

    __tablename__: ClassVar[str] = "acknowledgements"
    __table_args__ = (Index("acknowledgements_tx", "tx"),)

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    source: str = Field(sa_type=Text)
    window_at: datetime = Field(sa_type=Instant, description="when these were counted")
    ack_ms: str = Field(sa_type=Text, description="JSON list: milliseconds of each delivery")
    tx: int = Field(sa_type=BigInteger)


class Quarantined(SQLModel, table=True):
    """A refused delivery whose bytes a source asked to keep; the newest push out the oldest."""

    __tablename__: ClassVar[str] = "quarantine"
    __table_args__ = (Index("quarantine_source", "source", "id"),)

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    source: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_type=Instant)
    method: str = Field(sa_type=Text)
    url: str = Field(sa_type=Text, description="as the provider would sign it")
    headers: str = Field(sa_type=Text, description="JSON list of [name, value]")
    body: bytes = Field(sa_type=LargeBinary, description="exact bytes")
    address: str = Field(sa_type=Text)
    concealed: bool = Field(
        default=False, description="held a credential, so it cannot be verified again"
    )


class Tombstone(SQLModel, table=True):
    """An erased delivery: says that it existed and must not come back, and nothing of it."""

    __tablename__: ClassVar[str] = "tombstones"

    delivery_id: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    erased_at: datetime = Field(sa_type=Instant)


class AuditEntry(SQLModel, table=True):
    """What a person did to the store by command: replayed, erased, taken in again, restored."""

    __tablename__: ClassVar[str] = "audit"

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    done_at: datetime = Field(sa_type=Instant)
    person: str = Field(sa_type=Text, description="user name on the machine")
    deed: str = Field(sa_type=Text, description="replay, dead replay, erase, reverify, restore")
    detail: str = Field(sa_type=Text, description="JSON: what was asked, without personal data")
    row_count: int = Field(description="how many things it touched")


class PairingState(SQLModel, table=True):
    """How far a source is that gets its secret from the provider's first request."""

    __tablename__: ClassVar[str] = "pairings"

    source: str = Field(sa_type=Text, primary_key=True)
    opened_at: datetime = Field(sa_type=Instant)
    closes_at: datetime = Field(sa_type=Instant)
    address: str = Field(default="", sa_type=Text, description="where the secret came from")
    secret_digest: str | None = Field(
        default=None, sa_type=Text, description="of the first secret; the secret is in a file"
    )
    confirmed_at: datetime | None = Field(
        default=None, sa_type=Instant, description="when a person confirmed address and digest"
    )


class StoreFact(SQLModel, table=True):
    """What the store knows of itself: its identity, transaction number, next node, digest key,
    which erased events are yet to go from the history, and on SQLite how far dedup keys have moved.
    """

    __tablename__: ClassVar[str] = "store_facts"

    name: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(default=0, sa_type=BigInteger)
    value: str = Field(default="", sa_type=Text)
