"""Facts put into a store, as intake, workers and people put them there."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlmodel import SQLModel

import enrich.tables  # noqa: F401 - its tables must be known to SQLModel
from analytics.views import EPOCH_MS, ID_SHIFT
from service.store import Store
from service.store.store import words_of
from service.store.tables import Rows

DEFAULTS: dict[str, dict[str, Any]] = {
    "deliveries": {
        "source": "support", "preset": "zendesk", "received_at": 0, "method": "POST",
        "url": "/v1/webhooks/support", "headers": "[]", "body": b'{"ticket": 7}',
        "delivery_key": "key", "address": "198.51.100.7", "verified": True,
        "suspected_replay": False,
    },
    "events": {
        "delivery_id": 0, "item_index": 0, "source": "support", "event_type": "ticket.created",
        "subject": "7", "received_at": 0, "sent_at": None, "title": "It fails", "text": "Help",
        "url": None, "customer": None, "level": None, "payload": None, "suspected_replay": False,
    },
    "redeliveries": {"delivery_id": 0, "source": "support", "received_at": 0},
    "acknowledgements": {"source": "support", "window_at": 0, "ack_ms": "[1.5, 2.5]"},
    "refusals": {
        "source": "support", "reason": "signature_mismatch", "address_prefix": "198.51.100.0/24",
        "refused_count": 3, "first_at": 0, "last_at": 0,
    },
    "attempts": {
        "event_id": 0, "source": "support", "number": 1, "outcome": "enriched",
        "error_kind": None, "error": None, "available_at": 0, "claimed_at": 0, "finished_at": 0,
        "latency_ms": 10.0, "call_count": 1, "provider": "stub", "model": "stub-1",
        "prompt_version": "1", "input_tokens": 5, "output_tokens": 2, "cost_usd": 0.5,
        "request_id": None,
    },
    "enrichments": {
        "event_id": 0, "source": "support", "revision": 1, "candidate": False,
        "category": "billing", "severity": "high", "sentiment": "negative", "language": "en",
        "tags": json.dumps(["a", "b"]), "summary": "It fails", "confidence": 0.9,
        "suspicious": False, "degraded": False, "cache_hit": False, "copied_from": None,
        "fingerprint": None, "provider": "stub", "model": "stub-1", "prompt_version": "1",
        "input_tokens": 5, "output_tokens": 2, "cost_usd": 0.5, "latency_ms": 10.0,
        "redacted_count": 0, "twin_category": "billing", "twin_severity": "low", "recorded_at": 0,
    },
    "actions": {
        "event_id": 0, "source": "support", "name": "tag", "rule": "tag", "adapter": "zendesk",
        "target": "ticket 7", "number": 1, "outcome": "done", "error_kind": None, "error": None,
        "detail": "{}", "started_at": 0, "finished_at": 0,
    },
    "labels": {
        "event_id": 0, "source": "support", "field": "category", "value": "login",
        "author": "mara", "origin": "command", "recorded_at": 0,
    },
}  # fmt: skip
MOMENTS = {"received_at", "window_at", "first_at", "last_at", "available_at", "claimed_at",
           "finished_at", "started_at", "recorded_at"}  # fmt: skip


def put(store: Store, table: str, *rows: Mapping[str, Any]) -> list[int]:
    """Rows of a fact table in one transaction of the store; returns their ids."""
    return put_all(store, [(table, row) for row in rows])


def put_all(store: Store, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[int]:
    """Rows of several tables in one transaction; returns their ids."""
    ids = [row.get("id") or store.new_ids(1) for _, row in rows]

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        for (table, row), row_id in zip(rows, ids, strict=True):
            insert(connection, table, [{**row, "id": row_id}], tx)
        return [None] * len(payloads)

    store.write_now(handler, None)
    return ids


def insert(connection: Connection, table: str, rows: Iterable[Mapping[str, Any]], tx: int) -> None:
    """Insert rows on an open writing transaction; times default to the id's own."""
    columns = tuple(SQLModel.metadata.tables[table].c.keys())
    values = [tuple(filled(table, row, tx)[name] for name in columns) for row in rows]
    words_of(connection).insert_rows(connection, Rows(table, columns, values))


def filled(table: str, row: Mapping[str, Any], tx: int) -> dict[str, Any]:
    """The row with every column."""
    at = ((row["id"] >> ID_SHIFT) + EPOCH_MS) * 1000
    moments = {name: at for name in DEFAULTS[table] if name in MOMENTS}
    return DEFAULTS[table] | moments | {"tx": tx} | dict(row)


def put_events(store: Store, count: int, **values: Any) -> list[int]:
    """Deliveries with one event each, in one transaction; returns the events' ids."""
    first = store.new_ids(count)
    ids = list(range(first, first + count))
    put_event_rows(store, ids, **values)
    return ids


def put_event_rows(store: Store, ids: Sequence[int], **values: Any) -> None:
    """Deliveries and events with these ids, in one transaction."""

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        of_delivery = {k: v for k, v in values.items() if k in DEFAULTS["deliveries"]}
        of_event = {k: v for k, v in values.items() if k in DEFAULTS["events"]}
        insert(connection, "deliveries", [{**of_delivery, "id": i} for i in ids], tx)
        insert(connection, "events", [{**of_event, "id": i, "delivery_id": i} for i in ids], tx)
        return [None] * len(payloads)

    store.write_now(handler, None)
