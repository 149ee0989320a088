"""Our own write coming back is recorded and ends there; a person's change becomes a label."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from enrich.actions.loop_guard import OwnEcho, PersonChange
from service.store import Store
from tests.actions.desk import Office
from tests.servers.asgi import LocalHost
from tests.servers.freshdesk_server import FreshdeskServer
from tests.servers.github_server import GitHubServer
from tests.servers.gitlab_server import GitLabServer
from tests.servers.intercom_server import IntercomServer
from tests.servers.jira_server import JiraServer
from tests.servers.linear_server import LinearServer
from tests.servers.tickets import TicketServer
from tests.servers.zendesk_server import ZendeskServer

OURS = "hooksift:billing"
RULE = {"name": "tag", "mode": "act", "actions": [{"target": "desk", "tags": ["{category}"]}]}
SYSTEMS: dict[str, tuple[Callable[[], TicketServer], str]] = {
    "github": (GitHubServer, "42"),
    "zendesk events": (ZendeskServer, "4711"),
    "zendesk trigger": (lambda: ZendeskServer("trigger"), "4711"),
    "jira": (JiraServer, "APP-12"),
    "gitlab": (GitLabServer, "7"),
    "linear": (LinearServer, "7c2e4f1a-9b3d-4a6e-8c5f-1d7b3e9a2c4f"),
    "intercom": (IntercomServer, "64619700005694"),
    "freshdesk": (FreshdeskServer, "20"),
}


class Scene:
    """One ticket that we have tagged."""

    def __init__(
        self, server: TicketServer, ticket: str, quick_store: Store, **settings: Any
    ) -> None:
        self.server, self.ticket = server, ticket
        server.add_ticket(ticket, "vip")
        self.office = Office(quick_store, [RULE], {"desk": server.settings(**settings)})
        self.first = self.office.event(server.payload(ticket), preset=server.preset)
        asyncio.run(self.work())

    async def work(self) -> None:
        await self.office.work()
        await self.office.worker.close()

    def hear(self, payload: Any = None, **given: Any) -> Any:
        payload = self.server.webhooks[-1] if payload is None else payload
        event = self.office.bare_event(payload, preset=self.server.preset, **given)
        return self.office.recognise(event)

    def labels(self) -> list[tuple[str, str, int]]:
        rows = self.office.all("SELECT field, value, event_id FROM labels ORDER BY id")
        return [(row.field, row.value, row.event_id) for row in rows]


@pytest.fixture(params=sorted(SYSTEMS))
def scene(request: pytest.FixtureRequest, quick_store: Store, local_host: LocalHost) -> Scene:
    make, ticket = SYSTEMS[request.param]
    server = make()
    local_host.add(server)
    return Scene(server, ticket, quick_store)


@pytest.fixture
def github_scene(quick_store: Store, local_host: LocalHost) -> Scene:
    server = GitHubServer()
    local_host.add(server)
    return Scene(server, "42", quick_store)


@pytest.fixture
def trigger_scene(quick_store: Store, local_host: LocalHost) -> Scene:
    server = ZendeskServer("trigger")
    local_host.add(server)
    return Scene(server, "4711", quick_store)


def test_our_own_write_is_recognised(scene: Scene) -> None:
    assert isinstance(scene.hear(), OwnEcho)


def test_an_echo_is_not_enriched(scene: Scene) -> None:
    assert scene.hear().skips_enrichment


def test_an_echo_is_recorded_with_its_cause(scene: Scene) -> None:
    scene.hear()
    row = scene.office.actions()[-1]
    assert (row.outcome, json.loads(row.detail)) == ("echo", {"cause_event_id": str(scene.first)})


def test_an_echo_makes_no_label(scene: Scene) -> None:
    scene.hear()
    assert scene.labels() == []


def test_the_tickets_opening_is_no_echo(scene: Scene) -> None:
    scene.server.add_ticket("9" if scene.ticket.isdecimal() else "APP-9")
    other = scene.server.payload("9" if scene.ticket.isdecimal() else "APP-9")
    assert scene.hear(other) is None


def test_a_persons_removal_of_our_tag_is_a_label(scene: Scene) -> None:
    scene.server.change(scene.ticket, remove=[OURS])
    scene.hear(later(scene))
    assert scene.labels() == [("not_category", "billing", scene.first)]


def test_a_persons_tag_of_our_kind_is_a_label(scene: Scene) -> None:
    scene.server.change(scene.ticket, add=["hooksift:refund"])
    scene.hear(later(scene))
    assert scene.labels() == [("category", "refund", scene.first)]


def later(scene: Scene) -> Any:
    """The last webhook, told two minutes after our write where it tells a state."""
    payload = scene.server.webhooks[-1]
    held = payload.get("freshdesk_webhook", payload)
    if "updated_at" in held:
        held["updated_at"] = "2026-03-02T09:02:00Z"
    return payload


def test_a_persons_tag_of_another_kind_is_no_label(scene: Scene) -> None:
    scene.server.change(scene.ticket, add=["urgent"])
    scene.hear(later(scene))
    assert scene.labels() == []


def test_what_a_person_took_away_is_not_put_back(scene: Scene) -> None:
    scene.server.change(scene.ticket, remove=[OURS])
    scene.hear(later(scene))
    scene.office.event(scene.server.payload(scene.ticket), preset=scene.server.preset)
    asyncio.run(scene.work())
    assert OURS not in scene.server.tags[scene.ticket]


def test_what_a_person_added_is_not_taken_away(scene: Scene) -> None:
    scene.server.change(scene.ticket, add=["hooksift:refund"])
    scene.hear(later(scene))
    scene.office.event(scene.server.payload(scene.ticket), preset=scene.server.preset)
    asyncio.run(scene.work())
    assert "hooksift:refund" in scene.server.tags[scene.ticket]


def test_a_tag_of_ours_that_a_person_puts_back_is_a_label(github_scene: Scene) -> None:
    scene = github_scene
    scene.office.event(scene.server.payload("42"), category="bug")
    asyncio.run(scene.work())
    scene.server.change("42", add=[OURS])
    scene.hear()
    scene.office.event(scene.server.payload("42"), category="bug")
    asyncio.run(scene.work())
    assert scene.labels() == [("category", "billing", scene.office.actions()[1].event_id)]
    assert OURS in scene.server.tags["42"]


def test_a_persons_change_of_tags_alone_is_not_enriched(github_scene: Scene) -> None:
    github_scene.server.change("42", remove=[OURS])
    found = github_scene.hear()
    assert isinstance(found, PersonChange)
    assert found.skips_enrichment


def test_the_label_names_the_person(github_scene: Scene) -> None:
    github_scene.server.change("42", remove=[OURS])
    found = github_scene.hear()
    assert "anna" in found.author


def test_words_that_come_with_our_tags_are_enriched(trigger_scene: Scene) -> None:
    assert trigger_scene.hear(text="And now it is worse.") is None


def test_a_state_from_before_our_write_proves_no_removal(trigger_scene: Scene) -> None:
    early = trigger_scene.server.payload("4711")
    trigger_scene.hear({**early, "tags": ["vip"], "updated_at": "2026-03-02T08:59:59Z"})
    assert trigger_scene.labels() == []


def test_the_same_words_an_hour_later_are_no_echo(trigger_scene: Scene) -> None:
    trigger_scene.office.clock.turn(3600)
    assert trigger_scene.hear() is None


def test_a_stranger_who_writes_our_marker_is_no_echo(github_scene: Scene) -> None:
    comment = {
        **github_scene.server.payload("42"),
        "action": "created",
        "comment": {"body": "Please help [hooksift 1 tag/1]"},
        "sender": {"login": "mallory"},
    }
    assert github_scene.hear(comment) is None


def test_where_only_tags_are_written_a_marker_is_a_strangers_word(
    quick_store: Store, local_host: LocalHost
) -> None:
    server = GitHubServer()
    local_host.add(server)
    scene = Scene(server, "42", quick_store, accounts=[])
    comment = {
        **server.payload("42"),
        "action": "created",
        "comment": {"body": f"Production is down! [hooksift {scene.first} tag/1]"},
        "sender": {"login": "mallory"},
    }
    assert scene.hear(comment) is None


def test_without_accounts_an_echo_is_known_by_what_was_written(
    quick_store: Store, local_host: LocalHost
) -> None:
    server = GitHubServer()
    local_host.add(server)
    assert isinstance(Scene(server, "42", quick_store, accounts=[]).hear(), OwnEcho)


def test_without_accounts_a_persons_removal_is_still_a_label(
    quick_store: Store, local_host: LocalHost
) -> None:
    server = GitHubServer()
    local_host.add(server)
    scene = Scene(server, "42", quick_store, accounts=[])
    server.change("42", remove=[OURS])
    assert isinstance(scene.hear(), PersonChange)


def test_the_echo_is_recognised_although_the_process_died_in_the_call(
    quick_store: Store, local_host: LocalHost
) -> None:
    server = GitHubServer()
    local_host.add(server)
    server.add_ticket("42")
    office = Office(quick_store, [RULE], {"desk": server.settings(timeout_seconds=0.3)})
    office.event(server.payload("42"))
    server.hang_after_next = True

    async def work_and_die() -> None:
        task = asyncio.create_task(office.worker.step())
        while not server.webhooks:
            await asyncio.wait([task], timeout=0.01)
        task.cancel()
        await asyncio.wait([task])
        await office.worker.close()

    asyncio.run(work_and_die())
    event = office.bare_event(server.webhooks[0])
    assert isinstance(office.recognise(event), OwnEcho)


def many_tickets(
    count: int, quick_store: Store, local_host: LocalHost
) -> tuple[GitHubServer, Office]:
    """Every webhook that the tickets send goes through the guard, then to enrichment and action,
    until the system is silent or has gone ten rounds."""
    server = GitHubServer()
    local_host.add(server)
    office = Office(quick_store, [RULE], {"desk": server.settings()}, act={"concurrency": 32})
    for number in range(1, count + 1):
        server.add_ticket(str(number))
        server.webhooks.append(server.payload(str(number)))

    async def rounds() -> None:
        for _ in range(10):
            arrived, server.webhooks = server.webhooks, []
            if not arrived:
                break
            for payload in arrived:
                event = office.bare_event(payload)
                if office.recognise(event) is None:
                    office.event(payload)
            await office.work(rounds=count)
        await office.worker.close()

    asyncio.run(rounds())
    return server, office


def check_silence(count: int, quick_store: Store, local_host: LocalHost) -> None:
    server, office = many_tickets(count, quick_store, local_host)
    outcomes = office.outcomes()
    seen = {
        "tickets tagged": sum(OURS in tags for tags in server.tags.values()),
        "writes": server.count("POST"),
        "done": outcomes.count("done"),
        "echo": outcomes.count("echo"),
        "enriched": office.all("SELECT count(*) FROM enrichments")[0][0],
        "webhooks unanswered": len(server.webhooks),
    }
    assert seen == {
        "tickets tagged": count,
        "writes": count,
        "done": count,
        "echo": count,
        "enriched": count,
        "webhooks unanswered": 0,
    }


def test_a_hundred_tickets_make_no_second_round(store: Store, local_host: LocalHost) -> None:
    check_silence(100, store, local_host)


@pytest.mark.heavy
def test_a_thousand_tickets_make_no_second_round(store: Store, local_host: LocalHost) -> None:
    check_silence(1_000, store, local_host)
