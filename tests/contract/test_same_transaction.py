"""What one handler leaves for the commit is there for the next one, on every database.

Each test says that its handlers shared a transaction: apart they would see it anyway.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from busy_writer import Gate, write_together
from servers.receiver import until
from sqlalchemy import Connection, text

from enrich.again import no_claim
from enrich.enricher import Answer, Verdict
from enrich.errors import Spent
from enrich.record import Finding, Outcome, record_outcomes, record_trials
from service.lifecycle.events_by_age import delete_events
from service.store import Store, open_store
from service.store.queue import ENRICH, Claim, ClaimRequest, NewWork, claim_each, enqueue
from service.store.store import words_of
from service.store.tables import to_microseconds
from tests.analytics.store_facts import put_event_rows

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = to_microseconds(NOW)


def add_work(connection: Connection, tx: int, event_ids: Sequence[int]) -> list[int]:
    """A handler: work that may come with the commit; the number of the transaction."""
    works = [NewWork(number, ENRICH, "", "a", 1, MOMENT) for number in event_ids]
    enqueue(connection, works, at_commit=True)
    return [tx] * len(event_ids)


def claim_in(
    connection: Connection, tx: int, requests: Sequence[ClaimRequest]
) -> list[tuple[int, list[Claim]]]:
    """The handler that claims work; with the number of the transaction."""
    return [(tx, claims) for claims in claim_each(connection, tx, requests)]


def a_claim(store: Store) -> ClaimRequest:
    return ClaimRequest(ENRICH, 10, NOW, 60, store.new_ids())


def outcome(store: Store, claim: Claim, *, candidate: bool = False) -> list[Outcome]:
    """An answer about the event of this claim."""
    verdict = Verdict("bug", "low", "neutral", "en", (), "It broke.", 0.9)
    answer = Answer(verdict, "p", "m", "v", Spent(), 1.0)
    finding = Finding(store.new_ids(), answer, MOMENT, candidate=candidate)
    return [Outcome(claim, MOMENT, [], finding, day="2026-03-01")]


def revisions(store: Store) -> list[tuple[int, bool]]:
    with store.read() as connection:
        query = "SELECT revision, candidate FROM enrichments WHERE event_id = 1 ORDER BY 1"
        return [(row[0], bool(row[1])) for row in connection.execute(text(query))]


def transaction_count(store: Store) -> int:
    with store.read() as connection:
        query = text("SELECT count(DISTINCT tx) FROM enrichments")
        return int(connection.execute(query).scalar_one())


def test_work_that_is_added_may_be_claimed(store: Store) -> None:
    jobs = [(add_work, 1), (claim_in, a_claim(store))]
    added, (claimed, claims) = asyncio.run(write_together(store, *jobs))
    assert ([claim.event_id for claim in claims], claimed) == ([1], added)


def test_an_answer_again_is_the_next_revision(store: Store) -> None:
    put_event_rows(store, [1])
    store.write_now(add_work, 1)
    (claim,) = store.write_now(claim_each, a_claim(store))
    record = partial(record_outcomes, now=lambda: NOW)
    again = outcome(store, no_claim(1, "a", NOW), candidate=True)
    jobs = [(record, outcome(store, claim)), (record_trials, again)]
    asyncio.run(write_together(store, *jobs))
    assert (revisions(store), transaction_count(store)) == ([(1, False), (2, True)], 1)


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    """Two processes' views of a store with one event."""
    one, other = open_store(postgres_url), open_store(postgres_url)
    put_event_rows(one, [1])
    yield one, other
    one.close()
    other.close()


async def answer_again(one: Store, other: Store, *job: Any) -> None:
    """An answer that is not committed before the other process's job waits for it."""
    gate = Gate()

    def record_and_wait(connection: Connection, tx: int, batches: Sequence[Any]) -> Sequence[Any]:
        record_trials(connection, tx, batches)
        words_of(connection).insert_waiting(connection)
        return gate.hold(connection, tx, batches)

    def is_waiting() -> bool:
        with one.read_once() as connection:
            query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(connection.execute(query).scalar_one())

    first = one.write(record_and_wait, outcome(one, no_claim(1, "a", NOW), candidate=True))
    await asyncio.to_thread(gate.entered.wait, 30)
    second = other.write(*job)
    await asyncio.to_thread(until, is_waiting)
    gate.opened.set()
    await asyncio.gather(first, second)


def test_an_answer_again_beside_one_of_another_process_is_the_next_revision(
    stores: tuple[Store, Store],
) -> None:
    """The other's is not committed yet when ours looks for the last revision."""
    one, other = stores
    again = outcome(other, no_claim(1, "a", NOW), candidate=True)
    asyncio.run(answer_again(one, other, record_trials, again))
    assert revisions(one) == [(1, True), (2, True)]


def delete(connection: Connection, _tx: int, batches: Sequence[Sequence[int]]) -> list[None]:
    """A handler: events go, with their answers."""
    for events in batches:
        delete_events(connection, events, events, ["enrichments"])
    return [None] * len(batches)


def test_an_answer_again_goes_with_the_event_that_another_process_deletes(
    stores: tuple[Store, Store],
) -> None:
    one, other = stores
    asyncio.run(answer_again(one, other, delete, [1]))
    assert revisions(one) == []
