"""`hooksift demo`: the real service, real deliveries over real HTTP, and the report."""

import asyncio
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import analytics
from analytics import demo_report
from analytics.errors import HistoryError
from analytics.history import opening_statement
from service.errors import HooksiftError
from service.signing.demo_deliveries import Planned, Sender, expected, plan, senders

MARK = ".hooksift-demo"
OPENING = "history.sql"
AT_ONCE = 16
START_SECONDS = 30
FINISH_SECONDS = 90
SEED = 20260101

CONFIG = """# Written by `hooksift demo`. Secrets in the file itself are fine for a demo only.
data = {data}

[receive]
port = 0

[enrich]
first_retry_seconds = 1
"""


class DemoError(HooksiftError):
    """The demo did not come out as it must."""


def run_demo(folder: Path, events: int, console: Console) -> None:
    """The whole thing in `folder`, which is made anew.

    Raises DemoError when the history does not show exactly what was sent.
    """
    prepare(folder)
    sources = senders()
    config = write_config(folder, sources)
    with service(config, folder / "service.log") as url, progress(console) as bars:
        # Signed once the service is up: some providers' signatures hold for a minute only.
        chance = random.Random(SEED)  # noqa: S311 - not a secret
        planned = plan(sources, events, time.time(), chance)
        sent = expected(planned)
        bars.console.print(
            f"[bold]Hooksift demo[/] in {folder}: {len(planned)} signed deliveries, 10 providers"
        )
        bars.console.print(f"The service listens on {url} (log: {folder / 'service.log'})")
        wrong = asyncio.run(send(url, planned, bars))
        wait_until_landed(folder, sent, bars)
    report(folder, console)
    with analytics.connect(folder) as history:
        wrong += demo_report.mismatches(history, sent)
        (folder / OPENING).write_text(f"{opening_statement(history.place)}\n")
    if wrong:
        raise DemoError("the history is not what was sent:\n  " + "\n  ".join(wrong))
    total = sum((counts for counts in sent.values()), Counter[str]())
    console.print(
        f"\n[bold green]All of it adds up:[/] {total['received']} deliveries stored once,"
        f" {total['duplicate']} duplicates, {total['refused']} refused,"
        f" {total['events']} events, {total['dead']} dead letter."
    )
    next_steps(folder, config, console)


def prepare(folder: Path) -> None:
    """An empty folder; an earlier demo is removed, anything else is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise DemoError(f"{folder} is not empty and not a demo's; give another with --data")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def write_config(folder: Path, sources: Mapping[str, Sender]) -> Path:
    """hooksift.toml of the demo, which `hooksift serve` takes as well."""
    lines = [CONFIG.format(data=quoted(str(folder)))]
    for source, sender in sources.items():
        lines.append(f"[sources.{source}]")
        lines.append(f"preset = {quoted(sender.preset.name)}")
        lines.append(f"secret = {quoted(sender.receiver_secret)}\n")
    path = folder / "hooksift.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
    return path


def quoted(text: str) -> str:
    """A TOML string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@contextmanager
def service(config: Path, log: Path) -> Iterator[str]:
    """`hooksift serve` as a process of its own, stopped at the end; yields its URL."""
    command = [sys.executable, "-m", "hooksift", "--config", str(config), "serve"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HOOKSIFT_")}
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=subprocess.PIPE, stderr=out, env=environment, text=True
        )
        try:
            yield wait_for_url(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


def wait_for_url(process: "subprocess.Popen[str]", log: Path) -> str:
    """The URL in the line that the service prints when it is ready."""
    out: IO[str] | None = process.stdout
    for line in out or ():
        for word in line.split():
            if word.startswith("http://"):
                return word
    raise DemoError(f"the service did not start; its log says:\n{log.read_text()[-2000:]}")


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Progress bars."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield bars


async def send(url: str, planned: Sequence[Planned], bars: Progress) -> list[str]:
    """Send them all, duplicates last; a line for each answer that was not the right one."""
    task = bars.add_task("sent", total=len(planned))
    turns = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []

    async def one(client: httpx.AsyncClient, p: Planned) -> None:
        o = p.outgoing
        async with turns:
            answer = await client.request(o.method, o.url, headers=o.headers, content=o.body)
        if answer.status_code != p.status:
            wrong.append(
                f"{p.source}: {p.outcome} was answered {answer.status_code}, not {p.status}:"
                f" {answer.text[:200]}"
            )
        bars.advance(task)

    first = [p for p in planned if p.outcome != "duplicate"]
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await asyncio.gather(*(one(client, p) for p in first))
        await asyncio.gather(*(one(client, p) for p in planned if p.outcome == "duplicate"))
    return wrong


def wait_until_landed(folder: Path, sent: Mapping[str, Counter[str]], bars: Progress) -> None:
    """Until the history holds all that was sent, every event finished."""
    total = sum(counts["events"] for counts in sent.values())
    landed = bars.add_task("landed", total=total)
    finished = bars.add_task("enriched", total=total)
    deadline = time.monotonic() + FINISH_SECONDS
    while time.monotonic() < deadline:
        try:
            with analytics.connect(folder) as history:
                events, done = demo_report.progress(history)
                complete = not demo_report.mismatches(history, sent)
        except HistoryError:  # the lander has not made it yet
            events, done, complete = 0, 0, False
        bars.update(landed, completed=events)
        bars.update(finished, completed=done)
        if complete:
            return
        time.sleep(0.25)


def report(folder: Path, console: Console) -> None:
    """Print the tables."""
    with (
        analytics.connect(folder) as history,
        pl.Config(
            tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True,
            tbl_formatting="NOTHING",
            tbl_cell_numeric_alignment="RIGHT",
            tbl_rows=40,
            tbl_cols=12,
            tbl_width_chars=120,
            fmt_str_lengths=44,
            float_precision=2,
        ),
    ):
        for table in demo_report.tables(history):
            console.print(f"\n[bold]{table.heading}[/]", highlight=False)
            if table.meaning:
                console.print(table.meaning, style="dim", highlight=False, soft_wrap=True)
            lines = "\n".join(line.rstrip() for line in str(table.rows).splitlines())
            console.print(lines, markup=False, highlight=False, soft_wrap=True)


def next_steps(folder: Path, config: Path, console: Console) -> None:
    """Where everything is, and what to type next."""
    console.print(f"\nThe data is in [bold]{folder}[/]. Next:")
    named = shlex.quote(str(config))
    steps = (
        (f"make lab CONFIG={named}", "the notebooks on this history"),
        (f"make serve CONFIG={named}", "the same service again, to send to it yourself"),
        (
            f".venv/bin/hooksift --config {named} events",
            "the newest events; `show ID` in place of `events` tells all of one",
        ),
        (
            f"duckdb -init {shlex.quote(str(folder / OPENING))}",
            "the same tables in DuckDB's own command line, 1.5 or newer",
        ),
    )
    for command, meaning in steps:
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"      {meaning}", style="dim", highlight=False)
