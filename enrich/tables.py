"""Every table that `enrich` owns, one SQLModel class each.

Attempts, enrichments, actions and labels are facts: written once, never changed, numbered by the
store transaction that wrote them (`tx`). Reuse, flights and spending are small working tables.
"""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from service.store.tables import Instant, RowId


class Attempt(SQLModel, table=True):
    """One call to an enricher (or one reuse of an earlier enrichment), and how it ended."""

    __tablename__: ClassVar[str] = "attempts"
    __table_args__ = (Index("attempts_tx", "tx"), Index("attempts_event", "event_id"))

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    event_id: int = Field(sa_type=BigInteger)
    source: str = Field(sa_type=Text)
    number: int = Field(description="1 for the first claim of this event")
    outcome: str = Field(sa_type=Text, description="enriched, retry or dead")
    error_kind: str | None = Field(
        default=None, sa_type=Text, description="stable word, e.g. rate_limited"
    )
    error: str | None = Field(default=None, sa_type=Text)
    available_at: datetime = Field(sa_type=Instant, description="when the work became claimable")
    claimed_at: datetime = Field(sa_type=Instant)
    finished_at: datetime = Field(sa_type=Instant)
    latency_ms: float = Field(description="inside the enricher, all calls together")
    call_count: int = Field(description="calls made to the provider; 0 for a reuse")
    provider: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    prompt_version: str = Field(sa_type=Text)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    request_id: str | None = Field(default=None, sa_type=Text)
    tx: int = Field(sa_type=BigInteger)


class Enrichment(SQLModel, table=True):
    """What an attempt found out about an event. A later revision supersedes an earlier one."""

    __tablename__: ClassVar[str] = "enrichments"
    __table_args__ = (
        Index("enrichments_tx", "tx"),
        Index("enrichments_event", "event_id", "revision", unique=True),
        Index("enrichments_fingerprint", "source", "fingerprint", "event_id"),
    )

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    event_id: int = Field(sa_type=BigInteger)
    source: str = Field(sa_type=Text)
    revision: int = Field(description="1 for an event's first; unique with event_id")
    candidate: bool = Field(
        default=False, description="a trial of another prompt or model, not in force"
    )
    category: str = Field(sa_type=Text)
    severity: str = Field(sa_type=Text)
    sentiment: str = Field(sa_type=Text)
    language: str = Field(sa_type=Text, description="ISO 639-1, or und")
    tags: str = Field(
        default="[]", sa_type=Text, description="JSON list of strings from the taxonomy"
    )
    summary: str = Field(sa_type=Text)
    confidence: float
    suspicious: bool = Field(default=False, description="prompt injection seen")
    degraded: bool = Field(default=False, description="the fall-back answered")
    cache_hit: bool = Field(default=False, description="copied from an earlier event's enrichment")
    copied_from: int | None = Field(
        default=None, sa_type=BigInteger, description="that enrichment's id"
    )
    fingerprint: str | None = Field(default=None, sa_type=Text)
    provider: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    prompt_version: str = Field(sa_type=Text)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    redacted_count: int = Field(
        default=0, description="secrets and personal data masked before sending"
    )
    twin_category: str | None = Field(default=None, sa_type=Text, description="what the stub said")
    twin_severity: str | None = Field(default=None, sa_type=Text)
    recorded_at: datetime = Field(sa_type=Instant)
    tx: int = Field(sa_type=BigInteger)


class Action(SQLModel, table=True):
    """One try of a write-back or notification, and how it ended."""

    __tablename__: ClassVar[str] = "actions"
    __table_args__ = (Index("actions_tx", "tx"), Index("actions_event", "event_id"))

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    event_id: int = Field(sa_type=BigInteger)
    source: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text, description="the work item's name: rule and action")
    rule: str = Field(sa_type=Text)
    adapter: str = Field(sa_type=Text)
    target: str = Field(sa_type=Text, description="validated ids only, e.g. ticket 42")
    number: int
    outcome: str = Field(
        sa_type=Text,
        description="done, unchanged, suggested, grouped, skipped, echo, labelled, noted, retry"
        " or dead",
    )
    error_kind: str | None = Field(default=None, sa_type=Text)
    error: str | None = Field(default=None, sa_type=Text)
    detail: str = Field(
        default="", sa_type=Text, description="JSON: what was added, removed or sent"
    )
    started_at: datetime = Field(sa_type=Instant)
    finished_at: datetime = Field(sa_type=Instant)
    tx: int = Field(sa_type=BigInteger)


class Label(SQLModel, table=True):
    """A person's correction of one field of an event's enrichment."""

    __tablename__: ClassVar[str] = "labels"
    __table_args__ = (Index("labels_tx", "tx"), Index("labels_event", "event_id"))

    id: int = Field(sa_type=RowId, primary_key=True, sa_column_kwargs={"autoincrement": False})
    event_id: int = Field(sa_type=BigInteger)
    source: str = Field(sa_type=Text)
    field: str = Field(
        sa_type=Text,
        description="category, severity or tag; not_ before it where a person took one away",
    )
    value: str = Field(sa_type=Text)
    author: str = Field(sa_type=Text)
    origin: str = Field(sa_type=Text, description="command or webhook")
    recorded_at: datetime = Field(sa_type=Instant)
    tx: int = Field(sa_type=BigInteger)


class Reuse(SQLModel, table=True):
    """Which enrichment stands for a fingerprint, and until when."""

    __tablename__: ClassVar[str] = "reuse"
    __table_args__ = (Index("reuse_enrichment", "enrichment_id"),)

    digest: bytes = Field(
        sa_type=LargeBinary,
        primary_key=True,
        description="of source, taxonomy, prompt, model and fingerprint",
    )
    source: str = Field(sa_type=Text)
    fingerprint: str = Field(sa_type=Text)
    enrichment_id: int = Field(sa_type=BigInteger)
    expires_at: datetime = Field(sa_type=Instant)


class Flight(SQLModel, table=True):
    """Under which claim a fingerprint is being asked about; void once that claim has ended."""

    __tablename__: ClassVar[str] = "flights"

    digest: bytes = Field(sa_type=LargeBinary, primary_key=True, description="as in reuse")
    event_id: int = Field(sa_type=BigInteger)
    lease: int = Field(sa_type=BigInteger, description="token of the claim")


class FingerprintState(SQLModel, table=True):
    """What one source's fingerprinter has learned."""

    __tablename__: ClassVar[str] = "fingerprint_states"

    source: str = Field(sa_type=Text, primary_key=True)
    state: str = Field(sa_type=Text, description="JSON, as the fingerprinter describes itself")
    saved_at: datetime = Field(sa_type=Instant)
    edit_count: int = Field(
        default=0,
        description="grows when it is made to forget something; starts as the transaction's number",
    )


class Spending(SQLModel, table=True):
    """What one source spent on one UTC day."""

    __tablename__: ClassVar[str] = "spending"

    source: str = Field(sa_type=Text, primary_key=True)
    day: str = Field(sa_type=Text, primary_key=True, description="YYYY-MM-DD, UTC")
    call_count: int = 0
    cost_usd: float = 0.0


class OwnTag(SQLModel, table=True):
    """A tag that we, or a person after us, put on a ticket; written before the call is made."""

    __tablename__: ClassVar[str] = "own_tags"
    __table_args__ = (Index("own_tags_event", "event_id"),)

    target: str = Field(sa_type=Text, primary_key=True, description="name of the configured target")
    ticket: str = Field(sa_type=Text, primary_key=True, description="project and id, validated")
    tag: str = Field(sa_type=Text, primary_key=True)
    state: str = Field(
        sa_type=Text, description="ours, withdrawn (by us), removed or added (by a person)"
    )
    field: str = Field(sa_type=Text, description="category, severity or tag")
    value: str = Field(sa_type=Text, description="what that field said")
    event_id: int = Field(sa_type=BigInteger, description="the event whose enrichment it shows")
    digest: str = Field(sa_type=Text, description="of that event's title and text")
    changed_at: datetime = Field(sa_type=Instant)


class NotificationGroup(SQLModel, table=True):
    """Like notifications that become one message: the first goes at once, the rest are counted."""

    __tablename__: ClassVar[str] = "notification_groups"

    key: str = Field(sa_type=Text, primary_key=True, description="digest of action and group")
    leader: int = Field(sa_type=BigInteger, description="event whose message opened the group")
    closer: int | None = Field(
        default=None, sa_type=BigInteger, description="event that will tell how many followed"
    )
    closing: int | None = Field(
        default=None, sa_type=BigInteger, description="event that is telling it now"
    )
    held_count: int = Field(default=0, description="events that follow the leader, the closer too")
    closing_count: int = 0
    closes_at: datetime = Field(sa_type=Instant)


class ActionStart(SQLModel, table=True):
    """A call that must not be made twice was about to be made."""

    __tablename__: ClassVar[str] = "action_starts"

    event_id: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    name: str = Field(sa_type=Text, primary_key=True)
    started_at: datetime = Field(sa_type=Instant)
