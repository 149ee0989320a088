"""Wiring of the enrich stage: settings and a store in, a worker out.

The openai client is imported only when a model is configured.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.actions.loop_guard import LoopGuard
from enrich.chain import Chain, Gate, Link, OpenGate
from enrich.enricher import Enricher, ExampleFinder
from enrich.examples import ExampleIndex
from enrich.outcomes import ActionsFor, no_actions
from enrich.outgoing import Outgoing
from enrich.pace import Pace
from enrich.plan import Plan, build_plan, redacts
from enrich.recorder import Observer
from enrich.retry import RetryPolicy
from enrich.screening import Screen
from enrich.settings import (
    STUB,
    EnrichSettings,
    ModelSettings,
    TaxonomySettings,
    build_taxonomies,
)
from enrich.stub import StubEnricher
from enrich.worker import Worker, utc_now
from service.errors import SettingsError
from service.secrets import resolve
from service.store import Store

if TYPE_CHECKING:
    from enrich.openai_enricher import OpenAIEnricher


@dataclass
class Stage:
    """A worker and what must be closed after it."""

    worker: Worker
    plan: Plan
    models: "list[OpenAIEnricher]"

    async def close(self) -> None:
        """Close the models' connections."""
        for model in self.models:
            await model.close()


def make_stage(
    store: Store,
    settings: EnrichSettings,
    taxonomies: Mapping[str, TaxonomySettings],
    source_taxonomies: Mapping[str, str],
    *,
    actions_for: ActionsFor = no_actions,
    observer: Observer | None = None,
    guard: LoopGuard | None = None,
) -> Stage:
    """The enrich stage for these sources (name -> taxonomy's name).

    Raises SettingsError for an unknown taxonomy or a secret that cannot be read.
    """
    examples = ExampleIndex((), lambda source: source_taxonomies.get(source, source))
    plan, models = make_plan(settings, taxonomies, source_taxonomies, examples=examples)
    screen = Screen(guard, store, utc_now) if guard is not None else None
    worker = Worker(
        store,
        plan,
        actions_for=actions_for,
        observer=observer,
        screen=screen,
        examples=examples,
    )
    return Stage(worker, plan, models)


def make_plan(
    settings: EnrichSettings,
    taxonomies: Mapping[str, TaxonomySettings],
    source_taxonomies: Mapping[str, str],
    *,
    examples: ExampleFinder | None = None,
) -> "tuple[Plan, list[OpenAIEnricher]]":
    """The plan, and the models it made, which the caller closes."""
    models: list[OpenAIEnricher] = []

    def make_enricher(name: str, model: ModelSettings) -> Enricher:
        made = make_model(name, model, settings, examples)
        models.append(made)
        return made

    plan = build_plan(
        settings,
        build_taxonomies(dict(taxonomies)),
        source_taxonomies,
        make_enricher=make_enricher,
        make_gate=make_gate,
        examples=examples,
    )
    return plan, models


def make_model(
    name: str,
    model: ModelSettings,
    settings: EnrichSettings,
    examples: ExampleFinder | None = None,
    read_secret: Callable[[str], str] = resolve,
) -> "OpenAIEnricher":
    """The enricher of one [enrich.models.NAME]."""
    from enrich.openai_enricher import OpenAIEnricher, make_client

    key = read_secret(model.api_key) if model.api_key not in ("", "none") else ""
    return OpenAIEnricher(
        name,
        model,
        make_client(model, key),
        Outgoing(examples, settings.example_count, redacts(settings), settings.phone_region),
    )


def make_gate(name: str, model: ModelSettings) -> Gate:
    """What paces the calls to one model and leaves it alone while it is down."""
    return Pace(
        name,
        max_concurrency=model.max_concurrency,
        calls_per_minute=model.calls_per_minute,
        clock=time.monotonic,
        chance=random.random,
    )


def single_chain(
    name: str,
    settings: EnrichSettings,
    examples: ExampleFinder | None,
    chance: Callable[[], float],
) -> tuple[Chain, Callable[[], Awaitable[None]]]:
    """A chain of one enricher (stub or a configured model), and what closes it."""
    policy = RetryPolicy(call_tries=settings.call_tries)
    if name == STUB:
        stub = StubEnricher(examples, max(settings.example_count, 12))
        return Chain((Link(stub, OpenGate()),), policy, asyncio.sleep, chance), _nothing
    model = settings.models.get(name)
    if model is None:
        known = ", ".join(["stub", *settings.models])
        raise SettingsError(f"no enricher {name!r}; there are {known}")
    made = make_model(name, model, settings, examples)
    link = Link(made, make_gate(name, model))
    return Chain((link,), policy, asyncio.sleep, chance), made.close


async def _nothing() -> None:
    return None
