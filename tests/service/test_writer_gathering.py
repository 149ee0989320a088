"""What SQLite's writer waits for after a transaction of several callers: more, or its time.

Its time is made so long here that a test which had to wait for it would fail.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from busy_writer import write_together

from service.store import Store, open_store, sqlite
from service.store.writer import ENOUGH
from tests.contract.names import kept, put

PATIENCE_SECONDS = 30


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose transactions for several begin an hour apart, unless many wait."""
    monkeypatch.setattr(sqlite, "APART_SECONDS", 3600.0)
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield store
    store.close()


async def begin(store: Store, count: int = 2) -> None:
    """The transaction after which it waits: one of several callers."""
    jobs = [(put, f"t-{-n}") for n in range(count)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await write_together(store, *jobs)


def test_a_single_caller_waits_for_no_others(patient: Store) -> None:
    async def one_after_the_other() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in range(3):
                await patient.write(put, f"t-{number}")

    asyncio.run(one_after_the_other())
    assert kept(patient) == ["t-0", "t-1", "t-2"]


def test_enough_of_them_wait_no_longer_and_are_one_transaction(patient: Store) -> None:
    async def write_enough() -> list[int]:
        await begin(patient)
        first = patient.write(put, "t-1")
        others = [patient.write(put, f"t-{n}") for n in range(2, ENOUGH + 1)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return list(await asyncio.gather(first, *others))

    assert len(set(asyncio.run(write_enough()))) == 1


def test_fewer_wait(patient: Store) -> None:
    async def write_fewer() -> int:
        await begin(patient)
        futures = [patient.write(put, f"t-{n}") for n in range(1, ENOUGH)]
        await asyncio.wait(futures, timeout=0.05)
        waiting = sum(not future.done() for future in futures)
        await asyncio.to_thread(patient.close)
        return waiting

    assert asyncio.run(write_fewer()) == ENOUGH - 1


def test_closing_writes_what_waits(patient: Store) -> None:
    async def close_in_haste() -> None:
        await begin(patient)
        last = patient.write(put, "t-1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.to_thread(patient.close)
            await last

    asyncio.run(close_in_haste())
    assert "t-1" in kept(patient)
