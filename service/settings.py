"""The sections of `hooksift.toml` that `service` reads."""

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Days = Annotated[float, Field(le=36_500)]
"""Time that is counted back from now: a hundred years is before all that is stored."""


class Section(BaseModel):
    """A section of the config: a key it does not know is an error, and so is inf."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _network(text: str) -> str:
    ip_network(text, strict=False)
    return text


Network = Annotated[str, AfterValidator(_network)]


class ReceiveSettings(Section):
    """`[receive]`: the HTTP side."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port; 0 picks a free one")
    max_body_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1024, description="largest body taken; above it 413"
    )
    unverified_per_minute: int = Field(
        default=600,
        ge=1,
        description="refused deliveries and unsigned handshakes one address may send in a minute"
        " before it gets 429",
    )
    body_timeout_seconds: float = Field(
        default=20,
        gt=0,
        description="time for a request's head, and for its body, to arrive; after it 408",
    )
    trusted_proxies: list[Network] = Field(
        default=[], description="networks whose X-Forwarded-For is believed"
    )
    public_url: str = Field(
        default="",
        description="base of the URL that providers call, e.g. https://hooks.example.com; for"
        " those that sign it",
    )
    dedup_days: Days = Field(
        default=7, gt=0, description="how long a delivery id is remembered, at least"
    )
    tls_cert: str = Field(default="", description="PEM file of the certificate chain")
    tls_key: str = Field(default="", description="PEM file of its private key")
    client_ca: str = Field(
        default="", description="PEM file; clients must show a certificate of it"
    )


class MetricsSettings(Section):
    """`[metrics]`: /metrics, /healthz and /readyz of processes that receive nothing."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="of `hooksift work` or `hooksift land`; 0 picks a free one; none: they serve"
        " nothing. What receives answers on its own port",
    )


class RetentionSettings(Section):
    """`[retention]`: how long the store keeps what. The history keeps its own time."""

    keep_bodies_days: Days = Field(
        default=90, ge=1, description="raw bodies of deliveries; later only their rows are kept"
    )
    keep_rows_days: Days = Field(
        default=365, ge=1, description="deliveries, events and all that was made of them"
    )
    keep_refusals: int = Field(
        default=500_000,
        ge=1_000,
        le=1_000_000_000,
        description="rows of refusals kept at most, whatever their age",
    )
    interval_minutes: float = Field(
        default=10, gt=0, description="how often what is over its time is looked for"
    )
    batch_rows: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="rows deleted in one transaction at most; fewer where they take over 20 ms",
    )

    def days_of(self, source: "SourceSettings | None") -> tuple[float, float]:
        """How long the bodies and the rows of a source are kept; None: one without a section."""
        bodies = (source and source.keep_bodies_days) or self.keep_bodies_days
        return bodies, (source and source.keep_rows_days) or self.keep_rows_days


class SourceSettings(Section):
    """`[sources.NAME]`: one endpoint, /v1/webhooks/NAME."""

    preset: str = Field(description="what the provider's webhooks look like; see hooksift presets")
    secret: str | list[str] = Field(
        default=[],
        description="env:NAME or file:PATH; a list while a secret is being rotated",
    )
    verify_token: str = Field(
        default="",
        description="env:NAME or file:PATH; what Meta must say to have its URL verified",
    )
    authentication: str = Field(
        default="",
        description="for presets without a signature: path, basic, bearer, header:NAME,"
        " query:NAME or none",
    )
    override: dict[str, Any] = Field(default={}, description="keys of the preset to change")
    tolerance_seconds: float | None = Field(
        default=None, gt=0, description="timestamp window, both ways; the preset's if not given"
    )
    public_url: str = Field(default="", description="full URL the provider calls, if it signs it")
    max_body_bytes: int | None = Field(default=None, ge=1, description="instead of receive's")
    allow_addresses: list[Network] = Field(
        default=[], description="networks that may call; empty: all"
    )
    per_second: float | None = Field(
        default=None, gt=0, description="verified deliveries taken each second; above it 429 or 503"
    )
    taxonomy: str = Field(default="", description="support, errors or your own; by preset if empty")
    priority: Literal[0, 1, 2] = Field(default=1, description="0 urgent, 1 normal, 2 bulk")
    store_unparsable: bool = Field(
        default=False, description="keep a verified body that does not parse as text, not 400"
    )
    quarantine: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="refused deliveries whose bytes are kept, 64 MiB at most",
    )
    keep_bodies_days: Days | None = Field(default=None, ge=1, description="instead of retention's")
    keep_rows_days: Days | None = Field(default=None, ge=1, description="instead of retention's")
    schemas: dict[str, str] = Field(
        default={}, description="JSON Schema file for each schema version; '*' for any"
    )
    schema_version: str = Field(default="", description="where the version is, header:X or json:x")
    schema_failure: Literal["reject", "quarantine"] = Field(
        default="reject", description="what a body that breaks its schema gets"
    )

    @field_validator("secret")
    @classmethod
    def _listed(cls, value: str | list[str]) -> list[str]:
        return [value] if isinstance(value, str) else value

    @property
    def secrets(self) -> list[str]:
        """The references, as a list."""
        return [self.secret] if isinstance(self.secret, str) else self.secret
