"""What depends on the database: fingerprints, groups, leases, dead letters, tags of ours."""

import asyncio
from copy import copy
from dataclasses import dataclass
from typing import Any

import pytest

from enrich.actions.settings import SlackTarget
from service.store import Store, open_store
from tests.actions.desk import Clock, Office
from tests.servers.asgi import LOOPBACK, Answer, LocalHost
from tests.servers.github_server import GitHubServer
from tests.servers.message_server import MessageServer

TAG = {"name": "tag", "mode": "act", "actions": [{"target": "tickets", "tags": ["{category}"]}]}
TELL = {"name": "tell", "actions": [{"target": "ops", "title": "{category}"}]}


class Scene:
    """A store, a ticket system and a channel."""

    def __init__(self, store: Store, local_host: LocalHost) -> None:
        self.store, self.github, self.slack = store, GitHubServer(), MessageServer()
        local_host.add(self.github)
        local_host.add(self.slack)
        self.github.add_ticket("42", "vip")

    def open(self, *rules: Any, clock: Clock | None = None, **more: Any) -> Office:
        given = {"adapter": "slack", "url": self.slack.url, "allow_addresses": LOOPBACK}
        slack = SlackTarget.model_validate(given | {"calls_per_second": 1000} | more)
        targets = {"tickets": self.github.settings(), "ops": slack}
        return Office(self.store, rules, targets, clock)


@pytest.fixture
def scene(store: Store, local_host: LocalHost) -> Scene:
    return Scene(store, local_host)


def worked(desk: Office) -> Office:
    async def work() -> None:
        await desk.work(rounds=200)
        await desk.worker.close()

    asyncio.run(work())
    return desk


def test_our_stale_tag_is_replaced(scene: Scene) -> None:
    desk = scene.open(TAG)
    for category in ("billing", "bug"):
        desk.event(scene.github.payload("42"), category=category)
        worked(desk)
    assert scene.github.tags["42"] == {"vip", "hooksift:bug"}


def test_what_dies_is_a_dead_letter(scene: Scene) -> None:
    desk = scene.open(TAG)
    desk.event(scene.github.payload("43"))
    dead = worked(desk).all("SELECT name, reason FROM dead_letters")
    assert [tuple(row) for row in dead] == [("tag/1", "not_found: 127.0.0.1 answered 404")]


def test_a_lost_lease_records_nothing(scene: Scene) -> None:
    desk = scene.open(TAG)
    desk.event(scene.github.payload("42"))
    scene.github.before_write = lambda: scene.store.write_now(steal, None)

    async def step() -> None:
        await desk.worker.step()
        await desk.worker.close()

    asyncio.run(step())
    assert desk.actions() == []


def steal(connection: Any, tx: int, payloads: Any) -> list[None]:
    connection.exec_driver_sql("UPDATE work_items SET lease = 1")
    return [None] * len(payloads)


def test_only_the_first_of_a_fingerprint_is_the_first(scene: Scene) -> None:
    desk = scene.open({**TAG, "when": {"first": True}})
    for source in ("tickets", "tickets", "others"):
        desk.event(scene.github.payload("42"), fingerprint="f1", source=source)
    assert sorted(worked(desk).outcomes()) == ["done", "skipped", "unchanged"]


def test_a_rate_counts_what_came_within_its_time(scene: Scene) -> None:
    desk = scene.open({**TAG, "when": {"rate": {"count": 3, "within": "10m"}}})
    for _ in range(3):
        desk.event(scene.github.payload("42"), fingerprint="f1")
    assert sorted(worked(desk).outcomes()) == ["done", "skipped", "skipped"]


def test_a_storm_is_two_messages(scene: Scene) -> None:
    desk = scene.open(TELL)
    for _ in range(50):
        desk.event({}, fingerprint="f1")
    worked(desk)
    desk.clock.turn(301)
    worked(desk)
    assert [call.json["text"].splitlines()[0] for call in scene.slack.calls] == [
        "billing",
        "49 more like this: billing",
    ]


async def work_together(*desks: Office) -> None:
    """Workers side by side until none finds anything to do."""
    while any(await asyncio.gather(*(desk.worker.step() for desk in desks))):
        pass


def both_worked(store_url: str, scene: Scene, *rules: Any, turn: float = 0.0) -> Office:
    """What two workers with stores of their own make of what is due."""
    second = copy(scene)
    second.store = open_store(store_url)
    desks = [scene.open(*rules), second.open(*rules)]

    async def work() -> None:
        await work_together(*desks)
        for desk in desks:
            desk.clock.turn(turn)
        await work_together(*desks)
        for desk in desks:
            await desk.worker.close()

    asyncio.run(work())
    second.store.close()
    return desks[0]


def test_two_workers_make_two_messages_of_a_storm(scene: Scene, store_url: str) -> None:
    desk = scene.open(TELL)
    for _ in range(60):
        desk.event({}, fingerprint="f1")
    done = both_worked(store_url, scene, TELL, turn=301)
    assert [call.json["text"].splitlines()[0] for call in scene.slack.calls] == [
        "billing",
        "59 more like this: billing",
    ]
    assert done.outcomes().count("grouped") == 58


def test_a_storm_is_told_by_a_worker_that_started_in_the_middle_of_it(scene: Scene) -> None:
    desk = scene.open(TELL)
    for _ in range(10):
        desk.event({}, fingerprint="f1")
    worked(desk)
    successor = scene.open(TELL)
    successor.clock.turn(301)
    worked(successor)
    texts = [call.json["text"].splitlines()[0] for call in scene.slack.calls]
    assert texts == ["billing", "9 more like this: billing"]


def test_two_workers_on_the_same_tickets_leave_the_newest_tags(
    scene: Scene, store_url: str
) -> None:
    tickets = [str(number) for number in range(1, 9)]
    desk = scene.open(TAG)
    for category in ("billing", "bug", "question"):
        for ticket in tickets:
            scene.github.tags.setdefault(ticket, set())
            desk.event(scene.github.payload(ticket), category=category)
    both_worked(store_url, scene, TAG, turn=3600)
    assert {frozenset(scene.github.tags[ticket]) for ticket in tickets} == {
        frozenset({"hooksift:question"})
    }


def test_at_most_once_repeats_what_was_certainly_refused(scene: Scene) -> None:
    desk = scene.open(TELL, delivery="at-most-once")
    scene.slack.plan(*[Answer(503)] * 3)
    desk.event({})
    worked(desk)
    desk.clock.turn(61)
    assert worked(desk).outcomes() == ["retry", "done"]


@dataclass
class Stalled(Clock):
    """Who waits by it wakes up late: another has done the work meanwhile."""

    other: Office | None = None

    async def sleep(self, seconds: float) -> None:
        self.turn(3600)
        assert self.other is not None
        self.other.clock.turn(3600)
        await self.other.work()


def test_at_most_once_is_not_repeated_by_a_worker_that_stalled(scene: Scene) -> None:
    desk = scene.open(TELL, delivery="at-most-once")
    desk.event({})
    stalled = scene.open(TELL, clock=Stalled(other=desk), delivery="at-most-once")
    stalled.targets["ops"].pace.pause(1)

    async def work() -> None:
        await stalled.worker.step()
        for office in (stalled, desk):
            await office.worker.close()

    asyncio.run(work())
    assert (len(scene.slack.calls), desk.outcomes()) == (1, ["done"])
