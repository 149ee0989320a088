"""A store with enriched events, rules, targets and a clock that tests turn."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, text

from enrich.actions.loop_guard import LoopGuard, Recognised, Recording, record
from enrich.actions.rule_book import RuleBook
from enrich.actions.settings import ActSettings, RuleSettings
from enrich.actions.targets import Target, World, open_targets
from enrich.actions.worker import ActionWorker
from enrich.tables import Enrichment
from service.store import Store, open_store
from service.store.queue import enqueue
from service.store.tables import Delivery, Event


@cache
def empty_store() -> bytes:
    """An SQLite store with nothing in it, made once: its migrations take longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        store = open_store(f"sqlite:///{path}")
        store.new_ids()
        store.close()
        return path.read_bytes()


def quick_url(folder: Path) -> str:
    """The URL of a new, empty store on SQLite."""
    path = folder / "store.sqlite"
    path.write_bytes(empty_store())
    return f"sqlite:///{path}"


START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def insert_all(connection: Connection, tx: int, batches: Any) -> list[None]:
    """Handler: rows into their tables, work items into the queue."""
    for rows, works in batches:
        for row in rows:
            values = row.model_dump()
            if "tx" in values:
                values["tx"] = tx
            connection.execute(type(row).__table__.insert(), values)
        enqueue(connection, works)
    return [None] * len(batches)


def record_all(connection: Connection, tx: int, recordings: Any) -> Any:
    return record(connection, tx, recordings)


@dataclass
class Clock:
    """Time stands still until a test moves it; waiting moves it too."""

    now: datetime = START
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.turn(seconds)


class Office:
    """Everything between an enriched event and its actions."""

    def __init__(
        self,
        store: Store,
        rules: Iterable[Mapping[str, Any]],
        targets: Mapping[str, Any],
        clock: Clock | None = None,
        act: Mapping[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or Clock()
        self.book = RuleBook([RuleSettings.model_validate(rule) for rule in rules], targets)
        self.targets: dict[str, Target] = open_targets(
            targets, World(resolve=str, clock=lambda: self.clock.now.timestamp())
        )
        self.worker = ActionWorker(
            store,
            self.book,
            self.targets,
            ActSettings.model_validate(act or {}),
            now=self.clock,
            sleep=self.clock.sleep,
        )
        self.guard = LoopGuard(self.book, self.targets)

    def event(self, payload: Any = None, **given: Any) -> int:
        """Store an event that has been enriched, and its actions' work. Returns its id."""
        preset = given.pop("preset", "github")
        event, enrichment, delivery = self.rows(payload, preset, given)
        works = self.book.actions_for(event, enrichment)
        self.store.write_now(insert_all, ([delivery, event, enrichment], works))
        return event.id

    def bare_event(self, payload: Any, preset: str = "github", **given: Any) -> Event:
        """Store an event that nobody has looked at yet."""
        event, _, delivery = self.rows(payload, preset, given)
        self.store.write_now(insert_all, ([delivery, event], []))
        return event

    def rows(
        self, payload: Any, preset: str, given: dict[str, Any]
    ) -> tuple[Event, Enrichment, Delivery]:
        first, at = self.store.new_ids(2), given.pop("at", self.clock.now)
        source = given.pop("source", "tickets")
        body = b"" if payload is None else json.dumps(payload).encode()
        delivery = Delivery(
            id=first,
            source=source,
            preset=preset,
            received_at=at,
            method="POST",
            url=f"/v1/webhooks/{source}",
            headers='[["Content-Type", "application/json"]]',
            body=body,
            address="192.0.2.1",
            verified=True,
        )
        event = Event(
            id=first,
            delivery_id=first,
            item_index=0,
            source=source,
            event_type=given.pop("event_type", "issues.opened"),
            received_at=at,
            title=given.pop("title", "It fails"),
            text=given.pop("text", "Since today."),
            suspected_replay=given.pop("suspected_replay", False),
            tx=0,
        )
        enrichment = Enrichment(
            id=first + 1,
            event_id=first,
            source=source,
            **{**ENRICHED, "recorded_at": at, **given},
        )
        return event, enrichment, delivery

    async def work(self, rounds: int = 20) -> int:
        """Perform what is due until nothing is. Returns how many were claimed."""
        total = 0
        for _ in range(rounds):
            count = await self.worker.step()
            total += count
            if not count:
                break
        return total

    def recognise(self, event: Event) -> Recognised | None:
        with self.store.read() as connection:
            found = self.guard.recognise_all(connection, [event.id]).get(event.id)
        if found is not None:
            first = self.store.new_ids(1 + len(getattr(found, "labels", ())))
            self.store.write_now(record_all, Recording(found, first, self.clock.now))
        return found

    def actions(self) -> list[Any]:
        return self.all("SELECT * FROM actions ORDER BY id")

    def outcomes(self) -> list[str]:
        return [row.outcome for row in self.actions()]

    def all(self, query: str) -> list[Any]:
        with self.store.read() as connection:
            return list(connection.execute(text(query)))

    @property
    def open_count(self) -> int:
        return int(self.all("SELECT count(*) FROM work_items")[0][0])


ENRICHED: dict[str, Any] = {
    "revision": 1,
    "category": "billing",
    "severity": "high",
    "sentiment": "negative",
    "language": "en",
    "tags": '["refund"]',
    "summary": "Charged twice.",
    "confidence": 0.95,
    "provider": "stub",
    "model": "stub",
    "prompt_version": "1",
    "tx": 0,
}
