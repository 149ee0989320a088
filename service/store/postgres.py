"""What PostgreSQL says in its own words: set-up, hot statements, and which facts are new.

Rows travel as one array a column (`unnest`), which was measured at twice the speed of one
statement a row; what one transaction inserts travels in one round trip. Keys are taken in sorted
order, so that two receivers cannot deadlock.
"""

import re
import time
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import count
from typing import Any

from psycopg import Connection as Session
from psycopg.errors import InternalError
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

from service.store.prepared import (
    Parameter,
    Statement,
    array_of,
    arrays_of,
    bigint,
    in_transaction,
    is_fine,
    rows_of,
    run,
    run_plain,
    run_together,
    words,
)
from service.store.schema import refuse_other
from service.store.tables import FACTS, Rows

TRANSACTION = "SELECT pg_current_xact_id()::text, (SELECT version_num FROM alembic_version)"
WAITING = "waiting_rows"  # what of a connection's `info` goes with the commit
# A snapshot, and whose: a server put back to an earlier state, or promoted, has another timeline.
MARK = (
    "SELECT concat(pg_current_snapshot(), '@', system_identifier, '/', timeline_id)"
    " FROM pg_control_system(), pg_control_checkpoint()"
)
SNAPSHOT = re.compile(r"(\d+:\d+:[\d,]*)(?:@\d+/\d+)?")
# Which events of a source lie between two ids, for the index on (source, id). Said in simpler words
# PostgreSQL goes by the primary key, and reads all other sources' events too.
OF_SOURCE = "(source, id) > (:source, :after) AND (source, id) < (:source, :end)"
# Sessions that keep from VACUUM what was deleted before this transaction.
OLDER = (
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
    " AND greatest(age(backend_xid), age(backend_xmin)) > age(%s::xid)"
)
LOOK_SECONDS = 0.02
# How soon a connection is given up whose server has vanished without a word: by itself Linux takes
# a quarter of an hour, or two hours where the server had heard of the query. One that is at work
# answers for itself, however long that takes.
VANISHED = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # ms
}
# At the end of a subselect: only rows as they are now, and none that others are about to change.
# Without, what is deleted by it may have been renewed meanwhile.
LEFT_ALONE = " FOR UPDATE SKIP LOCKED"


def make_engine(url: URL) -> Engine:
    """An engine on psycopg that notices a restarted server before it hands out a connection.

    What the URL says of time limits goes before ours. psycopg prepares no statement by itself:
    PostgreSQL would keep plans (see `prepare_writer`).
    """
    limits = {name: value for name, value in VANISHED.items() if name not in url.query}
    return create_engine(
        url.set(drivername="postgresql+psycopg").update_query_dict(limits),
        pool_pre_ping=True,
        hide_parameters=True,  # of errors, which may be logged: they hold bodies
        pool_size=10,
        pool_timeout=5,
        connect_args={"application_name": "hooksift", "prepare_threshold": None},
    )


def for_whole_reads(engine: Engine) -> Engine:
    """Its transactions see one state each; by default every statement sees another."""
    return engine.execution_options(isolation_level="REPEATABLE READ")


def for_single_reads(engine: Engine) -> Engine:
    """For statements that need no transaction: two round trips fewer."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def prepare_writer(connection: Connection) -> None:
    """Make PostgreSQL plan each time what is prepared on this connection.

    A plan that it keeps from when a table was small reads all of it once it is large.
    """
    run_plain(connection, "SET plan_cache_mode = force_custom_plan")
    # What a writer that is frozen, or cut off, has begun is in the way of VACUUM.
    run_plain(connection, "SET idle_in_transaction_session_timeout = '5min'")


def begin(connection: Connection) -> int:
    """Begin a transaction; its id. It does not follow commit order: see `news_condition`.

    SQLAlchemy's own transaction is begun once and goes on: it sends nothing before its rollback.
    """
    if not connection.in_transaction():
        connection.begin()
    number, revision = rows_of(run_plain(connection, f"BEGIN; {TRANSACTION}"))[0]
    refuse_other(connection, revision)
    return int(number)


def commit(connection: Connection, *, go_on: bool) -> int | None:
    """Insert what waits for it, commit, and begin the next transaction where the caller goes on.

    All in one round trip: at each the writer waits for PostgreSQL, for a core and for Python's
    lock. Returns the id of the next transaction, if it has begun. Whether this one is committed has
    nothing to do with that: a server that stops may well do the one and not the other.
    """
    waiting: Statement | None = connection.info.pop(WAITING, None)
    ending: list[Statement] = [waiting, ("COMMIT", ())] if waiting else [("COMMIT", ())]
    beginning: list[Statement] = [("BEGIN", ()), (TRANSACTION, ())] if go_on else []
    results = run_together(connection, [*ending, *beginning], needed=len(ending))
    if results[len(ending) - 1].command_status != b"COMMIT":  # a handler hid its error
        raise InternalError("the transaction had failed, and was rolled back")
    begun = results[len(ending) :]
    if go_on and len(begun) == 2 and all(is_fine(result) for result in begun):
        number, revision = rows_of(begun[1])[0]
        if revision == connection.get_execution_options()["hooksift_schema"]:
            return int(number)
    if go_on:
        connection.invalidate()
    return None


def roll_back(connection: Connection) -> None:
    """Undo the transaction, and let go of what waits for its commit."""
    if not connection.invalidated:
        connection.info.pop(WAITING, None)
    connection.rollback()


def cursor(connection: Connection) -> Any:
    """A psycopg cursor, inside this connection's transaction."""
    return connection.connection.cursor()


@cache
def column_types(table: str, columns: tuple[str, ...]) -> list[str]:
    """The SQL type of each column."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    known = SQLModel.metadata.tables[table].c
    return [known[name].type.compile(dialect) for name in columns]


@cache
def insert_statement(*parts: tuple[str, tuple[str, ...]]) -> str:
    """One statement that inserts rows of several tables: all but the last as its WITH."""
    inserts = []
    numbers = count(1)
    for table, columns in parts:
        arrays = ", ".join(f"${next(numbers)}" for _ in columns)
        inserts.append(f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})")
    *first, last = inserts
    named = ", ".join(f"part{index} AS ({insert})" for index, insert in enumerate(first))
    return f"WITH {named} {last}" if named else last


def insert_rows(connection: Connection, *parts: Rows) -> None:
    """Insert rows whose values are already what PostgreSQL stores, in one round trip."""
    insert_at_commit(connection, *parts)
    insert_waiting(connection)


def insert_at_commit(connection: Connection, *parts: Rows) -> None:
    """The same, in one round trip with the commit. Whoever looks for them before sees nothing."""
    in_transaction(connection)
    insert_waiting(connection)
    filled = [part for part in parts if part.rows]
    if filled:
        arrays: list[Parameter] = []
        for table, columns, rows in filled:
            arrays += arrays_of(column_types(table, columns), rows)
        statement = insert_statement(*((part.table, part.columns) for part in filled))
        connection.info[WAITING] = (statement, arrays)


def insert_waiting(connection: Connection) -> None:
    """Insert what waits for the commit now: somebody else may look for it."""
    waiting: Statement | None = connection.info.pop(WAITING, None)
    if waiting:
        run(connection, *waiting)


def claim_keys(
    connection: Connection, keys: Sequence[tuple[bytes, int, int]], now: int
) -> dict[bytes, int]:
    """Take dedup keys (digest, delivery id, expiry); returns owners of those already taken."""
    first: dict[bytes, tuple[bytes, int, int]] = {}
    for key in keys:
        first.setdefault(key[0], key)
    wanted = [first[digest] for digest in sorted(first)]
    taken = run(
        connection,
        "INSERT INTO dedup_keys (digest, delivery_id, expires_at)"
        " SELECT * FROM unnest($1, $2, $3)"
        " ON CONFLICT (digest) DO UPDATE SET"
        " delivery_id = excluded.delivery_id, expires_at = excluded.expires_at"
        " WHERE dedup_keys.expires_at <= $4",
        [*arrays_of(("BYTEA", "BIGINT", "BIGINT"), wanted), bigint(now)],
    )
    if taken.command_tuples == len(keys):
        return {}
    found = run(
        connection,
        "SELECT encode(digest, 'hex'), delivery_id FROM dedup_keys WHERE digest = ANY($1)",
        [array_of("BYTEA", list(first))],
    )
    owners = {bytes.fromhex(digest): int(owner) for digest, owner in rows_of(found)}
    return {digest: owners[digest] for digest, mine, _ in keys if owners[digest] != mine}


def recent_keys(_connection: Connection) -> Sequence[tuple[bytes, int, int]]:
    """None: every dedup key stands in `dedup_keys` at once."""
    return ()


def pick_work(
    connection: Connection,
    kind: str,
    priority: int,
    quotas: Sequence[tuple[str, int]],
    now: int,
    until: int,
    lease: int,
) -> list[tuple[int, str, str, int, int]]:
    """Lease up to each source's quota: (event_id, name, source, tries, available_at) as it was.

    SKIP LOCKED lets any number of workers claim side by side. The outer limit cuts nothing: it
    tells the planner how few rows come, which otherwise reads the whole table to update them.
    """
    sources, limits = zip(*quotas, strict=True)
    picked = run(
        connection,
        "WITH picked AS ("
        " SELECT w.* FROM unnest($1, $2) AS q(source, quota), LATERAL ("
        "  SELECT event_id, name, i.source, tries, available_at FROM work_items i"
        "  WHERE kind = $3 AND i.source = q.source AND priority = $4 AND available_at <= $5"
        "  ORDER BY available_at LIMIT q.quota FOR UPDATE SKIP LOCKED) w"
        " LIMIT $6)"
        " UPDATE work_items w SET available_at = $7, lease = $8, tries = w.tries + 1"
        " FROM picked p WHERE w.event_id = p.event_id AND w.kind = $3 AND w.name = p.name"
        " RETURNING p.event_id, p.name, p.source, p.tries, p.available_at",
        [
            array_of("TEXT", sources),
            array_of("INTEGER", limits),
            words(kind),
            bigint(priority),
            bigint(now),
            bigint(sum(limits)),
            bigint(until),
            bigint(lease),
        ],
    )
    rows = [
        (int(event_id), name, source, int(tries), int(available_at))
        for event_id, name, source, tries, available_at in rows_of(picked)
    ]
    return sorted(rows, key=lambda row: row[4])


def delete_held(connection: Connection, held: Iterable[tuple[int, str, str, int]]) -> list[bool]:
    """Delete work still held under its lease: (event_id, kind, name, lease)."""
    keys = list(held)
    gone = run(
        connection,
        "DELETE FROM work_items w"
        " USING unnest($1, $2, $3, $4)"
        " AS h(event_id, kind, name, lease)"
        " WHERE w.event_id = h.event_id AND w.kind = h.kind AND w.name = h.name"
        " AND w.lease = h.lease RETURNING w.event_id, w.kind, w.name",
        arrays_of(("BIGINT", "TEXT", "TEXT", "BIGINT"), keys),
    )
    return held_of(keys, gone)


def held_of(keys: Sequence[tuple[Any, ...]], touched: PGresult) -> list[bool]:
    """Which of the keys are among the rows that a statement returned."""
    if touched.ntuples == len(keys):
        return [True] * len(keys)
    found = {(int(event_id), kind, name) for event_id, kind, name in rows_of(touched)}
    return [key[:3] in found for key in keys]


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
    keys = list(held)
    moved = run(
        connection,
        "UPDATE work_items w SET available_at = h.available_at"
        + ("" if keep_lease else ", lease = NULL")
        + (", tries = w.tries - 1" if refund else "")
        + " FROM unnest($1, $2, $3, $4, $5)"
        " AS h(event_id, kind, name, lease, available_at)"
        " WHERE w.event_id = h.event_id AND w.kind = h.kind AND w.name = h.name"
        " AND w.lease = h.lease RETURNING w.event_id, w.kind, w.name",
        arrays_of(("BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT"), keys),
    )
    return held_of(keys, moved)


def last_revisions(connection: Connection, event_ids: Sequence[int]) -> dict[int, int]:
    """The last revision of each of these events that has one, inside a writing transaction."""
    if not event_ids:
        return {}
    found = run(
        connection,
        "SELECT event_id, max(revision) FROM enrichments WHERE event_id = ANY($1)"
        " GROUP BY event_id",
        [array_of("BIGINT", event_ids)],
    )
    return {int(event_id): int(revision) for event_id, revision in rows_of(found)}


def older_have_ended(session: Session[Any], seconds: float) -> bool:
    """Whether all transactions that are open in this database end within so many seconds.

    VACUUM keeps what one of them could still see. The session is one that commits by itself.
    """
    row = session.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    deadline = time.monotonic() + seconds
    while session.execute(OLDER, row).fetchone() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def renumber_restored(engine: Engine) -> None:
    """Give facts of a restored copy the number of a transaction of this server.

    Another server counted theirs. Those that this one has still to reach would be no news until it
    does, and what was landed from another cursor would be news once more.
    """
    restored = " WHERE tx >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    with engine.begin() as connection:
        for table in FACTS:  # asked first: who may only read changes nothing, and need not
            asked = cursor(connection).execute(f"SELECT FROM {table}{restored} LIMIT 1")
            if asked.fetchone() is not None:
                cursor(connection).execute(
                    f"UPDATE {table} SET tx = pg_current_xact_id()::text::bigint{restored}"
                )


def mark(connection: Connection) -> str:
    """Everything committed now: xmin, xmax and the transactions between that still run.

    And which server says so, since another's numbers mean nothing to this one.
    """
    row = cursor(connection).execute(MARK)
    return str(row.fetchone()[0])


def follows(state: str, earlier: str) -> bool:
    """Whether both are states of one server, in this order."""
    (end, server), (earlier_end, earlier_server) = (
        (int(each.split(":")[1]), each.partition("@")[2]) for each in (state, earlier)
    )
    return server == earlier_server and end >= earlier_end


def news_condition(since: str | None, until: str) -> str:
    """The SQL condition on `tx` for facts committed after `since` and up to `until`.

    Both are snapshots, so a transaction that was still open at `since` is news when it commits,
    and one that is open holds nobody back. The first term only lets the index find them.
    """
    now = snapshot_of(until)
    condition = f"pg_visible_in_snapshot(tx::text::xid8, '{now}'::pg_snapshot)"
    condition = f"tx < {now.split(':')[1]} AND {condition}"
    if since is None:
        return condition
    then = snapshot_of(since)
    return (
        f"tx >= {then.split(':')[0]} AND {condition}"
        f" AND NOT pg_visible_in_snapshot(tx::text::xid8, '{then}'::pg_snapshot)"
    )


def snapshot_of(state: str) -> str:
    """The snapshot of a state, known to be nothing but one."""
    found = SNAPSHOT.fullmatch(state)
    if found is None:
        raise ValueError(f"not a snapshot: {state!r}")
    return found[1]
