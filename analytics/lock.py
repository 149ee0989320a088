"""Who may write: a lock on a file beside an SQLite catalog, an advisory lock in a PostgreSQL one.

The locks are given back by the system when their holder dies. `lander` is held for as long as a
lander runs, and makes a second one wait as standby. `writer` is held for each commit, so that an
erasure or a rebuild can run beside a lander. More than one writer at a time on an SQLite catalog
is known to damage it. `merge` is held while small files are merged there; readers may share it to
hold merges off (see `analytics.merges`).
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from analytics.errors import HistoryBusy, HistoryError, without_credentials
from analytics.place import Place

Role = Literal["lander", "writer", "merge"]
KEYS: dict[Role, int] = {
    "lander": 0x486F6F6B_6C616E64,
    "writer": 0x486F6F6B_77726974,
    "merge": 0x486F6F6B_6D657267,
}
PAUSE_SECONDS = 0.05


class Lock(Protocol):
    """Held by one process at a time, or by those that share it."""

    def take(self) -> bool:
        """Try to take it, without waiting; True when it is held now."""

    def give_back(self) -> None:
        """Let another have it."""


def lock_of(place: Place, role: Role, *, shared: bool = False) -> Lock:
    """The lock of that role for the history at `place`; `shared`: with others who share it."""
    if place.is_postgresql:
        return AdvisoryLock(place.address, KEYS[role])
    return FileLock(Path(place.catalog).parent / f"{role}.lock", shared=shared)


@contextmanager
def held(lock: Lock, seconds: float) -> Iterator[None]:
    """Hold the lock for a while. Raises HistoryBusy when it was not free within `seconds`."""
    deadline = time.monotonic() + seconds
    while not lock.take():
        if time.monotonic() >= deadline:
            raise HistoryBusy(f"another process has been writing the history for {seconds:g} s")
        time.sleep(PAUSE_SECONDS)
    try:
        yield
    finally:
        lock.give_back()


class FileLock:
    """A lock on a whole file, released by the system when the process ends, however it ends."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        self._file: Any = None

    def take(self) -> bool:
        """Try to take it; True when it is held now."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Who only reads may not be allowed to write here.
        file = self._path.open("rb" if self._shared and self._path.is_file() else "a+b")
        try:
            _lock_file(file, shared=self._shared)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def give_back(self) -> None:
        """Let another have it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock_file(file: Any, *, shared: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # flock and not lockf: a lock of lockf goes when any handle of the process is closed.
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class AdvisoryLock:
    """A PostgreSQL advisory lock, held by a session of its own and gone when the session is."""

    def __init__(self, address: str, key: int) -> None:
        self._address = address
        self._key = key
        self._session: Any = None
        self._is_held = False

    def take(self) -> bool:
        """Try to take it; True when it is held now. A session that broke is opened anew."""
        import psycopg

        try:
            if self._session is None:
                self._is_held = False
                self._session = psycopg.connect(
                    self._address, autocommit=True, application_name="hooksift lander"
                )
            # Asked again while held, so that a lost session is noticed before the next commit.
            found = self._session.execute(
                "SELECT %s OR pg_try_advisory_lock(%s)", [self._is_held, self._key]
            )
            self._is_held = bool(found.fetchone()[0])
        except psycopg.Error as error:
            self._drop()
            said = without_credentials(error)
            raise HistoryError(f"the history's catalog cannot be reached: {said}") from None
        return self._is_held

    def give_back(self) -> None:
        """Let another have it, at once: the server ends a closed session only a moment later."""
        import psycopg

        if self._session is not None and self._is_held:
            with suppress(psycopg.Error):
                self._session.execute("SELECT pg_advisory_unlock(%s)", [self._key])
        self._drop()

    def _drop(self) -> None:
        session, self._session, self._is_held = self._session, None, False
        if session is not None:
            session.close()
