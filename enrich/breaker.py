"""A circuit breaker for one model: after repeated failures it is left alone for a while.

closed --5 failures in a row--> open --cool-down over--> half-open --probe succeeds--> closed
                                  ^------------------------- probe fails, twice the cool-down --'

While it is open nobody calls; when the cool-down is over exactly one call probes.
"""

from collections.abc import Callable

from enrich.errors import EnrichError, MisconfiguredError, TransientError

FAILURES_TO_OPEN = 5
FIRST_COOL_DOWN_SECONDS = 5.0
MISCONFIGURED_COOL_DOWN_SECONDS = 60.0  # a person must act first
MAX_COOL_DOWN_SECONDS = 300.0
FAILING = frozenset(
    ("connection_failed", "timed_out", "server_error", "provider_error", "malformed_response")
)


class Breaker:
    """Counts failures of one model. `clock` is monotonic seconds, `chance` between 0 and 1."""

    def __init__(
        self, name: str, clock: Callable[[], float], chance: Callable[[], float] = lambda: 0.5
    ) -> None:
        self._name = name
        self._clock = clock
        self._chance = chance
        self._failure_count = 0
        self._cool_down = FIRST_COOL_DOWN_SECONDS
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether a call would be refused now."""
        return self._open_until is not None and (self._probing or self._clock() < self._open_until)

    def check(self) -> None:
        """Raises TransientError while open; never begins a probe."""
        if self._open_until is not None and self.is_open:
            raise TransientError(
                "circuit_open",
                f"{self._name} failed {self._failure_count} times in a row and is left alone",
                retry_after_seconds=max(self._open_until - self._clock(), 1.0),
            )

    def admit(self) -> bool:
        """Let a call through; True when it is the probe. Raises TransientError while open."""
        self.check()
        self._probing = self._open_until is not None
        return self._probing

    def succeeded(self) -> None:
        """A call was answered."""
        self._failure_count = 0
        self._cool_down = FIRST_COOL_DOWN_SECONDS
        self._open_until = None
        self._probing = False

    def failed(self, error: EnrichError) -> None:
        """A call ended in an error; those that are about one event do not count."""
        misconfigured = isinstance(error, MisconfiguredError) and error.kind != "bad_request"
        if not (misconfigured or error.kind in FAILING):
            return
        self._failure_count += 1
        was_probe, self._probing = self._probing, False
        if was_probe:
            self._cool_down = min(self._cool_down * 2, MAX_COOL_DOWN_SECONDS)
        elif self._failure_count < FAILURES_TO_OPEN:
            return
        if misconfigured:
            self._cool_down = max(self._cool_down, MISCONFIGURED_COOL_DOWN_SECONDS)
        # By chance up to a fifth longer: many workers must not probe in the same moment.
        self._open_until = self._clock() + self._cool_down * (1 + 0.2 * self._chance())

    def abandoned(self) -> None:
        """The probe ended and told nothing of the model: the next call may probe."""
        self._probing = False
