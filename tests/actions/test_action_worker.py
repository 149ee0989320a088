"""Write-back from the store to the ticket: durable, once, and never on somebody else's tags."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from enrich.actions.group_store import Joining, sweep_groups, take_place
from service.errors import SettingsError
from service.store import Store
from service.store.ids import IdMaker
from service.store.queue import ACT, NewWork, enqueue
from service.store.tables import to_microseconds
from tests.actions.desk import START, Clock, Office
from tests.servers.asgi import Answer, LocalHost
from tests.servers.github_server import GitHubServer
from tests.servers.zendesk_server import ZendeskServer

TAG = {"name": "tag", "mode": "act", "actions": [{"target": "tickets", "tags": ["{category}"]}]}
OURS = "hooksift:billing"
PERFORM = None  # among answers to writes: this one is carried out


@pytest.fixture
def github(local_host: LocalHost) -> GitHubServer:
    server = GitHubServer()
    local_host.add(server)
    server.add_ticket("42", "vip")
    return server


@pytest.fixture
def office(quick_store: Store, github: GitHubServer) -> Callable[..., Office]:
    def open_office(*rules: Any, **more: Any) -> Office:
        return Office(quick_store, rules or [TAG], {"tickets": github.settings()}, **more)

    return open_office


def worked(office: Office, rounds: int = 20) -> Office:
    async def work() -> None:
        await office.work(rounds)
        await office.worker.close()

    asyncio.run(work())
    return office


def test_a_matching_event_is_tagged(office: Callable[..., Office], github: GitHubServer) -> None:
    desk = office()
    desk.event(github.payload("42"))
    worked(desk)
    assert github.tags["42"] == {"vip", OURS}


def test_the_action_is_recorded_with_what_it_added(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    row = worked(desk).actions()[0]
    assert (row.outcome, row.target, json.loads(row.detail)) == (
        "done",
        "tickets acme/app#42",
        {"add": [OURS], "remove": []},
    )


def test_an_action_whose_id_is_taken_is_recorded_under_another(
    office: Callable[..., Office], github: GitHubServer, quick_store: Store
) -> None:
    desk = office()
    for _ in range(2):
        desk.event(github.payload("42"))
        quick_store._ids = IdMaker(7, lambda: 1_772_442_900_000)  # as another that has the node
        worked(desk)
    assert desk.outcomes() == ["done", "unchanged"]


def test_finished_work_is_gone(office: Callable[..., Office], github: GitHubServer) -> None:
    desk = office()
    desk.event(github.payload("42"))
    assert worked(desk).open_count == 0


def test_a_new_write_back_only_suggests(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office({**TAG, "mode": None})
    desk.event(github.payload("42"))
    assert (worked(desk).outcomes(), github.calls) == (["suggested"], [])


def test_a_suggestion_says_what_it_would_have_added(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office({**TAG, "mode": "suggest"})
    desk.event(github.payload("42"))
    assert json.loads(worked(desk).actions()[0].detail)["add"] == [OURS]


@pytest.mark.parametrize(
    "doubt", [{"confidence": 0.5}, {"suspicious": True}, {"degraded": True}], ids=str
)
def test_a_doubtful_enrichment_is_not_written(
    office: Callable[..., Office], github: GitHubServer, doubt: dict[str, Any]
) -> None:
    desk = office()
    desk.event(github.payload("42"), **doubt)
    assert (worked(desk).outcomes(), github.calls) == (["suggested"], [])


@pytest.mark.parametrize("barred", [{"suspected_replay": True}, {"candidate": True}], ids=str)
def test_what_must_not_act_makes_no_work(
    office: Callable[..., Office], github: GitHubServer, barred: dict[str, Any]
) -> None:
    desk = office()
    desk.event(github.payload("42"), **barred)
    assert desk.open_count == 0


def test_our_stale_tag_goes_when_the_category_changes(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    worked(desk)
    desk.event(github.payload("42"), category="bug")
    worked(desk)
    assert github.tags["42"] == {"vip", "hooksift:bug"}


def test_a_tag_like_ours_that_a_person_put_there_stays(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    github.add_ticket("42", "hooksift:legal")
    desk = office()
    desk.event(github.payload("42"))
    worked(desk)
    assert github.tags["42"] == {"hooksift:legal", OURS}


def test_one_rules_tag_is_not_stale_to_another(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    other = {"name": "sev", "mode": "act", "actions": [{"target": "tickets", "tags": "{severity}"}]}
    desk = office(TAG, other)
    desk.event(github.payload("42"))
    worked(desk)
    assert github.tags["42"] == {"vip", OURS, "hooksift:high"}


def test_an_older_event_does_not_undo_a_newer_one(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    github.plan(Answer(503, {}, {"retry-after": "60"}))
    desk.event(github.payload("42"), category="bug")
    worked(desk, rounds=1)
    desk.event(github.payload("42"))
    worked(desk)
    desk.clock.turn(3600)
    worked(desk)
    assert github.tags["42"] == {"vip", OURS}


def test_every_tag_of_the_enrichment_can_be_a_tag(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office({**TAG, "actions": [{"target": "tickets", "tags": ["{tags}", "sev-{severity}"]}]})
    desk.event(github.payload("42"), tags='["refund", "Double Charge!"]')
    worked(desk)
    assert github.tags["42"] == {
        "vip",
        "hooksift:refund",
        "hooksift:double-charge",
        "hooksift:sev-high",
    }


def test_a_short_trouble_is_tried_again_at_once(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    github.plan(Answer(503), Answer(503))
    assert (worked(desk).outcomes(), github.tags["42"]) == (["done"], {"vip", OURS})


def test_a_long_trouble_goes_back_to_the_store(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    github.plan(Answer(503), Answer(503), Answer(503))
    assert (worked(desk).outcomes(), desk.open_count) == (["retry"], 1)


def test_it_comes_back_when_the_target_does(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    github.plan(Answer(503), Answer(503), Answer(503))
    worked(desk)
    desk.clock.turn(61)
    assert worked(desk).outcomes() == ["retry", "done"]


def test_what_fails_for_a_day_is_a_dead_letter(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office(act={"retry_after": [60, 60]})
    desk.event(github.payload("42"))
    github.plan(*[Answer(503)] * 9)
    for _ in range(3):
        worked(desk)
        desk.clock.turn(61)
    dead = desk.all("SELECT reason FROM dead_letters")
    assert (desk.outcomes(), len(dead)) == (["retry", "retry", "dead"], 1)


def test_a_deleted_ticket_is_a_dead_letter_at_once(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("43"))
    assert [(a.outcome, a.error_kind) for a in worked(desk).actions()] == [("dead", "not_found")]


def test_a_dead_letter_says_why_without_secrets(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("43"))
    reason = worked(desk).all("SELECT reason FROM dead_letters")[0].reason
    assert reason == "not_found: 127.0.0.1 answered 404"


def test_a_rate_limit_is_waited_out_and_does_not_count_as_a_failure(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office(act={"retry_after": []})
    desk.event(github.payload("42"))
    github.plan(Answer(429, {}, {"retry-after": "120"}))
    worked(desk)
    desk.clock.turn(119)
    assert worked(desk).outcomes() == ["retry"]


def test_while_a_target_asks_for_a_pause_nothing_else_is_sent_to_it(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office(act={"concurrency": 1})
    github.plan(Answer(429, {}, {"retry-after": "120"}))
    for _ in range(3):
        desk.event(github.payload("42"))
    worked(desk)
    assert len(github.calls) == 1


def test_an_event_of_another_provider_is_skipped(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"), preset="sentry")
    assert (worked(desk).outcomes(), github.calls) == (["skipped"], [])


def test_an_event_of_a_foreign_repository_is_skipped(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event({**github.payload("42"), "repository": {"full_name": "mallory/app"}})
    assert (worked(desk).outcomes(), github.calls) == (["skipped"], [])


def test_an_event_whose_body_is_gone_is_skipped(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(None)
    assert worked(desk).outcomes() == ["skipped"]


def test_work_of_a_rule_that_is_gone_is_skipped(
    quick_store: Store, office: Callable[..., Office], github: GitHubServer
) -> None:
    office().event(github.payload("42"))
    later = office({**TAG, "name": "renamed"})
    assert worked(later).outcomes() == ["skipped"]


def test_a_result_after_the_lease_was_lost_is_not_recorded(
    office: Callable[..., Office], github: GitHubServer, quick_store: Store
) -> None:
    desk = office()
    desk.event(github.payload("42"))

    def take_away() -> None:
        quick_store.write_now(steal, None)

    github.before_write = take_away
    assert worked(desk, rounds=1).outcomes() == []


def steal(connection: Any, tx: int, payloads: Any) -> list[None]:
    connection.exec_driver_sql("UPDATE work_items SET lease = 1")
    return [None] * len(payloads)


def test_the_first_of_a_fingerprint_alone_fires(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office({**TAG, "when": {"first": True}})
    for _ in range(3):
        desk.event(github.payload("42"), fingerprint="f1")
    assert sorted(worked(desk).outcomes()) == ["done", "skipped", "skipped"]


def test_a_rate_fires_when_it_is_reached(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office({**TAG, "when": {"rate": {"count": 3, "within": "10m"}}}, clock=Clock())
    for _ in range(3):
        desk.event(github.payload("42"), fingerprint="f1")
    assert sorted(worked(desk).outcomes()) == ["done", "skipped", "skipped"]


def test_the_worker_stops_when_told_and_has_finished_what_it_began(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))

    async def serve() -> None:
        stop = asyncio.Event()
        github.before_write = lambda: loop.call_soon_threadsafe(stop.set)
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(desk.worker.run(stop), 10)
        await desk.worker.close()

    asyncio.run(serve())
    assert (desk.outcomes(), github.tags["42"]) == (["done"], {"vip", OURS})


def test_a_tag_that_was_refused_is_not_remembered_as_ours(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    github.before_write = lambda: github.forbidden.add("42")
    worked(desk)
    assert (desk.outcomes(), desk.all("SELECT * FROM own_tags")) == (["dead"], [])


def test_a_limit_without_a_time_is_waited_out_for_a_minute(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = office()
    desk.event(github.payload("42"))
    github.plan(Answer(429))
    worked(desk)
    desk.clock.turn(59)
    worked(desk)
    assert len(github.calls) == 1


def test_groups_that_ended_long_ago_are_forgotten(quick_store: Store) -> None:
    moments = (START - timedelta(days=8), START - timedelta(days=6))
    for number, at in enumerate(moments):
        joining = Joining(f"k{number}", 1, at, timedelta(minutes=5))
        quick_store.write_now(take_place, joining)
    assert quick_store.write_now(sweep_groups, START) == 1


def test_a_group_whose_closer_vanished_is_forgotten_too(quick_store: Store) -> None:
    for event_id in (1, 2):  # the second is to tell how many followed; its work is gone
        joining = Joining("k", event_id, START - timedelta(days=8), timedelta(minutes=5))
        quick_store.write_now(take_place, joining)
    assert quick_store.write_now(sweep_groups, START) == 1


def test_a_group_whose_closer_waits_is_kept(quick_store: Store) -> None:
    for event_id in (1, 2):
        joining = Joining("k", event_id, START - timedelta(days=8), timedelta(minutes=5))
        quick_store.write_now(take_place, joining)
    work = NewWork(2, ACT, "tell", "tickets", 1, to_microseconds(START))
    quick_store.write_now(enqueued, work)
    assert quick_store.write_now(sweep_groups, START) == 0


def enqueued(connection: Connection, _tx: int, works: Sequence[NewWork]) -> list[None]:
    enqueue(connection, works)
    return [None] * len(works)


def retagged(
    office: Callable[..., Office], github: GitHubServer, *answers: Answer | None, **more: Any
) -> Office:
    """A ticket whose category changed from billing to bug, with these answers to the two writes."""
    desk = office(**more)
    desk.event(github.payload("42"))
    worked(desk)
    desk.event(github.payload("42"), category="bug")
    github.answer_writes(*answers)
    return worked(desk)


def test_a_removal_that_failed_for_a_moment_is_made_up_for(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    retagged(office, github, PERFORM, Answer(503))
    assert github.tags["42"] == {"vip", "hooksift:bug"}


def test_a_removal_that_failed_for_long_is_made_up_for(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = retagged(office, github, PERFORM, *[Answer(503)] * 3)
    desk.clock.turn(61)
    worked(desk)
    assert github.tags["42"] == {"vip", "hooksift:bug"}


def test_a_removal_that_was_given_up_is_made_up_for_by_the_next_event(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = retagged(office, github, PERFORM, *[Answer(403)] * 2, act={"retry_after": [1]})
    desk.clock.turn(61)
    worked(desk)
    desk.event(github.payload("42"), category="bug")
    worked(desk)
    assert github.tags["42"] == {"vip", "hooksift:bug"}


def test_a_tag_put_before_the_rest_failed_is_still_ours(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = retagged(office, github, PERFORM, *[Answer(403)] * 2, act={"retry_after": []})
    desk.event(github.payload("42"), category="question")
    worked(desk)
    assert "hooksift:bug" not in github.tags["42"]


def test_a_tag_that_a_person_put_back_is_not_taken_away_again(
    office: Callable[..., Office], github: GitHubServer
) -> None:
    desk = retagged(office, github)
    github.change("42", add=[OURS])
    desk.event(github.payload("42"), category="bug")
    worked(desk)
    assert OURS in github.tags["42"]


def test_an_event_of_another_account_is_skipped(quick_store: Store, local_host: LocalHost) -> None:
    server = ZendeskServer()
    local_host.add(server)
    server.add_ticket("4711")
    targets = {"tickets": server.settings(sources=["north"])}
    desk = Office(quick_store, [TAG], targets)
    desk.event(server.payload("4711"), preset="zendesk", source="south")
    assert (worked(desk).outcomes(), server.calls) == (["skipped"], [])


def test_two_accounts_that_only_their_sources_tell_apart_must_name_them(
    quick_store: Store,
) -> None:
    both = {name: ZendeskServer().settings(url="https://x.example") for name in ("north", "south")}
    with pytest.raises(SettingsError) as raised:
        Office(quick_store, [], both)
    assert "sources" in str(raised.value)
