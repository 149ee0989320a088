"""A store that is away, as the log tells it: at once, each minute, and when it is back."""

import time
from collections.abc import Callable
from typing import Any

from service.errors import StoreUnavailable

AGAIN_SECONDS = 60.0


class Outage:
    """What several tasks notice of one outage is said once."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began_at: float | None = None
        self._said_at = float("-inf")

    def noticed(self, error: StoreUnavailable) -> None:
        """The store could not be used."""
        now = self._clock()
        if self._began_at is None:
            self._began_at, self._said_at = now, float("-inf")
        if now - self._said_at >= AGAIN_SECONDS:
            self._said_at = now
            seconds = round(now - self._began_at)
            self._log.warning("store_unavailable", error=str(error), seconds=seconds)

    def ended(self) -> None:
        """The store could be used; nothing is said where it was not away."""
        if self._began_at is not None:
            self._log.info("store_available", seconds=round(self._clock() - self._began_at))
            self._began_at = None
