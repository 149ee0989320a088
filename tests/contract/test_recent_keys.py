"""SQLite's newest dedup keys move to their index a few at a time, and nothing of them is lost."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import make_url, text

from service.store import open_store
from service.store.intake import Receipt
from service.store.recent_keys import DAY, HOUR, KEY, Key, RecentKeys
from service.store.schema import config
from service.store.store import make_engine
from tests.contract.test_intake import arrival, keep

NOW = 1_772_442_900_000_000  # 15 minutes past an hour
NEVER = 1 << 62
SMALL = 50
Claim = Callable[..., dict[bytes, int]]


def digest(number: int) -> bytes:
    return (number * 97 % 256).to_bytes(1, "big") + b"%015d" % number


@pytest.fixture
def cursor(sqlite_url: str) -> Iterator[sqlite3.Cursor]:
    connection = sqlite3.connect(str(make_url(sqlite_url).database), isolation_level=None)
    yield connection.cursor()
    connection.close()


@pytest.fixture
def claim(cursor: sqlite3.Cursor) -> Claim:
    """Claims keys in a transaction each time."""
    keys = RecentKeys(cursor, SMALL)

    def claim_in_a_transaction(*wanted: Key, now: int = NOW) -> dict[bytes, int]:
        cursor.execute("BEGIN IMMEDIATE")
        keys.begin()
        taken = keys.claim(cursor, wanted, now)
        cursor.execute("COMMIT")
        return taken

    return claim_in_a_transaction


def more(claim: Claim, first: int, count: int, expires_at: int = NOW + 3 * DAY) -> None:
    """New keys, five in a transaction."""
    for start in range(first, first + count, 5):
        claim(*((digest(n), n, expires_at) for n in range(start, start + 5)))


def in_index(cursor: sqlite3.Cursor, number: int) -> Any:
    """Owner and expiry of a key that has moved."""
    asked = "SELECT delivery_id, expires_at FROM dedup_keys WHERE digest = ?"
    return cursor.execute(asked, (digest(number),)).fetchone()


def test_the_newest_keys_stay_few(claim: Claim, cursor: sqlite3.Cursor) -> None:
    more(claim, 1, 20 * SMALL)
    packed = cursor.execute("SELECT sum(length(keys)) FROM dedup_recent").fetchone()[0]
    assert packed / KEY.size < 3 * SMALL


def test_a_distant_expiry_is_rounded_up_to_the_hour(claim: Claim, cursor: sqlite3.Cursor) -> None:
    more(claim, 1, 4 * SMALL)
    assert in_index(cursor, 1) == (1, NOW + 3 * DAY + HOUR * 3 // 4)


def test_a_near_expiry_is_kept_to_the_microsecond(claim: Claim, cursor: sqlite3.Cursor) -> None:
    more(claim, 1, 4 * SMALL, NOW + HOUR)
    assert in_index(cursor, 1) == (1, NOW + HOUR)


def test_a_key_that_expired_does_not_move(claim: Claim, cursor: sqlite3.Cursor) -> None:
    claim((digest(0), 7, NOW - 1), now=NOW - HOUR)
    more(claim, 1, 4 * SMALL)
    assert in_index(cursor, 0) is None


def test_a_key_that_holds_for_ever_outlives_a_move(claim: Claim, cursor: sqlite3.Cursor) -> None:
    """An erasure writes it into the index while the same key is among the newest."""
    claim((digest(0), 7, NOW + 3 * DAY))
    cursor.execute("INSERT INTO dedup_keys VALUES (?, 7, ?)", (digest(0), NEVER))
    more(claim, 1, 4 * SMALL)
    assert in_index(cursor, 0) == (7, NEVER)


def test_new_keys_share_a_page(claim: Claim, cursor: sqlite3.Cursor) -> None:
    """Each in the index of all keys would write one of its own: about 60."""
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO dedup_keys SELECT randomblob(16), i, ? FROM n",
        (NEVER,),
    )
    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    claim(*((digest(n), n, NOW + 3 * DAY) for n in range(60)))
    (_, pages, _) = cursor.execute("PRAGMA wal_checkpoint").fetchone()
    assert 0 < pages <= 3


def test_a_key_outlives_a_step_down_and_up(store_url: str) -> None:
    """What an older program finds, and this one again."""
    store = open_store(store_url)
    first = arrival(store, "k")
    keep(store, first)
    store.close()
    engine = make_engine(store_url).execution_options(hooksift_writes=True)
    with engine.connect() as connection, connection.begin(), config(connection) as made:
        command.downgrade(made, "0003")
        assert connection.execute(text("SELECT count(*) FROM dedup_keys")).scalar_one() == 1
    engine.dispose()
    store = open_store(store_url)
    assert keep(store, arrival(store, "k")) == Receipt(first.id, 0, duplicate=True)
    store.close()
