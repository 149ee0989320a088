"""Two receivers on one PostgreSQL against one: CPU for each answer, and time spent in lock waits.

python -m tests.bench.two_receivers [--seconds 4] [--rounds 3] [--write]
The receivers share a core, so that their CPU can be compared with one's; the load has the other.
Requests that come together share work, so two that share one's connections cost more by that alone:
they are measured so, and with as many connections each as the one has.
While they run, pg_stat_activity is asked every 10 ms what each of their connections waits for.
"""

import argparse
import statistics
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.bench.results import made_with, table, write_section
from tests.bench.running import (
    CONNECTIONS,
    Server,
    bench_folder,
    databases,
    load,
    make_keys,
    running,
)

TITLE = "Two receivers on one PostgreSQL"
PAUSE_SECONDS = 0.01
SCENES = ((1, CONNECTIONS), (2, CONNECTIONS // 2), (2, CONNECTIONS))  # receivers, connections each
BUSY = (
    "SELECT coalesce(wait_event_type, 'CPU') FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
)
COLUMNS = (
    "receivers", "connections each", "deliveries/s", "server CPU, us each", "x one", "p99 ms",
    "busy connections in a lock wait", "of it in a short internal one",
)  # fmt: skip


class Waits:
    """What busy connections wait for, sampled on a thread of its own."""

    def __init__(self, url: str) -> None:
        self.counts: Counter[str] = Counter()
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(PAUSE_SECONDS):
                self.counts.update(row[0] for row in connection.execute(BUSY))

    def __enter__(self) -> "Waits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def share(self, kind: str) -> float:
        """Of the samples of busy connections, those that waited for this."""
        return self.counts[kind] / max(1, self.counts.total())


def measure(servers: list[Server], each: int, seconds: float) -> dict[str, float]:
    """All of them at full load, with so many connections each."""
    with Waits(servers[0].url) as waits, ThreadPoolExecutor(len(servers)) as threads:
        told = list(threads.map(lambda s: load(s, seconds, connections=each), servers))
    answered = sum(t["answered"] for t in told)
    return {
        "rate": sum(t["rate"] for t in told),
        "cpu_us": sum(t["cpu_us"] * t["answered"] for t in told) / answered,
        "p99_ms": max(t["p99_ms"] for t in told),
        "lock": waits.share("Lock"),
        "lwlock": waits.share("LWLock"),
    }


def compare(folder: Path, seconds: float, rounds: int) -> dict[tuple[int, int], dict[str, float]]:
    """Medians for each number of receivers and of connections each, in turn."""
    runs: dict[tuple[int, int], list[dict[str, float]]] = {scene: [] for scene in SCENES}
    with databases(folder, ["postgresql"]) as makers, ExitStack() as stack:
        url, keys = makers["postgresql"](), make_keys()
        servers = [stack.enter_context(running("ours", url, keys, folder)) for _ in range(2)]
        for _ in range(rounds):
            for (count, each), found in runs.items():
                found.append(measure(servers[:count], each, seconds))
    return {
        scene: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for scene, found in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    with bench_folder() as folder:
        found = compare(folder, asked.seconds, asked.rounds)
    rows = [
        [
            count,
            each,
            f"{row['rate']:,.0f}",
            f"{row['cpu_us']:.0f}",
            f"{row['cpu_us'] / found[SCENES[0]]['cpu_us']:.2f}",
            f"{row['p99_ms']:.1f}",
            f"{row['lock']:.1%}",
            f"{row['lwlock']:.1%}",
        ]
        for (count, each), row in found.items()
    ]
    report = [
        (
            f"`python -m tests.bench.two_receivers --seconds {asked.seconds:g} --rounds"
            f" {asked.rounds}`: full load, medians of interleaved rounds;"
            f" both receivers on one core. pg_stat_activity asked every"
            f" {PAUSE_SECONDS * 1000:g} ms; shares are of samples in which a connection was busy."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        made_with("psycopg", "sqlalchemy", "uvicorn"),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
