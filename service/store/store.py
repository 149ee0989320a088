"""The event store as the rest of the program sees it."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from service.errors import SettingsError, StoreUnavailable
from service.store import postgres, schema, sqlite
from service.store.checkpoints import Checkpoints
from service.store.faults import DATABASE_ERRORS, first_line, is_away
from service.store.ids import IdMaker
from service.store.wake import LocalWake, PostgresWake
from service.store.writer import Handler, Job, Outcome, Writer, unavailable

TAKE_NUMBER = "UPDATE store_facts SET number = number + 1 WHERE name = 'transaction'"
TAKE_NODE = "UPDATE store_facts SET number = number + 1 WHERE name = 'node' RETURNING number"
DIALECTS: dict[str, ModuleType] = {"sqlite": sqlite, "postgresql": postgres}


def open_store(url: str, *, upgrade: bool = True) -> "Store":
    """Open the store at `url`, creating or upgrading its schema unless `upgrade` is False.

    Raises SettingsError for a URL that is neither SQLite nor PostgreSQL, SchemaError for a store
    that a newer program made or that is damaged, StoreUnavailable when it cannot be reached.
    """
    engine = make_engine(url)
    try:
        revision = schema.prepare(engine, upgrade=upgrade)
        if upgrade:
            DIALECTS[engine.dialect.name].renumber_restored(engine)
    except BaseException as error:
        engine.dispose()
        if is_away(error):
            name = engine.url.database
            raise StoreUnavailable(
                f"the store {name} cannot be opened: {first_line(error)}"
            ) from error
        raise
    return Store(engine, revision)


def make_engine(url: str) -> Engine:
    """The engine for a store's URL, nothing opened yet."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise SettingsError(
            "store is not a database URL; write sqlite:///path or postgresql://user@host/name"
        ) from error
    dialect = DIALECTS.get(parsed.get_backend_name())
    if dialect is None:
        raise SettingsError(
            f"store is a {parsed.get_backend_name()}:// URL;"
            " write sqlite:///path or postgresql://user@host/name"
        )
    engine: Engine = dialect.make_engine(parsed)
    return engine


def words_of(connection: Connection) -> Any:
    """The module that speaks this connection's dialect: service.store.sqlite or .postgres."""
    return DIALECTS[connection.dialect.name]


class Store:
    """Reads for anybody, writes through threads that commit many callers' together.

    On PostgreSQL there are two, so that deliveries, which somebody waits for, do not queue behind
    what becomes of events. SQLite has one: it takes one transaction at a time anyway.
    """

    def __init__(self, engine: Engine, revision: str) -> None:
        self.engine = engine
        self._revision = revision
        self.dialect = engine.dialect.name
        self._words: Any = DIALECTS[self.dialect]
        self._whole_reads: Engine = self._words.for_whole_reads(engine)
        self._single_reads: Engine = self._words.for_single_reads(engine)
        self._wake = PostgresWake(engine.url) if self.dialect == "postgresql" else LocalWake()
        self._checkpoints = Checkpoints(engine) if self.dialect == "sqlite" else None
        self._writer = self._intake = self._new_writer("store-writer")
        if self.dialect == "postgresql":
            self._intake = self._new_writer("store-intake")
        self._introducing = threading.Lock()
        self._ids: IdMaker | None = None
        self._closed = False

    def _new_writer(self, name: str) -> Writer:
        engine = self.engine.execution_options(hooksift_writes=True, hooksift_schema=self._revision)
        return Writer(name, engine, self._introduce, self._words, self._committed)

    def _committed(self, connection: Connection, kinds: set[str]) -> None:
        """Pass on that something was committed, and which kinds of work; on a writer's thread."""
        if self._checkpoints is not None:
            self._checkpoints.committed(connection)
        if kinds:
            self._wake.announce(kinds)

    def new_ids(self, count: int = 1) -> int:
        """The first of `count` consecutive ids; may be called inside a handler too."""
        if self._ids is None:
            self.write_now(_nothing, None)  # the writer introduces itself before it writes
        assert self._ids is not None
        return self._ids.take(count)

    def _introduce(self, connection: Connection) -> None:
        """Prepare a writer's connection, and take this process's node, once; on its thread."""
        self._words.prepare_writer(connection)
        with self._introducing:
            if self._ids is None:
                with connection.begin():
                    node = connection.exec_driver_sql(TAKE_NODE).scalar_one()
                self._ids = IdMaker(int(node))

    def write(self, handler: Handler, payload: Any, size_bytes: int = 0) -> "asyncio.Future[Any]":
        """Run `handler` on a thread that writes; the future has this payload's result once on disk.

        handler(connection, tx, payloads) gets every payload waiting for it and returns a result for
        each, in order; it may be called again with some of them after a transaction was undone.
        The future raises StoreUnavailable when nothing could be committed, or too much waits.
        `size_bytes` is what a large payload weighs.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._writer.submit([Job(handler, payload, future, loop, size_bytes)])
        return future

    def take_in(self, handler: Handler, writes: Sequence[tuple[Any, int, Outcome]]) -> None:
        """The same for many deliveries, each with its size, and who is told on this event loop."""
        loop = asyncio.get_running_loop()
        jobs = [Job(handler, payload, outcome, loop, size) for payload, size, outcome in writes]
        self._intake.submit(jobs)

    def write_now(self, handler: Handler, payload: Any) -> Any:
        """The same for plain code: blocks until the commit is on disk."""
        future: Future[Any] = Future()
        self._writer.submit([Job(handler, payload, future, None)])
        return future.result()

    def try_writing(self) -> None:
        """Commit a transaction without facts, under no node; StoreUnavailable where none can be."""
        try:
            with self.engine.execution_options(hooksift_writes=True).begin() as connection:
                connection.exec_driver_sql(TAKE_NUMBER)
        except DATABASE_ERRORS as error:
            raise unavailable(error) from error

    def read(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction of its own that sees one state of the store."""
        return self._reading(self._whole_reads)

    def read_once(self) -> AbstractContextManager[Connection]:
        """A connection for statements that each may see a state of their own; cheaper."""
        return self._reading(self._single_reads)

    @contextmanager
    def _reading(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.connect() as connection:
                yield connection
        except DATABASE_ERRORS as error:
            if not is_away(error):
                raise
            raise StoreUnavailable(f"the store cannot be read: {first_line(error)}") from error

    def subscribe(self, kind: str, callback: Callable[[], None]) -> None:
        """Call back on this event loop when work of that kind was committed, here or elsewhere.

        A hint, never a promise: whoever waits also polls.
        """
        self._wake.subscribe(kind, asyncio.get_running_loop(), callback)

    @property
    def waiting_count(self) -> int:
        """Payloads that wait for a transaction."""
        return sum(writer.waiting_count for writer in {self._intake, self._writer})

    def close(self) -> None:
        """Commit what is queued, stop the threads, close the connections."""
        if not self._closed:
            self._closed = True
            for writer in (self._intake, self._writer):
                writer.close()
            if self._checkpoints is not None:
                self._checkpoints.close()
            self._wake.close()
            self.engine.dispose()


def _nothing(connection: Connection, tx: int, payloads: Sequence[None]) -> Sequence[None]:
    return payloads
