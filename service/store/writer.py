"""Group commit: one thread, many callers, one transaction.

While one transaction is being written to disk the next callers gather; the thread then takes all
of them together. An idle writer starts at once, and so does one whose transactions have one payload
each; after larger ones about as many may gather again.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import structlog
from sqlalchemy import Connection, Engine

from service.errors import NotStorable, StoreUnavailable
from service.store.faults import (
    first_line,
    is_away,
    is_conflict,
    is_database_error,
    is_payload_fault,
)

log = structlog.get_logger("hooksift.store")

# handler(connection, tx, payloads) -> results, one for each payload, in their order
Handler = Callable[[Connection, int, Sequence[Any]], Sequence[Any]]

# The thread does up to half a millisecond of work for each transaction, whatever is in it. So far
# apart, a receiver of 1,200 deliveries a second on SQLite took a third less CPU than with none
# waiting; acknowledgements took two milliseconds longer (p50 and p99). On PostgreSQL `serve` took
# a twelfth less at 690, and its server an eighth; acknowledgements took no longer.
APART_SECONDS = 0.004  # at most, where few wait, though several did shortly before
ENOUGH_WAITING = 24  # payloads for which the next transaction begins at once
MAX_BATCH = 1_000  # payloads in one transaction; capping lower lost throughput, higher lost p99
MAX_BATCH_BYTES = 16 << 20  # of payloads in one transaction; a larger one goes alone
MAX_WAITING = 20_000  # payloads in memory before callers are told to come back
MAX_WAITING_BYTES = 256 << 20  # the same in bytes
OFTEN_SECONDS = 0.02  # between the begins of two transactions: the next may begin with the commit
UNUSED_SECONDS = 0.05  # for which one that has begun so waits for its first payload


class Outcome(Protocol):
    """Who is told what became of a payload: a future, or what is told like one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """It is on disk."""

    def set_exception(self, error: Any, /) -> None:
        """It is not."""


class Transactions(Protocol):
    """How the writer's transactions begin and end: service.store.sqlite or .postgres."""

    def begin(self, connection: Connection, /) -> int:
        """Begin one; its number."""

    def insert_waiting(self, connection: Connection, /) -> None:
        """Insert what a handler left for the commit: another one may look for it."""

    def commit(self, connection: Connection, /, *, go_on: bool) -> int | None:
        """Commit; the number of the next one, if it begins with the end of this one."""

    def roll_back(self, connection: Connection, /) -> None:
        """Undo it, and let go of what was left for the commit."""


class Job(msgspec.Struct, eq=False):
    """One caller's payload and the way back to the caller."""

    handler: Handler
    payload: Any
    outcome: Outcome
    loop: asyncio.AbstractEventLoop | None
    size_bytes: int = 0
    result: Any = None
    error: BaseException | None = None


class Writer:
    """A thread that writes, from the first job on.

    `introduce` sees each new connection first, `committed` hears of each transaction, and which
    kinds of work it brought.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        introduce: Callable[[Connection], None],
        transactions: Transactions,
        committed: Callable[[Connection, set[str]], None],
    ) -> None:
        self._name = name
        self._engine = engine
        self._introduce = introduce
        self._transactions = transactions
        self._committed = committed
        self._jobs: deque[Job] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._closed = False
        self._wanted: int | None = None  # payloads that wake the thread, where it waits
        self._taken_at = float("-inf")  # the last payloads, on the monotonic clock
        self._is_often = False  # whether others were taken shortly before them
        self._enough = 1  # payloads: as in the last transaction, or fewer by one than before it
        self._connection: Connection | None = None
        self._begun: int | None = None  # a transaction that nothing was written in
        self._batch: list[Job] = []  # in the thread's hands
        self._thread: threading.Thread | None = None

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; on their own event loop where they have one.

        Those that a closed writer, or one where 20,000 jobs or 256 MB wait, cannot take fail at
        once with StoreUnavailable.
        """
        refused: list[tuple[Job, str]] = []
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            for job in jobs:
                refusal = self._refusal(job)
                if refusal:
                    refused.append((job, refusal))
                else:
                    self._jobs.append(job)
                    self._waiting_bytes += job.size_bytes
            if self._wanted is not None and len(self._jobs) >= self._wanted:
                self._wanted = None
                self._news.notify()
        for job, refusal in refused:
            job.error = StoreUnavailable(refusal)
            finish(job)

    def _refusal(self, job: Job) -> str:
        if self._closed:
            return "the store is closed"
        if len(self._jobs) >= MAX_WAITING:
            return f"{len(self._jobs)} writes wait; limit is {MAX_WAITING}"
        if self._jobs and self._waiting_bytes + job.size_bytes > MAX_WAITING_BYTES:
            return f"{self._waiting_bytes} bytes wait to be written; limit is {MAX_WAITING_BYTES}"
        return ""

    @property
    def waiting_count(self) -> int:
        """How many payloads wait for a transaction."""
        return len(self._jobs)

    def close(self) -> None:
        """Commit what is queued, then stop."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        """Write until closed. Whatever happens meanwhile, whoever waits is told, and it goes on."""
        is_done = False
        while not is_done:
            try:
                is_done = not self._write_next()
            except BaseException as error:  # noqa: BLE001 - no memory, or an extension's panic
                with suppress(BaseException):
                    self._start_over(error)
        self._drop_connection()

    def _start_over(self, error: BaseException) -> None:
        """Let go of the connection, and of the batch: what of it is on disk is not known here."""
        failed, self._batch = self._batch, []
        self._fail(failed, StoreUnavailable(f"the store's writer failed: {type(error).__name__}"))
        settle(failed)
        self._drop_connection()
        log.error("writer_failed", error=type(error).__name__)

    def _write_next(self) -> bool:
        """Write what waits, and let go of it. False once the store is closed and nothing does."""
        if self._begun is not None and not self._comes_soon():
            self._end_unused()
        self._take()
        batch = self._batch
        if batch:
            self._write(batch)
            settle(batch)
            self._batch = []
        return bool(batch)

    def _comes_soon(self) -> bool:
        """Wait a moment for something to write, where nothing does; whether it came."""
        with self._news:
            if not self._jobs and not self._closed:
                self._wanted = 1
                self._news.wait(UNUSED_SECONDS)
                self._wanted = None
            return bool(self._jobs)

    def _end_unused(self) -> None:
        """End what has begun: an open transaction is in the way of PostgreSQL's vacuum."""
        self._begun = None
        if self._connection is not None:
            self._roll_back(self._connection)

    def _take(self) -> None:
        """Take what is to be written next; nothing once the store is closed and nothing waits."""
        with self._news:
            while not self._jobs and not self._closed:
                self._wanted = 1
                self._news.wait()
            self._let_gather()
            now = time.monotonic()
            self._is_often = now - self._taken_at < OFTEN_SECONDS
            self._taken_at = now
            batch = self._batch
            size = 0
            while self._jobs and len(batch) < MAX_BATCH:
                job = self._jobs[0]
                size += job.size_bytes
                if batch and size > MAX_BATCH_BYTES:
                    break
                batch.append(job)  # before it waits no more: without memory nobody is forgotten
                self._waiting_bytes -= job.size_bytes
                self._jobs.popleft()
            self._enough = min(max(len(batch), self._enough - 1), ENOUGH_WAITING)

    def _let_gather(self) -> None:
        """Wait until the next transaction is due, or about as many wait as were in the last ones.

        Senders who each wait for their answer would otherwise be waited for in vain.
        """
        early = self._taken_at + APART_SECONDS - time.monotonic()
        if early > 0 and len(self._jobs) < self._enough and not self._closed:
            self._wanted = self._enough
            self._news.wait(early)
        self._wanted = None

    def _write(self, batch: list[Job]) -> None:
        try:
            self._commit_twice(batch)
        except Exception as error:  # noqa: BLE001 - one bad payload must not fail its neighbours
            if is_away(error):
                self._drop_connection()
                self._fail(batch, unavailable(error))
            elif len(batch) == 1:
                self._fail(batch, verdict(error))
            else:  # each alone, so that only the one at fault fails
                for job in batch:
                    self._write([job])

    def _fail(self, batch: list[Job], error: Exception) -> None:
        for job in batch:
            job.error = error

    def _commit_twice(self, batch: list[Job]) -> None:
        """Once more where another's transaction may have been in the way: ours left nothing."""
        try:
            self._commit(batch)
        except Exception as error:
            if not is_conflict(error):
                raise
            self._commit(batch)

    def _commit(self, batch: list[Job]) -> None:
        connection = self._connect()
        tx, self._begun = self._begun, None
        try:
            if tx is None:
                tx = self._transactions.begin(connection)
            self._handle(connection, tx, batch)
            woken = connection.info.pop("woken", set())
            go_on = bool(self._jobs) or (self._is_often and not self._closed)
            self._begun = self._transactions.commit(connection, go_on=go_on)
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            self._committed(connection, woken)
        except Exception as error:  # noqa: BLE001 - it is on disk: nobody may hear that it failed
            log.warning("after_commit_failed", error=type(error).__name__, reason=str(error))

    def _handle(self, connection: Connection, tx: int, batch: list[Job]) -> None:
        groups: dict[Handler, list[Job]] = {}
        for job in batch:
            groups.setdefault(job.handler, []).append(job)
        own = connection.get_transaction()
        for handler, jobs in groups.items():
            self._transactions.insert_waiting(connection)
            results = handler(connection, tx, [job.payload for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                job.result = result
        if connection.get_transaction() is not own:
            raise RuntimeError("a handler ended the transaction of the writer")

    def _roll_back(self, connection: Connection) -> None:
        try:
            self._transactions.roll_back(connection)
        except Exception:  # noqa: BLE001 - whatever it was, the transaction ends with the connection
            self._drop_connection()

    def _connect(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            self._drop_connection()
        if self._connection is None:
            self._connection = self._engine.connect()
            try:
                self._introduce(self._connection)
            except BaseException:  # what is not prepared is not used
                self._drop_connection()
                raise
        self._connection.info.pop("woken", None)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._begun = None
        if connection is not None:
            with suppress(Exception):  # it may be past any goodbye
                connection.invalidate()
            with suppress(Exception):
                connection.close()


def unavailable(error: Exception) -> StoreUnavailable:
    """The store's failure in the database's words."""
    return StoreUnavailable(f"the store cannot commit: {first_line(error)}")


def verdict(error: Exception) -> Exception:
    """What the caller of a payload that failed alone is told."""
    if is_payload_fault(error):
        told: Exception = NotStorable(f"the store refuses this payload: {type(error).__name__}")
    elif is_database_error(error):
        told = unavailable(error)
    else:
        return error
    told.__cause__ = error
    return told


def settle(batch: list[Job]) -> None:
    """Hand the results back: one wake-up for each event loop, not one for each caller."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in batch:
        if job.loop is None:
            finish(job)
        else:
            loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(finish_all, jobs)
        except RuntimeError:  # that loop has closed: nobody waits any more
            continue


def finish_all(jobs: list[Job]) -> None:
    for job in jobs:
        finish(job)


def finish(job: Job) -> None:
    if job.outcome.done():  # the caller was cancelled; the write stands
        return
    if job.error is None:
        job.outcome.set_result(job.result)
    else:
        job.outcome.set_exception(job.error)
