"""Before any enricher sees an event: is it our own write come back, or a person's correction?"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from enrich.actions.loop_guard import LoopGuard, Recognised, Recording, record
from service.store import Store
from service.store.queue import Claim, complete, extend


class Screened(NamedTuple):
    """A claimed event that was recognised."""

    claim: Claim
    recording: Recording

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to enrich."""
        return self.recording.recognised.skips_enrichment


class Screen:
    """Takes echoes out of the stream and turns people's changes into labels."""

    def __init__(self, guard: LoopGuard, store: Store, now: Callable[[], datetime]) -> None:
        self._guard = guard
        self._store = store
        self._now = now

    def judge(self, connection: Connection, claims: Sequence[Claim]) -> list[Screened]:
        """Those of the claims that were recognised. Reads only."""
        found = self._guard.recognise_all(connection, [claim.event_id for claim in claims])
        return [
            Screened(claim, self._recording(found[claim.event_id]))
            for claim in claims
            if claim.event_id in found
        ]

    def _recording(self, recognised: Recognised) -> Recording:
        ids_needed = 1 + len(getattr(recognised, "labels", ()))
        return Recording(recognised, self._store.new_ids(ids_needed), self._now())


def settle_screened(
    connection: Connection, tx: int, payloads: Sequence[Sequence[Screened]]
) -> list[None]:
    """The handler that writes them down and completes those that are done.

    A lease that was lost writes nothing; whoever holds it now will recognise the event too.
    """
    for screened in payloads:
        done = [each for each in screened if each.is_done]
        rest = [each for each in screened if not each.is_done]
        held = complete(connection, [each.claim for each in done])
        for each in rest:  # until when it is held anyway: the row is ours while we write
            held += extend(connection, [each.claim], each.claim.lease_until)
        ours = [each for each, kept in zip(done + rest, held, strict=True) if kept]
        record(connection, tx, [each.recording for each in ours])
    return [None] * len(payloads)
