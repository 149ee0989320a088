"""Subscriptions are confirmed by durable work, on hosts of SNS only."""

import asyncio
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority
from servers.receiver import Source, receiving, rows

from service.receiving.confirming import CONFIRM, ConfirmWorker, confirmation, enqueue_each, is_sns
from service.receiving.endpoint import Endpoint
from service.receiving.reading import compile_reader
from service.settings import ReceiveSettings
from service.store import Store
from service.verification.fetching import fetch_https

SNS = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc"


class Confirmations:
    """A real https server: notes what was asked, answers as told."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.statuses: list[int] = []
        authority = Authority(folder)
        pair = authority.issue("localhost")
        self.trusted = authority.trusted()
        noted = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                noted.asked.append(self.path)
                status = noted.statuses.pop(0) if noted.statuses else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        import ssl

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Confirmations]:
    running = Confirmations(tmp_path)
    yield running
    running.close()


def put(store: Store, url: str) -> None:
    store.write_now(enqueue_each, confirmation(store, "alarms", url, datetime.now(UTC)))


def work(store: Store, server: Confirmations, *, rounds: int = 1) -> None:
    """Let a worker that takes this server for SNS do what is due."""
    worker = ConfirmWorker(
        store,
        partial(fetch_https, trusted=server.trusted),
        lambda url: url.startswith(server.url),
        first_retry_seconds=0,
    )

    async def run() -> None:
        for _ in range(rounds):
            await worker.work_once()

    asyncio.run(run())


def test_the_address_is_fetched_once(store: Store, server: Confirmations) -> None:
    put(store, server.url + "/?Token=abc")
    work(store, server, rounds=3)
    assert server.asked == ["/?Token=abc"]


def test_what_was_confirmed_is_no_longer_to_do(store: Store, server: Confirmations) -> None:
    put(store, server.url)
    work(store, server)
    assert rows(store, "work_items", "event_id") == []


def test_a_failure_is_tried_again(store: Store, server: Confirmations) -> None:
    server.statuses = [500]
    put(store, server.url)
    work(store, server, rounds=2)
    assert (len(server.asked), rows(store, "work_items", "event_id")) == (2, [])


def test_after_ten_failures_it_is_a_dead_letter(store: Store, server: Confirmations) -> None:
    server.statuses = [500] * 20
    put(store, server.url)
    work(store, server, rounds=12)
    (dead,) = rows(store, "dead_letters", "event_id")
    assert (len(server.asked), dead.kind, dead.reason) == (10, CONFIRM, "answered 500")


def test_a_redirect_is_not_followed(store: Store, server: Confirmations) -> None:
    server.statuses = [302]
    put(store, server.url + "/first")
    work(store, server)
    assert server.asked == ["/first"]


def test_another_host_is_never_asked(store: Store, server: Confirmations) -> None:
    put(store, server.url.replace("127.0.0.1", "localhost"))
    work(store, server, rounds=2)
    assert server.asked == []
    assert [d.reason for d in rows(store, "dead_letters", "event_id")] == [
        "the address is not one of SNS"
    ]


def test_a_running_worker_is_woken_by_a_new_item(store: Store, server: Confirmations) -> None:
    async def run() -> None:
        fetched = asyncio.Event()

        async def fetch(url: str) -> bytes:
            content = await fetch_https(url, trusted=server.trusted)
            fetched.set()
            return content

        stop = asyncio.Event()
        worker = ConfirmWorker(store, fetch, lambda url: url.startswith(server.url))
        running = asyncio.create_task(worker.run(stop))
        work_item = confirmation(store, "alarms", server.url, datetime.now(UTC))
        await store.write(enqueue_each, work_item)
        async with asyncio.timeout(30):
            await fetched.wait()
            stop.set()
            await running

    asyncio.run(run())
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", [SNS, SNS.replace("amazonaws.com", "amazonaws.com.cn")])
def test_addresses_of_sns_are_allowed(url: str) -> None:
    assert is_sns(url)


@pytest.mark.parametrize(
    "url",
    [
        SNS.replace("https", "http"),
        SNS.replace(".com/", ".com.example.org/"),
        SNS.replace("sns.", "x@evil.org/sns."),
        SNS.replace("://", "://user@"),
        SNS.replace(".com/", ".com:8443/"),
        SNS.replace("sns.", "s3."),
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "https://[::1",
        "",
    ],
)
def test_other_addresses_are_not(url: str) -> None:
    assert not is_sns(url)


class Topic(Source):
    """A source of SNS whose certificate need not be fetched."""

    def endpoint(self, name: str, receive: ReceiveSettings) -> Endpoint:
        made = super().endpoint(name, receive)
        secrets = [self.keys.receiver]
        reader = compile_reader(made.preset, secrets, known=self.keys.known)
        return replace(made, reader=reader)


def subscription(topic: str, url: str) -> dict[str, str]:
    """What SNS sends first."""
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": topic,
        "Message": "Visit the SubscribeURL to confirm.",
        "SubscribeURL": url,
    }


def test_a_verified_subscription_becomes_durable_work(store: Store) -> None:
    source = Topic("aws_sns")
    with receiving(store, {"alarms": source}) as here:
        body = subscription(source.keys.receiver, SNS)
        answer = here.send("alarms", source.delivery(body, now=time.time()))
    assert answer.status_code == 200, answer.text
    (work,) = rows(store, "work_items", "event_id")
    assert (work.kind, work.name, work.source) == (CONFIRM, SNS, "alarms")


def test_a_forged_subscription_becomes_no_work(store: Store) -> None:
    source = Topic("aws_sns")
    with receiving(store, {"alarms": source}) as here:
        good = source.delivery(subscription(source.keys.receiver, SNS), now=time.time())
        forged = good._replace(body=good.body.replace(b"2336412f37", b"2336412f38"))
        assert here.send("alarms", forged).status_code == 401
    assert rows(store, "work_items", "event_id") == []
