"""A writer to whom the unexpected happens: its callers are told, and the next ones served."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from service.errors import StoreUnavailable
from service.store import Store
from service.store.writer import Handler, Job
from tests.contract.names import kept, put

PATIENCE_SECONDS = 30


class Panic(BaseException):
    """What extensions in Rust raise: no Exception."""


def panics(_connection: Connection, _tx: int, _payloads: Sequence[Any]) -> list[Any]:
    raise Panic("out of bounds")


async def told(store: Store, handler: Handler, payload: Any) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await store.write(handler, payload)


def test_who_waits_for_a_handler_that_panics_is_told(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match=r"the store's writer failed: Panic"):
        asyncio.run(told(store, panics, None))


def test_after_a_panic_others_are_written(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        asyncio.run(told(store, panics, None))
    asyncio.run(told(store, put, "t-later"))
    assert kept(store) == ["t-later"]


def test_nothing_of_a_panic_is_committed_with_what_comes_next(store: Store) -> None:
    def puts_and_panics(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[Any]:
        put(connection, tx, payloads)
        raise Panic

    with pytest.raises(StoreUnavailable):
        asyncio.run(told(store, puts_and_panics, "t-half"))
    asyncio.run(told(store, put, "t-later"))
    assert kept(store) == ["t-later"]


@pytest.fixture
def failing_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes one of the database's own steps fail once, in a way that is not the database's."""

    def fail(step: str) -> None:
        words = store._words
        real = getattr(words, step)
        errors: Iterator[Exception] = iter([MemoryError()])

        def once(*arguments: Any, **options: Any) -> Any:
            for error in errors:
                raise error
            return real(*arguments, **options)

        monkeypatch.setattr(words, step, once)

    return fail


def refuses(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[Any]:
    put(connection, tx, payloads)
    raise ValueError("a handler's own")


@pytest.mark.parametrize(
    ("step", "handler", "error"),
    [
        ("prepare_writer", put, MemoryError),
        ("begin", put, MemoryError),
        ("commit", put, MemoryError),
        ("roll_back", refuses, ValueError),
    ],
)
def test_a_step_that_failed_is_behind_the_writer(
    store: Store,
    failing_once: Callable[[str], None],
    step: str,
    handler: Handler,
    error: type[Exception],
) -> None:
    """A connection that was not prepared, or not rolled back, is not used again."""
    failing_once(step)
    with pytest.raises(error):
        asyncio.run(told(store, handler, "t-first"))
    asyncio.run(told(store, put, "t-later"))
    assert kept(store) == ["t-later"]


class NoRoom(list[Job]):
    """A batch that cannot grow."""

    def append(self, _job: Job) -> None:
        raise MemoryError


def test_a_payload_that_there_was_no_memory_to_take_is_taken_next(store: Store) -> None:
    async def write() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await store.write(put, "t-1", 1_000)

    store._writer._batch = NoRoom()
    asyncio.run(write())
    assert (kept(store), store._writer._waiting_bytes) == (["t-1"], 0)


def test_a_store_whose_writer_failed_closes(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        asyncio.run(told(store, panics, None))
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(told(store, put, "late"))
