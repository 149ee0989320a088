"""What becomes of accepted deliveries, over real HTTP, on both databases."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.receiver import RunningReceiver, Source, receiving, until

from service.store import Store


@pytest.fixture
def here(store: Store) -> Iterator[RunningReceiver]:
    github = Source("github")
    sources = {"hook": Source(), "gh": github, "twin": github, "am": Source("alertmanager")}
    with receiving(store, sources) as running:
        yield running


def alert(number: int, **more: Any) -> dict[str, Any]:
    made = {"fingerprint": f"{number:016x}", "startsAt": "2026-03-02T09:15:00Z", "status": "firing"}
    return {**made, "labels": {"alertname": "Full"}, **more}


def send_group(here: RunningReceiver, *alerts: dict[str, Any]) -> dict[str, Any]:
    answer = here.send("am", here.sources["am"].delivery({"status": "firing", "alerts": alerts}))
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_an_accepted_delivery_is_answered_with_its_id(here: RunningReceiver) -> None:
    answer = here.send("hook")
    (delivery,) = here.rows("deliveries")
    assert answer.status_code == 202
    assert answer.json() == {"id": str(delivery.id), "status": "accepted", "events": 1}


def test_the_exact_bytes_are_kept(here: RunningReceiver) -> None:
    body = b'  {"type" : "a",\r\n "n": 1.0e0, "n": 2}\n'
    here.send("hook", here.sources["hook"].delivery(body))
    assert bytes(here.rows("deliveries")[0].body) == body


def test_an_accepted_event_has_work_waiting(here: RunningReceiver) -> None:
    here.send("hook")
    events = {row.id for row in here.rows("events")}
    with here.store.read() as connection:
        work = connection.exec_driver_sql("SELECT event_id, kind FROM work_items").all()
    assert {(e, "enrich") for e in events} == {tuple(row) for row in work}


def test_a_redelivery_is_acknowledged_with_the_first_id(here: RunningReceiver) -> None:
    source = here.sources["hook"]
    first = here.send("hook", source.delivery(key="same"))
    again = here.send("hook", source.delivery(key="same"))
    assert again.status_code == 200
    assert again.json() == {"id": first.json()["id"], "status": "duplicate", "events": 0}


def test_a_redelivery_is_not_stored_twice(here: RunningReceiver) -> None:
    for _ in range(3):
        here.send("hook", here.sources["hook"].delivery(key="same"))
    tables = ("deliveries", "events", "redeliveries")
    assert [len(here.rows(table)) for table in tables] == [1, 1, 2]


def test_the_same_id_at_another_source_is_another_delivery(here: RunningReceiver) -> None:
    here.send("gh", here.sources["gh"].delivery({"a": 1}, key="same"))
    assert here.send("hook", here.sources["hook"].delivery(key="same")).status_code == 202


def test_fifty_copies_at_once_are_stored_once(here: RunningReceiver) -> None:
    from concurrent.futures import ThreadPoolExecutor

    outgoing = here.sources["hook"].delivery(key="same")
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: here.send("hook", outgoing), range(50)))
    assert sorted(a.status_code for a in answers) == [200] * 49 + [202]
    assert len({a.json()["id"] for a in answers}) == 1


def test_a_group_of_alerts_is_one_delivery_and_an_event_each(here: RunningReceiver) -> None:
    told = send_group(here, alert(1), alert(2), alert(3))
    assert told["events"] == 3
    ids = [row.id for row in here.rows("events")]
    assert ids == [int(told["id"]) + index for index in range(3)]


def test_a_redelivered_group_with_one_new_alert_stores_that_one(here: RunningReceiver) -> None:
    send_group(here, alert(1), alert(2))
    assert send_group(here, alert(1), alert(2), alert(3))["events"] == 1
    assert [row.subject for row in here.rows("events")] == [f"{n:016x}" for n in (1, 2, 3)]


def test_a_redelivered_group_without_news_is_a_duplicate(here: RunningReceiver) -> None:
    first = send_group(here, alert(1))
    assert send_group(here, alert(1)) == {**first, "status": "duplicate", "events": 0}


def test_an_alert_that_is_resolved_is_a_new_event(here: RunningReceiver) -> None:
    send_group(here, alert(1))
    assert send_group(here, alert(1, status="resolved"))["events"] == 1


def test_an_alert_twice_in_one_group_is_one_event(here: RunningReceiver) -> None:
    assert send_group(here, alert(1), alert(1))["events"] == 1


def test_signed_content_under_another_id_is_a_suspected_replay(here: RunningReceiver) -> None:
    source = here.sources["gh"]
    here.send("gh", source.delivery({"n": 1}, key="one"))
    here.send("gh", source.delivery({"n": 1}, key="two"))
    assert [bool(row.suspected_replay) for row in here.rows("deliveries")] == [False, True]


def test_signed_content_at_another_source_with_the_secret_is_a_suspected_replay(
    here: RunningReceiver,
) -> None:
    outgoing = here.sources["gh"].delivery({"n": 1})
    here.send("gh", outgoing)
    here.send("twin", outgoing)
    assert [bool(row.suspected_replay) for row in here.rows("events")] == [False, True]


def test_ids_follow_the_order_of_arrival(here: RunningReceiver) -> None:
    ids = [int(here.send("hook").json()["id"]) for _ in range(5)]
    assert ids == sorted(ids)


def test_a_credential_is_never_stored(here: RunningReceiver, store: Store) -> None:
    send_group(here, alert(1))
    sent = next(v for n, v in here.sources["am"].delivery().headers if n == "Authorization")
    kept = dict(json.loads(here.rows("deliveries")[0].headers))
    assert sent.removeprefix("Basic ") not in kept["authorization"]


def test_nor_with_the_items_of_a_delivery(store: Store) -> None:
    source = Source("msgraph")
    with receiving(store, {"graph": source}) as running:
        running.send("graph")
        (event,) = running.rows("events")
    assert "clientState" in event.payload
    assert source.keys.receiver not in event.payload


def test_refusals_are_stored_with_their_count(here: RunningReceiver) -> None:
    for _ in range(3):
        here.client.post("/v1/webhooks/gh", content=b"{}")

    def count() -> int:
        return sum(row.refused_count for row in here.rows("refusals"))

    until(lambda: count() == 3)


def test_two_receivers_share_one_store(
    open_a_store: Callable[[], Store],
) -> None:
    source = Source()
    stores = [open_a_store(), open_a_store()]
    with receiving(stores[0], {"a": source}) as one, receiving(stores[1], {"a": source}) as two:
        outgoing = source.delivery(key="same")
        answers = [one.send("a", outgoing), two.send("a", outgoing)]
    assert [a.status_code for a in answers] == [202, 200]


def test_one_body_of_two_types_is_two_events(store: Store) -> None:
    patreon = Source("patreon")
    with receiving(store, {"fans": patreon}) as running:
        told = [
            running.send("fans", patreon.delivery(event_type=kind)).json()
            for kind in ("members:create", "members:pledge:create", "members:create")
        ]
    assert [answer["status"] for answer in told] == ["accepted", "accepted", "duplicate"]
