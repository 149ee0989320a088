"""People are told once of an event, however often it is enriched."""

import asyncio
from collections import deque
from typing import Any

import pytest

from enrich.actions.settings import GitHubTarget, SlackTarget
from enrich.enricher import Enricher
from enrich.errors import TransientError
from enrich.stub import StubEnricher
from service.lifecycle.replay import Chosen, events_to_replay, give_back, letters_to_replay
from service.store import Store
from tests.actions.desk import Clock, Office
from tests.enrich.work import NOW, Scripted, event, make_worker, put, step, verdict
from tests.servers.asgi import LOOPBACK, Answer, LocalHost
from tests.servers.message_server import MessageServer

ALL = {"name": "tell", "actions": [{"target": "ops"}]}
BUGS = {**ALL, "when": {"category": "bug"}}
REVIEWED = {"name": "tag", "mode": "act", "review": "ops", "actions": [{"target": "tickets"}]}
CHOSEN = Chosen()


class Scene:
    """An event that came in, an enricher, and people in a channel."""

    def __init__(self, store: Store, slack: MessageServer) -> None:
        self.store, self.slack, self.clock = store, slack, Clock(NOW)
        put(store, event(1))

    def enrich(
        self, *enrichers: Enricher, rule: Any = ALL, act: Any = None, **target: Any
    ) -> Office:
        """Enrich what is due, then act on it."""
        given = {"adapter": "slack", "url": self.slack.url, "allow_addresses": LOOPBACK}
        ops = SlackTarget.model_validate(given | {"delivery": "at-most-once"} | target)
        tickets = GitHubTarget(adapter="github", repositories=["acme/app"], token="t")
        desk = Office(self.store, [rule], {"ops": ops, "tickets": tickets}, self.clock, act)
        actions_for = desk.book.actions_for
        step(make_worker(self.store, self.clock, *enrichers, actions_for=actions_for))  # type: ignore[arg-type]
        return self.act(desk)

    def act(self, desk: Office) -> Office:
        async def work() -> None:
            await desk.work()
            await desk.worker.close()

        asyncio.run(work())
        return desk

    def replay(self) -> None:
        """What `hooksift replay --all` does."""
        with self.store.read() as connection:
            items = events_to_replay(connection, CHOSEN)
        give_back(self.store, items, self.clock.now, "replay", CHOSEN)

    def replay_dead(self) -> None:
        """What `hooksift dead replay --all` does."""
        with self.store.read() as connection:
            items = letters_to_replay(connection, CHOSEN)
        give_back(self.store, items, self.clock.now, "dead replay", CHOSEN)


@pytest.fixture
def scene(quick_store: Store, local_host: LocalHost) -> Scene:
    slack = MessageServer()
    local_host.add(slack)
    return Scene(quick_store, slack)


def test_the_model_that_answers_after_the_stub_tells_nobody_again(scene: Scene) -> None:
    model = Scripted(deque([TransientError("server_error", "500")] * 2))
    scene.enrich(model, StubEnricher())
    scene.clock.turn(61)
    desk = scene.enrich(model, StubEnricher())
    assert (desk.outcomes(), len(scene.slack.calls)) == (["done", "skipped"], 1)


def test_a_replay_tells_nobody_again(scene: Scene) -> None:
    scene.enrich()
    scene.replay()
    assert (scene.enrich().outcomes(), len(scene.slack.calls)) == (["done", "skipped"], 1)


def test_a_replay_tells_what_only_now_concerns_somebody(scene: Scene) -> None:
    scene.enrich(rule=BUGS)
    scene.replay()
    scene.enrich(Scripted(deque([verdict(category="bug")])), rule=BUGS)
    assert len(scene.slack.calls) == 1


def test_a_replay_beside_a_message_that_waits_makes_no_second(scene: Scene) -> None:
    scene.slack.reply = Answer(503)
    scene.enrich()
    scene.replay()
    scene.enrich()
    scene.slack.calls.clear()
    scene.slack.reply = Answer(200, b"ok")
    scene.clock.turn(61)
    assert (scene.enrich().outcomes(), len(scene.slack.calls)) == (["retry", "done"], 1)


def test_a_replay_does_not_repeat_what_may_have_arrived(scene: Scene) -> None:
    scene.slack.hang_after_next = True
    scene.enrich(timeout_seconds=0.3)
    scene.replay()
    assert (scene.enrich().outcomes(), len(scene.slack.calls)) == (["dead", "skipped"], 1)


def test_a_person_may_repeat_what_may_have_arrived(scene: Scene) -> None:
    scene.slack.hang_after_next = True
    scene.enrich(timeout_seconds=0.3)
    scene.replay()
    scene.enrich()
    scene.replay_dead()
    assert scene.enrich().outcomes() == ["dead", "skipped", "done"]


def test_a_replay_tells_what_was_certainly_refused(scene: Scene) -> None:
    scene.slack.reply = Answer(404)
    scene.enrich()
    scene.slack.reply = Answer(200, b"ok")
    scene.replay()
    assert scene.enrich().outcomes() == ["dead", "done"]


def test_a_replay_tells_again_at_least_once_what_may_have_arrived(scene: Scene) -> None:
    scene.slack.reply = Answer(500)
    at_least_once = {"delivery": "at-least-once"}
    scene.enrich(act={"retry_after": []}, **at_least_once)
    scene.slack.reply = Answer(200, b"ok")
    scene.replay()
    assert scene.enrich(**at_least_once).outcomes() == ["dead", "done"]


def test_enriching_an_old_event_again_wakes_nobody(scene: Scene) -> None:
    scene.enrich(rule=BUGS)
    scene.clock.turn(86_401)
    scene.replay()
    assert (scene.enrich().outcomes(), scene.slack.calls) == (["skipped"], [])


def test_a_suggestion_made_again_beside_one_that_waits_asks_once(scene: Scene) -> None:
    scene.slack.reply = Answer(503)
    unsure = [verdict(confidence=0.4)] * 2
    scene.enrich(Scripted(deque(unsure)), rule=REVIEWED)
    scene.replay()
    desk = scene.enrich(Scripted(deque(unsure)), rule=REVIEWED)
    assert (desk.outcomes(), desk.open_count) == (["suggested", "retry", "suggested"], 1)
