"""What outlives a restore: who was erased since the copy was made stays away, and what people did
and what must not be sent twice stay known.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from service.lifecycle.erasure import NEVER
from service.lifecycle.owed import OWED
from service.store.ids import ID_EPOCH_MS

WAIT_SECONDS = 60.0
DEED = "id, done_at, person, deed, detail, row_count"
READ = {
    "tombstones": "SELECT delivery_id, erased_at FROM tombstones",
    "events": "SELECT t.delivery_id, e.id FROM tombstones t JOIN events e"
    " ON e.delivery_id = t.delivery_id AND e.id BETWEEN t.delivery_id AND t.delivery_id + 4095",
    "dedup_keys": "SELECT digest, delivery_id, expires_at FROM dedup_keys"
    f" WHERE expires_at >= {NEVER}",
    "audit": f"SELECT {DEED} FROM audit",
    "quarantine": "SELECT id FROM quarantine",
    "action_starts": "SELECT event_id, name, started_at FROM action_starts",
    "store_facts": f"SELECT name, value FROM store_facts WHERE name LIKE '{OWED}%'",
}
"""Erased deliveries, the events of them that were kept, the dedup keys that hold for ever, what
people did, refused deliveries that are left, calls begun that must not be made twice, and which
erased events are yet to go from the history."""


class Lasting(NamedTuple):
    """What is read of the store that is replaced, by table; None where a table cannot be read."""

    rows: dict[str, list[Any] | None]

    def of(self, table: str) -> list[Any]:
        """The rows of a table, as far as they can be read."""
        return self.rows[table] or []

    @property
    def unread(self) -> list[str]:
        """The tables whose loss is felt: without `events` an erased delivery goes whole."""
        return [table for table, rows in self.rows.items() if rows is None and table != "events"]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A store's file, for plain SQL."""
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
        yield connection


def read_lasting(target: Path) -> Lasting:
    """What outlives the store that is there; each by itself, as it may be damaged."""
    return Lasting({table: _read(target, statement) for table, statement in READ.items()})


def _read(target: Path, statement: str) -> list[Any] | None:
    """The rows; None where they cannot be read."""
    if not target.is_file():
        return []
    try:
        with opened(target) as connection:
            return connection.execute(statement).fetchall()
    except sqlite3.Error:
        return None


def write_lasting(part: Path, lasting: Lasting) -> int:
    """Put it into the copy; of how many deliveries something was left out, as it was erased."""
    floor = time.time_ns() // 10**6 - ID_EPOCH_MS  # fewer than 1,000 transactions a second till now
    with opened(part) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE store_facts SET number = max(number, ?) WHERE name = 'transaction'", (floor,)
        )
        connection.executemany(
            "INSERT INTO dedup_keys (digest, delivery_id, expires_at) VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET"
            " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at",
            lasting.of("dedup_keys"),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO action_starts (event_id, name, started_at)"
            " SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM events WHERE id = ?1)",
            lasting.of("action_starts"),
        )
        _leave_out_refused(connection, lasting)
        connection.executemany(
            f"INSERT OR REPLACE INTO audit ({DEED}) VALUES (?, ?, ?, ?, ?, ?)", lasting.of("audit")
        )
        connection.executemany(
            "INSERT OR REPLACE INTO store_facts (name, number, value) VALUES (?, 0, ?)",
            lasting.of("store_facts"),
        )
        survivors: dict[int, set[int]] = {}
        for delivery, event in lasting.of("events"):
            survivors.setdefault(delivery, set()).add(event)
        left_out = [
            _leave_out(connection, delivery, erased_at, survivors.get(delivery, set()))
            for delivery, erased_at in lasting.of("tombstones")
        ]
        connection.execute("COMMIT")
    return sum(left_out)


def _leave_out_refused(connection: sqlite3.Connection, lasting: Lasting) -> None:
    """After an erasure that the copy knows nothing of: what is gone from quarantine stays gone."""
    known = {row[0] for row in connection.execute("SELECT id FROM audit")}
    if any(deed == "erase" and entry not in known for entry, _, _, deed, *_ in lasting.of("audit")):
        there = set(connection.execute("SELECT id FROM quarantine"))
        gone = there.difference(lasting.of("quarantine"))
        connection.executemany("DELETE FROM quarantine WHERE id = ?", gone)


def _leave_out(
    connection: sqlite3.Connection, delivery: int, erased_at: int, kept: set[int]
) -> bool:
    """Remove an erased delivery from the copy, and everything that its erased events left.

    Whether it had such events.
    """
    there = connection.execute(
        "SELECT id FROM events WHERE id BETWEEN ? AND ? AND delivery_id = ?",
        (delivery, delivery + 4095, delivery),
    )
    gone = [(row[0],) for row in there.fetchall() if row[0] not in kept]
    for (table,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
    ).fetchall():
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if "event_id" in columns:
            connection.executemany(f"DELETE FROM {table} WHERE event_id = ?", gone)
    connection.executemany("DELETE FROM events WHERE id = ?", gone)
    connection.execute("UPDATE deliveries SET body = x'' WHERE id = ?", (delivery,))
    if not kept:
        connection.execute("DELETE FROM redeliveries WHERE delivery_id = ?", (delivery,))
        connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery,))
    connection.execute(
        "INSERT OR IGNORE INTO tombstones (delivery_id, erased_at) VALUES (?, ?)",
        (delivery, erased_at),
    )
    return bool(gone)
