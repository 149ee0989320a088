"""Reading what the worker needs from the store: event texts, enrichments to reuse, spending."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from enrich.enricher import EventText, Verdict

MAX_TEXT = 50_000  # characters of an event's text that are read; an event may hold megabytes


class Known(NamedTuple):
    """An enrichment that stands for its fingerprint until `expires_at` (microseconds)."""

    enrichment_id: int
    verdict: Verdict
    provider: str
    model: str
    prompt_version: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What a source spent today."""

    call_count: int = 0
    cost_usd: float = 0.0


def load_events(connection: Connection, event_ids: Sequence[int]) -> dict[int, EventText]:
    """The texts of events by id. An erased event is missing."""
    if not event_ids:
        return {}
    listed = ",".join(map(str, event_ids))  # integers only
    rows = connection.exec_driver_sql(
        f"SELECT id, source, event_type, title, substr(text, 1, {MAX_TEXT}), subject, url,"
        f" customer, level, suspected_replay FROM events WHERE id IN ({listed})"
    )
    return {row[0]: EventText(*row) for row in rows}


def load_known(connection: Connection, digests: Collection[bytes], now: int) -> dict[bytes, Known]:
    """Enrichments that may be reused, by digest."""
    found: dict[bytes, Known] = {}
    statement = text(
        "SELECT r.digest, e.id, e.category, e.severity, e.sentiment, e.language, e.tags,"
        " e.summary, e.confidence, e.provider, e.model, e.prompt_version, r.expires_at"
        " FROM reuse r JOIN enrichments e ON e.id = r.enrichment_id"
        " WHERE r.digest = :digest AND r.expires_at > :now"
    )
    for digest in digests:
        row = connection.execute(statement, {"digest": digest, "now": now}).first()
        if row is not None:
            found[digest] = _known(row)
    return found


def _known(row: Any) -> Known:
    verdict = Verdict(row[2], row[3], row[4], row[5], tags_of(row[6]), row[7], row[8])
    return Known(row[1], verdict, row[9], row[10], row[11], row[12])


def tags_of(stored: str) -> tuple[str, ...]:
    """The tags in their stored form, a JSON list."""
    return tuple(json.loads(stored))


def load_spending(connection: Connection, day: str) -> dict[str, Spending]:
    """What each source spent on that UTC day."""
    rows = connection.execute(
        text("SELECT source, call_count, cost_usd FROM spending WHERE day = :day"), {"day": day}
    )
    return {row[0]: Spending(row[1], row[2]) for row in rows}
