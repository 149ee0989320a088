"""Looking into a store and giving work back to it, by command, on both databases."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from service.lifecycle.replay import Chosen, events_to_replay, give_back
from service.receiving.confirming import CONFIRM, confirmation
from service.receiving.refusals import RefusalCounter, store_refusals
from service.store import Store
from service.store.look import Filter, moment_of
from service.store.queue import ENRICH, ClaimRequest, NewWork, bury, claim, complete, enqueue
from service.store.tables import to_microseconds
from tests.analytics.store_facts import put, put_events
from tests.servers.receiver import rows
from tests.service.command_line import CommandLine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def command(store: Store, store_url: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.configure(store=store_url)
    return line


def do(store: Store, verb: Any) -> Any:
    """Run `verb(connection)` in a writing transaction."""

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[Any]:
        return [verb(connection) for _ in payloads]

    return store.write_now(handler, None)


def works(events: Sequence[int]) -> list[NewWork]:
    return [NewWork(i, ENRICH, "", "support", 1, to_microseconds(NOW)) for i in events]


def kill(store: Store, events: Sequence[int], reason: str = "rate_limited") -> None:
    """Let the enrichment of these events die."""
    do(store, lambda connection: enqueue(connection, works(events)))
    request = ClaimRequest(ENRICH, len(events), NOW, 60, store.new_ids())
    claims = do(store, lambda connection: claim(connection, request))
    do(store, lambda connection: bury(connection, [(c, NOW, reason) for c in claims]))


def waiting(store: Store) -> list[int]:
    """Events that wait for an enricher."""
    return [row.event_id for row in rows(store, "work_items", "event_id")]


def test_events_are_chosen_by_what_was_made_of_them(store: Store, command: CommandLine) -> None:
    events = put_events(store, 3)
    for event, severity in zip(events, ("low", "high", "high"), strict=True):
        category = "bug" if event == events[2] else "billing"
        put(store, "enrichments", {"event_id": event, "category": category, "severity": severity})
    (row,) = command.lines("events", "--category", "billing", "--severity", "high")
    assert row["id"] == str(events[1])


def test_events_as_json_have_the_whole_enrichment(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "fingerprint": "v1-1", "confidence": 0.5})
    (row,) = command.lines("events")
    assert (row["tags"], row["confidence"], row["fingerprint"]) == ('["a", "b"]', 0.5, "v1-1")


def test_a_source_that_is_neither_configured_nor_heard_of_is_told(command: CommandLine) -> None:
    said = command.run("events", "--source", "nope")
    assert "no event is of a source 'nope'; configured: none\n" in said


def test_a_source_that_has_events_is_no_surprise(store: Store, command: CommandLine) -> None:
    put_events(store, 1)
    said = command.run("events", "--source", "support", "--type", "nothing")
    assert said == "nothing found\n"


def test_events_are_listed_newest_first(store: Store, command: CommandLine) -> None:
    events = put_events(store, 3)
    assert [row["id"] for row in command.lines("events")] == [str(i) for i in events[::-1]]


def test_a_listed_event_has_the_enrichment_in_force(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "category": "login"})
    put(store, "enrichments", {"event_id": event, "revision": 2, "category": "billing"})
    put(
        store,
        "enrichments",
        {"event_id": event, "revision": 3, "category": "other", "candidate": True},
    )
    assert [row["category"] for row in command.lines("events")] == ["billing"]


FILTERS = ("--source shop", "--type order", "--type order.paid", "--limit 1")


def test_events_are_chosen_by_source_type_and_number(store: Store, command: CommandLine) -> None:
    put_events(store, 2)
    put_events(store, 1, source="shop", event_type="order.paid")
    found = {f: [row["source"] for row in command.lines("events", *f.split())] for f in FILTERS}
    assert found == {chosen: ["shop"] for chosen in FILTERS}


def test_a_type_is_not_the_beginning_of_a_word(store: Store, command: CommandLine) -> None:
    put_events(store, 1, event_type="orders.paid")
    assert command.lines("events", "--type", "order") == []


@pytest.mark.parametrize("chosen", ["ORDER", "order_", "o%r"])
def test_a_type_is_meant_letter_by_letter(store: Store, command: CommandLine, chosen: str) -> None:
    put_events(store, 1, event_type="order1.paid")
    put_events(store, 1, event_type="order.paid")
    assert command.lines("events", "--type", chosen) == []


def test_events_are_chosen_by_time(store: Store, command: CommandLine) -> None:
    put_events(store, 2)
    tomorrow = (datetime.now(UTC) + DAY).isoformat()
    assert len(command.lines("events", "--since", "1h")) == 2
    assert command.lines("events", "--since", tomorrow) == []
    assert len(command.lines("events", "--until", tomorrow)) == 2


@pytest.mark.parametrize("words", ["yesterday", "", "5x", "1.2.3d"])
def test_a_time_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment_of(words, NOW)


def test_a_time_is_read_as_ago_or_as_a_date() -> None:
    assert moment_of("36h", NOW) == NOW - 1.5 * DAY
    assert moment_of("2026-02-28T12:00", NOW) == NOW - DAY
    assert moment_of("2026-03-01T12:00+01:00", NOW) == NOW - timedelta(hours=1)


def test_refusals_are_listed_with_their_reason(store: Store, command: CommandLine) -> None:
    counter = RefusalCounter()
    for _ in range(3):
        counter.count("shop", "signature_mismatch", "198.51.100.7", to_microseconds(NOW))
    store.write_now(store_refusals(store.new_ids), counter.drain())
    (row,) = command.lines("events", "--refused")
    assert (row["source"], row["reason"], row["refused_count"]) == ("shop", "signature_mismatch", 3)


def test_a_delivery_is_shown_with_all_that_is_known(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1)
    put(store, "attempts", {"event_id": event})
    put(store, "enrichments", {"event_id": event})
    put(store, "actions", {"event_id": event})
    put(store, "labels", {"event_id": event})
    put(store, "redeliveries", {"delivery_id": event})
    kill(store, [event])
    (shown,) = command.lines("show", event)
    told = {key: len(value) for key, value in shown["events"][0].items() if type(value) is list}
    assert len(shown["redeliveries"]) == 1
    assert told == {
        "attempts": 1,
        "enrichments": 1,
        "actions": 1,
        "labels": 1,
        "work_items": 0,
        "dead_letters": 1,
    }


def test_a_redelivery_s_id_shows_the_first_delivery(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1)
    (again,) = put(store, "redeliveries", {"delivery_id": event})
    assert command.lines("show", again)[0]["id"] == str(event)


def test_events_say_what_the_rules_answered_in_a_models_place(
    store: Store, command: CommandLine
) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "degraded": True})
    assert "(degraded)" in command.run("events")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_price_of_one_call_is_not_rounded_away(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "cost_usd": 0.0002075})
    assert "0.0002075" in command.run("show", event)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_body_is_written_byte_for_byte(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1, body=b'\xff\x00{"a": 1}\r\n')
    assert command.result("show", event, "--body").stdout_bytes == b'\xff\x00{"a": 1}\r\n'


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_id_that_is_unknown_ends_in_one(command: CommandLine) -> None:
    command.run("show", 12345, code=1)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_text_from_outside_cannot_steer_the_terminal(store: Store, command: CommandLine) -> None:
    (event,) = put_events(store, 1, title="\x1b]0;owned\x07 [red]title[/red]")
    for printed in (command.run("events"), command.run("show", event)):
        assert "\x1b]" not in printed
        assert "[red]title[/red]" in printed


def test_a_replayed_event_waits_for_an_enricher_again(store: Store, command: CommandLine) -> None:
    events = put_events(store, 2)
    command.run("replay", events[0])
    assert waiting(store) == events[:1]


def test_a_delivery_s_id_replays_its_events(store: Store, command: CommandLine) -> None:
    (delivery,) = put_events(store, 1)
    put(store, "events", {"delivery_id": delivery, "item_index": 1})
    command.run("replay", delivery)
    assert len(waiting(store)) == 2


def test_an_id_that_leads_nowhere_is_told(store: Store, command: CommandLine) -> None:
    put_events(store, 1)
    assert "no event or delivery 5" in command.run("replay", 5, code=1)
    assert rows(store, "audit") == []


def test_a_dry_run_says_how_many_and_changes_nothing(store: Store, command: CommandLine) -> None:
    put_events(store, 3)
    assert "support: 3 to enrich" in command.run("replay", "--source", "support", "--dry-run")
    assert (waiting(store), rows(store, "audit")) == ([], [])


def test_work_that_waits_is_not_doubled_or_moved(store: Store, command: CommandLine) -> None:
    events = put_events(store, 1)
    do(store, lambda connection: enqueue(connection, works(events)))
    assert "gave back 0" in command.run("replay", *events)
    assert [row.priority for row in rows(store, "work_items", "event_id")] == [1]


def test_work_that_came_in_between_is_not_doubled_or_moved(store: Store) -> None:
    events = put_events(store, 1)
    chosen = Chosen(tuple(events))
    with store.read() as connection:
        items = events_to_replay(connection, chosen)
    do(store, lambda connection: enqueue(connection, works(events)))
    assert give_back(store, items, NOW, "replay", chosen) == 0
    assert [row.priority for row in rows(store, "work_items", "event_id")] == [1]


def test_replayed_work_gives_way_to_what_comes_in_now(store: Store, command: CommandLine) -> None:
    command.run("replay", *put_events(store, 1))
    assert [row.priority for row in rows(store, "work_items", "event_id")] == [2]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("verb", [["replay"], ["dead", "replay"]])
def test_nothing_chosen_is_a_slip(store: Store, command: CommandLine, verb: list[str]) -> None:
    put_events(store, 1)
    command.run(*verb, code=2)
    assert waiting(store) == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_everything_must_be_asked_for(store: Store, command: CommandLine) -> None:
    events = put_events(store, 2)
    command.run("replay", "--all")
    assert waiting(store) == events


def test_dead_letters_are_listed_with_their_reason(store: Store, command: CommandLine) -> None:
    events = put_events(store, 1)
    kill(store, events, "unknown model")
    (row,) = command.lines("dead", "list")
    assert (row["event_id"], row["reason"], row["tries"]) == (str(events[0]), "unknown model", 1)
    assert "unknown model" in command.run("dead")


def test_a_dead_letter_that_is_replayed_is_work_again(store: Store, command: CommandLine) -> None:
    events = put_events(store, 1)
    kill(store, events)
    command.run("dead", "replay", *events)
    assert (waiting(store), rows(store, "dead_letters", "event_id")) == (events, [])


def test_a_replayed_dead_letter_can_be_claimed_at_once(store: Store, command: CommandLine) -> None:
    events = put_events(store, 1)
    kill(store, events)
    command.run("dead", "replay", *events)
    later = datetime.now(UTC) + timedelta(seconds=1)
    request = ClaimRequest(ENRICH, 5, later, 60, store.new_ids())
    claims = do(store, lambda connection: claim(connection, request))
    assert do(store, lambda connection: complete(connection, claims)) == [True]


def test_dead_letters_are_chosen_by_reason(store: Store, command: CommandLine) -> None:
    events = put_events(store, 2)
    kill(store, events[:1], "rate_limited: 429")
    kill(store, events[1:], "content refused")
    command.run("dead", "replay", "--reason", "429")
    assert waiting(store) == events[:1]


@pytest.mark.parametrize("chosen", ["RATE", "4_9", "4%9"])
def test_a_reason_is_meant_letter_by_letter(
    store: Store, command: CommandLine, chosen: str
) -> None:
    kill(store, put_events(store, 1), "rate_limited: 429")
    command.run("dead", "replay", "--reason", chosen)
    assert waiting(store) == []


def test_dead_actions_are_left_where_only_enrichment_is_meant(
    store: Store, command: CommandLine
) -> None:
    events = put_events(store, 1)
    kill(store, events)
    command.run("dead", "replay", "--kind", "act")
    assert waiting(store) == []


def test_a_replay_is_noted(store: Store, command: CommandLine) -> None:
    events = put_events(store, 2)
    command.run("replay", *events)
    (deed,) = command.lines("audit")
    assert (deed["deed"], deed["row_count"]) == ("replay", 2)


class Interrupted(list[Any]):
    """Items of which nobody gets more than the first piece."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) and key.start:
            raise KeyboardInterrupt
        return super().__getitem__(key)


def test_a_replay_that_was_interrupted_is_noted_as_far_as_it_came(
    store: Store, command: CommandLine
) -> None:
    put_events(store, 100)
    with store.read() as connection:
        items = events_to_replay(connection, Chosen())
    with pytest.raises(KeyboardInterrupt):
        give_back(store, Interrupted(items), NOW, "replay", Chosen())
    (deed,) = command.lines("audit")
    assert deed["row_count"] == len(waiting(store)) > 0


def test_others_write_between_the_pieces_of_a_replay(open_a_store: Callable[[], Store]) -> None:
    ours, others = open_a_store(), open_a_store()
    put_events(ours, 2_000)
    with ours.read() as connection:
        items = events_to_replay(connection, Chosen())
    over = threading.Event()

    def replay() -> None:
        give_back(ours, items, NOW, "replay", Chosen())
        over.set()

    put_events(others, 1)
    thread = threading.Thread(target=replay)
    thread.start()
    count = 0
    while not over.is_set():
        put_events(others, 1)
        count += 1
    thread.join()
    assert count > 5


def test_a_filter_of_nothing_is_true_of_everything() -> None:
    assert Filter().condition() == ("TRUE", {})


@pytest.fixture
def confirmation_died(store: Store) -> NewWork:
    """A subscription that could not be confirmed: about no event."""
    work = confirmation(store, "alarms", "https://sns.example/", datetime.now(UTC))
    do(store, lambda connection: enqueue(connection, [work]))
    request = ClaimRequest(CONFIRM, 1, datetime.now(UTC) + DAY, 60, store.new_ids())
    claims = do(store, lambda connection: claim(connection, request))
    do(store, lambda connection: bury(connection, [(c, NOW, "answered 500") for c in claims]))
    return work


@pytest.mark.usefixtures("confirmation_died")
@pytest.mark.parametrize("chosen", ["--source alarms", "--kind confirm"])
def test_a_dead_letter_without_an_event_is_listed(
    store: Store, command: CommandLine, chosen: str
) -> None:
    kill(store, put_events(store, 1))
    (row,) = command.lines("dead", "list", *chosen.split())
    assert (row["source"], row["reason"]) == ("alarms", "answered 500")


def test_a_dead_letter_without_an_event_is_shown(
    command: CommandLine, confirmation_died: NewWork
) -> None:
    (listed,) = command.lines("dead", "list")
    (shown,) = command.lines("show", confirmation_died.event_id)
    assert shown == {key: listed[key] for key in shown}
    assert "answered 500" in command.run("show", confirmation_died.event_id)


def test_a_dead_letter_without_an_event_is_work_again(
    store: Store, command: CommandLine, confirmation_died: NewWork
) -> None:
    command.run("dead", "replay", confirmation_died.event_id)
    (work,) = rows(store, "work_items", "event_id")
    assert (work.kind, work.name, work.source) == ("confirm", "https://sns.example/", "alarms")


def test_what_the_list_of_dead_letters_advises_works(store: Store, command: CommandLine) -> None:
    kill(store, put_events(store, 2))
    _, _, advised = command.run("dead").rpartition("`hooksift dead replay")
    assert "gave back 2" in command.run("dead", "replay", *advised.partition("`")[0].split())
