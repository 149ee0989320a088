"""`make bench-history`: the notebooks' questions on a large history, and what else one could do.

    python -m tests.bench.history [--events 10000000] [--folder DIR] [--rivals 1000000] [--write]

Each question runs in a process of its own: seconds of the first and second answer over everything
and of one over the last 30 days, as the notebooks ask; seconds of all cores for the second, and the
most memory the process ever held. Then three questions put to the history, to pandas and Polars
over the SQLite store, and to a plain DuckDB file, all on one made-up history in one run.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import analytics
from analytics.generate import generate
from analytics.history import History, connect
from analytics.place import Place
from tests.bench.history_rivals import compared
from tests.bench.results import made_with, table, write_section

UNTIL = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 90
ONE_DAY = {"since": timedelta(days=1)}
ONE_MONTH = {"since": timedelta(days=30)}
LIMIT_SECONDS, LIMIT_MB = 2.0, 2048


def fingerprint_of(history: History) -> str:
    """A frequent error."""
    found = history.sql("SELECT fingerprint FROM enrichments WHERE fingerprint IS NOT NULL LIMIT 1")
    return str(found.item())


def days_ago(history: History, days: int) -> datetime:
    """So long before the newest event."""
    newest = analytics.newest_at(history)
    assert newest is not None
    return newest - timedelta(days=days)


Question = Callable[..., Any]  # of a history and a scope

QUESTIONS: dict[str, Question] = {
    "outcomes": analytics.outcomes,
    "arrivals, per day": lambda h, **scope: analytics.arrivals(h, every=timedelta(days=1), **scope),
    "arrivals, per hour": analytics.arrivals,
    "events, newest 1,000": analytics.events,
    "storms": analytics.storms,
    "senders": analytics.senders,
    "refused": analytics.refused,
    "latency": analytics.latency,
    "latency over time": analytics.latency_over_time,
    "failures": analytics.failures,
    "dead": analytics.dead,
    "actions": analytics.actions,
    "categories": analytics.categories,
    "severities": analytics.severities,
    "tags": analytics.tags,
    "shifts": analytics.shifts,
    "calls": analytics.calls,
    "cost": analytics.cost,
    "savings": analytics.savings,
    "cost by category": analytics.cost_by_category,
    "scores": analytics.scores,
    "confusion": analytics.confusion,
    "calibration": analytics.calibration,
    "accuracy": analytics.accuracy,
    "disagreement": analytics.disagreement,
    "twin confusion": analytics.twin_confusion,
    "errors before tickets": analytics.errors_before_tickets,
    "aftermath": lambda h, **scope: analytics.aftermath(h, fingerprint_of(h), "billing", **scope),
    "timeline": lambda h, **_: analytics.timeline(
        h, h.sql("SELECT max(event_id) AS i FROM labels").item()
    ),
    "as of": lambda h, **scope: analytics.as_of(h, days_ago(h, 15), **scope),
}
SEARCHES: dict[str, Question] = {
    "search, 1 day": lambda h: analytics.search(h, "no such words", **ONE_DAY),
    "search, 7 days": lambda h: analytics.search(h, "no such words"),
    "search, everything": lambda h: analytics.search(h, "no such words", since=None),
}


def one(folder: str, name: str) -> None:
    """Ask one question in this process, print seconds and megabytes as JSON.

    Twice of everything and, as the notebooks do, once of the last month; bodies are searched once.
    """
    with connect(folder, memory_mb=1400) as history:
        if name in SEARCHES:
            found = dict(zip(("first", "cpu"), measured(SEARCHES[name], history), strict=True))
        else:
            question = QUESTIONS[name]
            first, _ = measured(question, history)
            again, busy = measured(question, history)
            month, _ = measured(question, history, **ONE_MONTH)
            found = {"first": first, "again": again, "month": month, "cpu": busy}
        print(json.dumps(found | {"mb": most_mb()}))


def measured(question: Question, history: History, **scope: Any) -> tuple[float, float]:
    """Seconds that passed, and seconds of all cores."""
    started, busy = time.perf_counter(), time.process_time()
    question(history, **scope)
    return time.perf_counter() - started, time.process_time() - busy


def most_mb() -> float:
    """The most memory this process has held. (getrusage counts what its parent held, too.)"""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def ask_all(folder: Path, questions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question in a process of its own."""
    for name in questions:
        command = [sys.executable, "-m", "tests.bench.history", "--one", name]
        command += ["--folder", str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            continue
        yield name, json.loads(run.stdout)


def made(folder: Path, events: int) -> tuple[Place, float]:
    """A made-up history there, and the seconds it took; an old one is used again."""
    place = Place(str(folder / "catalog.sqlite"), str(folder / "files"))
    note = folder / "made_seconds.txt"
    if not note.exists():
        shutil.rmtree(folder, ignore_errors=True)  # one that was not finished
        started = time.perf_counter()
        generate(place, events, days=DAYS, until=UNTIL, on_progress=told_so_far)
        note.write_text(f"{time.perf_counter() - started:.0f}")
    return place, float(note.read_text())


def told_so_far(written: int) -> None:
    """How far generating has come."""
    print(f"{written:,} events made", file=sys.stderr, flush=True)


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def answered(folder: Path) -> tuple[list[str], dict[str, float]]:
    """A table of the questions, and the CPU seconds of each second answer."""
    rows, busy = [], {}
    for name, found in ask_all(folder, QUESTIONS):
        again, month = (judged(found[of], LIMIT_SECONDS) for of in ("again", "month"))
        cpu, memory = f"{found['cpu']:.2f}", judged(found["mb"], LIMIT_MB, 0)
        rows.append([name, f"{found['first']:.2f}", again, month, cpu, memory])
        print(rows[-1], file=sys.stderr, flush=True)
        busy[name] = found["cpu"]
    columns = ("question", "first s", "again s", "last 30 days s", "CPU s", "most MB")
    return table(columns, rows), busy


def judged(value: float, limit: float, digits: int = 2) -> str:
    """The value, and whether it is over the limit."""
    return f"{value:.{digits}f}{' **over**' if value > limit else ''}"


def searched(folder: Path) -> list[str]:
    """A table of the searches in bodies."""
    rows = [
        [name, f"{found['first']:.1f}", f"{found['cpu']:.1f}", f"{found['mb']:.0f}"]
        for name, found in ask_all(folder, SEARCHES)
    ]
    print(rows, file=sys.stderr, flush=True)
    return table(("question", "seconds", "CPU s", "most MB"), rows)


def grown(small: Path, busy: dict[str, float]) -> list[str]:
    """A table of how much more the same questions take on the large history."""
    fewer = {name: found["cpu"] for name, found in ask_all(small, busy)}
    return table(
        ("question", "CPU s at both", "growth"),
        [
            [name, f"{fewer[name]:.2f} → {seconds:.2f}", f"{seconds / fewer[name]:.1f} x"]
            for name, seconds in busy.items()
        ],
    )


def report(folder: Path, events: int, fewer: int) -> list[str]:
    """Everything measured, as lines of Markdown."""
    large, small = folder / f"h{events}", folder / f"h{fewer}"
    store, plain = folder / f"store{fewer}.sqlite", folder / f"plain{fewer}.duckdb"
    _, seconds = made(large, events)
    busy = os.getloadavg()[0]
    asked, slow = answered(large)
    searches = searched(large)
    place, _ = made(small, fewer)
    rivals = compared(place, store, plain)
    columns = (
        "question",
        "history s",
        "plain DuckDB file",
        "Polars over store",
        "pandas over store",
    )
    sizes = {
        "history": size_of(small),
        "plain DuckDB file": plain.stat().st_size,
        "store": store.stat().st_size,
    }
    shown = ", ".join(f"{what} {size / fewer:,.0f}" for what, size in sizes.items())
    return [
        (
            f"`python -m tests.bench.history --events {events} --rivals {fewer}`: {events:,} events"
            f" of {DAYS} days, made in {seconds:,.0f} s. Each question in a process of its own;"
            f" the limit is {LIMIT_SECONDS:g} s and {LIMIT_MB:,} MB. CPU is that of the second"
            f" answer on all cores. The machine's load was {busy:.1f} before the first question."
        ),
        "",
        *asked,
        "\n### Search in bodies (reads them; no limit)\n",
        *searches,
        f"\n### Growth from {fewer:,} to {events:,} events\n",
        *grown(small, slow),
        f"\n### Instead of the history, on {fewer:,} events\n",
        "Better of two, and times the history's.\n",
        *table(columns, rivals),
        (
            f"\nBytes per event on disk at {fewer:,} events: {shown}; history at {events:,}:"
            f" {size_of(large) / events:,.0f}."
        ),
        "",
        made_with("duckdb", "polars", "pandas"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rivals", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("hooksift-bench"))
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        one(str(told.folder), told.one)
        return
    told.folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(told.folder).free < told.events * 1_000:
        sys.exit(f"{told.folder} needs {told.events * 1_000 / 1e9:.0f} GB free")
    lines = report(told.folder, told.events, told.rivals)
    print("\n".join(lines))
    if told.write:
        write_section("History", lines)


if __name__ == "__main__":
    main()
