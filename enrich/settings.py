"""The settings that `enrich` reads: sections [enrich] and [taxonomies.NAME]."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enrich.taxonomy import BUILT_IN, Taxonomy, built_in_taxonomy, taxonomy_from

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
STUB = "stub"


class Section(BaseModel):
    """A section refuses keys it does not know: a misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """One model behind an OpenAI-compatible server."""

    model: str = Field(min_length=1, description="the model's name as the server knows it")
    base_url: str = Field(
        default="https://api.openai.com/v1", description="any OpenAI-compatible server"
    )
    api_key: str = Field(
        default="env:OPENAI_API_KEY", description="env:NAME or file:PATH; none for no key"
    )
    timeout_seconds: float = Field(default=30, gt=0, le=600, description="for one call")
    structured: Literal["auto", "schema", "json", "plain"] = Field(
        default="auto",
        description="how JSON is asked for; auto tries schema, then JSON mode, then plain",
    )
    reasoning: bool | None = Field(
        default=None, description="a reasoning model; default: judged by its name"
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None, description="for reasoning models: none, minimal, low, ... max"
    )
    temperature: float | None = Field(
        default=0, ge=0, le=2, description="not sent to reasoning models"
    )
    max_output_tokens: int = Field(
        default=400, ge=64, description="for the answer; reasoning models get 8 times as many"
    )
    input_usd_per_million: float = Field(default=0, ge=0, description="price of input tokens")
    cached_usd_per_million: float | None = Field(
        default=None, ge=0, description="price of cached input tokens; default: as input"
    )
    output_usd_per_million: float = Field(default=0, ge=0, description="price of output tokens")
    max_concurrency: int = Field(
        default=32, ge=1, le=1000, description="calls at a time at most; adapts below it"
    )
    calls_per_minute: int | None = Field(
        default=None, ge=1, description="the provider's limit, if known"
    )

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")


class BudgetSettings(Section):
    """What one source may spend on one UTC day."""

    usd_per_day: float | None = Field(default=None, ge=0, description="none for no limit")
    calls_per_day: int | None = Field(default=None, ge=0, description="none for no limit")
    at_limit: Literal["stub", "wait"] = Field(
        default="stub",
        description="stub: answer by rules, marked degraded, and again the next day;"
        " wait: nothing until the next day",
    )

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.usd_per_day is not None or self.calls_per_day is not None


class SourceEnrichSettings(Section):
    """How one source's events are enriched, where it differs from the default."""

    enrichers: tuple[str, ...] | None = Field(
        default=None, description="instead of [enrich] enrichers"
    )
    reuse: bool | None = Field(
        default=None,
        description="share one enrichment among copies of one error;"
        " default: on for the errors taxonomy, off for others",
    )
    redact: bool | None = Field(default=None, description="instead of [enrich] redact")
    budget: BudgetSettings | None = Field(default=None, description="instead of [enrich] budget")
    concurrency: int | None = Field(
        default=None, ge=1, description="events of this source at a time; none for no limit"
    )


class EnrichSettings(Section):
    """Claiming, classifying and retrying."""

    enrichers: tuple[str, ...] = Field(
        default=(STUB,),
        description="asked in this order: names of [enrich.models.NAME], and stub",
    )
    models: dict[Name, ModelSettings] = Field(default_factory=dict)
    sources: dict[str, SourceEnrichSettings] = Field(default_factory=dict)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    redact: bool = Field(
        default=True,
        description="mask secrets, card numbers, e-mail addresses and phone numbers before a call",
    )
    phone_region: str = Field(
        default="US", pattern=r"^[A-Z]{2}$", description="where numbers without + are dialled"
    )
    reuse_lifetime_seconds: float = Field(
        default=7 * 86_400,
        gt=0,
        le=36_500 * 86_400,
        description="how long one enrichment stands for copies",
    )
    example_count: int = Field(
        default=6, ge=0, le=50, description="labelled examples offered with an event; 0 for none"
    )
    batch_size: int = Field(default=100, ge=1, le=1000, description="events claimed at a time")
    max_in_flight: int = Field(
        default=64, ge=1, le=10_000, description="events waiting for models at a time"
    )
    lease_seconds: float = Field(
        default=60, ge=1, le=86_400, description="how long a claim holds without a heartbeat"
    )
    poll_seconds: float = Field(
        default=1, gt=0, description="how often to look when nobody wakes us"
    )
    drain_seconds: float = Field(
        default=20,
        ge=0,
        description="time to finish what is begun when stopped, and then as long for the landing",
    )
    call_tries: int = Field(
        default=3, ge=1, le=10, description="calls in a row when an error may pass in seconds"
    )
    max_tries: int = Field(
        default=8, ge=1, le=50, description="claims of one event before it is a dead letter"
    )
    unprocessable_tries: int = Field(
        default=2, ge=1, le=50, description="the same where a model refuses or finds no text"
    )
    first_retry_seconds: float = Field(
        default=60, gt=0, description="before the second claim; each further wait is 3 times longer"
    )
    max_retry_seconds: float = Field(
        default=4 * 3600, gt=0, le=365 * 86_400, description="the longest wait between two claims"
    )

    @field_validator("enrichers")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('must name at least one enricher, e.g. ["stub"]')
        return value

    @model_validator(mode="after")
    def _chains_exist(self) -> "EnrichSettings":
        known = {STUB, *self.models}
        chains = {"enrichers": self.enrichers} | {
            f"sources.{name}.enrichers": s.enrichers
            for name, s in self.sources.items()
            if s.enrichers is not None
        }
        for where, chain in chains.items():
            for name in chain:
                if name not in known:
                    raise ValueError(
                        f"{where} names {name!r}; known are {', '.join(sorted(known))}:"
                        f" add [enrich.models.{name}] or correct the name"
                    )
        if STUB in self.models:
            raise ValueError("models.stub: the name stub is taken by the built-in rules")
        if self.first_retry_seconds > self.max_retry_seconds:
            raise ValueError(
                f"first_retry_seconds ({self.first_retry_seconds:g}) is above"
                f" max_retry_seconds ({self.max_retry_seconds:g})"
            )
        return self


class CategorySettings(Section):
    """One category of a taxonomy."""

    name: Name = Field(description="as it stands in enrichments, rules and labels")
    description: str = Field(
        default="", max_length=500, description="told to the model: what belongs here"
    )
    examples: tuple[str, ...] = Field(
        default=(), description="told to the model: texts that belong here"
    )
    noise: bool = Field(default=False, description="needs nobody's attention")
    words: tuple[str, ...] = Field(default=(), description="what the stub looks for; word* too")


class TagSettings(Section):
    """One tag of a taxonomy."""

    name: Name = Field(description="as it stands in enrichments, rules and labels")
    description: str = Field(
        default="", max_length=500, description="told to the model: when it applies"
    )
    examples: tuple[str, ...] = Field(
        default=(), description="told to the model: texts to which it applies"
    )
    words: tuple[str, ...] = Field(default=(), description="what the stub looks for; word* too")


class SeveritySettings(Section):
    """One severity of a taxonomy."""

    name: Name = Field(description="as it stands in enrichments, rules and labels")
    description: str = Field(
        default="", max_length=500, description="told to the model: how bad that is"
    )


class TaxonomySettings(Section):
    """What a source's events may be called."""

    extends: Literal["support", "errors"] | None = Field(
        default=None, description="a built-in taxonomy to start from"
    )
    title: str = Field(default="", max_length=200, description="what the texts are")
    categories: tuple[CategorySettings, ...] = ()
    tags: tuple[TagSettings, ...] = ()
    severities: tuple[SeveritySettings, ...] = Field(
        default=(), description="from mildest to worst; default: those of the support taxonomy"
    )
    max_tags: int | None = Field(default=None, ge=0, le=20, description="of one event at most")

    @model_validator(mode="after")
    def _whole(self) -> "TaxonomySettings":
        if self.extends is None and len(self.categories) < 2:
            raise ValueError(
                "needs at least two categories, or extends = 'support' or 'errors' to start from"
            )
        for what in ("categories", "tags", "severities"):
            names = [item.name for item in getattr(self, what)]
            double = sorted({name for name in names if names.count(name) > 1})
            if double:
                raise ValueError(f"{what} name {', '.join(double)} twice")
        return self


def build_taxonomies(sections: dict[str, TaxonomySettings]) -> dict[str, Taxonomy]:
    """The built-in taxonomies and those of the settings, by name."""
    built = {name: built_in_taxonomy(name) for name in BUILT_IN}
    result = dict(built)
    for name, section in sections.items():
        base = built[section.extends] if section.extends else None
        data = section.model_dump(exclude={"extends"})
        if base is None and not section.severities:
            data["severities"] = [
                {"name": s.name, "description": s.description} for s in built["support"].severities
            ]
        result[name] = taxonomy_from(name, data, base)
    return result
