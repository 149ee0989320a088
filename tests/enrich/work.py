"""A store with events to enrich, and enrichers that do as they are told."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from enrich.chain import Chain, Gate, Link, OpenGate
from enrich.enricher import Answer, Enricher, EventText, Verdict
from enrich.errors import Spent
from enrich.plan import Plan, Profile
from enrich.retry import RetryPolicy, Sleep
from enrich.settings import BudgetSettings, EnrichSettings
from enrich.stub import StubEnricher
from enrich.taxonomy import Taxonomy, built_in_taxonomy
from enrich.worker import Worker
from service.store import Store
from service.store.intake import EVENT_COLUMNS
from service.store.queue import ENRICH, NewWork, enqueue
from service.store.tables import Rows, to_microseconds

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAXONOMIES = {name: built_in_taxonomy(name) for name in ("support", "errors")}


class Clock:
    """The time, which passes only when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


def event(event_id: int, source: str = "tickets", title: str = "", body: str = "") -> EventText:
    return EventText(event_id, source, "ticket", title or "Charged twice", body or "Please refund")


def put(store: Store, *events: EventText, at: datetime = NOW) -> None:
    """Store events with their work, as the receiver does."""
    moment = to_microseconds(at)

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[None]:
        rows = [
            (e.id, e.id, 0, e.source, e.event_type, e.subject, moment, None, e.title, e.text,
             e.url, e.customer, e.level, None, e.suspected_replay, tx)
            for e in events
        ]  # fmt: skip
        works = [NewWork(e.id, ENRICH, "", e.source, 1, moment) for e in events]
        enqueue(connection, works, Rows("events", EVENT_COLUMNS, rows))
        return [None] * len(payloads)

    store.write_now(handler, None)


def rows(store: Store, statement: str) -> list[Any]:
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def one(store: Store, statement: str) -> Any:
    """The only value of the only row."""
    ((value,),) = rows(store, statement)
    return value


@dataclass
class Scripted:
    """An enricher that answers from a script: an error is raised, a verdict is said."""

    script: deque[Any] = field(default_factory=deque)
    provider: str = "scripted"
    model: str = "m"
    asked: list[EventText] = field(default_factory=list)
    before: Callable[[EventText], Coroutine[Any, Any, None]] | None = None
    cost_usd: float = 0.01

    def prompt_version(self, taxonomy: Taxonomy) -> str:
        return f"v-{taxonomy.version}"

    async def enrich(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        self.asked.append(event)
        if self.before is not None:
            await self.before(event)
        said = self.script.popleft() if self.script else verdict()
        if isinstance(said, BaseException):
            raise said
        spent = Spent(1, 100, 10, self.cost_usd, "req_1")
        return Answer(said, self.provider, self.model, self.prompt_version(taxonomy), spent, 1.0)


def verdict(**changes: Any) -> Verdict:
    said: dict[str, Any] = {
        "category": "billing",
        "severity": "high",
        "sentiment": "negative",
        "language": "en",
        "tags": ("refund",),
        "summary": "A customer was charged twice.",
        "confidence": 0.9,
    }
    return Verdict(**(said | changes))


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


def make_worker(
    store: Store,
    clock: Clock,
    *enrichers: Enricher,
    gate: Gate | None = None,
    sources: dict[str, str] | None = None,
    reuses: bool = False,
    budget: BudgetSettings | None = None,
    concurrency: int | None = None,
    settings: EnrichSettings | None = None,
    sleep: Sleep = no_sleep,
    chance: Callable[[], float] = lambda: 0.0,
    **more: Any,
) -> Worker:
    """A worker whose sources all use these enrichers; the stub where none is given."""
    asked = enrichers or (StubEnricher(),)
    links = tuple(Link(enricher, gate or OpenGate()) for enricher in asked)
    chain = Chain(links, RetryPolicy(call_tries=2), no_sleep, lambda: 0.0)
    profiles = {
        name: Profile(TAXONOMIES[taxonomy], chain, reuses, budget or BudgetSettings(), concurrency)
        for name, taxonomy in (sources or {"tickets": "support", "errors": "errors"}).items()
    }
    stub = Chain((Link(StubEnricher(), OpenGate()),), chain.policy, no_sleep, chain.chance)
    default = Profile(TAXONOMIES["support"], stub, reuses=False)
    plan = Plan(settings or EnrichSettings(), profiles, default, StubEnricher())
    return Worker(store, plan, now=clock, sleep=sleep, chance=chance, **more)


def step(worker: Worker) -> int:
    return asyncio.run(worker.step())
