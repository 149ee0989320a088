"""What a writer waits for after a transaction of several payloads: as many, or its time.

Its time is made so long here that a test which had to wait for it fails.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from busy_writer import write_together

from service.store import Store, open_store, writer
from service.store.writer import ENOUGH_WAITING
from tests.contract.names import kept, put

PATIENCE_SECONDS = 30


@pytest.fixture
def patient(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose transactions begin a minute apart after one of several, unless as many wait."""
    monkeypatch.setattr(writer, "APART_SECONDS", 2.0 * PATIENCE_SECONDS)
    store = open_store(store_url)
    yield store
    store.close()


async def begin(store: Store, count: int = 2) -> None:
    """The transaction of so many after which it waits."""
    jobs = [(put, f"before-{n}") for n in range(count)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await write_together(store, *jobs)


def test_after_a_transaction_of_one_nobody_waits(patient: Store) -> None:
    async def one_after_the_other() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in range(3):
                await patient.write(put, f"t-{number}")

    asyncio.run(one_after_the_other())
    assert kept(patient) == ["t-0", "t-1", "t-2"]


def test_as_many_again_wait_no_longer_and_are_one_transaction(patient: Store) -> None:
    async def write_as_many() -> list[int]:
        await begin(patient, 5)
        futures = [patient.write(put, f"t-{n}") for n in range(5)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return list(await asyncio.gather(*futures))

    assert len(set(asyncio.run(write_as_many()))) == 1


def test_many_wait_no_longer_whatever_was_before(patient: Store) -> None:
    async def write_many() -> None:
        await begin(patient, 2 * ENOUGH_WAITING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(patient.write(put, f"t-{n}") for n in range(ENOUGH_WAITING)))

    asyncio.run(write_many())
    assert len(kept(patient)) == ENOUGH_WAITING


def test_fewer_wait(patient: Store) -> None:
    async def write_fewer() -> int:
        await begin(patient, 5)
        futures = [patient.write(put, f"t-{n}") for n in range(4)]
        await asyncio.wait(futures, timeout=0.05)
        waiting = sum(not future.done() for future in futures)
        await asyncio.to_thread(patient.close)
        return waiting

    assert asyncio.run(write_fewer()) == 4


def test_after_a_small_one_nearly_as_many_wait_as_before_it(
    patient: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write_few() -> list[int]:
        with monkeypatch.context() as patch:
            patch.setattr(writer, "APART_SECONDS", 0.01)
            await begin(patient, 4)
            await patient.write(put, "alone")
        async with asyncio.timeout(PATIENCE_SECONDS):
            futures = [patient.write(put, f"t-{n}") for n in range(2)]
            await asyncio.wait(futures, timeout=0.05)
            futures.append(patient.write(put, "t-2"))
            return list(await asyncio.gather(*futures))

    assert len(set(asyncio.run(write_few()))) == 1


def test_closing_writes_what_waits(patient: Store, store_url: str) -> None:
    async def close_in_haste() -> None:
        await begin(patient)
        last = patient.write(put, "t-1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.to_thread(patient.close)
            await last

    asyncio.run(close_in_haste())
    with closing(open_store(store_url)) as store:
        assert "t-1" in kept(store)
