"""Forgetting in time: raw bodies first, then rows, expired dedup keys and old counts.

Each step deletes as many rows as take about 20 ms in a transaction of its own and lets others write
for as long, so intake hardly notices. Events that still have work to do are left until it is done.
Any number of processes may do this at once: what one deleted, another does not find.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, inspect, text

from service.errors import StoreUnavailable
from service.lifecycle.body_retention import OldBodies
from service.settings import RetentionSettings, SourceSettings
from service.store import Store
from service.store.look import first_id_at
from service.store.tables import to_microseconds

LONGEST_SECONDS = 0.02  # a transaction should take; a longer one makes the next smaller
FIRST_ROWS = 20
log = structlog.get_logger("hooksift.retention")


@dataclass(slots=True)
class Forgotten:
    """How many rows of what one round removed; `bodies` were emptied."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, count: int) -> None:
        """So many more."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + count


class Step(NamedTuple):
    """One kind of row to forget: called for so many rows at most until it says nothing is left."""

    what: str
    delete: Callable[[Connection, int], int]


async def run_retention(
    store: Store,
    settings: RetentionSettings,
    sources: Mapping[str, SourceSettings],
    stop: asyncio.Event,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Look for what is over its time now and every `interval_minutes`, until `stop`."""
    while not stop.is_set():
        try:
            forgotten = await forget(store, settings, sources, now(), stop)
            if forgotten.counts:
                log.info("forgotten", **forgotten.counts)
        except StoreUnavailable as error:
            log.warning("retention_interrupted", reason=str(error))
        try:
            async with asyncio.timeout(settings.interval_minutes * 60):
                await stop.wait()
        except TimeoutError:
            continue


async def forget(
    store: Store,
    settings: RetentionSettings,
    sources: Mapping[str, SourceSettings],
    now: datetime,
    stop: asyncio.Event | None = None,
) -> Forgotten:
    """One round: everything that is over its time at `now`, in small transactions.

    A transaction deletes as many rows as take 20 ms, and others may write for as long after it.
    """
    forgotten = Forgotten()
    with store.read() as connection:
        steps = steps_of(connection, settings, sources, now)
    limit = min(FIRST_ROWS, settings.batch_rows)
    for step in steps:
        while stop is None or not stop.is_set():
            started = time.perf_counter()
            count: int = await store.write(run_steps, (step, limit))
            forgotten.add(step.what, count)
            if not count:
                break
            took = time.perf_counter() - started
            limit = next_limit(limit, took, settings.batch_rows)
            await asyncio.sleep(took)
    return forgotten


def next_limit(limit: int, took_seconds: float, most: int) -> int:
    """How many rows to delete next, by how long the last ones took."""
    if took_seconds > LONGEST_SECONDS:
        return max(1, limit // 2)
    return min(most, limit + max(1, limit // 4)) if took_seconds < LONGEST_SECONDS / 2 else limit


def run_steps(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[int]:
    """The handler for `store.write`."""
    return [step.delete(connection, limit) for step, limit in payloads]


def steps_of(
    connection: Connection,
    settings: RetentionSettings,
    sources: Mapping[str, SourceSettings],
    now: datetime,
) -> list[Step]:
    """What to forget, source by source; sources that are no longer configured too."""
    followers = event_tables(connection)
    steps = []
    for source in stored_sources(connection):
        own = sources.get(source)
        bodies = (own and own.keep_bodies_days) or settings.keep_bodies_days
        rows = (own and own.keep_rows_days) or settings.keep_rows_days
        steps.append(Step("events", _Events(source, before(now, rows), followers).delete))
        steps.append(Step("bodies", OldBodies(source, before(now, bodies)).empty))
    old = before(now, settings.keep_rows_days)
    steps.extend(
        Step(table, _OldRows(table, old).delete)
        for table in ("redeliveries", "acknowledgements", "refusals")
    )
    quarantined = before(now, settings.keep_bodies_days)
    steps.append(Step("quarantine", _OldRows("quarantine", quarantined).delete))
    steps.append(Step("refusals", _SurplusRefusals(settings.keep_refusals).delete))
    steps.append(Step("dedup_keys", _ExpiredKeys(to_microseconds(now)).delete))
    return steps


def before(now: datetime, days: float) -> int:
    """The first id that is young enough to stay."""
    return first_id_at(now - timedelta(days=days))


def event_tables(connection: Connection) -> list[str]:
    """Tables whose rows belong to an event; those of `enrich` are found by their column."""
    inspector = inspect(connection)
    return [
        table
        for table in sorted(inspector.get_table_names())
        if table != "own_tags"  # says what stands on a ticket now, however old the event is
        and any(column["name"] == "event_id" for column in inspector.get_columns(table))
    ]


def stored_sources(connection: Connection) -> list[str]:
    """Sources that have events, by hopping through the index from one to the next."""
    rows = connection.execute(
        text(
            "WITH RECURSIVE s(source) AS (SELECT min(source) FROM events"
            " UNION ALL SELECT (SELECT min(source) FROM events WHERE source > s.source) FROM s"
            "  WHERE s.source IS NOT NULL)"
            " SELECT source FROM s WHERE source IS NOT NULL"
        )
    )
    return list(rows.scalars())


class _Events:
    """Events older than their time, with their facts; a delivery goes with its last event."""

    def __init__(self, source: str, end: int, followers: Sequence[str]) -> None:
        self._values = {"source": source, "end": end}
        self._followers = followers

    def delete(self, connection: Connection, limit: int) -> int:
        rows = connection.execute(
            text(
                "SELECT id, delivery_id FROM events v WHERE source = :source AND id < :end"
                " AND NOT EXISTS (SELECT 1 FROM work_items w WHERE w.event_id = v.id)"
                " ORDER BY id LIMIT :limit"
            ),
            {**self._values, "limit": limit},
        ).all()
        delete_events(
            connection, [int(r[0]) for r in rows], {int(r[1]) for r in rows}, self._followers
        )
        return len(rows)


def delete_events(
    connection: Connection,
    events: Sequence[int],
    deliveries: set[int],
    followers: Sequence[str],
) -> None:
    """Delete events with all their facts, and of their deliveries those that have none left."""
    if not events:
        return
    listed = ", ".join(map(str, events))
    for table in followers:
        connection.execute(text(f"DELETE FROM {table} WHERE event_id IN ({listed})"))
    connection.execute(text(f"DELETE FROM events WHERE id IN ({listed})"))
    candidates = ", ".join(map(str, sorted(deliveries)))
    connection.execute(
        text(
            f"DELETE FROM deliveries WHERE id IN ({candidates})"
            # an event's id lies within 4,096 of its delivery's, so the primary key finds it
            " AND NOT EXISTS (SELECT 1 FROM events v WHERE v.id BETWEEN deliveries.id"
            "  AND deliveries.id + 4095 AND v.delivery_id = deliveries.id)"
        )
    )


class _OldRows:
    """Rows of a table whose ids say that they are older than their time."""

    def __init__(self, table: str, end: int) -> None:
        self._table = table
        self._values = {"end": end}

    def delete(self, connection: Connection, limit: int) -> int:
        deleted = connection.execute(
            text(
                f"DELETE FROM {self._table} WHERE id IN"
                f" (SELECT id FROM {self._table} WHERE id < :end ORDER BY id LIMIT :limit)"
            ),
            {**self._values, "limit": limit},
        )
        return deleted.rowcount


class _SurplusRefusals:
    """The oldest refusals above the number that is kept: a flood must not fill the disk."""

    def __init__(self, keep: int) -> None:
        self._values = {"keep": keep}

    def delete(self, connection: Connection, limit: int) -> int:
        deleted = connection.execute(
            text(
                "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE id <="
                "  (SELECT id FROM refusals ORDER BY id DESC LIMIT 1 OFFSET :keep)"
                " ORDER BY id LIMIT :limit)"
            ),
            {**self._values, "limit": limit},
        )
        return deleted.rowcount


class _ExpiredKeys:
    """Dedup keys that no provider can repeat any more."""

    def __init__(self, now: int) -> None:
        self._values = {"now": now}

    def delete(self, connection: Connection, limit: int) -> int:
        deleted = connection.execute(
            text(
                "DELETE FROM dedup_keys WHERE digest IN (SELECT digest FROM dedup_keys"
                " WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)"
            ),
            {**self._values, "limit": limit},
        )
        return deleted.rowcount
