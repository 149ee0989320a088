"""A storm is one message: the windows, and the storm itself through the quick_store."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enrich.actions.grouping import Group, Place, Role, join, open_group
from enrich.actions.settings import SlackTarget
from service.store import Store
from tests.actions.desk import Office
from tests.servers.asgi import LOOPBACK, Answer, LocalHost
from tests.servers.message_server import MessageServer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
END = NOW + WINDOW
TELL = {"name": "tell", "actions": [{"target": "ops", "title": "{category}: {title}"}]}


def places(*events: tuple[int, datetime], group: Group | None = None) -> list[Place]:
    """Each event's place, one after the other, in a group led by event 1."""
    group = group or open_group(1, NOW, WINDOW)
    found = []
    for event_id, at in events:
        group, place = join(group, event_id, at, WINDOW)
        found.append(place)
    return found


def test_the_leader_leads_however_often_it_asks() -> None:
    assert [p.role for p in places((1, NOW), (1, NOW))] == [Role.LEAD, Role.LEAD]


def test_the_second_waits_for_the_end() -> None:
    assert places((2, NOW)) == [Place(Role.HOLD, until=END)]


def test_the_others_join() -> None:
    assert [p.role for p in places((2, NOW), (3, NOW), (4, NOW))][1:] == [Role.JOIN, Role.JOIN]


def test_at_the_end_the_second_tells_how_many_followed() -> None:
    assert places((2, NOW), (3, NOW), (4, NOW), (2, END))[-1] == Place(Role.TELL, count=3)


def test_the_teller_that_asks_again_tells_the_same() -> None:
    assert places((2, NOW), (3, NOW), (2, END), (3 + 1, END), (2, END))[-1].count == 2


def test_what_comes_after_the_telling_waits_for_the_next_end() -> None:
    assert places((2, NOW), (2, END), (3, END))[-1] == Place(Role.HOLD, until=END + WINDOW)


def test_after_a_quiet_window_the_next_leads_again() -> None:
    assert places((2, END))[-1].role is Role.LEAD


def test_while_the_last_telling_is_not_out_the_next_holds_on() -> None:
    later = END + WINDOW
    held = places((2, NOW), (2, END), (3, END), (3, later))[-1]
    assert held == Place(Role.HOLD, until=later + WINDOW)


def test_a_holder_that_never_comes_is_replaced() -> None:
    late = END + timedelta(hours=1, seconds=1)
    assert places((2, NOW), (9, late))[-1].role is Role.HOLD


@pytest.fixture
def slack(local_host: LocalHost) -> MessageServer:
    server = MessageServer()
    local_host.add(server)
    return server


def office(quick_store: Store, slack: MessageServer, *rules: Any, **more: Any) -> Office:
    given = {"adapter": "slack", "url": slack.url, "allow_addresses": LOOPBACK}
    target = SlackTarget.model_validate(given | {"calls_per_second": 1000} | more)
    return Office(quick_store, rules or [TELL], {"ops": target})


def worked(desk: Office) -> Office:
    async def work() -> None:
        await desk.work(rounds=200)
        await desk.worker.close()

    asyncio.run(work())
    return desk


def texts(slack: MessageServer) -> list[str]:
    return [call.json["text"].splitlines()[0] for call in slack.calls]


def test_a_storm_of_a_hundred_is_two_messages(quick_store: Store, slack: MessageServer) -> None:
    desk = office(quick_store, slack)
    for _ in range(100):
        desk.event({}, fingerprint="f1")
    worked(desk)
    desk.clock.turn(301)
    worked(desk)
    assert texts(slack) == ["billing: It fails", "99 more like this: billing: It fails"]


def test_every_event_of_a_storm_is_accounted_for(quick_store: Store, slack: MessageServer) -> None:
    desk = office(quick_store, slack)
    for _ in range(20):
        desk.event({}, fingerprint="f1")
    worked(desk)
    desk.clock.turn(301)
    outcomes = worked(desk).outcomes()
    assert (outcomes.count("done"), outcomes.count("grouped"), desk.open_count) == (2, 18, 0)


def test_two_fingerprints_are_two_groups(quick_store: Store, slack: MessageServer) -> None:
    desk = office(quick_store, slack)
    desk.event({}, fingerprint="f1")
    desk.event({}, fingerprint="f2")
    worked(desk)
    assert len(slack.calls) == 2


def test_without_grouping_each_event_is_told(quick_store: Store, slack: MessageServer) -> None:
    rule = {**TELL, "actions": [{"target": "ops", "group_within": 0}]}
    desk = office(quick_store, slack, rule)
    for _ in range(3):
        desk.event({}, fingerprint="f1")
    worked(desk)
    assert len(slack.calls) == 3


def test_an_outage_of_hours_ends_in_two_messages(quick_store: Store, slack: MessageServer) -> None:
    desk = office(quick_store, slack)
    slack.reply = Answer(503)
    for _ in range(3):
        desk.event({}, fingerprint="f1")
    for _ in range(20):
        worked(desk)
        desk.clock.turn(301)
        desk.event({}, fingerprint="f1")
    slack.calls.clear()
    slack.reply = Answer(200, b"ok")
    for _ in range(60):
        worked(desk)
        desk.clock.turn(301)
    assert (len(slack.calls), desk.open_count) == (2, 0)


def test_no_link_and_no_mention_reaches_the_channel(
    quick_store: Store, slack: MessageServer
) -> None:
    rule = {**TELL, "actions": [{"target": "ops", "text": "@here {text} https://ops.example"}]}
    desk = office(quick_store, slack, rule)
    desk.event({}, title="<!channel> hi", text="See http://evil.example and call @anna")
    worked(desk)
    assert slack.calls[0].json["text"] == (
        "[high] billing in tickets: hi\nhere See [link] and call anna [link]"
    )


def test_a_message_says_by_default_how_to_look_further(
    quick_store: Store, slack: MessageServer
) -> None:
    desk = office(quick_store, slack, {"name": "tell", "actions": [{"target": "ops"}]})
    event = desk.event({}, title="Charged", summary="Charged twice in March.")
    worked(desk)
    assert slack.calls[0].json["text"] == (
        f"[high] billing in tickets: Charged\ntwice in March.\nhooksift show {event}"
    )


def test_a_suggestion_asks_people_to_look(quick_store: Store, slack: MessageServer) -> None:
    from enrich.actions.settings import GitHubTarget

    tickets = GitHubTarget(adapter="github", repositories=["acme/app"], token="t")
    ops = office(quick_store, slack).targets["ops"].settings
    rule = {"name": "tag", "mode": "act", "review": "ops", "actions": [{"target": "tickets"}]}
    desk = Office(quick_store, [rule], {"tickets": tickets, "ops": ops})
    desk.event({}, confidence=0.4)
    worked(desk)
    assert (desk.outcomes(), texts(slack)) == (["suggested", "done"], ["Please look: It fails"])


def once_only(quick_store: Store, slack: MessageServer) -> Office:
    return office(quick_store, slack, delivery="at-most-once", timeout_seconds=0.3)


def test_at_most_once_does_not_repeat_what_may_have_arrived(
    quick_store: Store, slack: MessageServer
) -> None:
    desk = once_only(quick_store, slack)
    slack.hang_after_next = True
    desk.event({})
    row = worked(desk).actions()[0]
    assert (row.outcome, row.error_kind, len(slack.calls)) == ("dead", "timeout", 1)


def test_at_most_once_repeats_what_was_certainly_refused(
    quick_store: Store, slack: MessageServer
) -> None:
    desk = once_only(quick_store, slack)
    slack.plan(*[Answer(503)] * 3)
    desk.event({})
    worked(desk)
    desk.clock.turn(61)
    assert worked(desk).outcomes() == ["retry", "done"]


def test_at_least_once_repeats_what_may_have_arrived(
    quick_store: Store, slack: MessageServer
) -> None:
    desk = office(quick_store, slack, timeout_seconds=0.3)
    slack.hang_after_next = True
    desk.event({})
    assert (worked(desk).outcomes(), len(slack.calls)) == (["done"], 2)
