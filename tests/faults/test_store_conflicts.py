"""PostgreSQL undoes a transaction for another's sake: it is tried once more, nobody is told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from servers.receiver import until
from sqlalchemy import Connection, text

from service.errors import StoreUnavailable
from service.store import Store, open_store

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def conflicting(postgres_url: str) -> Iterator[Store]:
    """A store that looks for deadlocks after 0.1 s."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '100ms'")
    store = open_store(postgres_url)
    yield store
    store.close()


def touch(connection: Any, name: str) -> None:
    """Lock a row by changing it."""
    connection.execute(f"UPDATE store_facts SET number = number + 1 WHERE name = '{name}'")


class Opponent:
    """Locks `node`, then `identity` once the writer waits for `node`: the writer must give way."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.connection.execute("SET deadlock_timeout = '1min'")
        touch(self.connection, "node")
        self._thread = threading.Thread(target=self._cross, args=(url,))

    def _cross(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as onlooker, self.connection:
            until(lambda: onlooker.execute(WAITING).fetchone() != (0,))
            touch(self.connection, "identity")

    def __enter__(self) -> "Opponent":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_a_deadlock_within_a_group_commit_is_tried_again(
    conflicting: Store, postgres_url: str
) -> None:
    tries = []

    def cross(connection: Connection, tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        tries.append(tx)
        for name in ("identity", "node"):
            touch(connection.connection.cursor(), name)
        return payloads

    conflicting.new_ids()
    with Opponent(postgres_url):
        assert conflicting.write_now(cross, "kept") == "kept"
    assert len(set(tries)) == 2
    with conflicting.read() as connection:
        found = text("SELECT number FROM store_facts WHERE name = 'identity'")
        assert connection.execute(found).scalar_one() == 2


def failing(times: int, code: str) -> tuple[Callable[..., Sequence[Any]], list[int]]:
    """A handler whose first transactions the database undoes with this code, and its tries."""
    tries: list[int] = []

    def handler(connection: Connection, tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        tries.append(tx)
        if len(tries) <= times:
            connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$"))
        return payloads

    return handler, tries


def test_a_serialization_failure_is_tried_again(conflicting: Store) -> None:
    handler, tries = failing(1, "40001")
    assert (conflicting.write_now(handler, "kept"), len(tries)) == ("kept", 2)


def test_a_conflict_that_comes_again_means_come_back(conflicting: Store) -> None:
    handler, tries = failing(9, "40P01")
    with pytest.raises(StoreUnavailable):
        conflicting.write_now(handler, None)
    assert len(tries) == 2


def test_no_other_failure_is_tried_again(conflicting: Store) -> None:
    handler, tries = failing(9, "53200")  # out of memory
    with pytest.raises(StoreUnavailable):
        conflicting.write_now(handler, None)
    assert len(tries) == 1
