"""SIGKILL between a call and the commit of its outcome, against a server that counts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.counting import Count

from enrich.actions.settings import PagerDutyEventsTarget, SlackTarget
from service.store import Store, open_store
from tests.actions.desk import Office, quick_url
from tests.servers.asgi import LOOPBACK, Answer, Call, LocalHost
from tests.servers.github_server import GitHubServer
from tests.servers.message_server import MessageServer
from tests.servers.note_servers import PagerDutyServer

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, json, sys
from pydantic import TypeAdapter
from enrich.actions.rule_book import RuleBook
from enrich.actions.settings import ActSettings, RuleSettings, TargetSettings
from enrich.actions.targets import World, open_targets
from enrich.actions.worker import ActionWorker
from service.store import open_store

url, rules, targets = json.loads(sys.argv[1])
targets = {name: TypeAdapter(TargetSettings).validate_python(t) for name, t in targets.items()}
book = RuleBook([RuleSettings.model_validate(rule) for rule in rules], targets)
store = open_store(url)
worker = ActionWorker(store, book, open_targets(targets, World(resolve=str)), ActSettings())
asyncio.run(worker.run(asyncio.Event()))
"""


class Victim:
    """A worker in a process of its own, killed while its call is being answered."""

    def __init__(self, url: str, rules: list[Any], targets: dict[str, Any]) -> None:
        plain = {name: t.model_dump(mode="json") for name, t in targets.items()}
        argument = json.dumps([url, rules, plain])
        self.reached = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, argument],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """Called by the server once the effect stands and before the answer leaves."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.reached.set()


def kill_on_write(server: Any, start: Any) -> None:
    """Perform the first write, kill the worker, and never get to answer it."""
    answer = server.answer
    victims: list[Victim] = []

    def answer_and_kill(call: Call) -> Answer:
        made: Answer = answer(call)
        if call.method != "GET" and not victims[0].reached.is_set():
            victims[0].kill()
        return made

    server.answer = answer_and_kill
    victims.append(start())
    assert victims[0].reached.wait(30), "the worker never made its call"
    server.answer = answer


@pytest.fixture(scope="module")
def local_host() -> Iterator[LocalHost]:
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def quick_store_url(tmp_path: Path) -> str:
    return quick_url(tmp_path)


@pytest.fixture
def quick_store(quick_store_url: str) -> Iterator[Store]:
    store = open_store(quick_store_url)
    yield store
    store.close()


def die_and_recover(
    store: Store,
    store_url: str,
    server: Any,
    rules: list[Any],
    targets: dict[str, Any],
    **event: Any,
) -> Office:
    """One event whose worker dies in the call; then another worker once the lease ran out."""

    desk = Office(store, rules, targets)
    desk.event(event.pop("payload"), **event)
    kill_on_write(server, lambda: Victim(store_url, rules, targets))
    store.write_now(end_leases, None)

    async def recover() -> None:
        await desk.work()
        await desk.worker.close()

    asyncio.run(recover())
    return desk


def end_leases(connection: Any, tx: int, payloads: Any) -> list[None]:
    connection.exec_driver_sql("UPDATE work_items SET available_at = 0")
    return [None] * len(payloads)


def test_a_tag_is_put_once(
    store: Store, store_url: str, local_host: LocalHost, count: Count
) -> None:
    server = GitHubServer()
    local_host.add(server)
    server.add_ticket("42")
    rules = [{"name": "tag", "mode": "act", "actions": [{"target": "desk"}]}]
    targets = {"desk": server.settings()}
    desk = die_and_recover(store, store_url, server, rules, targets, payload=server.payload("42"))
    count(acted_once=server.count("POST"))
    assert (server.count("POST"), len(server.webhooks), desk.outcomes()) == (1, 1, ["unchanged"])


def test_a_note_is_written_once(
    quick_store: Store, quick_store_url: str, local_host: LocalHost, count: Count
) -> None:
    server = PagerDutyServer()
    local_host.add(server)
    server.notes["PGR0VU2"] = []
    rules = [{"name": "note", "mode": "act", "actions": [{"target": "pager"}]}]
    desk = die_and_recover(
        quick_store,
        quick_store_url,
        server,
        rules,
        {"pager": server.settings()},
        payload=server.payload("PGR0VU2"),
        preset="pagerduty",
    )
    count(acted_once=len(server.notes["PGR0VU2"]))
    assert (len(server.notes["PGR0VU2"]), desk.outcomes()) == (1, ["unchanged"])


TELL = [{"name": "tell", "actions": [{"target": "ops", "group_within": 0}]}]


def test_at_least_once_tells_twice_rather_than_never(
    quick_store: Store, quick_store_url: str, local_host: LocalHost, count: Count
) -> None:
    server, targets = slack(local_host, "at-least-once")
    desk = die_and_recover(quick_store, quick_store_url, server, TELL, targets, payload={})
    count(acted_once=1, acted_again=len(server.calls) - 1)
    assert (len(server.calls), desk.outcomes()) == (2, ["done"])


def test_at_most_once_tells_never_rather_than_twice(
    quick_store: Store, quick_store_url: str, local_host: LocalHost
) -> None:
    server, targets = slack(local_host, "at-most-once")
    desk = die_and_recover(quick_store, quick_store_url, server, TELL, targets, payload={})
    row = desk.actions()[0]
    assert (len(server.calls), row.outcome, row.error_kind) == (1, "dead", "in_doubt")


def slack(local_host: LocalHost, delivery: str) -> tuple[MessageServer, dict[str, Any]]:
    server = MessageServer()
    url = local_host.add(server)
    given = {"adapter": "slack", "url": url, "delivery": delivery, "allow_addresses": LOOPBACK}
    return server, {"ops": SlackTarget.model_validate(given)}


def test_a_key_makes_two_calls_one_incident(
    quick_store: Store, quick_store_url: str, local_host: LocalHost
) -> None:
    server = MessageServer()
    given = {"adapter": "pagerduty-events", "url": local_host.add(server), "routing_key": "k"}
    target = PagerDutyEventsTarget.model_validate(given | {"allow_addresses": LOOPBACK})
    die_and_recover(quick_store, quick_store_url, server, TELL, {"ops": target}, payload={})
    keys = {call.json["dedup_key"] for call in server.calls}
    assert (len(server.calls), len(keys)) == (2, 1)
