"""Landing: copying what is new in the store into the history, each row once.

The cursor is a row of the history itself and is committed with the rows it stands for, so a landing
happened whole or not at all, wherever the process was killed. It names two states of the store,
`since` (landed) and `until` (being landed), and how far within the two it has come, so that a large
backlog is many small commits. The store says which facts are between two of its states; on
PostgreSQL those are snapshots, because transactions commit in another order than they are numbered.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from types import TracebackType

import duckdb
import pyarrow as pa
import structlog
from sqlalchemy import Connection, text

from analytics.dictionary import FACTS, Table
from analytics.errors import HistoryError, without_credentials
from analytics.history import attach
from analytics.lock import held, lock_of
from analytics.place import Place
from analytics.rows import deliveries_of, size_of, to_arrow
from analytics.settings import HistorySettings
from analytics.upkeep import (
    FEW_FILES,
    SmallFiles,
    drop_old,
    first_due,
    merges_of_small,
    prepare,
    small_files,
    tidying,
)
from analytics.views import EPOCH_MS, ID_SHIFT
from service.store import Store
from service.store.news import follows, mark, news

log = structlog.get_logger("landing")

FIRST_PAGE_ROWS = 500
MOST_PAGE_ROWS = 20_000
WRITER_WAIT_SECONDS = 60.0
# A condition that the statistics of files cannot answer: asking for all of them cost as much as the
# one row, and more with each file.
THIS_STORE = "store || '' = ?"
THIS_LANDING = "store || ' ' || landing_count = ?"


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the landing of one store has come."""

    since: str | None = None  # everything up to this state of the store is landed
    until: str | None = None  # being landed now; None between landings
    table: int = 0  # which of FACTS
    after_id: int = 0  # rows of it up to this id are landed
    replaces: bool = False  # a rebuild: rows may be in the history already

    def to_json(self) -> str:
        """For the history."""
        values = (self.since, self.until, self.table, self.after_id, self.replaces)
        return json.dumps(dict(zip(self.__slots__, values, strict=True)))

    @classmethod
    def from_json(cls, found: str | None) -> "Cursor":
        """As the history holds it; a new one where it holds none."""
        return cls(**json.loads(found)) if found else cls()


class Outpaced(Exception):  # noqa: N818 - no error: what was begun is begun anew
    """Another lander has committed since this one read the cursor; nothing of ours is written."""


@dataclass(slots=True)
class Landed:
    """What one landing did."""

    rows: dict[str, int] = field(default_factory=dict)
    commit_count: int = 0
    lag_seconds: float = 0.0  # age of the oldest fact when it was committed; 0 without news
    took_seconds: float = 0.0

    @property
    def row_count(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


class Lander:
    """Lands one store into one history. All its methods are for one thread at a time."""

    def __init__(
        self,
        store: Store,
        place: Place,
        settings: HistorySettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._place = place
        self._writer = lock_of(place, "writer")
        self._merge = lock_of(place, "merge")
        self._page_rows: dict[str, int] = {}
        # Of each table, since none were to be merged; so many of none: what is there is looked at.
        self._new_files = Counter({"": FEW_FILES})
        self._unmergeable: set[str] = set()  # tables of which a merge has failed
        self._known: tuple[Cursor, int] | None = None  # the cursor in `landings`, and its number
        with held(self._writer, WRITER_WAIT_SECONDS):
            self._lake = self._open()
            prepare(self._lake)
        with store.read() as connection:
            self._identity = identity_of(connection)

    def _open(self, *, again: bool = False) -> duckdb.DuckDBPyConnection:
        return attach(
            self._place,
            read_only=False,
            threads=self._settings.threads,
            memory_mb=self._settings.memory_mb,
            inline_rows=self._settings.inline_rows,
            verify_extensions=not again,
        )

    def land(self) -> Landed:
        """Land everything that is committed in the store now."""
        started = time.monotonic()
        landed = Landed()
        with held(self._writer, WRITER_WAIT_SECONDS):
            is_done = False
            while not is_done:
                with suppress(Outpaced):
                    is_done = self._step(landed)
        landed.took_seconds = time.monotonic() - started
        return landed

    def rebuild(self) -> Landed:
        """Replace every row that the store still holds. What it no longer holds stays.

        Killed in the middle, the next landing that finds news goes on with it, or the one after the
        next upkeep.
        """
        with held(self._writer, WRITER_WAIT_SECONDS), self._commit():
            with self._store.read() as connection:
                until = mark(connection)
            self._known = None
            self._load()
            self._save(Cursor(until=until, replaces=True))
        return self.land()

    def maintain(self) -> bool:
        """All of the upkeep at once, and merges of all small files, due or not.

        False where a reader holds merges off: try again soon.
        """
        return all(self.upkeep(merging=True))

    def merge(self, room_rows: float) -> None:
        """Merge small files of one table, where that is due and no reader holds it off.

        Few of them wait while they hold more than `room_rows`; many do not. A merge that fails is
        in the log, and tried again after the next upkeep.
        """
        if max(self._new_files.values(), default=0) < FEW_FILES:
            return
        found = small_files(self._lake, self._place)
        mergeable = [files for files in found if files.table not in self._unmergeable]
        files = first_due(mergeable, room_rows)
        if files is not None:
            self._try_to_merge(files)
        elif first_due(mergeable, inf) is None:
            self._new_files.clear()

    def _try_to_merge(self, files: SmallFiles) -> None:
        try:
            self._beside_no_reader(partial(self._lake.execute, files.merge))
        except duckdb.Error as error:
            self._unmergeable.add(files.table)
            log.warning("merge_failed", table=files.table, reason=without_credentials(error))

    def upkeep(self, *, merging: bool = False) -> Iterator[bool]:
        """Move inlined rows into files, expire old snapshots, delete old files, in steps.

        For now and then; a landing can come between two steps. False where a reader holds merges
        off: the same step comes again. `merging`: all files below 1 MB are merged too.
        """
        yield from self._each_beside_no_reader(tidying())
        if merging:
            yield from self._each_beside_no_reader(merges_of_small())
        drop = partial(drop_old, self._lake, self._place, self._settings, self._clock())
        while not self._beside_no_reader(drop):
            yield False
        # Only an end of its DuckDB gives back what a merge took: it was 50 MB more each time.
        fresh = self._open(again=True)
        self._lake.close()
        self._lake, self._known = fresh, None
        self._unmergeable.clear()
        yield True

    def _each_beside_no_reader(self, statements: Iterable[str]) -> Iterator[bool]:
        for statement in statements:
            while not self._beside_no_reader(partial(self._lake.execute, statement)):
                yield False
            yield True

    def _beside_no_reader(self, step: Callable[[], object]) -> bool:
        with held(self._writer, WRITER_WAIT_SECONDS):
            if not self._merge.take():
                return False
            try:
                step()
            finally:
                self._merge.give_back()
        return True

    def close(self) -> None:
        """Let go of the history."""
        self._lake.close()
        self._writer.give_back()

    def __enter__(self) -> "Lander":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _step(self, landed: Landed) -> bool:
        """One commit of at most `page_rows` rows; True when nothing is left to land."""
        with self._commit():
            before = self._load()
            cursor = self._begin(before)
            if cursor.until == cursor.since:
                return True
            counts, cursor, oldest = self._pages(cursor)
            # What an earlier commit began, perhaps of a killed landing, is followed by the rest.
            is_done = cursor.until is None and before.until is None
            if not counts and before.until is None and not cursor.replaces:
                return True  # the store moved on without new facts: nothing worth a commit
            self._save(cursor)
        self._count(landed, counts, oldest)
        return is_done

    def _begin(self, cursor: Cursor) -> Cursor:
        """The cursor with an `until`: the one it was killed at, or the store's state now."""
        last = cursor.until or cursor.since
        with self._store.read() as connection:
            until = mark(connection)
            if last is not None and not follows(connection, until, last):
                # The store was restored from a backup: its numbers do not say what is landed.
                return Cursor(until=until, replaces=True)
        return replace(cursor, until=cursor.until or until)

    def _pages(self, cursor: Cursor) -> tuple[dict[str, int], Cursor, int | None]:
        """Insert pages until the rows or bytes of one commit are reached or nothing is left."""
        counts: dict[str, int] = {}
        oldest: int | None = None
        room_rows, room_bytes = self._settings.page_rows, self._settings.page_bytes
        while cursor.table < len(FACTS) and room_rows > 0 and room_bytes > 0:
            table = FACTS[cursor.table]
            page, last_id, is_last = self._read(table, cursor, room_rows)
            if page is not None:
                self._insert(table, page, replaces=cursor.replaces)
                counts[table.name] = counts.get(table.name, 0) + page.num_rows
                room_rows -= page.num_rows
                room_bytes -= size_of(page)
                first_id = page.column("id")[0].as_py()
                oldest = first_id if oldest is None else min(oldest, first_id)
            cursor = (
                replace(cursor, table=cursor.table + 1, after_id=0)
                if is_last
                else replace(cursor, after_id=last_id)
            )
        if cursor.table == len(FACTS):
            cursor = Cursor(since=cursor.until)
        return counts, cursor, oldest

    def _read(self, table: Table, cursor: Cursor, room: int) -> tuple[pa.Table | None, int, bool]:
        """The next page of a table, its last id, and whether it is the last page.

        Each page is read in a transaction of its own, which lasts no longer than the reading: while
        one is open SQLite's log cannot restart, and PostgreSQL cannot clean up. A fact that the
        store drops between two pages is not landed, others about the same event may be.
        """
        assert cursor.until is not None
        limit = min(self._page_rows.get(table.name, FIRST_PAGE_ROWS), room)
        with self._store.read() as connection:
            rows = news(connection, table.name, cursor.since, cursor.until, cursor.after_id, limit)
            deliveries = deliveries_of(rows, connection) if table.name == "events" else {}
        if not rows:
            return None, 0, True
        page = to_arrow(table, rows, self._clock(), deliveries)
        fitting = self._settings.page_bytes * len(rows) // (2 * max(1, size_of(page)))
        self._page_rows[table.name] = max(1, min(MOST_PAGE_ROWS, fitting))
        return page, rows[-1].id, len(rows) < limit

    def _insert(self, table: Table, page: pa.Table, *, replaces: bool) -> None:
        self._lake.register("page", page)
        if replaces:
            bodies = ", body, body_bytes" if table.name == "events" else ""
            self._lake.execute(
                f"CREATE OR REPLACE TEMP TABLE kept AS SELECT id, landed_at{bodies}"
                f" FROM {table.name} WHERE id IN (SELECT id FROM page)"
            )
            self._lake.execute(f"DELETE FROM {table.name} WHERE id IN (SELECT id FROM kept)")
            same = "coalesce(kept.landed_at, page.landed_at) AS landed_at"
            if bodies:  # which the store may have dropped already
                same += ", coalesce(page.body, kept.body) AS body"
                same += ", coalesce(page.body_bytes, kept.body_bytes) AS body_bytes"
            self._lake.execute(
                f"INSERT INTO {table.name} BY NAME"
                f" SELECT page.* REPLACE ({same}) FROM page LEFT JOIN kept USING (id)"
            )
        else:
            self._lake.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM page")
        self._lake.unregister("page")
        self._new_files[table.name] += 1

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """One transaction of the history: committed at the end, rolled back on an error."""
        self._lake.execute("BEGIN")
        try:
            yield
            self._end()
        except BaseException:
            self._known = None  # to be read again
            with suppress(duckdb.Error):  # the error may have ended the transaction already
                self._lake.execute("ROLLBACK")
            raise

    def _end(self) -> None:
        try:
            self._lake.execute("COMMIT")
        except duckdb.Error as failed:
            said = without_credentials(failed)
            raise HistoryError(f"the history could not commit: {said}") from None

    def _load(self) -> Cursor:
        """The cursor. It is remembered, but never that there is none: another may land first."""
        if self._known is None:
            found = self._lake.execute(
                f"SELECT cursor, landing_count FROM landings WHERE {THIS_STORE}", [self._identity]
            ).fetchone()
            if found is None:
                return Cursor()
            self._known = (Cursor.from_json(found[0]), found[1])
        return self._known[0]

    def _save(self, cursor: Cursor) -> None:
        """Write the cursor in the place of the one that was loaded.

        Raises Outpaced where another lander has written since. Had one written since this
        transaction began, its commit fails.
        """
        values = [cursor.to_json(), self._clock()]
        if self._known is None:
            self._lake.execute(
                "INSERT INTO landings (cursor, landed_at, store, landing_count)"
                " VALUES (?, ?, ?, 1)",
                [*values, self._identity],
            )
            self._known = (cursor, 1)
            return
        count = self._known[1]
        updated = self._lake.execute(
            "UPDATE landings SET cursor = ?, landed_at = ?, landing_count = landing_count + 1"
            f" WHERE {THIS_LANDING}",
            [*values, f"{self._identity} {count}"],
        ).fetchone()
        if updated == (0,):
            raise Outpaced
        self._known = (cursor, count + 1)

    def _count(self, landed: Landed, counts: dict[str, int], oldest: int | None) -> None:
        for name, count in counts.items():
            landed.rows[name] = landed.rows.get(name, 0) + count
        landed.commit_count += 1
        if oldest is not None:
            age = self._clock().timestamp() - ((oldest >> ID_SHIFT) + EPOCH_MS) / 1000
            landed.lag_seconds = max(landed.lag_seconds, age)


def identity_of(connection: Connection) -> str:
    """Which store this is; a copy of it has the same identity, a new one another."""
    row = connection.execute(text("SELECT value FROM store_facts WHERE name = 'identity'"))
    return str(row.scalar_one())
