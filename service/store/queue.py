"""The work queue: who may work on what, until when. Plain functions inside a store transaction.

One row says it all: `available_at` is when the item may be claimed next, `lease` is the token of
the claim that holds it. Claiming moves `available_at` to the end of the lease, so an item whose
worker died is claimable again without anybody noticing the death. Whoever lost the lease finds no
row with its token and writes nothing.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from service.store.store import words_of
from service.store.tables import Rows, from_microseconds, to_microseconds

ENRICH = "enrich"
ACT = "act"
PRIORITIES = (0, 1, 2)  # urgent, normal, bulk
COLUMNS = ("event_id", "kind", "name", "source", "priority", "available_at", "tries")


class NewWork(NamedTuple):
    """Work to enqueue. `available_at` in microseconds since 1970."""

    event_id: int
    kind: str
    name: str
    source: str
    priority: int
    available_at: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Work that is ours until `lease_until`. `tries` counts this claim."""

    event_id: int
    kind: str
    name: str
    source: str
    tries: int
    available_at: datetime
    lease: int
    lease_until: datetime

    @property
    def key(self) -> tuple[int, str, str, int]:
        """What finds the row, and only while we hold it."""
        return (self.event_id, self.kind, self.name, self.lease)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Up to `limit` items of a kind; `lease` is a token nobody else uses (store.new_ids())."""

    kind: str
    limit: int
    now: datetime
    lease_seconds: float
    lease: int
    source_limits: Mapping[str, int] = field(default_factory=dict)
    """The most to take of these sources; others are bounded by `limit` alone."""


class Waiting(NamedTuple):
    """Work of one source that may be claimed."""

    kind: str
    source: str
    depth: int
    oldest_at: datetime | None


def enqueue(
    connection: Connection, works: Sequence[NewWork], *others: Rows, at_commit: bool = False
) -> None:
    """Add work items, and the rows of other tables that they are about, in one step.

    Wakes whoever waits for their kinds once the transaction is on disk. With `at_commit` they may
    be inserted as late as that: the caller looks for none of them before.
    """
    added = Rows("work_items", COLUMNS, [(*work, 0) for work in works])
    words = words_of(connection)
    insert = words.insert_at_commit if at_commit else words.insert_rows
    insert(connection, *others, added)
    if works:
        woken: set[str] = connection.info.setdefault("woken", set())
        woken.update(work.kind for work in works)


def claim_each(
    connection: Connection, _tx: int, requests: Sequence[ClaimRequest]
) -> list[list[Claim]]:
    """The handler for `store.write`: one list of claims for each request."""
    return [claim(connection, request) for request in requests]


def claim(connection: Connection, request: ClaimRequest) -> list[Claim]:
    """Lease up to `limit` items: urgent ones first, then an equal share for each source.

    Cost grows with the number of sources that have work, never with the backlog.
    """
    until = request.now + timedelta(seconds=request.lease_seconds)
    left = request.limit
    room = dict(request.source_limits)
    now = to_microseconds(request.now)
    due = {(f.source, f.priority) for f in firsts(connection, request.kind) if f.at <= now}
    sources = sorted({source for source, _ in due})
    if sources:  # with room for one the first is served: let it not always be the same
        first = (request.lease ^ request.lease >> 22) % len(sources)
        sources = sources[first:] + sources[:first]
    claims: list[Claim] = []
    for priority in PRIORITIES:
        hungry = [s for s in sources if (s, priority) in due and room.get(s, left) > 0]
        while left > 0 and hungry:
            share = max(1, left // len(hungry))
            asked, rest = hungry[:left], hungry[left:]
            quotas = [(s, min(share, room.get(s, left))) for s in asked]
            rows = words_of(connection).pick_work(
                connection,
                request.kind,
                priority,
                quotas,
                now,
                to_microseconds(until),
                request.lease,
            )
            claims.extend(_claim_of(request, row, until) for row in rows)
            left -= len(rows)
            taken = dict.fromkeys(asked, 0)
            for row in rows:
                taken[row[2]] += 1
            for source in room.keys() & taken.keys():
                room[source] -= taken[source]
            filled = [source for source, quota in quotas if taken[source] == quota]
            hungry = [s for s in (*rest, *filled) if room.get(s, left) > 0]
    return claims


def _claim_of(request: ClaimRequest, row: tuple[int, str, str, int, int], until: datetime) -> Claim:
    event_id, name, source, tries, available_at = row
    return Claim(
        event_id,
        request.kind,
        name,
        source,
        tries + 1,
        from_microseconds(available_at),
        request.lease,
        until,
    )


def complete(connection: Connection, claims: Sequence[Claim]) -> list[bool]:
    """Delete finished work. False where the lease was lost: write nothing for that one."""
    if not claims:
        return []
    held: list[bool] = words_of(connection).delete_held(connection, [c.key for c in claims])
    return held


def retry_later(connection: Connection, later: Sequence[tuple[Claim, datetime]]) -> list[bool]:
    """Give work back, claimable from the given time on. False where the lease was lost."""
    return _move(connection, later, keep_lease=False)


def release(connection: Connection, claims: Sequence[Claim], now: datetime) -> list[bool]:
    """Give back work that was never begun: claimable at once, and the try is not counted."""
    return _move(connection, [(c, now) for c in claims], keep_lease=False, refund=True)


def extend(connection: Connection, claims: Sequence[Claim], until: datetime) -> list[bool]:
    """Hold on for longer. False where the lease was lost."""
    return _move(connection, [(c, until) for c in claims], keep_lease=True)


def _move(
    connection: Connection,
    moves: Sequence[tuple[Claim, datetime]],
    *,
    keep_lease: bool,
    refund: bool = False,
) -> list[bool]:
    if not moves:
        return []
    rows = [(*c.key, to_microseconds(at)) for c, at in moves]
    moved: list[bool] = words_of(connection).move_held(
        connection, rows, keep_lease=keep_lease, refund=refund
    )
    if not keep_lease:
        woken: set[str] = connection.info.setdefault("woken", set())
        woken.update(c.kind for c, _ in moves)
    return moved


def bury(connection: Connection, dead: Sequence[tuple[Claim, datetime, str]]) -> list[bool]:
    """Move work that gave up to the dead letters. False where the lease was lost."""
    held = complete(connection, [c for c, _, _ in dead])
    rows = [
        {
            "event_id": c.event_id,
            "kind": c.kind,
            "name": c.name,
            "source": c.source,
            "tries": c.tries,
            "died_at": to_microseconds(at),
            "reason": reason,
        }
        for (c, at, reason), ours in zip(dead, held, strict=True)
        if ours
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO dead_letters (event_id, kind, name, source, tries, died_at, reason)"
                " VALUES (:event_id, :kind, :name, :source, :tries, :died_at, :reason)"
                " ON CONFLICT (event_id, kind, name) DO UPDATE SET"
                " tries = excluded.tries, died_at = excluded.died_at, reason = excluded.reason"
            ),
            rows,
        )
    return held


class First(NamedTuple):
    """When the first item of a source and priority may be claimed (microseconds)."""

    source: str
    priority: int
    at: int


def firsts(connection: Connection, kind: str) -> list[First]:
    """The first item of each source and priority that has work of this kind.

    Found by hopping through the index from one source to the next, in one statement: on PostgreSQL
    each costs a round, and a turn of the threads.
    """
    rows = connection.execute(
        text(
            "WITH RECURSIVE s(source) AS ("
            " SELECT min(source) FROM work_items WHERE kind = :kind"
            " UNION ALL SELECT (SELECT min(source) FROM work_items"
            "  WHERE kind = :kind AND source > s.source) FROM s WHERE s.source IS NOT NULL),"
            f" p(priority) AS (VALUES {', '.join(f'({priority})' for priority in PRIORITIES)})"
            " SELECT s.source, p.priority, (SELECT min(available_at)"
            "  FROM work_items w WHERE w.kind = :kind AND w.source = s.source"
            "  AND w.priority = p.priority) FROM s, p WHERE s.source IS NOT NULL"
        ),
        {"kind": kind},
    )
    return [First(*row) for row in rows if row[2] is not None]


def next_available_at(
    connection: Connection, kind: str, without: Container[str] = ()
) -> datetime | None:
    """When the first item of this kind may be claimed; None where there is none.

    Sources in `without` do not count.

    Cheap, and writes nothing: a worker asks this before it opens a writing transaction.
    """
    moments = [f.at for f in firsts(connection, kind) if f.source not in without]
    return from_microseconds(min(moments)) if moments else None


def waiting(connection: Connection, now: datetime) -> list[Waiting]:
    """Depth and oldest `available_at` of what may be claimed now, for each kind and source."""
    rows = connection.execute(
        text(
            "SELECT kind, source, count(*), min(available_at) FROM work_items"
            " WHERE available_at <= :now GROUP BY kind, source ORDER BY kind, source"
        ),
        {"now": to_microseconds(now)},
    )
    return [Waiting(k, s, n, from_microseconds(at)) for k, s, n, at in rows]
