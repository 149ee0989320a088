"""Senders as providers are: they keep what was not acknowledged and send it again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from servers.receiver import Source

from service.signing.sign import Outgoing


@dataclass
class Outcome:
    """What came of a delivery."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Delivery ids by the provider's own."""
    refused: list[int] = field(default_factory=list)
    lost_connections: int = 0


def send_once(url: str, deliveries: dict[str, Outgoing], threads: int = 16) -> Outcome:
    """Send each once, many at a time, to source `a` at this base URL."""
    outcome = Outcome()

    def send(key: str, client: httpx.Client) -> None:
        outgoing = deliveries[key]
        try:
            answer = client.post(
                f"{url}/v1/webhooks/a", headers=outgoing.headers, content=outgoing.body
            )
        except httpx.TransportError:
            outcome.lost_connections += 1
            return
        if answer.is_success:
            outcome.acknowledged[key] = int(answer.json()["id"])
        else:
            outcome.refused.append(answer.status_code)

    limits = httpx.Limits(max_connections=threads)
    with httpx.Client(timeout=60, limits=limits) as client, ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda key: send(key, client), deliveries))
    return outcome


class Stream:
    """Sends new deliveries without pause until stopped; each again until it is acknowledged."""

    def __init__(self, url: str, source: Source, threads: int = 8) -> None:
        self.url, self.source = url, source
        self.acknowledged: dict[str, int] = {}
        self.refused: list[int] = []
        self._stop = threading.Event()
        self._numbers = iter(range(10**9))
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Stream":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                key = f"s-{next(self._numbers)}"
                while key not in self.acknowledged and not self._stop.is_set():
                    self._send(client, key)

    def _send(self, client: httpx.Client, key: str) -> None:
        outgoing = self.source.delivery(key=key)
        target = f"{self.url}/v1/webhooks/a"
        answer = client.post(target, headers=outgoing.headers, content=outgoing.body)
        if answer.is_success:
            self.acknowledged[key] = int(answer.json()["id"])
        else:
            self.refused.append(answer.status_code)
            self._stop.wait(0.02)


def many(source: Source, count: int, prefix: str = "k") -> dict[str, Outgoing]:
    """So many deliveries by their ids."""
    return {f"{prefix}-{n}": source.delivery(key=f"{prefix}-{n}") for n in range(count)}
