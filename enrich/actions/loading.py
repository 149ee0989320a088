"""What an action needs to know of its event, read from the store."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, text
from sqlmodel import col, select

from enrich.actions.errors import PERHAPS_MADE
from enrich.actions.rule_book import situation_of
from enrich.actions.rules import Situation
from enrich.tables import Enrichment
from service.extraction.parse import parse, parse_json
from service.receiving.request import IntakeError, Request
from service.store.ids import ID_EPOCH_MS, NODE_BITS, SEQUENCE_BITS
from service.store.queue import ACT
from service.store.tables import Delivery, Event, to_microseconds

FORMATS = ("json", "form:payload", "form", "xml", "text")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An event with all that an action needs of it."""

    situation: Situation
    preset: str
    payload: Any = field(repr=False)
    digest: str
    received_at: datetime
    failed_count: int
    """Tries of this work item that ended in retry, rate limits not counted."""
    revision: int
    is_told: bool
    """Whether this action was carried out, whatever the revision was then."""
    is_in_doubt: bool
    """Whether it is a dead letter that may have been delivered all the same."""


def digest_of(title: str, body: str) -> str:
    """Of what a person wrote: the same ticket with the same words has the same digest."""
    return hashlib.blake2b(
        f"{title}\x00{body}".encode(errors="replace"), digest_size=16
    ).hexdigest()


def load(connection: Connection, event_id: int, name: str) -> Loaded | None:
    """An event, its delivery and the enrichment in force; None when one of them is gone."""
    event = connection.execute(select(*_columns(Event)).where(col(Event.id) == event_id)).first()
    enrichment = connection.execute(
        select(*_columns(Enrichment))
        .where(col(Enrichment.event_id) == event_id, col(Enrichment.candidate).is_(False))
        .order_by(col(Enrichment.revision).desc())
        .limit(1)
    ).first()
    if event is None or enrichment is None:
        return None
    preset, payload = payload_of(connection, event)
    failed = connection.execute(
        text(
            "SELECT count(*) FROM actions"
            " WHERE event_id = :event_id AND name = :name AND outcome = 'retry'"
            " AND error_kind <> 'rate_limited'"
        ),
        {"event_id": event_id, "name": name},
    ).scalar_one()
    return Loaded(
        situation_of(event, enrichment),
        preset,
        payload,
        digest_of(event.title, event.text),
        event.received_at,
        failed,
        enrichment.revision,
        _is_told(connection, event_id, name),
        _is_in_doubt(connection, event_id, name),
    )


def _is_told(connection: Connection, event_id: int, name: str) -> bool:
    done = connection.execute(
        text(
            "SELECT 1 FROM actions WHERE event_id = :event_id AND name = :name"
            " AND outcome IN ('done', 'grouped') LIMIT 1"
        ),
        {"event_id": event_id, "name": name},
    ).first()
    return done is not None


def is_known(connection: Connection, event_id: int, name: str) -> bool:
    """Whether an action was tried, or is about to be."""
    found = connection.execute(
        text(
            "SELECT 1 FROM actions WHERE event_id = :event_id AND name = :name UNION ALL"
            " SELECT 1 FROM work_items"
            " WHERE event_id = :event_id AND kind = :kind AND name = :name LIMIT 1"
        ),
        {"event_id": event_id, "kind": ACT, "name": name},
    ).first()
    return found is not None


def _is_in_doubt(connection: Connection, event_id: int, name: str) -> bool:
    """Of the dead letter that is there now: one that a person gave back is none any more."""
    reason = connection.execute(
        text(
            "SELECT reason FROM dead_letters"
            " WHERE event_id = :event_id AND kind = :kind AND name = :name"
        ),
        {"event_id": event_id, "kind": ACT, "name": name},
    ).scalar()
    return reason is not None and reason.partition(":")[0] in PERHAPS_MADE


class ArrivedEvent(Protocol):
    """What is needed of an event before it is enriched."""

    id: int
    source: str
    title: str
    text: str
    received_at: datetime


def arrivals_of(
    connection: Connection, event_ids: Sequence[int], presets: Collection[str]
) -> Iterator[tuple[ArrivedEvent, str, Any]]:
    """Events of these presets, each with its preset and payload; without a payload none."""
    events = connection.execute(
        select(*_columns(Event))
        .join(Delivery, col(Delivery.id) == col(Event.delivery_id))
        .where(col(Event.id).in_(event_ids), col(Delivery.preset).in_(presets))
        .order_by(col(Event.id))
    ).all()
    for event in events:
        preset, payload = payload_of(connection, event)
        if payload is not None:
            yield event, preset, payload


def payload_of(connection: Connection, event: Any) -> tuple[str, Any]:
    """The preset of an event's delivery and its parsed payload; None once retention dropped it."""
    delivery = connection.execute(
        select(*_columns(Delivery)).where(col(Delivery.id) == event.delivery_id)
    ).first()
    if delivery is None:
        return "", None
    try:
        if event.payload is not None:
            return delivery.preset, parse_json(event.payload)
        if not delivery.body:
            return delivery.preset, None
        headers = [(str(name).lower(), str(value)) for name, value in json.loads(delivery.headers)]
        request = Request(delivery.method, delivery.url, headers, delivery.body)
        return delivery.preset, parse(FORMATS, request).value
    except IntakeError:
        return delivery.preset, None


class StoreHistory:
    """An event's fingerprint in the store. Ids are in the order of time, so they bound the time."""

    def __init__(self, connection: Connection, situation: Situation, received_at: datetime) -> None:
        self._connection = connection
        self._values = {
            "source": situation.source,
            "fingerprint": situation.fingerprint,
            "event_id": situation.event_id,
        }
        self._received_at = received_at

    def is_first(self) -> bool:
        """Whether no event of the source before this one has the fingerprint."""
        found = self._connection.execute(
            text(
                "SELECT 1 FROM enrichments WHERE source = :source AND fingerprint = :fingerprint"
                " AND event_id < :event_id LIMIT 1"
            ),
            self._values,
        ).first()
        return found is None

    def count_within(self, seconds: float, limit: int) -> int:
        """Events with the fingerprint, this one and those before it; no further than `limit`."""
        since = self._received_at - timedelta(seconds=seconds)
        found: int = self._connection.execute(
            text(
                "SELECT count(*) FROM (SELECT DISTINCT event_id FROM enrichments"
                " WHERE source = :source AND fingerprint = :fingerprint"
                " AND event_id <= :event_id AND event_id >= :since LIMIT :most) AS found"
            ),
            {**self._values, "since": first_id_at(since), "most": limit},
        ).scalar_one()
        return found


def first_id_at(moment: datetime) -> int:
    """The least id that can have been made at that time."""
    milliseconds = to_microseconds(moment) // 1000 - ID_EPOCH_MS
    return max(milliseconds, 0) << (NODE_BITS + SEQUENCE_BITS)


def _columns(table: Any) -> list[Any]:
    return list(table.__table__.columns)
