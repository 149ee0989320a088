"""SQLite's checkpoints, made beside the writer: who waits for a commit waits for little of them."""

import threading
from contextlib import suppress
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from service.store.faults import DATABASE_ERRORS, first_line

log = structlog.get_logger("hooksift.store")

DELAY_SECONDS = 0.05  # sooner, more pages are copied that change again
LONG_LOG_PAGES = 1_000  # 8 MB of a new store: the log is to restart
FEW_PAGES = 200  # that the writer copies itself, and those of its last transaction


class Checkpoints:
    """Copies what was committed from the log into the database, soon, on a thread of its own.

    Nobody waits for this copy: readers and the writer go on. The log restarts only where all of it
    is copied when a transaction begins, and while others commit a copy ends too late for that.
    Hence the writer copies the last few pages of a long log itself, between two transactions; that
    syncs what the thread has copied too. SQLite's own `wal_autocheckpoint`, which the writer has
    not, would copy however many pages are left: all of them after a long read.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._news = threading.Event()
        self._stop = threading.Event()
        self._few_left = False  # pages of a long log
        self._thread: threading.Thread | None = None

    def committed(self, connection: Connection) -> None:
        """Something was committed on this connection, the writer's; called on its thread."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="store-checkpoints", daemon=True)
            thread.start()
            self._thread = thread
        if self._few_left:
            self._few_left = False
            with suppress(*DATABASE_ERRORS):  # a full disk: the next commit meets it, and says so
                checkpoint(connection.connection.cursor())
        self._news.set()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        """Copy after each news; without the thread the log would grow for ever."""
        has_failed = False
        while self._news.wait():
            self._news.clear()  # before it looks whether to stop: whoever closes says both
            if self._stop.wait(DELAY_SECONDS):
                return
            try:
                self._copy()
            except Exception as error:  # noqa: BLE001 - the next copy may be made
                if not has_failed:
                    name, reason = type(error).__name__, first_line(error)
                    log.warning("checkpoint_failed", error=name, reason=reason)
                has_failed = True
            else:
                has_failed = False

    def _copy(self) -> None:
        connection = self._engine.raw_connection()  # in a transaction it could do nothing
        try:
            log_pages, left = checkpoint(connection.cursor())
            if log_pages >= LONG_LOG_PAGES:  # again, so that fewer are left for the writer
                log_pages, left = checkpoint(connection.cursor())
        finally:
            connection.close()
        self._few_left = log_pages >= LONG_LOG_PAGES and left <= FEW_PAGES


def checkpoint(cursor: Any) -> tuple[int, int]:
    """Copy what no reader holds up: pages in the log, and how many of them are not copied."""
    _, log_pages, copied = cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return log_pages, log_pages - copied
