"""A long run at a fixed rate: memory, WAL and open files must not grow.

python -m tests.bench.soak [--minutes 30] [--rate 100] [--write]   (make soak MINUTES=30)
Runs `hooksift serve` (stub, landing every second) on a new folder; of a hundred deliveries 80 are
new, 10 repeat an earlier one, 5 have a bad signature, 3 do not parse, 2 go to an unknown source.
Compares the minute after the fifth (or a fifth of the time) with the last; exits 1 where something
grew. Sockets are mostly those of the load, which opens more where answers take longer: they have a
bound. Memory is compared by the medians of these minutes, as it swings with each merge of the
history, and from ten minutes on: before, the caches of SQLite and DuckDB still fill, up to a bound.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from service.preset import load_preset
from service.signing.new_keys import new_keys
from service.signing.sign import Outgoing, sign
from tests.bench.results import made_with, table, write_section
from tests.bench.running import family
from tests.servers.process import Process

PRESET = load_preset("standard_webhooks")
CONNECTIONS = 64
GROWTH = 1.10  # of the memory, from the minute 5 on
MAX_MEMORY_MB = 700  # with all caches full, and a merge under way
SETTLED_SECONDS = 300.0
SPARE_FILES = 10
MAX_WAL_BYTES = 80 << 20
STRETCH_SECONDS = 60.0  # of which the median counts: files of the history are merged in each
SHOWN = 6  # stretches in the report, first and last of them compared
TITLE = "Soak"
COLUMNS = (
    "after s",
    "memory MB, median of a minute",
    "most MB",
    "WAL MB",
    "open files",
    "most sockets",
)
CONFIG = """
data = "{folder}/data"
log_level = "warning"
[receive]
port = 0
unverified_per_minute = 100000000
[history]
interval_seconds = 1
[sources.a]
preset = "standard_webhooks"
secret = "{secret}"
"""


@dataclass
class Sample:
    """What the service used, at one moment."""

    seconds: float
    memory_mb: float
    wal_mb: float
    files: int  # without sockets
    sockets: int


@dataclass
class Sender:
    """Makes deliveries, most of them good."""

    secret: str
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    made: int = 0
    earlier: deque[Outgoing] = field(default_factory=lambda: deque(maxlen=1000))

    def next(self) -> tuple[str, Outgoing]:
        """The path and the delivery."""
        self.made += 1
        chance = self.chance.random()
        if chance < 0.10 and self.earlier:
            return "a", self.chance.choice(self.earlier)
        text = f"Export {self.made} ends without a message. " * self.chance.randint(1, 60)
        data = {"id": f"T-{self.made}", "title": f"Ticket {self.made}", "text": text}
        body = json.dumps({"type": "ticket.created", "data": data}).encode()
        unreadable = chance < 0.13
        if unreadable:
            body = body[:-1]
        outgoing = sign(PRESET, self.secret, body, now=time.time(), delivery_id=f"m{self.made}")
        if unreadable:
            return "a", outgoing
        if chance < 0.18:
            return "a", outgoing._replace(body=body + b" ")
        if chance < 0.20:
            return f"unknown-{self.made}", outgoing
        self.earlier.append(outgoing)
        return "a", outgoing


def size_of(path: Path) -> int:
    """Bytes of a file; 0 once its last user has taken it away."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def target_of(link: Path) -> str:
    """What an open file is; empty once it is closed."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def memory_kb_of(pid: int) -> int:
    """What a process holds in memory, and its part of what it shares; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def open_files_of(pid: int) -> list[str]:
    """What its open files are."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [target_of(link) for link in links]


def measured(pid: int, data: Path, began: float) -> Sample:
    """What the service's processes use now."""
    pids = family(pid)
    memory = sum(map(memory_kb_of, pids))
    wal = sum(size_of(path) for path in data.rglob("*-wal"))
    opened = [target for pid in pids for target in open_files_of(pid)]
    sockets = sum(target.startswith("socket:") for target in opened)
    files = len(opened) - sockets
    return Sample(time.monotonic() - began, memory / 1024, wal / (1 << 20), files, sockets)


async def drive(
    process: Process, data: Path, sender: Sender, seconds: float, rate: float
) -> tuple[list[Sample], Counter[int]]:
    """Send at the rate, as far as answers keep up with it; a sample each second."""
    answers: Counter[int] = Counter()
    samples: list[Sample] = []
    under_way = 0
    base = process.url.partition("/v1/")[0].rstrip("/")

    async def one(client: httpx.AsyncClient, source: str, out: Outgoing) -> None:
        nonlocal under_way
        under_way += 1
        url = f"{base}/v1/webhooks/{source}"
        answer = await client.post(url, headers=out.headers, content=out.body)
        answers[answer.status_code] += 1
        under_way -= 1

    began = time.monotonic()
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        while (gone := time.monotonic() - began) < seconds:
            due = int(gone * rate) - sender.made
            for _ in range(min(due, CONNECTIONS - under_way)):
                group.create_task(one(client, *sender.next()))
            if gone >= len(samples):
                samples.append(measured(process.popen.pid, data, began))
            await asyncio.sleep(0.01)
    samples.append(measured(process.popen.pid, data, began))
    return samples, answers


def soak(minutes: float, rate: float) -> tuple[list[Sample], Counter[int]]:
    """Run the program on a new folder: the samples once it had settled, and the answers."""
    keys = new_keys(PRESET)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "hooksift.toml"
        config.write_text(CONFIG.format(folder=folder, secret=keys.receiver))
        process = Process(config, folder / "log")
        try:
            samples, answers = asyncio.run(
                drive(process, folder / "data", Sender(keys.sender), minutes * 60, rate)
            )
        finally:
            process.end()
    settled = SETTLED_SECONDS if minutes * 60 >= 2 * SETTLED_SECONDS else minutes * 60 / 5
    return [sample for sample in samples if sample.seconds >= settled], answers


def stretches_of(samples: list[Sample]) -> list[list[Sample]]:
    """A minute's samples each, spread over the run, the first and the last among them."""
    began, ended = samples[0].seconds, samples[-1].seconds
    length = min(STRETCH_SECONDS, (ended - began) / SHOWN)
    begins = [began + (ended - length - began) * n / (SHOWN - 1) for n in range(SHOWN)]
    return [[s for s in samples if b <= s.seconds <= b + length] for b in begins]


def usual_mb(stretch: list[Sample]) -> float:
    """The memory that it uses more than for half of the time."""
    return median(sample.memory_mb for sample in stretch)


def usual_files(stretch: list[Sample]) -> int:
    """The same of open files; a merge opens many at once."""
    return round(median(sample.files for sample in stretch))


def grown_in(samples: list[Sample], answers: Counter[int]) -> list[str]:
    """What grew from the first minute to the last, or was answered with a failure."""
    first, *_, last = stretches_of(samples)
    most_wal = max(sample.wal_mb for sample in samples)
    most_memory = max(sample.memory_mb for sample in samples)
    most_sockets = max(sample.sockets for sample in samples)
    growth = usual_mb(last) / usual_mb(first)
    grown = []
    if most_memory > MAX_MEMORY_MB:
        grown.append(f"memory reached {most_memory:.0f} MB; limit is {MAX_MEMORY_MB}")
    if samples[-1].seconds >= 2 * SETTLED_SECONDS and growth > GROWTH:
        grown.append(f"memory grew by {growth - 1:.0%}")
    if usual_files(last) > usual_files(first) + SPARE_FILES:
        grown.append(f"open files grew from {usual_files(first)} to {usual_files(last)}")
    if most_sockets > CONNECTIONS + SPARE_FILES:
        grown.append(f"{most_sockets} sockets; the load has {CONNECTIONS}")
    if most_wal > MAX_WAL_BYTES >> 20:
        grown.append(f"the WAL reached {most_wal:.0f} MB")
    if any(status >= 500 for status in answers):
        grown.append("a delivery was answered with 5xx")
    return grown


def report_of(samples: list[Sample], answers: Counter[int], minutes: float, rate: float) -> str:
    """Minutes spread over the run, and how many deliveries got which answer."""
    rows = [
        (
            f"{stretch[0].seconds:.0f}",
            f"{usual_mb(stretch):.0f}",
            f"{max(s.memory_mb for s in stretch):.0f}",
            f"{max(s.wal_mb for s in stretch):.1f}",
            usual_files(stretch),
            max(s.sockets for s in stretch),
        )
        for stretch in stretches_of(samples)
    ]
    said = ", ".join(f"{count:,} x {status}" for status, count in sorted(answers.items()))
    reached = answers.total() / (minutes * 60)
    lines = [
        (
            f"`make soak MINUTES={minutes:g}` at {rate:g} deliveries a second ({reached:.0f}"
            " reached), a fifth of them duplicates, forged, unreadable or for nobody:"
            f" {said}. At most {max(s.wal_mb for s in samples):.1f} MB of WAL and"
            f" {max(s.memory_mb for s in samples):.0f} MB of memory."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        made_with("duckdb", "sqlalchemy", "uvicorn"),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    samples, answers = soak(asked.minutes, asked.rate)
    report = report_of(samples, answers, asked.minutes, asked.rate)
    print(report)
    if asked.write:
        write_section(TITLE, [report])
    if grown := grown_in(samples, answers):
        sys.exit("; ".join(grown))


if __name__ == "__main__":
    main()
