"""A burst of large bodies: every one is kept, and no transaction grows with the burst."""

from collections.abc import Callable

from faults.counting import Count
from faults.senders import send_once
from servers.receiver import Source, receiving
from sqlalchemy import text

from service.store import Store
from service.store.writer import MAX_BATCH_BYTES

BODY_BYTES = 6 << 20
SENT = 4


def test_a_burst_of_large_bodies_is_kept_in_transactions_of_bounded_size(
    open_a_store: Callable[[], Store], count: Count
) -> None:
    store, source = open_a_store(), Source()
    body = {"type": "ticket.created", "data": {"id": 1, "attachment": "x" * BODY_BYTES}}
    sent = {f"k-{n}": source.delivery(body, key=f"k-{n}") for n in range(SENT)}
    with receiving(store, {"a": source}) as here:
        outcome = send_once(here.url, sent, threads=SENT)
    with store.read() as connection:
        sizes = connection.execute(
            text(
                "SELECT sum(length(d.body)), count(*) FROM events e"
                " JOIN deliveries d ON d.id = e.delivery_id GROUP BY e.tx"
            )
        ).all()
    stored = sum(number for _, number in sizes)
    count(acknowledged=len(outcome.acknowledged), refused=len(outcome.refused), stored=stored)
    assert len(outcome.acknowledged) == stored == SENT
    assert max(size for size, _ in sizes) <= MAX_BATCH_BYTES
