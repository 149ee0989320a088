"""Forgetting in time: raw bodies first, then rows, expired dedup keys and old counts.

Each step deletes as many rows as take about 20 ms in a transaction of its own and lets others write
for as long, so intake hardly notices. Events that still have work to do are passed, and looked at
again in the next round. Any number of processes may do this at once: what one deleted, another does
not find.
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
from service.lifecycle.events_by_age import OldBodies, OldEvents, Removed
from service.lifecycle.pacing import FIRST_ROWS, next_limit, timed
from service.settings import RetentionSettings, SourceSettings
from service.store import Store
from service.store.look import first_id_at
from service.store.store import words_of
from service.store.tables import to_microseconds

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
    """One kind of row to forget: for so many rows at most, after an id, until no more are left."""

    what: str
    remove: Callable[[Connection, int, int], Removed]


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
        removed = Removed(0, 0)
        while removed.after is not None and (stop is None or not stop.is_set()):
            began = time.perf_counter()
            removed, took = await store.write(timed(run_steps), (step, limit, removed.after))
            forgotten.add(step.what, removed.row_count)
            limit = next_limit(limit, took, settings.batch_rows)
            await asyncio.sleep(time.perf_counter() - began)
    return forgotten


def run_steps(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[Removed]:
    """The handler for `store.write`."""
    return [step.remove(connection, limit, after) for step, limit, after in payloads]


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
        bodies, rows = settings.days_of(sources.get(source))
        steps.append(Step("events", OldEvents(source, before(now, rows), followers).delete))
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


def whole(count: int, limit: int) -> Removed:
    """So many went, all that were found; there may be more where the limit was reached."""
    return Removed(count, 0 if count == limit else None)


class _OldRows:
    """Rows of a table whose ids say that they are older than their time."""

    def __init__(self, table: str, end: int) -> None:
        self._table = table
        self._values = {"end": end}

    def delete(self, connection: Connection, limit: int, _after: int) -> Removed:
        deleted = connection.execute(
            text(
                f"DELETE FROM {self._table} WHERE id IN"
                f" (SELECT id FROM {self._table} WHERE id < :end ORDER BY id LIMIT :limit)"
            ),
            {**self._values, "limit": limit},
        )
        return whole(deleted.rowcount, limit)


class _SurplusRefusals:
    """The oldest refusals above the number that is kept: a flood must not fill the disk."""

    def __init__(self, keep: int) -> None:
        self._values = {"keep": keep}

    def delete(self, connection: Connection, limit: int, _after: int) -> Removed:
        deleted = connection.execute(
            text(
                "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE id <="
                "  (SELECT id FROM refusals ORDER BY id DESC LIMIT 1 OFFSET :keep)"
                " ORDER BY id LIMIT :limit)"
            ),
            {**self._values, "limit": limit},
        )
        return whole(deleted.rowcount, limit)


class _ExpiredKeys:
    """Dedup keys that no provider can repeat any more, except those that are being renewed."""

    def __init__(self, now: int) -> None:
        self._values = {"now": now}

    def delete(self, connection: Connection, limit: int, _after: int) -> Removed:
        deleted = connection.execute(
            text(
                "DELETE FROM dedup_keys WHERE digest IN (SELECT digest FROM dedup_keys"
                " WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit"
                f"{words_of(connection).LEFT_ALONE})"
            ),
            {**self._values, "limit": limit},
        )
        return whole(deleted.rowcount, limit)
