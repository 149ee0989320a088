"""What lands in the background, a turn at a time: the lock, the store and the lander."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from analytics.errors import HistoryError, without_credentials
from analytics.lock import lock_of
from analytics.place import Place
from analytics.settings import HistorySettings
from service.errors import StoreError

if TYPE_CHECKING:
    from analytics.landing import Landed, Lander

log = structlog.get_logger("landing")

MERGED_A_SECOND = 30_000  # rows, on a core that others use too; alone it is 80,000
QUIET_SECONDS = 10.0  # of merging, where nothing was to be landed


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did: nothing where another lander leads."""

    leads: bool
    rows: dict[str, int] = field(default_factory=dict)  # landed, by table
    lag_seconds: float = 0.0  # age of the oldest fact when it was committed; 0 without news


class Worker(Protocol):
    """Lands when asked: here, or in a process of its own (`analytics.landing_process`)."""

    def turn(self) -> Turn:
        """Land once, and take a step of the upkeep, or merge small files, when it is time.

        After any error the next turn begins anew.
        """

    def close(self) -> None:
        """Close everything, and let another lander lead."""

    def kill(self) -> None:
        """End a turn under way in another thread, where that can be done."""


class LandingWorker:
    """Lands one store into one history, on the thread that asks."""

    def __init__(self, store_url: str, place: Place, settings: HistorySettings) -> None:
        self._store_url, self._place, self._settings = store_url, place, settings
        self._lock = lock_of(place, "lander")
        self._opened = ExitStack()
        self._lander: Lander | None = None
        self._upkeep: Iterator[bool] | None = None
        self._maintained_at = time.monotonic()

    def turn(self) -> Turn:
        """Land once, and take a step of the upkeep, or merge small files, when it is time.

        Another lander may take the lead after any error, as everything is closed then.
        """
        try:
            return self._turn()
        except BaseException:
            self.close()
            raise

    def _turn(self) -> Turn:
        if not self._lock.take():
            self._let_go()
            return Turn(leads=False)
        lander = self._lander or self._open()
        landed = lander.land()
        self._tidy(lander, landed)
        return Turn(leads=True, rows=landed.rows, lag_seconds=landed.lag_seconds)

    def _tidy(self, lander: "Lander", landed: "Landed") -> None:
        """Upkeep that fails is in the log, and begun again when it is due: landing goes on."""
        try:
            self._take_step(lander, landed)
        except Exception as error:
            if not is_known(error):
                raise
            log.warning("upkeep_failed", reason=said_by(error))
            self._let_go()  # after an error of its DuckDB a lander begins anew
            self._maintained_at = time.monotonic()

    def _take_step(self, lander: "Lander", landed: "Landed") -> None:
        """A step of the upkeep that is due, or a merge: what is landed next waits for no more."""
        if self._upkeep is None and self._is_upkeep_due():
            self._upkeep = lander.upkeep()
        if self._upkeep is not None:
            if next(self._upkeep, None) is not None:
                return
            self._upkeep, self._maintained_at = None, time.monotonic()
        lander.merge(self._room(landed))

    def _is_upkeep_due(self) -> bool:
        return time.monotonic() - self._maintained_at >= self._settings.upkeep_seconds

    def _room(self, landed: "Landed") -> float:
        """How many rows may be merged before the next landing is due, or while nothing comes."""
        left = self._settings.interval_seconds - landed.took_seconds
        return MERGED_A_SECOND * (max(0, left) if landed.rows else QUIET_SECONDS)

    def _open(self) -> "Lander":
        from analytics.landing import Lander
        from service.store import open_store

        store = open_store(self._store_url, upgrade=False)
        self._opened.callback(store.close)
        self._lander = Lander(store, self._place, self._settings)
        self._opened.callback(self._lander.close)
        return self._lander

    def close(self) -> None:
        """Close everything, and let another lander lead."""
        try:
            self._let_go()
        finally:
            self._lock.give_back()

    def _let_go(self) -> None:
        self._lander = self._upkeep = None
        self._opened.close()

    def kill(self) -> None:
        """Nothing: a thread cannot be ended."""


def said_by(error: Exception) -> str:
    """What a failed turn says in the log: databases may repeat an address with its password."""
    return without_credentials(error) if is_known(error) else type(error).__name__


def is_known(error: Exception) -> bool:
    """Whether its text is about the store, the history or the system, and about no row."""
    if isinstance(error, HistoryError | StoreError | OSError):
        return True
    import duckdb  # which a process that only asks for turns does without

    return isinstance(error, duckdb.Error)
