"""Telling those who wait that there is work: in this process, and over PostgreSQL to others."""

import asyncio
import logging
import threading
from collections.abc import Callable

import psycopg
from sqlalchemy.engine import URL

CHANNEL = "hooksift_work"
DEBOUNCE_SECONDS = 0.03  # one NOTIFY for all commits of 30 ms: each takes a lock that writers share
RETRY_SECONDS = 1.0
log = logging.getLogger(__name__)


class LocalWake:
    """Calls subscribers of this process."""

    def __init__(self) -> None:
        self._subscribers: list[tuple[str, asyncio.AbstractEventLoop, Callable[[], None]]] = []

    def subscribe(
        self, kind: str, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
    ) -> None:
        """Remember whom to call when work of this kind was committed."""
        self._subscribers.append((kind, loop, callback))

    def announce(self, kinds: set[str]) -> None:
        """Work of these kinds was committed; called on a writer's thread."""
        for kind, loop, callback in self._subscribers:
            if kind in kinds:
                try:
                    loop.call_soon_threadsafe(callback)
                except RuntimeError:  # that loop has closed
                    continue

    def close(self) -> None:
        """Forget everybody."""
        self._subscribers.clear()


class PostgresWake(LocalWake):
    """Also tells other processes by NOTIFY, and hears from them by LISTEN.

    NOTIFY is sent by a thread of its own, outside the intake transaction: inside it would take a
    lock that lets only one transaction commit at a time.
    """

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._kinds: set[str] = set()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._own_pid = 0  # of the connection that notifies

    def subscribe(
        self, kind: str, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
    ) -> None:
        """Remember whom to call, and start to listen."""
        super().subscribe(kind, loop, callback)
        self._start("listener", self._listen)

    def announce(self, kinds: set[str]) -> None:
        """Tell this process now and the others within 30 ms."""
        super().announce(kinds)
        with self._lock:
            self._kinds |= kinds
        self._start("notifier", self._notify)
        self._news.set()

    def close(self) -> None:
        """Stop both threads."""
        super().close()
        self._stop.set()
        self._news.set()
        for thread in self._threads.values():
            thread.join(timeout=5)

    def _start(self, name: str, target: Callable[[], None]) -> None:
        with self._lock:
            if name not in self._threads:
                thread = threading.Thread(target=target, name=f"store-{name}", daemon=True)
                thread.start()
                self._threads[name] = thread

    def _notify(self) -> None:
        """Until it is closed, and what was announced before that is sent.

        What a lost connection leaves unsent is sent by the next, unless it is closed meanwhile.
        """
        kinds: set[str] = set()
        while True:
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    self._own_pid = connection.info.backend_pid
                    while self._news.wait():
                        self._news.clear()
                        is_last = self._stop.is_set()  # in this order: whoever closes says both
                        with self._lock:
                            kinds, self._kinds = self._kinds, set()
                        for kind in sorted(kinds):
                            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, kind))
                        kinds = set()
                        if is_last:
                            return
                        self._stop.wait(DEBOUNCE_SECONDS)
            except psycopg.Error as error:
                log.info("notify interrupted: %s", type(error).__name__)
                with self._lock:
                    self._kinds |= kinds
                self._news.set()
                if self._stop.wait(RETRY_SECONDS):
                    return

    def _listen(self) -> None:
        is_told = False  # that it is interrupted, once each time
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    is_told = False
                    while not self._stop.is_set():
                        for notice in connection.notifies(timeout=0.5):
                            if notice.pid != self._own_pid:  # whom that is for heard it here
                                super().announce({notice.payload})
                            if self._stop.is_set():
                                break
            except psycopg.Error as error:
                if not is_told:
                    log.info("listen interrupted: %s", type(error).__name__)
                is_told = True
                self._stop.wait(RETRY_SECONDS)
