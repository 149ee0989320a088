"""Everything that `enrich` raises on purpose, and who does what about it.

HooksiftError
└── EnrichError
    ├── TransientError        may pass in seconds: tenacity tries again, then the store in minutes
    └── PermanentError        asking again the same way cannot help
        ├── UnprocessableError    this event: the next enricher is asked, then the dead letter
        └── MisconfiguredError    this enricher (key, model, quota): the next one is asked, and the
                                  store tries again in hours, when a person has mended it

Each carries a stable `kind` word for metrics and the history (e.g. `rate_limited`), and what the
failed calls cost.
"""

from dataclasses import dataclass

from service.errors import HooksiftError


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls to a provider used, whether they ended well or not."""

    call_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    request_id: str | None = None

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.call_count + other.call_count,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            other.request_id or self.request_id,
        )


class EnrichError(HooksiftError):
    """An enricher could not answer. The text never holds the event's text, a prompt or a key."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        spent: Spent | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds
        self.spent = spent or Spent()


class TransientError(EnrichError):
    """May pass by itself; `retry_after_seconds` is what the provider asked for, if it did."""


class PermanentError(EnrichError):
    """Asking again the same way cannot help."""


class UnprocessableError(PermanentError):
    """Nothing can be said about this event: no text, refused, filtered, too long."""


class MisconfiguredError(PermanentError):
    """The enricher itself is set up wrong: no event would pass until a person mends it."""
