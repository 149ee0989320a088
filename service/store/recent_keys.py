"""SQLite's newest dedup keys: appended to a table of their own, and held in memory.

A digest lands anywhere in the index of all keys, so each new one wrote a page for itself: more than
half of what a commit wrote. The new keys of a transaction are one row of `dedup_recent` instead.
Once many are there they move to `dedup_keys`, one slice of its index after the other, so that a
page takes many of them; then their rows are deleted, the oldest first.

All of this follows from what the database says, the progress of a move too: after an undone
transaction, another process's or a crash, what is read next is right.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

GENERATION = 32_768  # keys that move together
PACE = 2  # keys moved for each new one
SLICES = 256  # of the index: by the first byte of the digest
FORGETTING = SLICES  # all slices have moved: the rows go
RESTING = -1  # nothing moves
ROWS = 100  # deleted in one transaction
CHUNK = 512  # digests looked up in one statement
HOUR = 3_600_000_000
DAY = 24 * HOUR

MOVE = (
    "INSERT INTO dedup_keys (digest, delivery_id, expires_at) VALUES (?, ?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET"
    " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at"
    " WHERE dedup_keys.expires_at < excluded.expires_at"
)
# A distant expiry is rounded up to the hour: the index of expiries too takes them side by side.
MOVE_DISTANT = MOVE.replace("(?, ?, ?)", f"(?, ?, (? + {HOUR - 1}) / {HOUR} * {HOUR})")

# Digest, delivery id, expiry in microseconds since 1970; as it stands in a row.
Key = tuple[bytes, int, int]
KEY = struct.Struct(">16sqq")


class Generation:
    """Keys of consecutive rows, and to which slices they belong."""

    def __init__(self) -> None:
        self.keys: dict[bytes, Key] = {}
        self.slices: list[list[bytes]] = [[] for _ in range(SLICES)]

    def add(self, keys: Iterable[Key]) -> None:
        """Some more; one that had expired may come again."""
        for key in keys:
            digest = key[0]
            self.keys[digest] = key
            self.slices[digest[0]].append(digest)

    def owners(self, digests: set[bytes], now: int) -> dict[bytes, int]:
        """Who holds those of the keys that are held."""
        found = (self.keys[digest] for digest in self.keys.keys() & digests)
        return {digest: owner for digest, owner, expires_at in found if expires_at > now}


class RecentKeys:
    """The keys of `dedup_recent`, as the connection of the writer knows them."""

    def __init__(self, cursor: Any, generation: int = GENERATION) -> None:
        self._generation = generation
        self._young = self._old = Generation()
        self._last_read = 0  # the last row that was read
        self._last_old = -1  # the last row of the old generation
        self._position = RESTING  # the slice of it that moves next
        self._owed = 0  # keys that should have moved by now; only a pace
        self._held: dict[bytes, int] | None = None  # owners found or made in this transaction
        self._read(cursor)

    def begin(self) -> None:
        """Another transaction begins; what became of the last one is read when it matters."""
        self._held = None

    def claim(self, cursor: Any, keys: Sequence[Key], now: int) -> dict[bytes, int]:
        """Take the keys that nobody holds; returns owners of those held by other deliveries."""
        if self._held is None:
            self._read(cursor)
            self._held = {}
        held = self._held
        held.update(self._owners(cursor, {key[0] for key in keys}.difference(held), now))
        fresh: list[Key] = []
        taken: dict[bytes, int] = {}
        for key in keys:
            digest, delivery_id, _ = key
            owner = held.get(digest)
            if owner is None:
                held[digest] = delivery_id
                fresh.append(key)
            elif owner != delivery_id:
                taken[digest] = owner
        if fresh:
            packed = b"".join([KEY.pack(*key) for key in fresh])
            cursor.execute("INSERT INTO dedup_recent (keys) VALUES (?)", (packed,))
            self._go_on(cursor, PACE * len(fresh), now)
        return taken

    def _read(self, cursor: Any) -> None:
        """Learn what was committed since; all of it where a move is not where it was left."""
        last_old, position = cursor.execute(
            "SELECT number, value FROM store_facts WHERE name = 'dedup_move'"
        ).fetchone()
        self._position = int(position)
        indexed = self._position in (FORGETTING, RESTING)
        if last_old != self._last_old:
            self._young, self._old = Generation(), Generation()
            self._last_old, self._last_read = last_old, last_old if indexed else 0
        elif indexed and self._old.keys:
            self._old = Generation()
        rows = cursor.execute(
            "SELECT id, keys FROM dedup_recent WHERE id > ? ORDER BY id", (self._last_read,)
        )
        for row, packed in rows:
            (self._young if row > last_old else self._old).add(KEY.iter_unpack(packed))
            self._last_read = row

    def _owners(self, cursor: Any, digests: set[bytes], now: int) -> dict[bytes, int]:
        """Who holds those of the keys that are held: by memory first, then by the index."""
        owners = self._old.owners(digests, now) | self._young.owners(digests, now)
        unknown = list(digests.difference(owners))
        for start in range(0, len(unknown), CHUNK):
            chunk = unknown[start : start + CHUNK]
            size = 1 << (len(chunk) - 1).bit_length()  # few sizes: the driver keeps the statements
            chunk += chunk[:1] * (size - len(chunk))
            found = cursor.execute(
                "SELECT digest, delivery_id FROM dedup_keys"
                f" WHERE expires_at > ? AND digest IN ({', '.join('?' * size)})",
                (now, *chunk),
            )
            owners.update(found.fetchall())
        return owners

    def _go_on(self, cursor: Any, count: int, now: int) -> None:
        """Take the move on by about so many keys; a full young generation is the next to move."""
        if self._position == RESTING:
            if len(self._young.keys) < self._generation:
                return
            self._old, self._young = self._young, Generation()
            self._last_old, self._position, self._owed = self._last_read, 0, 0
        if self._position == FORGETTING:
            self._forget(cursor)
        else:
            self._move(cursor, count, now)
        cursor.execute(
            "UPDATE store_facts SET number = ?, value = ? WHERE name = 'dedup_move'",
            (self._last_old, str(self._position)),
        )

    def _move(self, cursor: Any, count: int, now: int) -> None:
        """Put the next slices into the index."""
        self._owed += count
        while self._position < FORGETTING:
            digests = self._old.slices[self._position]
            if len(digests) > self._owed:
                return
            self._owed -= len(digests)
            self._position += 1
            live = [key for d in digests if (key := self._old.keys[d])[2] > now]
            cursor.executemany(MOVE_DISTANT, [key for key in live if key[2] >= now + DAY])
            cursor.executemany(MOVE, [key for key in live if key[2] < now + DAY])

    def _forget(self, cursor: Any) -> None:
        """Delete the oldest rows of what has moved."""
        gone = cursor.execute(
            "DELETE FROM dedup_recent WHERE id IN"
            " (SELECT id FROM dedup_recent WHERE id <= ? ORDER BY id LIMIT ?)",
            (self._last_old, ROWS),
        )
        if gone.rowcount < ROWS:
            self._position = RESTING


def stored_keys(cursor: Any) -> Iterator[Key]:
    """All keys of `dedup_recent`; those that moved stand in `dedup_keys` too."""
    for (packed,) in cursor.execute("SELECT keys FROM dedup_recent ORDER BY id"):
        yield from KEY.iter_unpack(packed)
