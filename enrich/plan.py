"""From settings to what a worker needs: for each source a taxonomy, a chain and a budget."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from enrich.chain import Chain, Gate, Link, OpenGate
from enrich.enricher import Enricher, ExampleFinder, InstantEnricher
from enrich.retry import RetryPolicy, Schedule, Sleep
from enrich.settings import STUB, BudgetSettings, EnrichSettings, ModelSettings
from enrich.stub import StubEnricher
from enrich.taxonomy import Taxonomy
from service.errors import SettingsError

MakeEnricher = Callable[[str, ModelSettings], Enricher]
MakeGate = Callable[[str, ModelSettings], Gate]


@dataclass(frozen=True)
class Profile:
    """How the events of one source are enriched."""

    taxonomy: Taxonomy
    chain: Chain
    reuses: bool
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    concurrency: int | None = None

    @cached_property
    def instant(self) -> InstantEnricher | None:
        """The enricher, where it waits for nothing."""
        return self.chain.instant


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs to know. `default` (the stub) serves unconfigured sources."""

    settings: EnrichSettings
    profiles: Mapping[str, Profile]
    default: Profile
    twin: InstantEnricher

    @property
    def schedule(self) -> Schedule:
        settings = self.settings
        return Schedule(
            first_seconds=settings.first_retry_seconds,
            max_seconds=settings.max_retry_seconds,
            max_tries=settings.max_tries,
            unprocessable_tries=settings.unprocessable_tries,
        )

    def group_of(self, source: str) -> str:
        """Whose labels a source learns from: those of all sources of its taxonomy."""
        return self.profile(source).taxonomy.name

    def profile(self, source: str) -> Profile:
        return self.profiles.get(source, self.default)


def build_plan(
    settings: EnrichSettings,
    taxonomies: Mapping[str, Taxonomy],
    source_taxonomies: Mapping[str, str],
    *,
    make_enricher: MakeEnricher | None = None,
    make_gate: MakeGate | None = None,
    examples: ExampleFinder | None = None,
    sleep: Sleep = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> Plan:
    """The plan for these sources (name -> taxonomy's name). One client and gate a model, shared.

    Raises SettingsError for a taxonomy that does not exist, or a secret that cannot be read.
    """
    stub = StubEnricher(examples, settings.example_count)
    links: dict[str, Link] = {STUB: Link(stub, OpenGate())}
    policy = RetryPolicy(call_tries=settings.call_tries)

    def chain_of(names: tuple[str, ...]) -> Chain:
        for name in names:
            if name not in links:
                model = settings.models[name]
                made = (make_enricher or _no_models)(name, model)
                links[name] = Link(made, make_gate(name, model) if make_gate else OpenGate())
        return Chain(tuple(links[name] for name in names), policy, sleep, chance)

    profiles = {}
    for source, taxonomy_name in source_taxonomies.items():
        taxonomy = taxonomies.get(taxonomy_name)
        if taxonomy is None:
            raise SettingsError(
                f"[sources.{source}] taxonomy = {taxonomy_name!r} does not exist; there are"
                f" {', '.join(sorted(taxonomies))}, or add [taxonomies.{taxonomy_name}]"
            )
        own = settings.sources.get(source)
        profiles[source] = Profile(
            taxonomy,
            chain_of((own.enrichers if own else None) or settings.enrichers),
            reuses=shares(settings, source, taxonomy),
            budget=(own.budget if own else None) or settings.budget,
            concurrency=own.concurrency if own else None,
        )
    default = Profile(taxonomies["support"], chain_of((STUB,)), reuses=False)
    return Plan(settings, profiles, default, StubEnricher())


def is_errors(taxonomy: Taxonomy) -> bool:
    """Whether the events are copies of errors rather than letters of people."""
    return taxonomy.name == "errors" or "code_defect" in taxonomy.category_names


def shares(settings: EnrichSettings, source: str, taxonomy: Taxonomy) -> bool:
    """Whether copies of one event of the source share an enrichment, made from masked text."""
    own = settings.sources.get(source)
    reuse = own.reuse if own else None
    return is_errors(taxonomy) if reuse is None else reuse


def redacts(settings: EnrichSettings) -> Callable[[str], bool]:
    """Whether a source's texts are masked before a call."""

    def decide(source: str) -> bool:
        own = settings.sources.get(source)
        return settings.redact if own is None or own.redact is None else own.redact

    return decide


def default_taxonomy(preset_kind: str) -> str:
    """The taxonomy for a source that names none, by its preset's kind."""
    return "errors" if preset_kind == "errors" else "support"


def _no_models(name: str, _settings: ModelSettings) -> Enricher:
    raise SettingsError(f"[enrich.models.{name}] needs the extra: pip install hooksift[enrich]")
