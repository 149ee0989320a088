"""A flood of forged deliveries: what it does to the disk, and to verified ones at the same time.

`python -m tests.bench.flood [--forged 100000]`. One `hooksift receive` on SQLite; ten rounds, in
each first verified deliveries alone, then more of them while a second process sends forged ones
from thousands of addresses, so that each has its signature checked. Half of the forged ones come
alone at the end: what the data folder grows by then is what they cost the disk. Fails when that is
over the bound, when a verified delivery is not accepted, or when their median waits over LIMIT
times as long as in the calm windows of the same run.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from service.preset import load_preset
from service.signing.sign import sign
from tests.servers.process import Process

ROUNDS = 10
VERIFIED = 200  # in each window
VERIFIED_CONNECTIONS = 4
FLOOD_CONNECTIONS = 8
BATCH = 20  # forged ones written at once on a connection
RATE = 2_500  # forged ones each second, if the receiver takes so many
QUARANTINE = 100
BODY_BYTES = 2_000
BOUND_BYTES = 16 * 1024 * 1024  # the write-ahead log of a busy store alone is four
LIMIT = 3.0
SECRET = "flood-secret-flood-secret"
CONFIG = """
data = "{data}"
log_level = "error"
[receive]
port = 0
trusted_proxies = ["127.0.0.0/8"]
[sources.gh]
preset = "github"
secret = "{secret}"
quarantine = {quarantine}
"""
numbers = itertools.count()


def request(url: httpx.URL, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """An HTTP request as bytes."""
    lines = [f"POST {url.path} HTTP/1.1", f"host: {url.host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def verified(url: httpx.URL) -> bytes:
    """A fresh delivery, signed."""
    body = b'{"zen":"%s"}' % (b"v" * BODY_BYTES)
    key = f"flood-{next(numbers)}-{time.time_ns()}"
    preset = load_preset("github")
    made = sign(preset, SECRET, body, now=time.time(), event_type="ping", delivery_id=key)
    return request(url, [*made.headers, ("x-forwarded-for", "192.0.2.1")], body)


def forged(url: httpx.URL, chance: random.Random) -> Iterator[bytes]:
    """Deliveries like real ones but for their signature, each from an address of its own."""
    body = b'{"zen":"%s"}' % (b"f" * BODY_BYTES)
    while True:
        address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
        headers = [
            ("content-type", "application/json"),
            ("x-github-event", "ping"),
            ("x-github-delivery", f"{chance.getrandbits(64):x}"),
            ("x-hub-signature-256", f"sha256={chance.getrandbits(256):064x}"),
            ("x-forwarded-for", address),
        ]
        yield request(url, headers, body)


async def answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def flood(url: httpx.URL, count: int) -> None:
    """Send so many forged deliveries at RATE; each must be refused."""

    async def one(share: int, seed: int) -> None:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        made, started = forged(url, random.Random(seed)), time.monotonic()
        for done in range(0, share, BATCH):
            batch = min(BATCH, share - done)
            writer.write(b"".join(itertools.islice(made, batch)))
            statuses = {await answer(reader) for _ in range(batch)}
            assert statuses == {401}, statuses
            due = started + (done + batch) * FLOOD_CONNECTIONS / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.close()

    share = count // FLOOD_CONNECTIONS
    await asyncio.gather(*(one(share, n) for n in range(FLOOD_CONNECTIONS)))


async def measure(url: httpx.URL) -> list[float]:
    """Milliseconds that each verified delivery of a window waited for its answer."""
    waits: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        for _ in range(VERIFIED // VERIFIED_CONNECTIONS):
            writer.write(verified(url))
            started = time.perf_counter()
            status = await answer(reader)
            waits.append((time.perf_counter() - started) * 1000)
            assert status in (200, 202), status
        writer.close()

    await asyncio.gather(*(one() for _ in range(VERIFIED_CONNECTIONS)))
    return waits


def size_of(folder: Path) -> int:
    """Bytes of all its files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def run(folder: Path, count: int) -> int:
    """The whole run; the exit code."""
    config = folder / "hooksift.toml"
    data = folder / "data"
    config.write_text(CONFIG.format(data=data, secret=SECRET, quarantine=QUARANTINE))
    process = Process(config, folder / "log", "receive")
    try:
        url = httpx.URL(process.url.partition("/v1/")[0] + "/v1/webhooks/gh")
        asyncio.run(measure(url))
        calm, busy, began = [], [], time.monotonic()
        for _ in range(ROUNDS):
            calm += asyncio.run(measure(url))
            command = [sys.executable, "-m", "tests.bench.flood"]
            share = count // 2 // ROUNDS
            sender = subprocess.Popen([*command, "--send", str(url), f"--forged={share}"])
            while sender.poll() is None:
                busy += asyncio.run(measure(url))
            assert sender.returncode == 0, "the flood was not refused as it should be"
        before = size_of(data)
        asyncio.run(flood(url, count - share * ROUNDS))
        grown, seconds = size_of(data) - before, time.monotonic() - began
        refused = refused_count(url)
    finally:
        process.end()
    return report(calm, busy, grown, refused, seconds)


def refused_count(url: httpx.URL) -> int:
    """How many refusals the receiver counted."""
    text = httpx.get(url.copy_with(path="/metrics")).text
    lines = [w for w in text.splitlines() if w.startswith("hooksift_deliveries_refused_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def report(calm: list[float], busy: list[float], grown: int, refused: int, seconds: float) -> int:
    """Print the figures; 1 where one is over its bound."""
    ratio = statistics.median(busy) / statistics.median(calm)
    print(f"forged, all refused: {refused}; the whole run took {seconds:.0f} s")
    bound = f"{BOUND_BYTES / 1e6:.0f} MB"
    print(f"disk, while the second half came alone: {grown / 1e6:+.2f} MB (bound {bound})")
    for name, waits in (("calm", calm), ("flooded", busy)):
        p99 = statistics.quantiles(waits, n=100)[98]
        median = statistics.median(waits)
        print(f"verified, {name}: {len(waits)}, p50 {median:.2f} ms, p99 {p99:.2f} ms")
    print(f"p50 flooded / calm: {ratio:.2f} (limit {LIMIT:g})")
    return int(ratio > LIMIT or grown > BOUND_BYTES)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forged", type=int, default=100_000)
    parser.add_argument("--send", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        asyncio.run(flood(httpx.URL(given.send), given.forged))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), given.forged)


if __name__ == "__main__":
    sys.exit(main())
