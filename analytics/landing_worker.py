"""What lands in the background: the store, the lock and the lander of one thread or process.

`begin`, `turn` and `end` are for an executor with one worker (see `analytics.landing_task`), and
are about what that worker holds. Nothing of DuckDB is imported before the first turn: who only asks
for turns needs none of it.
"""

import multiprocessing
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analytics.errors import HistoryError, LandingFailed, without_credentials
from analytics.lock import lock_of
from analytics.place import Place
from analytics.settings import HistorySettings
from service.errors import StoreError

if TYPE_CHECKING:
    from analytics.landing import Lander
    from service.store import Store

NICENESS = 15  # with 10 acknowledgements on a busy core took longer; with 19 landing would starve
_own = threading.local()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did: nothing where another lander leads."""

    leads: bool
    rows: dict[str, int] = field(default_factory=dict)  # landed, by table
    lag_seconds: float = 0.0  # age of the oldest fact when it was committed; 0 without news


def begin(store_url: str, place: Place, settings: HistorySettings) -> None:
    """Prepare this thread to land. Opens nothing: that may fail, and a turn says why."""
    give_way()
    _own.work = _Work(store_url, place, settings)


def begin_process(store_url: str, place: Place, settings: HistorySettings) -> None:
    """Prepare this process to land, until whoever began it ends it, or is gone."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    begin(store_url, place, settings)


def turn() -> Turn:
    """Land once, and tidy up when it is time.

    Raises LandingFailed, whatever happened, with everything closed: the next turn opens it anew.
    """
    work: _Work = _own.work
    try:
        return work.turn()
    except Exception as error:  # noqa: BLE001 - a row that does not fit must not stop the next ones
        work.let_go()
        raise LandingFailed(_said(error)) from None


def end() -> None:
    """Close everything and let another lander lead."""
    _own.work.close()


def give_way() -> None:
    """Let others go before this thread and those that it starts (on Linux: elsewhere all would).

    On a core that they share, a landing took acknowledgements from 1 to 9 ms.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a landing under way happened not at all


def _said(error: Exception) -> str:
    import duckdb

    known = isinstance(error, HistoryError | StoreError | duckdb.Error | OSError)
    return without_credentials(error) if known else type(error).__name__


class _Work:
    """The lock while it leads, the store and the lander while all goes well."""

    def __init__(self, store_url: str, place: Place, settings: HistorySettings) -> None:
        self._store_url, self._place, self._settings = store_url, place, settings
        self._lock = lock_of(place, "lander")
        self._store: Store | None = None
        self._lander: Lander | None = None
        self._maintained_at = time.monotonic()

    def turn(self) -> Turn:
        if not self._lock.take():
            self.let_go()
            return Turn(leads=False)
        lander = self._lander or self._open()
        landed = lander.land()
        due = time.monotonic() - self._maintained_at >= self._settings.merge_seconds
        if due and lander.maintain():
            self._maintained_at = time.monotonic()
        return Turn(leads=True, rows=landed.rows, lag_seconds=landed.lag_seconds)

    def _open(self) -> "Lander":
        from analytics.landing import Lander
        from service.store import open_store

        if self._store is None:
            self._store = open_store(self._store_url, upgrade=False)
        self._lander = Lander(self._store, self._place, self._settings)
        return self._lander

    def let_go(self) -> None:
        """Close the history; the next turn opens it anew."""
        if self._lander is not None:
            self._lander.close()
            self._lander = None

    def close(self) -> None:
        self.let_go()
        self._lock.give_back()
        if self._store is not None:
            self._store.close()
            self._store = None
