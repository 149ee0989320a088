"""What SQLite says in its own words: set-up, hot statements, and which facts are new.

Statements run on the driver's cursor: one round through SQLAlchemy for each row would cost more
than the row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from service.store.recent_keys import RecentKeys, stored_keys
from service.store.schema import refuse_other
from service.store.tables import Rows

PRAGMAS = (
    "PRAGMA page_size = 8192",  # of a new file; at 4096 a delivery of 5 KB cost 30 % more
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledgement means: on disk
    "PRAGMA busy_timeout = 10000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -8192",  # of each reader; the pages of several add up
    "PRAGMA journal_size_limit = 67108864",
)
# Which events of a source lie between two ids, for the index on (source, id).
OF_SOURCE = "source = :source AND id > :after AND id < :end"
TAKE_NUMBER = (
    "UPDATE store_facts SET number = number + 1 WHERE name = 'transaction'"
    " RETURNING number, (SELECT version_num FROM alembic_version)"
)
LEFT_ALONE = ""  # nobody else writes meanwhile


def make_engine(url: URL) -> Engine:
    """An engine whose writing transactions take the write lock at their start."""
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        writes = connection.get_execution_options().get("hooksift_writes", False)
        cursor(connection).execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def for_whole_reads(engine: Engine) -> Engine:
    """Its transactions see one state each: all of SQLite's do."""
    return engine


def for_single_reads(engine: Engine) -> Engine:
    """For statements that need no transaction: here one costs nothing."""
    return engine


def prepare_writer(connection: Connection) -> None:
    """Give the one connection that writes room for the indexes it touches, and the newest keys.

    What it deletes is overwritten: an erasure need not rewrite the file.
    """
    cursor(connection).execute("PRAGMA cache_size = -32768")
    cursor(connection).execute("PRAGMA secure_delete = ON")
    cursor(connection).execute("PRAGMA wal_autocheckpoint = 0")  # `Checkpoints` makes them
    connection.info["recent_keys"] = RecentKeys(cursor(connection))


def begin(connection: Connection) -> int:
    """Begin a writing transaction; its number. The write lock makes it follow commit order.

    SQLAlchemy's own transaction is begun once and goes on: to end and begin it with each of ours
    cost more than to write a row.
    """
    if connection.in_transaction():
        cursor(connection).execute("BEGIN IMMEDIATE")
    else:
        connection.begin()
    connection.info["recent_keys"].begin()
    number, revision = cursor(connection).execute(TAKE_NUMBER).fetchone()
    refuse_other(connection, revision)
    return int(number)


def commit(connection: Connection, *, go_on: bool) -> None:
    """Commit. The next transaction is begun apart: there is no round trip to save."""
    cursor(connection).execute("COMMIT")


def roll_back(connection: Connection) -> None:
    """Undo the transaction."""
    connection.rollback()


def cursor(connection: Connection) -> Any:
    """A cursor of the sqlite3 module, inside this connection's transaction."""
    return connection.connection.cursor()


def insert_rows(connection: Connection, *parts: Rows) -> None:
    """Insert rows whose values are already what SQLite stores, in the order of the parts."""
    for table, columns, rows in parts:
        if rows:
            marks = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
            cursor(connection).executemany(statement, rows)


insert_at_commit = insert_rows


def insert_waiting(_connection: Connection) -> None:
    """Nothing waits."""


def claim_keys(
    connection: Connection, keys: Sequence[tuple[bytes, int, int]], now: int
) -> dict[bytes, int]:
    """Take dedup keys (digest, delivery id, expiry); returns owners of those already taken."""
    recent: RecentKeys = connection.info["recent_keys"]
    return recent.claim(cursor(connection), keys, now)


def recent_keys(connection: Connection) -> Iterator[tuple[bytes, int, int]]:
    """The dedup keys (digest, delivery id, expiry) that may not stand in `dedup_keys` yet."""
    return stored_keys(cursor(connection))


def pick_work(
    connection: Connection,
    kind: str,
    priority: int,
    quotas: Sequence[tuple[str, int]],
    now: int,
    until: int,
    lease: int,
) -> list[tuple[int, str, str, int, int]]:
    """Lease up to each source's quota: (event_id, name, source, tries, available_at) as it was."""
    picked: list[tuple[int, str, str, int, int]] = []
    for source, quota in quotas:
        rows = cursor(connection).execute(
            "SELECT event_id, name, source, tries, available_at FROM work_items"
            " WHERE kind = ? AND source = ? AND priority = ? AND available_at <= ?"
            " ORDER BY available_at LIMIT ?",
            (kind, source, priority, now, quota),
        )
        picked.extend(rows.fetchall())
    cursor(connection).executemany(
        "UPDATE work_items SET available_at = ?, lease = ?, tries = tries + 1"
        " WHERE event_id = ? AND kind = ? AND name = ?",
        [(until, lease, row[0], kind, row[1]) for row in picked],
    )
    return picked


def delete_held(connection: Connection, held: Iterable[tuple[int, str, str, int]]) -> list[bool]:
    """Delete work still held under its lease: (event_id, kind, name, lease)."""
    work = cursor(connection)
    return [
        work.execute(
            "DELETE FROM work_items WHERE event_id = ? AND kind = ? AND name = ? AND lease = ?", key
        ).rowcount
        == 1
        for key in held
    ]


def move_held(
    connection: Connection,
    held: Iterable[tuple[int, str, str, int, int]],
    *,
    keep_lease: bool,
    refund: bool = False,
) -> list[bool]:
    """Set available_at (last item of each tuple) of work still held; free it unless `keep_lease`.

    `refund` takes back the try that the claim counted: the work was never begun.
    """
    work = cursor(connection)
    statement = (
        "UPDATE work_items SET available_at = ?"
        + ("" if keep_lease else ", lease = NULL")
        + (", tries = tries - 1" if refund else "")
        + " WHERE event_id = ? AND kind = ? AND name = ? AND lease = ?"
    )
    return [work.execute(statement, (key[4], *key[:4])).rowcount == 1 for key in held]


def last_revisions(connection: Connection, event_ids: Sequence[int]) -> dict[int, int]:
    """The last revision of each of these events that has one, inside a writing transaction."""
    found = cursor(connection).execute(
        "SELECT event_id, max(revision) FROM enrichments"
        " WHERE event_id IN (SELECT value FROM json_each(?)) GROUP BY event_id",
        (f"[{', '.join(map(str, event_ids))}]",),
    )
    return dict(found.fetchall())


def renumber_restored(_engine: Engine) -> None:
    """Nothing: what puts a copy back moves the number of the next transaction on."""


def mark(connection: Connection) -> str:
    """Everything committed now. The write lock orders commits, so one number says it all."""
    row = cursor(connection).execute("SELECT number FROM store_facts WHERE name = 'transaction'")
    return str(row.fetchone()[0])


def follows(state: str, earlier: str) -> bool:
    """Whether both are states of one store, in this order."""
    return int(state) >= int(earlier)


def news_condition(since: str | None, until: str) -> str:
    """The SQL condition on `tx` for facts committed after `since` and up to `until`."""
    return f"tx > {int(since or 0)} AND tx <= {int(until)}"
