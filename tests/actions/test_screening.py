"""A person's change of a tag that comes with more: labels once, and an event to enrich."""

import asyncio
from collections import deque

import pytest

from enrich.enricher import Enricher
from enrich.errors import TransientError
from enrich.screening import Screen, settle_screened
from service.store import Store
from service.store.queue import ENRICH, ClaimRequest, NewWork, claim_each
from service.store.tables import to_microseconds
from tests.actions.desk import Office, insert_all
from tests.enrich.work import Scripted, make_worker, rows, step
from tests.servers.asgi import LocalHost
from tests.servers.gitlab_server import GitLabServer

OURS = "hooksift:billing"
RULE = {"name": "tag", "mode": "act", "actions": [{"target": "desk", "tags": ["{category}"]}]}
LABELS = "SELECT field, value FROM labels ORDER BY id"


class Scene:
    """A ticket that we tagged; a person took the tag away and wrote another title."""

    def __init__(self, store: Store, server: GitLabServer) -> None:
        self.store, self.server = store, server
        server.add_ticket("7")
        self.office = Office(store, [RULE], {"desk": server.settings()})
        self.clock = self.office.clock
        self.screen = Screen(self.office.guard, store, self.clock)
        self.office.event(server.payload("7"), preset="gitlab")
        asyncio.run(self._act())
        server.change("7", remove=[OURS])
        server.webhooks[-1]["changes"]["title"] = {"previous": "It fails", "current": "It is slow"}
        self.event = self.office.bare_event(server.webhooks[-1], preset="gitlab").id
        work = NewWork(self.event, ENRICH, "", "tickets", 1, to_microseconds(self.clock.now))
        store.write_now(insert_all, ([], [work]))

    async def _act(self) -> None:
        await self.office.work()
        await self.office.worker.close()

    def enrich(self, enricher: Enricher) -> None:
        step(make_worker(self.store, self.clock, enricher, screen=self.screen))  # type: ignore[arg-type]
        self.clock.turn(3600)


@pytest.fixture
def scene(store: Store, local_host: LocalHost) -> Scene:
    server = GitLabServer()
    local_host.add(server)
    return Scene(store, server)


def refusing() -> Scripted:
    return Scripted(deque([TransientError("rate_limited", "429")] * 2))


def test_the_change_is_a_label(scene: Scene) -> None:
    scene.enrich(Scripted())
    assert rows(scene.store, LABELS) == [("not_category", "billing")]


def test_the_event_is_enriched(scene: Scene) -> None:
    scene.enrich(Scripted())
    assert (scene.event,) in rows(scene.store, "SELECT event_id FROM enrichments")


def test_the_history_tells_where_the_label_came_from(scene: Scene) -> None:
    scene.enrich(Scripted())
    said = rows(scene.store, f"SELECT outcome FROM actions WHERE event_id = {scene.event}")
    assert said == [("noted",)]


def test_the_event_tried_again_makes_no_second_label(scene: Scene) -> None:
    scene.enrich(refusing())
    scene.enrich(Scripted())
    assert rows(scene.store, LABELS) == [("not_category", "billing")]


def test_the_event_tried_again_does_not_undo_a_later_change(scene: Scene) -> None:
    scene.enrich(refusing())
    scene.server.change("7", add=[OURS])
    scene.office.recognise(scene.office.bare_event(scene.server.webhooks[-1], preset="gitlab"))
    scene.enrich(Scripted())
    assert rows(scene.store, "SELECT tag, state FROM own_tags") == [(OURS, "added")]


def test_without_the_lease_no_label_is_made(scene: Scene) -> None:
    store, clock = scene.store, scene.clock
    late = store.write_now(claim_each, ClaimRequest(ENRICH, 9, clock.now, 60, store.new_ids()))
    clock.turn(61)
    store.write_now(claim_each, ClaimRequest(ENRICH, 9, clock.now, 60, store.new_ids()))
    with store.read() as connection:
        found = scene.screen.judge(connection, late)
    store.write_now(settle_screened, found)
    assert rows(store, LABELS) == []


def test_the_lease_lasts_as_long_as_before(scene: Scene) -> None:
    store, clock = scene.store, scene.clock
    request = ClaimRequest(ENRICH, 9, clock.now, 60, store.new_ids())
    claims = store.write_now(claim_each, request)
    with store.read() as connection:
        found = scene.screen.judge(connection, claims)
    store.write_now(settle_screened, found)
    until = to_microseconds(claims[0].lease_until)
    assert rows(store, "SELECT lease, available_at FROM work_items") == [(request.lease, until)]
