"""A load generator: signed 2 KB deliveries over raw sockets, at full speed or at a fixed rate.

python receive_load.py HOST PORT SECRET CONNECTIONS SECONDS RATE   (RATE 0: as fast as answered)
Prints JSON: answered, other (not 2xx), seconds, p50_ms, p99_ms. At a fixed rate latency counts from
the moment a delivery was due, so a stalled server cannot hide behind a waiting client.
"""

import asyncio
import json
import sys
import time
import uuid
from collections import deque
from typing import Any

from service.preset import load_preset
from service.signing.sign import sign

WARM_UP_SECONDS = 0.5
PACE_SECONDS = 0.001  # uvloop takes less for nothing, and spins on a core the database may need


def make_requests(secret: str, count: int) -> list[bytes]:
    """So many deliveries, each with an id and text of its own."""
    preset, now, run = load_preset("standard_webhooks"), time.time(), uuid.uuid4().hex[:8]
    made = []
    for number in range(count):
        data = {
            "id": f"T-{run}-{number}",
            "title": f"Export {number} stops at 10,000 rows",
            "text": f"Ticket {number}: " + "the export ends without a message. " * 50,
            "customer": {"email": "ada@example.com"},
            "priority": "normal",
        }
        body = json.dumps({"type": "ticket.created", "timestamp": now, "data": data}).encode()
        out = sign(preset, secret, body, now=now, delivery_id=f"msg_{run}{number}")
        lines = [f"{name}: {value}" for name, value in out.headers]
        head = ["POST /v1/webhooks/bench HTTP/1.1", "host: 127.0.0.1", *lines]
        made.append("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body)
    return made


class Client(asyncio.Protocol):
    """One connection: sends the next request when told, tells the load of the answer."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.began = 0.0
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, gap, body = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        at = head.lower().find(b"content-length:")
        end = head.find(b"\r", at)
        if len(body) >= int(head[at + 15 : end if end > 0 else None]):
            self.buffer = b""
            self.load.answered(self, head[9:10] == b"2")

    def send(self, request: bytes, began: float) -> None:
        self.began = began
        self.transport.write(request)


class Load:
    """Keeps the connections busy, and the latencies."""

    def __init__(self, requests: list[bytes], rate: float) -> None:
        self.requests, self.rate = iter(requests), rate
        self.free: deque[Client] = deque()
        self.due: deque[float] = deque()
        self.latencies: list[float] = []
        self.other = 0
        self.counting = self.closed = False

    def answered(self, client: Client, good: bool) -> None:
        if self.counting:
            self.other += not good
            self.latencies.append(time.perf_counter() - client.began)
        if self.rate == 0:
            self.next(client, time.perf_counter())
        elif self.due:
            self.next(client, self.due.popleft())
        else:
            self.free.append(client)

    def next(self, client: Client, began: float) -> None:
        request = None if self.closed else next(self.requests, None)
        if request is not None:
            client.send(request, began)

    async def pace(self) -> None:
        """Make deliveries due at the fixed rate."""
        begun, sent = time.perf_counter(), 0
        while not self.closed:
            now = time.perf_counter()
            while sent < (now - begun) * self.rate:
                moment = begun + sent / self.rate
                sent += 1
                if self.free:
                    self.next(self.free.popleft(), moment)
                else:
                    self.due.append(moment)
            await asyncio.sleep(PACE_SECONDS)


async def run(host: str, port: int, connections: int, seconds: float, load: Load) -> float:
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(load), host, port))[1]
        for _ in range(connections)
    ]
    pacing = None
    if load.rate:
        load.free.extend(clients)
        pacing = asyncio.create_task(load.pace())
    else:
        for client in clients:
            load.next(client, time.perf_counter())
    await asyncio.sleep(WARM_UP_SECONDS)
    print("warm", flush=True)
    load.counting, begun = True, time.perf_counter()
    await asyncio.sleep(seconds)
    load.counting, took = False, time.perf_counter() - begun
    print("done", flush=True)
    load.closed = True
    if pacing:
        await pacing
    for client in clients:
        client.transport.close()
    return took


def main() -> None:
    import gc

    import uvloop

    host, port, secret, connections, seconds, rate, most = sys.argv[1:]
    requests = make_requests(secret, int(most))
    gc.collect()
    gc.disable()
    load = Load(requests, float(rate))
    took = uvloop.run(run(host, int(port), int(connections), float(seconds), load))
    times = sorted(load.latencies)
    at = [round(times[int(len(times) * q)] * 1000, 2) for q in (0.5, 0.99)] if times else [0, 0]
    words = {"answered": len(times), "other": load.other, "seconds": took}
    print(json.dumps({**words, "p50_ms": at[0], "p99_ms": at[1]}))


if __name__ == "__main__":
    main()
