"""PostgreSQL's next transaction, begun in one round trip with the commit of the last."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from servers.receiver import until
from sqlalchemy import Connection, text

from service.errors import StoreUnavailable
from service.store import Store, open_store, writer
from tests.contract.names import kept, put


@pytest.fixture
def quick(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store to which all transactions come shortly after others, and whose unused ones wait."""
    monkeypatch.setattr(writer, "OFTEN_SECONDS", 60.0)
    monkeypatch.setattr(writer, "UNUSED_SECONDS", 3600.0)
    store = open_store(postgres_url)
    yield store
    store.close()


def open_ones(store: Store) -> list[int]:
    """The numbers of the transactions that are open, and do nothing."""
    with store.read() as connection:
        found = connection.execute(
            text(
                "SELECT backend_xid::text FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )
        )
        return [int(number) for number in found.scalars()]


def begun_early(store: Store) -> int:
    """The number of a transaction that has begun with a commit."""
    store.write_now(put, "t-1")
    store.write_now(put, "t-2")
    (number,) = until(lambda: open_ones(store))
    return number


def test_the_next_payload_is_written_in_it(quick: Store) -> None:
    begun = begun_early(quick)
    assert quick.write_now(put, "t-3") == begun
    assert kept(quick) == ["t-1", "t-2", "t-3"]


def test_one_that_is_not_used_is_ended_and_the_next_payload_has_its_own(
    quick: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL could clean up nothing that is younger."""
    begun = begun_early(quick)
    monkeypatch.setattr(writer, "UNUSED_SECONDS", 0.01)
    assert quick.write_now(put, "t-3") == begun
    until(lambda: not open_ones(quick))
    assert quick.write_now(put, "t-4") > begun + 1
    assert kept(quick) == ["t-1", "t-2", "t-3", "t-4"]


def test_none_begins_after_one_that_came_alone(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "OFTEN_SECONDS", 0.0)
    monkeypatch.setattr(writer, "UNUSED_SECONDS", 60.0)
    with closing(open_store(postgres_url)) as store:
        store.write_now(put, "t-1")
        store.write_now(put, "t-2")
        assert open_ones(store) == []


def test_closing_does_not_wait_for_its_time(quick: Store) -> None:
    begun_early(quick)
    closer = threading.Thread(target=quick.close, daemon=True)
    closer.start()
    closer.join(30)
    assert not closer.is_alive()


def test_one_that_a_frozen_process_has_begun_is_ended_by_the_server(quick: Store) -> None:
    def limit(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[str]:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
        return [shown] * len(payloads)

    assert quick.write_now(limit, None) == "5min"


def test_one_that_is_lost_meanwhile_is_the_stores_fault_and_the_next_is_written(
    quick: Store,
) -> None:
    begun_early(quick)
    with quick.read() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )
        )
    with pytest.raises(StoreUnavailable):
        quick.write_now(put, "t-3")
    quick.write_now(put, "t-4")
    assert kept(quick) == ["t-1", "t-2", "t-4"]
