"""Single flight between workers of one store: a fingerprint is asked about by one of them only.

A flight names the claim under which its fingerprint is being asked about, and lives as long as
that claim: it ends when the work is done, given back or buried, or when the lease of a worker that
died runs out. Its row then means nothing; the next flight takes it over, or a sweep removes it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrich.loading import Known, load_known
from service.store.queue import ENRICH, Claim

IS_ALIVE = (
    "EXISTS (SELECT 1 FROM work_items w WHERE w.event_id = flights.event_id"
    " AND w.kind = :kind AND w.lease = flights.lease AND w.available_at > :now)"
)


class Departure(NamedTuple):
    """A claim under which a fingerprint is to be asked about. `now` in microseconds."""

    digest: bytes
    claim: Claim
    now: int


class Departed(NamedTuple):
    """Whether the flight is ours, or what another worker found out meanwhile. Neither: wait."""

    is_ours: bool
    known: Known | None


def depart(connection: Connection, _tx: int, wanted: Sequence[Departure]) -> list[Departed]:
    """The handler that begins flights nobody else is on.

    A flight that ended well left its enrichment in the same transaction, so that is looked up
    after the row was found free: nobody sees a flight ended and its enrichment missing.
    """
    found: dict[Departure, Departed] = {}
    for each in sorted(wanted, key=lambda w: w.digest):  # one order for all: no deadlock
        is_ours = bool(_take(connection, each))
        known = load_known(connection, [each.digest], each.now).get(each.digest)
        found[each] = Departed(is_ours and known is None, known)
    return [found[each] for each in wanted]


def _take(connection: Connection, wanted: Departure) -> int:
    return connection.execute(
        text(
            "INSERT INTO flights (digest, event_id, lease) VALUES (:digest, :event_id, :lease)"
            " ON CONFLICT (digest) DO UPDATE SET event_id = excluded.event_id,"
            f" lease = excluded.lease WHERE NOT {IS_ALIVE}"
        ),
        {
            "digest": wanted.digest,
            "event_id": wanted.claim.event_id,
            "lease": wanted.claim.lease,
            "kind": ENRICH,
            "now": wanted.now,
        },
    ).rowcount


def sweep(connection: Connection, _tx: int, moments: Sequence[int]) -> list[int]:
    """The handler that removes flights that have ended. `moments`: now, in microseconds."""
    return [
        connection.execute(
            text(f"DELETE FROM flights WHERE NOT {IS_ALIVE}"), {"kind": ENRICH, "now": moment}
        ).rowcount
        for moment in moments
    ]
