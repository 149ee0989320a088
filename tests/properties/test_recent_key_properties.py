"""Whatever becomes of transactions and processes, a dedup key has one owner until it expires."""

import itertools
import sqlite3
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.store.recent_keys import FORGETTING, RESTING, Key, RecentKeys

MINUTE = 60_000_000
NEVER = 1 << 62
SMALL = 6  # keys of a generation, so that most examples move some
DIGESTS = [bytes([6 * number]) + b"%015d" % number for number in range(40)]
WANTED = st.lists(st.tuples(st.sampled_from(DIGESTS), st.integers(1, 90)), min_size=3, max_size=9)
PROCESS = st.sampled_from([0, 1])
CLAIM = st.tuples(st.just("claim"), PROCESS, WANTED, st.sampled_from(["COMMIT"] * 3 + ["ROLLBACK"]))
WAIT = st.tuples(st.just("wait"), st.integers(1, 60))
RESTART = st.tuples(st.just("restart"), PROCESS)
ERASE = st.tuples(st.just("erase"), st.sampled_from(DIGESTS))
RETAIN = st.tuples(st.just("retain"))
STEPS = st.lists(
    CLAIM | CLAIM | CLAIM | CLAIM | WAIT | RESTART | ERASE | RETAIN, min_size=20, max_size=60
)


class Process:
    """One of those that write to the file."""

    def __init__(self, path: Path) -> None:
        self._cursor = sqlite3.connect(path, isolation_level=None).cursor()
        self._cursor.execute("PRAGMA synchronous = OFF")
        self._keys = RecentKeys(self._cursor, SMALL)

    def claim(self, wanted: list[Key], now: int, end: str) -> dict[bytes, int]:
        """In one transaction, in two calls; committed or undone."""
        self._cursor.execute("BEGIN IMMEDIATE")
        self._keys.begin()
        half = len(wanted) // 2
        taken = self._keys.claim(self._cursor, wanted[:half], now)
        taken |= self._keys.claim(self._cursor, wanted[half:], now)
        self._cursor.execute(end)
        return taken

    def close(self) -> None:
        self._cursor.connection.close()


def run(path: Path, statement: str, *values: Any) -> None:
    """In a process of its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def hold_for_ever(path: Path, digest: bytes, owner: int) -> None:
    """As an erasure does."""
    run(
        path,
        "INSERT INTO dedup_keys (digest, delivery_id, expires_at) VALUES (?, ?, ?)"
        " ON CONFLICT (digest) DO UPDATE SET"
        " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at",
        digest, owner, NEVER,
    )  # fmt: skip


def claimed(held: dict[bytes, tuple[int, int]], wanted: list[Key], now: int) -> dict[bytes, int]:
    """What a claim should say; `held` is what is held after it."""
    taken = {}
    for digest, delivery_id, expires_at in wanted:
        owner, until = held.get(digest, (delivery_id, 0))
        if until > now and owner != delivery_id:
            taken[digest] = owner
        else:
            held[digest] = (delivery_id, expires_at)
    return taken


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_a_key_has_one_owner_until_it_expires(sqlite_template: Path, steps: list[Any]) -> None:
    held: dict[bytes, tuple[int, int]] = {}
    ids, now = itertools.count(1), 1_772_442_900_000_000
    with TemporaryDirectory() as folder:
        path = Path(copyfile(sqlite_template, Path(folder) / "store.sqlite"))
        processes = [Process(path), Process(path)]
        for kind, *rest in steps:
            if kind == "wait":
                now += rest[0] * MINUTE
            elif kind == "restart":
                processes[rest[0]].close()
                processes[rest[0]] = Process(path)
            elif kind == "retain":
                run(path, "DELETE FROM dedup_keys WHERE expires_at <= ?", now)
            elif kind == "erase":
                owner, until = held.get(rest[0], (0, 0))
                if until > now:
                    hold_for_ever(path, rest[0], owner)
                    held[rest[0]] = (owner, NEVER)
            else:
                process, asked, end = rest
                wanted = [(d, next(ids), now + minutes * MINUTE) for d, minutes in asked]
                after = dict(held)
                expected = claimed(after, wanted, now)
                assert processes[process].claim(wanted, now, end) == expected
                held = after if end == "COMMIT" else held
        event(f"a move {phase(path)}")
        for process in processes:
            process.close()


def phase(path: Path) -> str:
    """How far the last move came."""
    connection = sqlite3.connect(path)
    asked = "SELECT number, value FROM store_facts WHERE name = 'dedup_move'"
    until, position = connection.execute(asked).fetchone()
    connection.close()
    if not until:
        return "never began"
    return {FORGETTING: "forgets", RESTING: "is over"}.get(int(position), "goes on")
