"""The receive path against the tutorial, on the same databases, in one interleaved run.

python -m tests.bench.receive [--seconds 2] [--rounds 5] [--minutes 0] [--write]
One core for the server, one for the load; 64 connections; 2 KB signed bodies, each new. All servers
of a database run side by side for --minutes before; then they are measured one after the other,
round by round, and the others are stopped meanwhile. CPU is compared with that of the bare handler
in bursts of a second, one beside the other: from one minute to the next such machines are twice as
fast, or half. A lone delivery is one at a time, ten in a second: does it wait?
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.receive_load import WARM_UP_SECONDS
from tests.bench.results import made_with, table, write_section
from tests.bench.running import (
    CONNECTIONS,
    Server,
    age,
    bench_folder,
    databases,
    load,
    make_keys,
    resting,
    running,
)
from tests.bench.settling import settle

KINDS = ("empty", "bare", "tutorial", "nocommit", "ours", "serve")
NAMES = {
    "empty": "the HTTP server alone",
    "bare": "bare handler",
    "nocommit": "`receive` without the commit",
    "ours": "`receive`",
    "serve": "`serve`: stub and landing on",
}
PACKAGES = ("litestar", "uvicorn", "fastapi", "sqlmodel", "sqlalchemy", "psycopg")
BARE_US = 75  # what the bare handler is scaled to, so that machines can be compared
BURSTS = 4  # of a second, of the bare handler and of another, in each round
LONE_RATE = 10.0
TITLE = "Receiving"
COLUMNS = (
    "store", "what", "deliveries/s", "x tutorial", "server CPU, us each, full / half load",
    f"at full load, bare handler = {BARE_US}", "p50 / p99 ms, full load",
    "p50 / p99 ms, half load", "lone delivery, p50 ms",
)  # fmt: skip
Figures = dict[str, float]


def measure(server: Server, bare: Server | None, seconds: float) -> Figures:
    """Full load, then half of what it kept up with, then one at a time; CPU beside `bare`."""
    settle(server)
    full = load(server, seconds)
    half = load(server, seconds, rate=kept_up(server, full, seconds) / 2)
    settle(server)
    lone = load(server, max(2.0, seconds), rate=LONE_RATE, connections=1)
    found = {key: full[key] for key in ("rate", "cpu_us", "p50_ms", "p99_ms")}
    return found | {
        "half_cpu_us": half["cpu_us"],
        "half_p50_ms": half["p50_ms"],
        "half_p99_ms": half["p99_ms"],
        "lone_p50_ms": lone["p50_ms"],
        "times_bare": times_bare(server, bare) if bare else 0.0,
    }


def kept_up(server: Server, full: Figures, seconds: float) -> float:
    """Deliveries a second until all of a run at full load was done: that of `serve` is enriched."""
    ended = time.monotonic()
    settle(server)
    behind = time.monotonic() - ended
    rate: float = full["rate"]
    return rate * (1 - behind / (WARM_UP_SECONDS + seconds + behind))


def times_bare(server: Server, bare: Server) -> float:
    """How many times the bare handler's CPU a delivery takes: median of bursts side by side."""
    ratios = []
    for _ in range(BURSTS):
        settle(server)
        usual = load(bare, 1.0)["cpu_us"]
        ratios.append(load(server, 1.0)["cpu_us"] / usual)
    return statistics.median(ratios)


def compare(
    names: list[str], kinds: list[str], seconds: float, rounds: int, minutes: float
) -> dict[tuple[str, str], Figures]:
    """Medians over the rounds, for each database and kind."""
    found: dict[tuple[str, str], Figures] = {}
    with bench_folder() as folder, databases(folder, names) as makers:
        for name, make in makers.items():
            with ExitStack() as stack:
                keys = make_keys()
                servers = [
                    stack.enter_context(running(kind, make(), keys, folder)) for kind in kinds
                ]
                age([server for server in servers if server.kind != "bare"], minutes)
                for kind, runs in rounds_of(servers, name, seconds, rounds).items():
                    medians = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
                    found[name, kind] = medians
    return found


def rounds_of(
    servers: list[Server], name: str, seconds: float, rounds: int
) -> dict[str, list[Figures]]:
    """What each round gave, for each kind of server."""
    runs: dict[str, list[Figures]] = {server.kind: [] for server in servers}
    bare = next((server for server in servers if server.kind == "bare"), None)
    for number in range(rounds):
        for server in servers:
            with resting([other for other in servers if other not in (server, bare)]):
                figures = measure(server, bare, seconds)
            runs[server.kind].append(figures)
            shown = " ".join(f"{key}={value:.2f}" for key, value in figures.items())
            print(f"round {number + 1} {name} {server.kind}: {shown}", file=sys.stderr)
    return runs


def rows_of(found: dict[tuple[str, str], Figures]) -> list[list[str]]:
    """The table's rows; ratios are to the same run on the same database."""
    rows = []
    for (name, kind), row in found.items():
        tutorial = found.get((name, "tutorial"))
        rows.append(
            [
                name,
                NAMES.get(kind, kind),
                f"{row['rate']:,.0f}",
                f"{row['rate'] / tutorial['rate']:.1f}" if tutorial else "",
                f"{row['cpu_us']:.0f} / {row['half_cpu_us']:.0f}",
                f"{row['times_bare'] * BARE_US:.0f}" if row["times_bare"] else "",
                f"{row['p50_ms']:.1f} / {row['p99_ms']:.1f}",
                f"{row['half_p50_ms']:.1f} / {row['half_p99_ms']:.1f}",
                f"{row['lone_p50_ms']:.1f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0, help="of running before")
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--write", action="store_true", help=f"write {Path('RESULTS.md')}")
    asked = parser.parse_args()
    found = compare(
        asked.stores.split(","), asked.kinds.split(","), asked.seconds, asked.rounds, asked.minutes
    )
    report = [
        (
            f"`python -m tests.bench.receive --seconds {asked.seconds:g} --rounds {asked.rounds}"
            f" --minutes {asked.minutes:g}`: medians of interleaved rounds after"
            f" {asked.minutes:g} minutes of running side by side, the others stopped meanwhile;"
            f" {CONNECTIONS} connections, 2 KB signed bodies; one core for the server, one for the"
            " load, PostgreSQL on either, with a log as after long use (1 of at most 4 GB is"
            " there). The tutorial is FastAPI + SQLModel + BackgroundTasks; the kinds are in"
            " `receive_servers.py`. CPU of `serve` includes enriching and landing; it is compared"
            " with the bare handler's in bursts of a second, side by side. Half load is half of"
            " what the server kept up with: with `serve`, until all deliveries of the run at full"
            " load were enriched."
        ),
        "",
        *table(COLUMNS, rows_of(found)),
        "",
        made_with(*PACKAGES),
    ]
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
