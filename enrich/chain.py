"""Asking several enrichers in order: the first that answers wins, the stub answers when all fail.

An answer of the stub in place of a model is marked degraded, and the event is offered again later.
A second model's answer is not degraded: it is what the chain was configured for.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

from enrich.enricher import Answer, Enricher, EventText, InstantEnricher
from enrich.errors import EnrichError, Spent, TransientError
from enrich.retry import RetryPolicy, Sleep, call_with_retries
from enrich.sanitise import clean_error
from enrich.taxonomy import Taxonomy


class Tried(NamedTuple):
    """One call to an enricher that did not answer."""

    kind: str
    error: str
    latency_ms: float
    provider: str
    model: str
    prompt_version: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class Asked:
    """How asking about one event ended: an answer or an error, and the failures on the way."""

    answer: Answer | None
    error: Exception | None
    tried: tuple[Tried, ...] = ()


class Gate(Protocol):
    """Decides when a call to one model may start, and learns from how it ended."""

    async def call(self, start: Callable[[], Awaitable[Answer]]) -> Answer:
        """Wait for the model's turn, then call. May raise TransientError instead of calling."""
        ...


class OpenGate:
    """Lets every call through at once."""

    async def call(self, start: Callable[[], Awaitable[Answer]]) -> Answer:
        return await start()


class Link(NamedTuple):
    """One enricher of a chain and the gate before it."""

    enricher: Enricher
    gate: Gate


@dataclass(frozen=True)
class Chain:
    """Enrichers in the order in which they are asked."""

    links: Sequence[Link]
    policy: RetryPolicy
    sleep: Sleep
    chance: Callable[[], float]

    @property
    def first(self) -> Enricher:
        """The enricher whose answers are wanted."""
        return self.links[0].enricher

    @cached_property
    def instant(self) -> InstantEnricher | None:
        """The only enricher, where it waits for nothing."""
        enricher = self.first
        alone = len(self.links) == 1 and isinstance(enricher, InstantEnricher)
        return enricher if alone and isinstance(enricher, InstantEnricher) else None

    async def ask(self, event: EventText, taxonomy: Taxonomy) -> Asked:
        """Ask one after the other until one answers."""
        tried: list[Tried] = []
        last: Exception | None = None
        for number, link in enumerate(self.links):
            try:
                answer = await self._call(link, event, taxonomy, tried)
            except Exception as error:  # noqa: BLE001 - also at a fault of ours the next is asked
                last = _worse(last, error)
                continue
            if number > 0 and isinstance(link.enricher, InstantEnricher):
                answer = replace(answer, degraded=True)
            return Asked(answer, last, tuple(tried))
        return Asked(None, last, tuple(tried))

    async def _call(
        self, link: Link, event: EventText, taxonomy: Taxonomy, tried: list[Tried]
    ) -> Answer:
        enricher = link.enricher
        started = time.perf_counter()

        def note(error: Exception) -> None:
            nonlocal started
            now = time.perf_counter()
            tried.append(tried_of(enricher, taxonomy, error, (now - started) * 1e3))
            started = now

        async def once() -> Answer:
            return await link.gate.call(lambda: enricher.enrich(event, taxonomy))

        try:
            return await call_with_retries(
                once, self.policy, sleep=self.sleep, chance=self.chance, failed=note
            )
        except Exception as error:
            note(error)
            raise


def tried_of(enricher: Enricher, taxonomy: Taxonomy, error: Exception, latency_ms: float) -> Tried:
    """What an attempt's row says about a failed call."""
    if isinstance(error, EnrichError):
        kind, said, spent = error.kind, str(error), error.spent
    else:
        kind, said, spent = "crashed", f"{type(error).__name__}: {error}", Spent()
    version = enricher.prompt_version(taxonomy)
    return Tried(
        kind, clean_error(said), latency_ms, enricher.provider, enricher.model, version, spent
    )


def _worse(old: Exception | None, new: Exception) -> Exception:
    """The error that decides when to try again: one that may pass outranks one that will not."""
    may_pass = isinstance(new, TransientError) and not isinstance(old, TransientError)
    return new if old is None or may_pass else old
