"""What an enricher is: one event's text in, one answer out, one attempt, no retries.

Two are built in: `StubEnricher` (rules, offline) and `OpenAIEnricher` (any compatible server).
Errors are those of `enrich.errors`; every other exception is a fault of the enricher, which the
chain records as `crashed`; then it asks the next one.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

from enrich.errors import Spent
from enrich.taxonomy import Taxonomy


class EventText(NamedTuple):
    """What an enricher, a rule or an adapter may know of an event. All of it came from outside."""

    id: int
    source: str
    event_type: str
    title: str
    text: str
    subject: str | None = None
    url: str | None = None
    customer: str | None = None
    level: str | None = None
    suspected_replay: bool = False


class Example(NamedTuple):
    """A text that a person labelled."""

    text: str
    category: str
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said about an event. Every name comes from the taxonomy."""

    category: str
    severity: str
    sentiment: str
    language: str
    tags: tuple[str, ...]
    summary: str
    confidence: float
    suspicious: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, who gave it and what it cost."""

    verdict: Verdict
    provider: str
    model: str
    prompt_version: str
    spent: Spent = field(default_factory=Spent)
    latency_ms: float = 0.0
    redacted_count: int = 0
    degraded: bool = False

    def with_latency(self, latency_ms: float) -> "Answer":
        return replace(self, latency_ms=latency_ms)


class Enricher(Protocol):
    """Says what an event is. Raises only errors of `enrich.errors`."""

    @property
    def provider(self) -> str:
        """A short stable word, e.g. stub, or the name of a model's section."""
        ...

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    def prompt_version(self, taxonomy: Taxonomy) -> str:
        """Changes whenever the same event could be answered differently by intent."""
        ...

    async def enrich(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        """One attempt. May raise any error of `enrich.errors`."""
        ...


@runtime_checkable
class InstantEnricher(Protocol):
    """An enricher that waits for nothing: the worker calls it without a task for each event."""

    def answer(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        """The same attempt as `enrich`, done at once."""
        ...


class ExampleFinder(Protocol):
    """Finds the labelled texts nearest to an event's."""

    def nearest(self, event: EventText, limit: int) -> list[Example]:
        """The nearest first; none where nothing is near."""
        ...


class NoExamples:
    """Nobody labelled anything yet."""

    def nearest(self, event: EventText, limit: int) -> list[Example]:
        return []
