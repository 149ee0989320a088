"""From a signed webhook to labels on the ticket, and no second round: the whole program."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from service.preset import load_preset
from service.signing.sign import sign
from service.store import open_store
from tests.servers.asgi import LocalHost
from tests.servers.github_server import GitHubServer
from tests.servers.process import Process
from tests.servers.tickets import OUR_LOGIN, PERSON, TOKEN

SECRET = "it is only a test"
DEADLINE_SECONDS = 30
CONFIG = """
data = "{data}"
[receive]
port = 0
[sources.tickets]
preset = "github"
secret = "{secret}"
[[rules]]
name = "tag"
mode = "act"
min_confidence = 0
actions = [{{ target = "app", tags = ["{{category}}"] }}]
[targets.app]
adapter = "github"
repositories = ["acme/app"]
token = "{token}"
url = "{url}"
allow_addresses = ["127.0.0.1/32"]
accounts = ["{login}"]
calls_per_second = 1000
"""


class Desk:
    """A ticket system and the program that tags its tickets."""

    def __init__(self, process: Process, github: GitHubServer, data: Path) -> None:
        self.process = process
        self.github = github
        self.data = data
        self.sent = 0

    def send(self, payload: object) -> None:
        """Deliver a webhook as GitHub does."""
        self.sent += 1
        out = sign(
            load_preset("github"),
            SECRET,
            json.dumps(payload).encode(),
            now=time.time(),
            event_type="issues",
            delivery_id=f"delivery-{self.sent}",
        )
        answer = httpx.post(
            f"{self.process.url}/v1/webhooks/tickets", headers=out.headers, content=out.body
        )
        assert answer.status_code == 202

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows of the store."""
        store = open_store(f"sqlite:///{self.data / 'store.sqlite'}")
        try:
            with store.read() as connection:
                return [tuple(row) for row in connection.execute(text(statement))]
        finally:
            store.close()

    def wait(self, what: Callable[[], bool]) -> None:
        """Until it holds, or fail."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not what():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.05)

    def is_idle(self) -> bool:
        """Nothing is left to do."""
        return self.query("SELECT count(*) FROM work_items") == [(0,)]

    def deliver_webhooks(self) -> int:
        """Send what the ticket system has to tell; how many there were."""
        told, self.github.webhooks = self.github.webhooks, []
        for payload in told:
            self.send(payload)
        return len(told)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A running program whose rule tags tickets of a fake GitHub."""
    host, github = LocalHost(), GitHubServer()
    url = host.add(github)
    data = tmp_path / "data"
    config = tmp_path / "hooksift.toml"
    config.write_text(
        CONFIG.format(data=data, secret=SECRET, token=TOKEN, url=url, login=OUR_LOGIN)
    )
    process = Process(config, tmp_path / "log")
    yield Desk(process, github, data)
    process.end()
    host.close()


def test_a_ticket_is_tagged_where_it_lives(desk: Desk) -> None:
    desk.github.add_ticket("7")
    desk.send(desk.github.payload("7"))
    desk.wait(lambda: bool(desk.github.tags["7"]))
    assert {tag.partition(":")[0] for tag in desk.github.tags["7"]} == {"hooksift"}


def test_our_own_write_does_not_come_round_again(desk: Desk) -> None:
    for number in range(1, 6):
        desk.github.add_ticket(str(number))
        desk.send(desk.github.payload(str(number)))
    desk.wait(lambda: desk.is_idle() and all(desk.github.tags.values()))
    assert desk.deliver_webhooks() == 5
    desk.wait(desk.is_idle)
    assert desk.deliver_webhooks() == 0
    assert desk.query("SELECT count(*) FROM enrichments") == [(5,)]


def test_a_persons_change_becomes_a_label(desk: Desk) -> None:
    desk.github.add_ticket("7")
    desk.send(desk.github.payload("7"))
    desk.wait(lambda: desk.is_idle() and bool(desk.github.tags["7"]))
    desk.deliver_webhooks()
    desk.github.change("7", add=["hooksift:billing"], actor=PERSON)
    desk.deliver_webhooks()
    desk.wait(lambda: bool(desk.query("SELECT 1 FROM labels")))
    assert desk.query("SELECT field, value, author, origin FROM labels") == [
        ("category", "billing", PERSON, "webhook")
    ]
