"""SQLite's checkpoints, made beside the writer: who waits for a commit waits for none of them."""

import threading
from contextlib import suppress

from sqlalchemy import Engine

from service.store.faults import DATABASE_ERRORS

DELAY_SECONDS = 0.05  # sooner, more pages are copied that change again


class Checkpoints:
    """Copies what was committed from the log into the database, soon, on a thread of its own.

    Nobody waits for this copy: readers and the writer go on. SQLite's own checkpoint, in the commit
    after which the log holds a thousand pages, then finds few that are not copied yet, and the log
    begins anew; without this thread it was the tail of all latencies.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """Something was committed; called on the writer thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-checkpoints", daemon=True)
            self._thread.start()
        self._news.set()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._news.wait():
            self._news.clear()  # before it looks whether to stop: whoever closes says both
            if self._stop.wait(DELAY_SECONDS):
                return
            with suppress(*DATABASE_ERRORS):  # a full disk: the writer meets it too, and says so
                self._copy()

    def _copy(self) -> None:
        connection = self._engine.raw_connection()  # in a transaction it could do nothing
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()
